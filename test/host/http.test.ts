import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { integer, object } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { Arriving } from '#host/arriving.js'
import { type App, createApp, type Limits, readBody, readJsonBody } from '#host/http.js'
import { inputStatuses } from '#host/http-failures.js'
import { listen } from '#host/listen.js'
import type { Log } from '#host/log.js'
import { networkOf } from '#host/network-of.js'
import { createRateLimit } from '#host/rate-limit.js'
import { createWorkPlaces } from '#host/work-places.js'

type TestCode = 'test/refused' | keyof typeof inputStatuses
const logged: unknown[] = []
const log: Log = {
  info: (...line) => void logged.push(line),
  warn: (...line) => void logged.push(line),
  error: (...line) => void logged.push(line),
}

let slowStarted: () => void = () => undefined
/** Resolves when the handler of `/slow` runs. */
const slowRuns = () => new Promise<void>((resolve) => (slowStarted = resolve))

function appWith(limits: Limits = {}, more: { ready?: () => Promise<boolean>; nowMs?: () => number } = {}): App {
  const app = createApp<TestCode>({ log, statuses: { 'test/refused': 403, ...inputStatuses }, limits, ...more })
  app.hono.post('/echo', async (c) => c.text(String((await readBody(c)).length)))
  app.hono.post('/json', async (c) => c.json(await readJsonBody(c, object({ n: integer() }))))
  app.hono.get('/refused', () => {
    throw new Failure<TestCode>('test/refused', 'not today', { detail: { expected: 1 } })
  })
  app.hono.get('/unlisted', () => {
    throw new Failure('test/unlisted', 'nobody listed me')
  })
  app.hono.get('/bug', () => {
    throw new TypeError('secret value 42')
  })
  app.hono.get('/slow', async (c) => {
    slowStarted()
    await pause(300)
    return c.text('slow')
  })
  return app
}

const ask = async (app: App, path: string, init?: RequestInit, address = '10.0.0.1') =>
  app.hono.fetch(new Request(`http://test${path}`, init), { address })
const json = (body: string) => ({ method: 'POST', body, headers: { 'content-type': 'application/json' } })

describe('an HTTP application', () => {
  test('turns a failure into a problem document by the one table', async () => {
    const answer = await ask(appWith(), '/refused')
    expect(answer.status).toBe(403)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(await answer.json()).toEqual({
      type: 'about:blank',
      title: 'Forbidden',
      status: 403,
      detail: 'not today',
      code: 'test/refused',
      info: { expected: 1 },
    })
  })

  test.each(['/bug', '/unlisted'])('says nothing about a bug, and logs where it is: %s', async (path) => {
    logged.length = 0
    const answer = await ask(appWith(), path)
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ code: 'http/internal', detail: 'internal error' })
    expect(logged).toHaveLength(1)
    expect(JSON.stringify(logged)).not.toContain('secret value')
  })

  test.each([
    [
      new Failure('database/constraint', 'database reported 23514 on leases_model_check', {
        detail: { sqlState: '23514', table: 'leases', constraint: 'leases_model_check' },
      }),
      'the database refused a row',
    ],
    [
      new Failure('database/locked', 'process 17 has the database open (/srv/claviger/lock)', {
        detail: { path: '/srv/claviger/lock', pid: 17 },
      }),
      'another process has the database open',
    ],
    [
      new Failure('file/permissions', '/srv/claviger/kek has mode 0644'),
      'a file or key of this service cannot be used',
    ],
    [new Failure('kek/unwrap', 'key 3 of /srv/claviger/kek'), 'a file or key of this service cannot be used'],
  ])('tells strangers the kind of trouble below it, and the operator the rest: $code', async (failure, message) => {
    logged.length = 0
    const statuses = { 'database/constraint': 500, 'database/locked': 503, 'file/permissions': 503, 'kek/unwrap': 503 }
    for (const encodeFailure of [
      undefined,
      (told: Failure) => new Response(JSON.stringify({ ...told, m: told.message })),
    ]) {
      const app = createApp({ log, statuses, ...(encodeFailure === undefined ? {} : { encodeFailure }) })
      app.hono.get('/trouble', () => {
        throw failure
      })
      const text = await (await ask(app, '/trouble')).text()
      expect(text).toContain(failure.code)
      expect(text).toContain(message)
      expect(text).not.toMatch(/info|detail":\{|23514|leases|srv|17/)
    }
    expect(logged).toHaveLength(2)
    expect(JSON.stringify(logged)).toContain(failure.message)
    if (failure.detail?.sqlState) expect(JSON.stringify(logged)).toContain('"constraint":"leases_model_check"')
  })

  test('answers 404 where there is no route', async () => {
    expect(await (await ask(appWith(), '/nowhere')).json()).toMatchObject({ code: 'http/not-found', status: 404 })
    expect((await ask(appWith(), '/echo')).status).toBe(404)
  })

  test('takes JSON of one shape and nothing else', async () => {
    const app = appWith()
    expect(await (await ask(app, '/json', json('{"n":1}'))).json()).toEqual({ n: 1 })
    const codes = await Promise.all(
      [json('{"n":1,"n":2}'), json('{}'), json('{"n":1}x'), { method: 'POST', body: '{"n":1}' }].map(
        async (init) => ((await (await ask(app, '/json', init)).json()) as { code: string }).code,
      ),
    )
    expect(codes).toEqual(['json/duplicate', 'shape/missing', 'json/syntax', 'http/media-type'])
  })

  test('bounds bodies, said in advance or not', async () => {
    const app = appWith({ bodySizeMax: 100 })
    expect(await (await ask(app, '/echo', { method: 'POST', body: 'x'.repeat(100) })).text()).toBe('100')
    const told = await ask(app, '/echo', {
      method: 'POST',
      body: 'x'.repeat(101),
      headers: { 'content-length': '101' },
    })
    expect(await told.json()).toMatchObject({ code: 'http/body-size', status: 413 })
    const stream = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(64))
      },
    })
    const endless = { method: 'POST', body: stream, duplex: 'half' } as RequestInit
    expect((await ask(app, '/echo', endless)).status).toBe(413)
  })

  test('bounds time, and concurrency until the work has ended', async () => {
    const app = appWith({ timeoutMs: 1000, concurrencyMax: 1 })
    let release: () => void = () => undefined
    app.hono.get('/held', async (c) => {
      await new Promise<void>((resolve) => (release = resolve))
      return c.text('')
    })
    expect(await (await ask(app, '/held')).json()).toMatchObject({ code: 'http/timeout', status: 503 })
    expect(await (await ask(app, '/echo', { method: 'POST', body: '' })).json()).toMatchObject({ code: 'http/busy' })
    expect((await ask(app, '/healthz')).status).toBe(200)
    release()
    await pause(0)
    expect((await ask(app, '/echo', { method: 'POST', body: '' })).status).toBe(200)
  })

  test('bounds each address apart', async () => {
    let now = 0
    const app = appWith({ ratePerMinute: 2 }, { nowMs: () => now })
    const statusOf = async (address: string) => (await ask(app, '/refused', {}, address)).status
    expect([await statusOf('a'), await statusOf('a'), await statusOf('a'), await statusOf('b')]).toEqual([
      403, 403, 429, 403,
    ])
    now = 30_000
    expect([await statusOf('a'), await statusOf('a')]).toEqual([403, 429])
  })

  test('counts all addresses of one IPv6 network together, and mapped IPv4 as IPv4', async () => {
    const app = appWith({ ratePerMinute: 2 }, { nowMs: () => 0 })
    const statusOf = async (address: string) => (await ask(app, '/refused', {}, address)).status
    const one = ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:DB8:1:2:3::', '2001:db8:1:3::1']
    expect(await Promise.all(one.map(statusOf))).toEqual([403, 403, 429, 403])
    const mapped = ['192.0.2.7', '::ffff:192.0.2.7', '::ffff:c000:207', '192.0.2.8']
    expect(await Promise.all(mapped.map(statusOf))).toEqual([403, 403, 429, 403])
  })

  test('drains: what is under way is answered, what comes is refused', async () => {
    const app = appWith({}, { ready: async () => true })
    expect((await ask(app, '/readyz')).status).toBe(200)
    const runs = slowRuns()
    const under = ask(app, '/slow')
    await runs
    const drained = app.drain(5000)
    expect(await (await ask(app, '/refused')).json()).toMatchObject({ code: 'http/busy' })
    expect((await ask(app, '/readyz')).status).toBe(503)
    await drained
    expect(await (await under).text()).toBe('slow')
  })

  test('is not ready while its ready check fails', async () => {
    const app = appWith({}, { ready: () => Promise.reject(new Error('no')) })
    expect((await ask(app, '/readyz')).status).toBe(503)
  })
})

describe('places', () => {
  test('for work: one network leaves some to all others', () => {
    const places = createWorkPlaces(16)
    const entered = (network: string, times: number) =>
      Array.from({ length: times }, () => places.enter(network)).filter(Boolean).length
    expect(entered('stranger', 100)).toBe(16)
    expect([entered('a', 3), entered('b', 3), entered('c', 1)]).toEqual([2, 2, 0])
    places.leave('stranger')
    expect(entered('stranger', 1)).toBe(0) // twenty are taken, less one
    expect(entered('c', 1)).toBe(1)
    for (let i = 0; i < 15; i++) places.leave('stranger')
    for (const network of ['a', 'a', 'b', 'b', 'c']) places.leave(network)
    expect(places.taken).toBe(0)
  })

  test('for bodies on their way: who has most, and waits longest, makes room', async () => {
    const arriving = new Arriving({ placesMax: 4, placesPerNetworkMax: 3, bytesMax: 100 })
    const gone: string[] = []
    const enter = (name: string, network: string, bytes = 1) => {
      const arrival = arriving.enter(network, bytes)
      arrival.madeRoom.catch((error: Failure) => gone.push(`${name} ${error.code}`))
      return arrival
    }
    const goneNow = async () => {
      await pause(0)
      return gone.splice(0)
    }
    const first = enter('a1', 'a')
    enter('a2', 'a')
    enter('b1', 'b')
    const last = enter('a3', 'a')
    expect(await goneNow()).toEqual([])
    enter('c1', 'c')
    expect(await goneNow()).toEqual(['a1 http/unfinished'])
    first.leave() // it has left already
    expect(arriving.count).toBe(4)
    last.grow(97)
    expect(await goneNow()).toEqual(['a2 http/unfinished'])
    last.grow(1000)
    expect(await goneNow()).toEqual(['a3 http/unfinished']) // whose bytes they are
    for (let i = 0; i < 9; i++) enter(`d${i}`, 'd')
    expect(arriving.count).toBeLessThanOrEqual(4)
    arriving.clear()
    expect(arriving.count).toBe(0)
  })
})

describe('the network of an address', () => {
  test.each([
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
    ['::ffff:192.0.2.33', '192.0.2.33'],
    ['192.0.2.33', '192.0.2.33'],
    ['unknown', 'unknown'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::/64'],
  ])('%s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })

  test('is the same for every spelling, and for every address of a /64', () => {
    const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 })
    fc.assert(
      fc.property(groups, groups, (one, other) => {
        const text = (all: readonly number[]) => all.map((group) => group.toString(16)).join(':')
        const both = [...one.slice(0, 4), ...other.slice(4)]
        if (one.slice(0, 4).every((group) => group === 0)) return
        expect(networkOf(text(both))).toBe(networkOf(text(one)))
        expect(networkOf(new URL(`http://[${text(one)}]`).hostname.slice(1, -1))).toBe(networkOf(text(one)))
        expect(networkOf(text(one).toUpperCase())).toBe(networkOf(text(one)))
      }),
    )
  })
})

describe('a rate limit', () => {
  test('never allows more than its bound in any minute after the first burst', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 200 }), (steps) => {
        let now = 0
        const limit = createRateLimit({ perMinute: 10, nowMs: () => now })
        const allowed: number[] = []
        for (const step of steps) {
          now += step
          if (limit.allow('a')) allowed.push(now)
        }
        // A token bucket of ten that refills ten a minute: twenty in any minute at the very most.
        for (const [i, at] of allowed.entries()) {
          expect(allowed.slice(i).filter((other) => other < at + 60_000).length).toBeLessThanOrEqual(20)
        }
      }),
    )
  })

  test('forgets names without an end to them, and keeps who used its share up', () => {
    const limit = createRateLimit({ perMinute: 2, nowMs: () => 0 })
    limit.allow('spent')
    limit.allow('spent')
    for (let i = 0; i < 60_000; i++) limit.allow(`n${i}`)
    expect(limit.allow('spent')).toBe(false)
  })
})

describe('a listening application', () => {
  const head = (port: number, size: number) =>
    new Promise<number>((resolve, reject) => {
      const sent = request(
        { port, path: '/refused', headers: { authorization: `Bearer ${'x'.repeat(size)}` } },
        (answer) => {
          answer.resume()
          resolve(answer.statusCode ?? 0)
        },
      )
      sent.on('error', reject)
      sent.end()
    })

  test('takes heads as large as it was told, and no larger', async () => {
    const [small, large] = [
      await listen(appWith(), { host: '127.0.0.1', port: 0 }),
      await listen(appWith(), { host: '127.0.0.1', port: 0, maxHeaderSize: 256 * 1024 }),
    ]
    expect(await head(small.port, 20 * 1024)).toBe(431)
    expect(await head(large.port, 200 * 1024)).toBe(403)
    expect(await head(large.port, 300 * 1024)).toBe(431)
    await Promise.all([small.close(), large.close()])
  })

  const unfinished = [
    ['of a length said in advance', 'Content-Length: 1000\r\n\r\n{'],
    ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n'],
  ] as const
  /** A connection on which a request began whose body does not come to its end. */
  const hold = (port: number, rest: string = unfinished[0][1]) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(`POST /echo HTTP/1.1\r\nHost: x\r\n${rest}`)
    return socket
  }
  const echo = async (url: string) => (await fetch(`${url}/echo`, { method: 'POST', body: 'x' })).status

  test.each(unfinished)('an unfinished body %s keeps nobody’s place, and is refused in time', async (_name, rest) => {
    logged.length = 0
    const app = appWith({ concurrencyMax: 1, bodyTimeoutMs: 300 })
    const listening = await listen(app, { host: '127.0.0.1', port: 0 })
    const held = hold(listening.port, rest)
    await once(held, 'connect')
    expect(await echo(listening.url)).toBe(200)
    const [answer] = (await once(held, 'data')) as [Buffer]
    expect(answer.toString()).toContain('408')
    expect(answer.toString()).toContain('http/unfinished')
    held.destroy()
    expect(logged).toEqual([])
    await listening.close()
  })

  test('hundreds of slow bodies shut out nobody, of their own address either; the oldest makes room', async () => {
    const app = appWith({ concurrencyMax: 4, arrivingMax: 80 })
    const listening = await listen(app, { host: '127.0.0.1', port: 0 })
    const answers: string[] = []
    const held = Array.from({ length: 200 }, (_, i) => {
      const socket = hold(listening.port, unfinished[i % 2]![1])
      socket.once('data', (piece) => answers.push(piece.toString()))
      return socket
    })
    // An eighth of the places is for one address: the rest of them were told to go.
    await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(190)
    expect(answers.every((text) => text.includes('http/unfinished'))).toBe(true)
    const large = fetch(`${listening.url}/echo`, { method: 'POST', body: new Uint8Array(1_500_000) })
    for (let i = 0; i < 20; i++) expect(await echo(listening.url)).toBe(200)
    expect(await (await large).text()).toBe('1500000')
    for (const socket of held) socket.destroy()
    await listening.close()
  })

  test('a client that goes away in the middle of its body is no bug', async () => {
    logged.length = 0
    const refused: string[] = []
    const app = createApp({ log, statuses: {}, onRefused: (code) => void refused.push(code) })
    app.hono.post('/echo', async (c) => c.text(String((await readBody(c)).length)))
    const listening = await listen(app, { host: '127.0.0.1', port: 0 })
    const held = unfinished.map(([, rest]) => hold(listening.port, rest))
    await Promise.all(held.map((socket) => once(socket, 'connect')))
    await pause(100)
    for (const socket of held) socket.destroy()
    await pause(100)
    expect(await echo(listening.url)).toBe(200)
    expect([logged, refused]).toEqual([[], []])
    await listening.close()
  })

  test('a service that ends does not wait for bodies that do not come', async () => {
    const listening = await listen(appWith(), { host: '127.0.0.1', port: 0 })
    const held = hold(listening.port)
    const [answer] = await Promise.all([once(held, 'data'), pause(100).then(() => listening.close())])
    expect(String(answer)).toMatch(/http\/(unfinished|busy)/)
  })

  test('connections that do nothing make room for those that ask, one that is asked on stays', async () => {
    const app = appWith({ timeoutMs: 20_000 })
    let release: () => void = () => undefined
    const released = new Promise<void>((resolve) => (release = resolve))
    app.hono.get('/held', async (c) => {
      await released
      return c.text('at last')
    })
    const listening = await listen(app, { host: '127.0.0.1', port: 0, connectionsMax: 20 })
    const held = fetch(`${listening.url}/held`)
    let closed = 0
    const silent = Array.from({ length: 60 }, () => {
      const socket = connect(listening.port, '127.0.0.1')
      socket.on('error', () => undefined).once('close', () => closed++)
      return socket
    })
    await expect.poll(() => closed, { timeout: 10_000 }).toBeGreaterThanOrEqual(40)
    expect(await echo(listening.url)).toBe(200)
    release()
    expect(await (await held).text()).toBe('at last')
    for (const socket of silent) socket.destroy()
    await listening.close()
  })

  test('a reader who takes nothing of its answer is cut off, whole or streamed', async () => {
    const app = appWith()
    let cancelled = 0
    app.hono.get('/large', (c) => c.body(new Uint8Array(32 * 1024 * 1024)))
    app.hono.get('/stream', (c) =>
      c.body(
        new ReadableStream({
          pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
          cancel: () => void cancelled++,
        }),
      ),
    )
    const listening = await listen(app, {
      host: '127.0.0.1',
      port: 0,
      stalledMs: 200,
      readPerSecondMin: 64 * 1024 * 1024,
    })
    for (const path of ['/large', '/stream']) {
      const reader = connect(listening.port, '127.0.0.1')
      reader.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
      await once(reader, 'readable') // and reads no more
      const ended = new Promise((resolve) => reader.once('close', resolve).once('error', () => undefined))
      await pause(2500)
      reader.resume()
      await ended
    }
    expect(cancelled).toBe(1)
    const whole = await (await fetch(`${listening.url}/large`)).arrayBuffer()
    expect(whole.byteLength).toBe(32 * 1024 * 1024)
    await listening.close()
  })

  test('answers what is under way before it closes, and nothing after', async () => {
    const listening = await listen(appWith(), { host: '127.0.0.1', port: 0 })
    const idle = connect(listening.port, '127.0.0.1')
    const runs = slowRuns()
    const under = fetch(`${listening.url}/slow`)
    await runs
    const closing = listening.close()
    expect(await (await under).text()).toBe('slow')
    await closing
    await expect(fetch(`${listening.url}/slow`)).rejects.toThrow()
    idle.destroy()
  })

  test('says when its port is taken', async () => {
    const one = await listen(appWith(), { host: '127.0.0.1', port: 0 })
    await expect(listen(appWith(), { host: '127.0.0.1', port: one.port })).rejects.toMatchObject({
      code: 'listen/in-use',
    })
    await one.close()
  })
})
