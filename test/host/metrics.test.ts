import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createApp } from '#host/http.js'
import { listen } from '#host/listen.js'
import { createLog } from '#host/log.js'
import { createMetrics, httpMetrics } from '#host/metrics.js'

const log = createLog('test', 'silent')

test('counts and times by the pattern of a route, in the form that Prometheus reads', async () => {
  const metrics = createMetrics(httpMetrics)
  let now = 0
  const app = createApp({ log, statuses: {}, metrics, nowMs: () => now, limits: { ratePerMinute: 3 } })
  app.hono.get('/v1/things/:id', (c) => {
    now += 20
    return c.json({})
  })
  await app.hono.request('/v1/things/secret-one')
  await app.hono.request('/v1/things/secret-two')
  await app.hono.request('/nothing/secret-three')
  const refused = await app.hono.request('/v1/things/secret-four')
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '10'])
  const text = await metrics.text()
  // The one that was refused took no time.
  expect(text).toContain('claviger_http_requests_total{route="/v1/things/:id",status="200"} 2\n')
  expect(text).toContain('claviger_http_seconds_bucket{route="/v1/things/:id",le="0.01"} 1\n')
  expect(text).toContain('claviger_http_seconds_bucket{route="/v1/things/:id",le="0.025"} 3\n')
  expect(text).toContain('claviger_http_refused_total{code="http/rate"} 1\n')
  expect(text).not.toContain('secret')
  for (const line of text.trimEnd().split('\n'))
    expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? [0-9.e+-]+)$/)
})

test('keeps a bounded number of series, whatever a label says, and spells every text safely', async () => {
  const metrics = createMetrics({ figure: { kind: 'counter', help: 'a figure', labels: ['name'] } })
  for (let i = 0; i < 2000; i++) metrics.count('figure', { name: `a"${i}\n\\` })
  const text = await metrics.text()
  expect(text.split('\n').length).toBeLessThan(510)
  expect(text).toContain('figure{name="a\\"0\\n\\\\"} 1\n')
  expect(text).toContain('figure{name="other"} 1500\n')
  expect(() => metrics.count('unknown')).toThrow()
})

test('a service that is to end says so first, still takes requests for a while, and finishes what it took', async () => {
  const app = createApp({ log, statuses: {}, ready: async () => ({ database: 'ok', key: 'ok' }) })
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let arrived = () => {}
  const arriving = new Promise<void>((resolve) => {
    arrived = resolve
  })
  app.hono.get('/slow', async (c) => {
    arrived()
    await held
    return c.text('done')
  })
  app.hono.get('/quick', (c) => c.text('here'))
  const listening = await listen(app, { host: '127.0.0.1', port: 0, unreadyMs: 300 })
  const get = async (path: string) => {
    const answer = await fetch(`${listening.url}${path}`)
    return [answer.status, await answer.text()] as const
  }
  expect(await get('/readyz')).toEqual([200, '{"status":"ready","parts":{"database":"ok","key":"ok"}}'])
  const slow = get('/slow')
  await arriving
  const closing = listening.close()
  expect((await get('/readyz'))[0]).toBe(503)
  expect(await get('/quick')).toEqual([200, 'here'])
  await pause(350)
  release()
  expect(await slow).toEqual([200, 'done'])
  await closing
  await expect(get('/quick')).rejects.toThrow()
})

test('says which part is not ready, and to callers no more than that', async () => {
  const app = createApp({ log, statuses: {}, ready: async () => ({ database: 'ok', key: 'kek/vault-sealed' }) })
  const answer = await app.hono.request('/readyz')
  expect([answer.status, await answer.json()]).toEqual([
    503,
    { status: 'not ready', parts: { database: 'ok', key: 'not ready' } },
  ])
})
