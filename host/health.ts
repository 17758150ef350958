import type { Context, Env, Hono } from 'hono'
import type { Log } from '#host/log.js'
import type { Metrics } from '#host/metrics.js'
import { errorType, inSpan } from '#host/spans.js'

/** Whether a service can do its work. Of parts each is `ok`, or says what is wrong: callers hear which, the operator's log the rest. */
export type Ready = () => Promise<boolean | Readonly<Record<string, string>>>

/** `GET /healthz`: the process answers. `GET /readyz`: it can do its work. Outside of all bounds. */
export function addHealth<E extends Env>(
  hono: Hono<E>,
  options: { readonly ready?: Ready; readonly log: Log },
  ending: () => boolean,
): void {
  const headers = { 'cache-control': 'no-store' }
  hono.get('/healthz', (c) => c.json({ status: 'ok' }, 200, headers))
  let told = ''
  hono.get('/readyz', async (c) => {
    if (ending()) return c.json({ status: 'not ready' }, 503, headers)
    const found = options.ready === undefined ? true : await options.ready().catch(() => false)
    if (typeof found === 'boolean') return c.json({ status: found ? 'ready' : 'not ready' }, found ? 200 : 503, headers)
    const wrong = Object.entries(found).filter(([, state]) => state !== 'ok')
    const now = wrong.map(([part, state]) => `${part} ${state}`).join(', ')
    if (now !== told && now !== '') options.log.warn({ parts: now }, 'not ready')
    told = now
    const parts = Object.fromEntries(
      Object.entries(found).map(([part, state]) => [part, state === 'ok' ? 'ok' : 'not ready']),
    )
    return c.json({ status: now === '' ? 'ready' : 'not ready', parts }, now === '' ? 200 : 503, headers)
  })
}

const methods: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** A span around every request, named by the pattern of its route; health and readiness have none. */
export function traceRequests<E extends Env>(hono: Hono<E>): void {
  hono.use('*', async (c, next) => {
    const method = methods.includes(c.req.method) ? c.req.method : '_OTHER'
    await inSpan(
      'request',
      { 'http.request.method': method },
      async (add) => {
        await next()
        const failed = c.error === undefined ? {} : errorType(c.error)
        add({ 'http.route': routeOf(c), 'http.response.status_code': c.res.status, ...failed })
      },
      'server',
    )
  })
}

/** The last route that matched is the handler's; of a path that is none, the middleware's. */
const routeOf = <E extends Env>(c: Context<E>): string => c.req.matchedRoutes.at(-1)?.path ?? '*'

/** Counts and times every answer by the pattern of its route. */
export function measure<E extends Env>(hono: Hono<E>, metrics: Metrics, nowMs: () => number): void {
  hono.use('*', async (c, next) => {
    const start = nowMs()
    await next()
    const route = routeOf(c)
    metrics.count('claviger_http_requests_total', { route, status: String(c.res.status) })
    metrics.observe('claviger_http_seconds', (nowMs() - start) / 1000, { route })
  })
}
