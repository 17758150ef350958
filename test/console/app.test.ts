import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadShippedCertificates } from '#attest/service/shipped.js'
import * as command from '#cli/console.js'
import { runCommandLine } from '#cli/program.js'
import { makeConsoleApp } from '#console/service/app.js'
import { loadAssets } from '#console/service/assets.js'
import { securityHeaders } from '#console/service/headers.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { createLog } from '#host/log.js'
import { packageRoot } from '#host/process.js'
import { testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

const assets = await loadAssets()
const app = await makeConsoleApp({
  assets,
  shipped: await loadShippedCertificates(),
  version: '0.0.0',
  log: createLog('console', 'silent'),
})
const get = (path: string, init?: RequestInit) => app.hono.request(path, init)

test.each([
  ['/', 200, 'text/html; charset=utf-8'],
  ['/checks', 200, 'text/html; charset=utf-8'],
  ['/assets/verify.js', 200, 'text/javascript; charset=utf-8'],
  ['/assets/style.css', 200, 'text/css; charset=utf-8'],
  ['/assets/icon.svg', 200, 'image/svg+xml'],
  ['/healthz', 200, 'application/json'],
  ['/nothing', 404, 'text/html; charset=utf-8'],
  ['/assets/../package.json', 404, 'text/html; charset=utf-8'],
  ['/assets/..%2f..%2fpackage.json', 404, 'text/html; charset=utf-8'],
])('%s answers %i, with every header that keeps a browser in', async (path, status, type) => {
  const answer = await get(path)
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toBe(type)
  for (const [name, value] of Object.entries(securityHeaders)) expect(answer.headers.get(name)).toBe(value)
})

test('the policy allows what stands beside the pages, and nothing that is written in line or comes from elsewhere', () => {
  const policy = securityHeaders['content-security-policy']!.split('; ')
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("require-trusted-types-for 'script'")
  expect(policy.join()).not.toMatch(/unsafe|\*|https?:|data:|blob:|connect-src/)
})

test.each(['POST', 'PUT', 'DELETE'])(
  '%s is answered as what there is not, and too large a body by its bound',
  async (method) => {
    expect((await get('/', { method })).status).toBe(404)
    const large = await get('/', { method, body: 'x'.repeat(2000) })
    expect([large.status, large.headers.get('x-content-type-options')]).toEqual([413, 'nosniff'])
  },
)

test('pages have no program and no style in line, and load nothing that the console does not serve', async () => {
  for (const path of ['/', '/checks', '/nothing']) {
    const text = await (await get(path)).text()
    const scripts = [...text.matchAll(/<script\b([^>]*)>([^<]*)/g)]
    expect(scripts.every(([, attributes, body]) => attributes!.includes('src="/assets/') && body === '')).toBe(true)
    expect(text).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:|<iframe|<base/i)
    const loaded = [...text.matchAll(/\s(?:src|href)="([^"#][^"]*)"/g)].map((found) => found[1]!)
    for (const one of new Set(loaded)) expect((await get(one.split('#')[0]!)).status, one).toBe(200)
  }
})

test('the script is the one whose digest the page names', async () => {
  const digest = createHash('sha256').update(assets['verify.js'].body)
  const text = await (await get('/')).text()
  expect(text).toContain(`integrity="sha256-${digest.copy().digest('base64')}"`)
  expect(text).toContain(`<code class="hex">${digest.digest('hex')}</code>`)
})

test('the script is readable, imports nothing, and names no place of the machine that it was built on', () => {
  const text = fromUtf8(assets['verify.js'].body)
  const imports = /^\s*import\b|\bimport\(|\brequire\(|['"]node:|\bprocess\./m
  expect(imports.exec(text)?.[0]).toBeUndefined()
  expect(text.split('\n').length).toBeGreaterThan(5000)
  const files = [...text.matchAll(/^\/\/ (\S+\.[jt]s)$/gm)].map((found) => found[1]!)
  expect(files.length).toBeGreaterThan(50)
  expect(files.filter((file) => !/^(core|attest|console|node_modules)\//.test(file))).toEqual([])
  expect(text.includes(packageRoot())).toBe(false)
})

test('no source of the console knows a way to make markup of a text, or to reach anybody', () => {
  const folder = join(packageRoot(), 'console')
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.tsx?$/.test(name))
  expect(sources.length).toBeGreaterThan(10)
  const ways =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML|\beval\b|\bFunction\(|DOMParser|\braw\(/
  const nets =
    /\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\(|localStorage|sessionStorage|indexedDB|document\.cookie/
  for (const name of sources) {
    const text = readFileSync(join(folder, name), 'utf8').replaceAll('app.hono.fetch(', '')
    expect([name, ways.exec(text)?.[0], nets.exec(text)?.[0]]).toEqual([name, undefined, undefined])
  }
})

test('a package that was not built says how to build it', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'claviger-console-'))
  expect(await codeOfPromise(loadAssets(empty))).toBe('console/not-built')
  rmSync(empty, { recursive: true })
})

test('the command says where it is, serves until it is told to stop, and names a port that is taken', async () => {
  const io = testIo()
  let stop: () => void = () => undefined
  const stopped = new Promise<void>((done) => {
    stop = done
  })
  const ended = command.run({ listen: '127.0.0.1:0' }, io, stopped)
  await expect.poll(() => io.out()).not.toBe('')
  const { service, url } = JSON.parse(io.out()) as { service: string; url: string }
  expect(service).toBe('console')
  expect(io.err()).not.toContain('https alone')
  expect(await (await fetch(`${url}/checks`)).text()).toContain('<h1>Checks</h1>')
  for (const words of [['console'], ['serve', 'console']]) {
    const second = testIo()
    await runCommandLine([...words, '--listen', new URL(url).host], second)
    expect([second.code(), second.out()]).toEqual([1, ''])
    expect(second.err()).toContain('(listen/in-use)\nhint: stop what listens there, or choose another port\n')
  }
  stop()
  expect(await ended).toBe(0)
})

test('on an address of everybody it says that browsers elsewhere want https', async () => {
  const io = testIo()
  expect(await command.run({ listen: '0.0.0.0:0' }, io, Promise.resolve())).toBe(0)
  expect(io.err()).toContain('https alone')
})
