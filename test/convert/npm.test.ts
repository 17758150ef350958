import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { packPackage } from '#convert/model/npm.js'
import type { PinnedPackage } from '#convert/model/pins.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { randomBytes, sha512 } from '#core/crypto/hash.js'
import { packageRoot } from '#host/process.js'

// The real npm, and a registry of our own on loopback.
let folder: string
let registry: Server
let url: string
let tarball: Buffer
let pinned: PinnedPackage
/** how the registry sends the tarball */
let send: (response: ServerResponse) => void
let isAway = false

const integrity = (bytes: Uint8Array) => toBase64(sha512(new Uint8Array(bytes)))

/** One sixteenth of the tarball at a time, for as long as it is wanted. */
async function slowly(response: ServerResponse, ms: number): Promise<void> {
  response.writeHead(200, { 'content-length': tarball.length })
  for (let at = 0; at < tarball.length && !response.destroyed; at += tarball.length / 16) {
    response.write(tarball.subarray(at, at + tarball.length / 16))
    await pause(ms)
  }
  response.end()
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'claviger-npm-'))
  mkdirSync(join(folder, 'package'))
  writeFileSync(join(folder, 'package/package.json'), JSON.stringify({ name: 'model-of-tests', version: '1.0.0' }))
  writeFileSync(join(folder, 'package/weights'), randomBytes(1024 * 1024)) // which gzip makes no smaller
  tarball = spawnSync('tar', ['czf', '-', 'package'], { cwd: folder, maxBuffer: 1 << 24 }).stdout
  tarball = tarball.subarray(0, tarball.length)
  pinned = { spec: 'model-of-tests@1.0.0', integrity: integrity(tarball), size: tarball.length, files: [] }
  registry = createServer((request, response) => {
    if (isAway) return response.destroy()
    if (request.url?.endsWith('.tgz')) return send(response)
    const name = decodeURIComponent(request.url?.slice(1) ?? '')
    const version = name === 'model-of-tests' ? '1.0.0' : '0.1.29'
    if (name !== 'model-of-tests' && name !== '@moonshine-ai/moonshine-js') return response.writeHead(404).end('{}')
    const dist = { tarball: `${url}/${name}.tgz`, integrity: `sha512-${integrity(tarball)}` }
    const versions = { [version]: { name, version, dist } }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }))
  })
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`
})
afterAll(() => {
  registry.closeAllConnections()
  registry.close()
  rmSync(folder, { recursive: true, force: true })
})

let scratch: string
const before = { ...process.env }
beforeEach(() => {
  scratch = mkdtempSync(join(folder, 'scratch-'))
  send = (response) => void slowly(response, 0)
  isAway = false
  Object.assign(process.env, {
    npm_config_registry: url,
    npm_config_cache: join(scratch, 'users-cache'),
    npm_config_userconfig: '/dev/null',
    npm_config_fetch_retries: '0',
    npm_config_update_notifier: 'false',
  })
})
afterEach(() => {
  process.env = { ...before }
})

const work = (name = 'work') => {
  const place = join(scratch, name)
  mkdirSync(place)
  return place
}

describe('a package by npm', () => {
  test('is told of by its bytes while it comes, and is as it was pinned', async () => {
    send = (response) => void slowly(response, 120)
    const told: number[] = []
    const bytes = await packPackage(pinned, work(), (one) => told.push(one))
    expect(integrity(bytes)).toBe(pinned.integrity)
    expect(told).toEqual(told.toSorted((a, b) => a - b))
    expect(told.at(-1)).toBe(pinned.size)
    const between = new Set(told.filter((one) => one > 0 && one < pinned.size))
    expect(between.size).toBeGreaterThanOrEqual(3)
  })

  test('comes from the user’s own cache where it is there', async () => {
    const filled = spawn('npm', ['pack', pinned.spec, '--pack-destination', work()], { stdio: 'ignore' })
    expect(await new Promise((resolve) => filled.once('close', resolve))).toBe(0)
    isAway = true
    expect(integrity(await packPackage(pinned, work('again'), () => undefined))).toBe(pinned.integrity)
  })

  test.each<[string, () => void, () => Partial<PinnedPackage>, RegExp, string]>([
    [
      'no network',
      () => (process.env.npm_config_registry = 'http://127.0.0.1:9'),
      () => ({}),
      /^model\/network$/,
      'npm ping',
    ],
    [
      'a registry that has it not',
      () => undefined,
      () => ({ spec: 'nothing-of-tests@1.0.0' }),
      /^model\/npm$/,
      'npm view',
    ],
    [
      'another digest',
      () => undefined,
      () => ({ integrity: integrity(randomBytes(8)) }),
      /^model\/digest$/,
      'npm config get registry',
    ],
    ['another size', () => undefined, () => ({ size: 17 }), /^model\/digest$/, 'nothing of it was kept'],
    [
      'a connection that is cut',
      () => {
        send = (response) => {
          response.writeHead(200, { 'content-length': tarball.length })
          response.write(tarball.subarray(0, 1000), () => response.destroy())
        }
      },
      () => ({}),
      /^model\/(network|digest|npm)$/,
      '',
    ],
  ])('%s is a failure with a hint', async (_, make, changes, code, hint) => {
    make()
    const failed = await packPackage({ ...pinned, ...changes() }, work(), () => undefined).catch((error) => error)
    expect(failed.code).toMatch(code)
    expect(failed.detail.hint).toContain(hint)
  })
})

describe('claviger model fetch', () => {
  const launch = (cache: string) => {
    const child = spawn(join(packageRoot(), 'claviger'), ['model', 'fetch', '--cache', cache], { env: process.env })
    let err = ''
    child.stderr.on('data', (piece) => {
      err += piece
    })
    const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)))
    return { child, err: () => err, ended }
  }
  const begun = async (run: ReturnType<typeof launch>) =>
    expect.poll(() => run.err(), { timeout: 20_000 }).toContain('fetching the model: 20.9 MiB\n')

  test('stopped on the way leaves nothing; killed, what the next one takes away', async () => {
    send = (response) => void slowly(response, 5000)
    const cache = join(scratch, 'models')
    const stopped = launch(cache)
    await begun(stopped)
    await expect.poll(() => readdirSync(cache, { recursive: true }).join(), { timeout: 20_000 }).toContain('_cacache')
    stopped.child.kill('SIGINT')
    expect(await stopped.ended).toBe(130)
    await expect.poll(() => readdirSync(cache), { timeout: 10_000 }).toEqual([])

    const killed = launch(cache)
    await begun(killed)
    killed.child.kill('SIGKILL')
    expect(await killed.ended).toBe('SIGKILL')
    expect(readdirSync(cache).length).toBeGreaterThan(1)

    send = (response) => void slowly(response, 0)
    const next = launch(cache)
    expect(await next.ended).toBe(1)
    expect(next.err()).toContain('(model/digest)')
    expect(next.err()).toContain('hint: nothing of it was kept')
    expect(readdirSync(cache)).toEqual([])
  }, 60_000)

  test('of two at once one fetches, the other waits and says so', async () => {
    send = (response) => void slowly(response, 200)
    const cache = join(scratch, 'models')
    const [one, two] = [launch(cache), launch(cache)]
    await Promise.all([one.ended, two.ended])
    const waited = [one, two].filter((run) => run.err().includes('another claviger process is fetching the model'))
    expect(waited).toHaveLength(1)
    expect(readdirSync(cache)).toEqual([])
  }, 60_000)
})
