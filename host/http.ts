import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { Arriving } from '#host/arriving.js'
import { clientAddress } from '#host/client-address.js'
import { addHealth, measure, type Ready, traceRequests } from '#host/health.js'
import { type HttpCode, httpStatuses, neutralMessage } from '#host/http-failures.js'
import { describeError, type Log, type LogValue } from '#host/log.js'
import type { Metrics } from '#host/metrics.js'
import { networkOf } from '#host/network-of.js'
import { peerCertificates } from '#host/peer-certificates.js'
import { createRateLimit } from '#host/rate-limit.js'
import { isAborted, receiveBody, withTimeout } from '#host/receive-body.js'
import { createWorkPlaces } from '#host/work-places.js'

/** What hono hands to a handler: `address` is the peer's, for bounds, never for trust. */
export interface Env {
  Bindings: {
    readonly address?: string
    readonly incoming?: { readonly socket: { readonly remoteAddress?: string } }
    /** where there is no connection, as in tests: what its client would have proved to hold */
    readonly certificates?: readonly Uint8Array[]
  }
  Variables: {
    /** the network that the request counts for */
    readonly network?: string
  }
}

/** The network that a request counts for where requests are bounded by address. */
export function networkOfRequest(c: Context<Env>): string {
  return c.get('network') ?? 'unknown'
}

/** The certificates that the client of this connection proved to hold, leaf first, DER; whom to believe is the caller's to say. */
export function clientCertificates(c: Context<Env>): readonly Uint8Array[] {
  return c.env?.certificates ?? peerCertificates(c.env?.incoming?.socket)
}

export interface Limits {
  /** bytes of a body, default 2 MiB */
  readonly bodySizeMax?: number
  /** default 30 s; a handler that streams its answer is done when it returns the response */
  readonly timeoutMs?: number
  /** requests that are worked on at the same time, default 128; a quarter more for networks that have few */
  readonly concurrencyMax?: number
  /** requests whose body is on its way, default 512, of which an eighth of one network; the slowest makes room for the next */
  readonly arrivingMax?: number
  /** how long a body may take, default 60 s, never longer than `timeoutMs` */
  readonly bodyTimeoutMs?: number
  /** requests a minute from one IPv4 address or IPv6 /64, default 1,200; 0 for no bound */
  readonly ratePerMinute?: number
}

export interface AppOptions<Code extends string> {
  readonly log: Log
  /** The one place where failures become statuses: the compiler demands every code of the service. */
  readonly statuses: Readonly<Record<Code, number>>
  readonly limits?: Limits
  /** Milliseconds that only go forward; the default is the process's clock. */
  readonly nowMs?: () => number
  /** On routes whose protocol has its own error body. Default: problem details. */
  readonly encodeFailure?: (failure: Failure, status: number, path: string) => Response
  /** Proxies in front of it, whose word on where a request comes from is taken: `10.0.0.7`, `10.0.0.0/24`. Default: none */
  readonly trustedProxies?: readonly string[]
  /** Told of each request refused by a bound, so that it can be counted. */
  readonly onRefused?: (code: HttpCode) => void
  /** without it the service is ready as soon as it listens */
  readonly ready?: Ready
  readonly metrics?: Metrics
}

export interface App {
  readonly hono: Hono<Env>
  /** From now on `/readyz` says that it is not ready; requests are taken as before. */
  unready(): void
  /** From now on new requests are refused; returns when those under way are answered, at the latest after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>
}

/**
 * A problem document (RFC 9457) for a failure: `code` is ours, `detail` its message, and the members of the failure's
 * own detail stand under `info`.
 */
export function problemResponse(failure: Failure, status: number): Response {
  const document = {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    detail: failure.message,
    code: failure.code,
    ...(failure.detail === undefined ? {} : { info: failure.detail }),
  }
  return new Response(JSON.stringify(document), {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
  })
}

/** Seconds after which a refusal by a bound, or for want of something, may be over, where the failure does not say. */
const retryAfterSeconds: Readonly<Record<number, number>> = { 429: 10, 503: 5 }

/** source: RFC 9110, "Retry-After" */
function withRetryAfter(response: Response, { detail }: Failure): Response {
  const usual = retryAfterSeconds[response.status]
  const said = detail?.retryAfterSeconds
  if (usual !== undefined) response.headers.set('retry-after', String(typeof said === 'number' ? said : usual))
  return response
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

const defaults = {
  bodySizeMax: 2 * 1024 * 1024,
  timeoutMs: 30_000,
  concurrencyMax: 128,
  arrivingMax: 512,
  bodyTimeoutMs: 60_000,
  ratePerMinute: 1200,
}

/** The bytes of a request's body, within the application's bound. */
export async function readBody(c: Context<Env>): Promise<Uint8Array> {
  return new Uint8Array(await c.req.arrayBuffer())
}

/**
 * The value of a JSON body that has exactly this shape. The media type must say JSON, so that no web page can have a
 * browser send one across origins without asking first.
 *
 * throws  http/media-type, json/..., shape/..., bytes/utf8
 */
export async function readJsonBody<T>(c: Context<Env>, shape: Shape<T>): Promise<T> {
  const type = (c.req.header('content-type') ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== 'application/json') {
    throw new Failure<HttpCode>(
      'http/media-type',
      `content type is ${type.slice(0, 100) || 'absent'}, expected application/json`,
    )
  }
  return shape(parseJson(await readBody(c)), '')
}

/** A route takes less than the application does. @throws http/body-size */
export function limitBody(sizeMax: number): MiddlewareHandler<Env> {
  return async (c, next) => {
    if ((await readBody(c)).length > sizeMax)
      throw new Failure<HttpCode>('http/body-size', `body has more than ${sizeMax} bytes`)
    await next()
  }
}

/** What a database reported, as it may stand in a log: never a value of a row. */
function databaseFacts({ detail }: Failure): Readonly<Record<string, LogValue>> {
  return Object.fromEntries(
    ['sqlState', 'table', 'constraint', 'pid'].flatMap((name) => {
      const value = detail?.[name]
      return typeof value === 'string' || typeof value === 'number' ? [[name, value]] : []
    }),
  )
}

/**
 * An HTTP application with every bound that a service needs, in one place: body, time, concurrency, rate by address.
 * A request is worked on once it has come whole, so that slow bodies keep nobody's place.
 * Failures thrown by handlers become answers here and nowhere else.
 */
export function createApp<Code extends string>(options: AppOptions<Code>): App {
  const limits = { ...defaults, ...options.limits }
  const nowMs = options.nowMs ?? (() => performance.now())
  const rate = createRateLimit({ perMinute: limits.ratePerMinute, nowMs })
  const addressOf = clientAddress(options.trustedProxies ?? [])
  const hono = new Hono<Env>({ strict: true })
  const arriving = new Arriving({
    placesMax: limits.arrivingMax,
    placesPerNetworkMax: Math.max(1, Math.floor(limits.arrivingMax / 8)),
    bytesMax: Math.max(64 * MiB, 8 * limits.bodySizeMax),
  })
  const places = createWorkPlaces(limits.concurrencyMax)
  let ending = false
  const idle = new Set<() => void>()

  let unready = false
  const encode = (failure: Failure, status: number, path: string) =>
    withRetryAfter((options.encodeFailure ?? problemResponse)(failure, status, path), failure)
  const statusOf = (code: string): number | undefined =>
    Object.hasOwn(httpStatuses, code)
      ? httpStatuses[code as HttpCode]
      : Object.hasOwn(options.statuses, code)
        ? options.statuses[code as Code]
        : undefined

  /** What of a failure may leave. Of what this service stands on only the kind of trouble: the rest is the operator's. */
  const tellable = (failure: Failure, path: string): Failure => {
    const neutral = neutralMessage(failure.code)
    if (neutral === null) return failure
    options.log.warn(
      { path, ...describeError(failure), ...databaseFacts(failure) },
      'what this service stands on fails',
    )
    return new Failure(failure.code, neutral)
  }

  hono.onError((error, c) => {
    const known = isFailure(error) ? statusOf(error.code) : undefined
    if (known !== undefined && isFailure(error)) return encode(tellable(error, c.req.routePath), known, c.req.path)
    // Nobody is left to hear it, and nobody's bug: strangers must not be able to fill the log with them.
    if (isAborted(error)) {
      return encode(new Failure<HttpCode>('http/aborted', 'the body ended too early'), 400, c.req.path)
    }
    // A code outside of the table is a bug as much as an exception is: nothing of it goes out.
    options.log.error({ path: c.req.routePath, ...describeError(error) }, 'a request ended in a bug')
    return encode(new Failure<HttpCode>('http/internal', 'internal error'), 500, c.req.path)
  })
  hono.notFound((c) => encode(new Failure<HttpCode>('http/not-found', 'there is no such route'), 404, c.req.path))
  addHealth(hono, options, () => ending || unready)

  const refuse = (code: HttpCode, message: string): Failure<HttpCode> => {
    options.onRefused?.(code)
    options.metrics?.count('claviger_http_refused_total', { code })
    return new Failure<HttpCode>(code, message)
  }
  traceRequests(hono)
  if (options.metrics !== undefined) measure(hono, options.metrics, nowMs)
  hono.use('*', async (c, next) => {
    if (ending) throw refuse('http/busy', 'the service is ending')
    const peer = c.env?.address ?? c.env?.incoming?.socket.remoteAddress ?? 'unknown'
    const network = networkOf(addressOf(peer, c.req.header('x-forwarded-for')))
    c.set('network', network)
    if (!rate.allow(network)) throw refuse('http/rate', `more than ${limits.ratePerMinute} requests a minute`)
    await receiveBody(c.req, arriving, network, limits).catch((error: unknown) => {
      if (isFailure(error)) options.onRefused?.(error.code as HttpCode)
      throw error
    })
    if (ending) throw refuse('http/busy', 'the service is ending')
    if (!places.enter(network)) throw refuse('http/busy', `more than ${limits.concurrencyMax} requests at a time`)
    const work = next()
    // Invariant: a request counts until its handler has ended, not until its answer was due.
    const done = () => {
      places.leave(network)
      if (places.taken === 0) for (const one of idle) one()
    }
    work.then(done, done)
    const late = () => new Failure<HttpCode>('http/timeout', `no answer within ${limits.timeoutMs} ms`)
    await withTimeout(work, limits.timeoutMs, late)
  })
  return {
    hono,
    unready() {
      unready = true
    },
    drain(timeoutMs) {
      ending = true
      arriving.clear()
      if (places.taken === 0) return Promise.resolve()
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, timeoutMs)
        idle.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    },
  }
}
