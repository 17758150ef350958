import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { runCreate } from '#cli/serve-create.js'
import { packageRoot } from '#host/process.js'
import { testIo } from '#test/e2e/fixtures.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-tracing-'))
const at = (name: string) => join(work, name)
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** A module as an operator's: every span that ends is a line of a file. */
function writeModule(name: string): string {
  const api = pathToFileURL(createRequire(import.meta.url).resolve('@opentelemetry/api')).href
  writeFileSync(
    at(name),
    `import { appendFileSync } from 'node:fs'
import api from ${JSON.stringify(api)}
const span = (name) => ({
  setAttribute() { return this }, setStatus() { return this },
  setAttributes() { return this }, end() { appendFileSync(${JSON.stringify(at('spans'))}, name + '\\n') },
  spanContext: () => ({ traceId: '1'.repeat(32), spanId: '1'.repeat(16), traceFlags: 1 }),
})
const tracer = { startSpan: span, startActiveSpan: (name, options, work) => work(span(name)) }
api.trace.setGlobalTracerProvider({ getTracer: () => tracer })
`,
  )
  chmodSync(at(name), 0o600)
  return at(name)
}

/** The broker as a process of its own, until it is ready or has ended. */
function serve(...words: readonly string[]) {
  const args = ['serve', 'all', '--state', at('services'), '--listen', '127.0.0.1:0', ...words]
  const main = join(packageRoot(), 'dist/cli/main.js')
  const child = spawn(process.execPath, [main, ...args], { env: { PATH: process.env.PATH, HOME: work } })
  let out = ''
  let err = ''
  child.stderr.on('data', (piece) => void (err += piece))
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const ready = new Promise<void>((resolve) =>
    child.stdout.on('data', (piece) => {
      out += piece
      if (out.includes('\n')) resolve()
    }),
  )
  const first = Promise.race([ready, ended])
  return { child, ended, first, out: () => out, err: () => err }
}

test('an SDK runs in a broker when it is named, and by nothing else', async () => {
  const io = testIo()
  await runCreate({ state: at('services'), origin: 'log.example/test', json: true, databaseUrl: undefined }, io)
  const file = writeModule('tracing.mjs')
  const running = serve('--dangerous-tracing', file)
  await running.first
  expect(running.err()).toContain(`DANGEROUS: ${file} runs in this process, and can read its keys`)
  const { url } = JSON.parse(running.out()) as { url: string }
  expect((await fetch(`${url}/v1/broker`)).status).toBe(200)
  running.child.kill('SIGTERM')
  expect(await running.ended).toBe(0)
  const spans = readFileSync(at('spans'), 'utf8').split('\n')
  expect(spans).toContain('claviger request')
  expect(spans).toContain('claviger db read')

  chmodSync(file, 0o622)
  const open = serve('--dangerous-tracing', file)
  expect(await open.ended).toBe(1)
  expect(open.err()).toContain('(tracing/file)')
  expect(open.err()).toContain(`chmod go-w ${file}`)
})
