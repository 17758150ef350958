import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { type HttpCode, httpStatuses, neutralMessage } from '#host/http-failures.js'
import { describeError, type Log, type LogValue } from '#host/log.js'
import { networkOf } from '#host/network-of.js'
import { createRateLimit } from '#host/rate-limit.js'

/** What hono hands to a handler: `address` is the peer's, for bounds, never for trust. */
export interface Env {
  Bindings: { readonly address?: string; readonly incoming?: { readonly socket: { readonly remoteAddress?: string } } }
}

export interface Limits {
  /** bytes of a body, default 2 MiB */
  readonly bodySizeMax?: number
  /** default 30 s; a handler that streams its answer is done when it returns the response */
  readonly timeoutMs?: number
  /** requests at the same time, default 128 */
  readonly concurrencyMax?: number
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
  /** Told of each request refused by a bound, so that it can be counted. */
  readonly onRefused?: (code: HttpCode) => void
  /** Whether the service can do its work; without it it can as soon as it listens. */
  readonly ready?: () => Promise<boolean>
}

export interface App {
  readonly hono: Hono<Env>
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

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
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

const defaults = { bodySizeMax: 2 * 1024 * 1024, timeoutMs: 30_000, concurrencyMax: 128, ratePerMinute: 1200 }

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

/** `GET /healthz`: the process answers. `GET /readyz`: it can do its work. Outside of all bounds. */
function addHealth<Code extends string>(hono: Hono<Env>, options: AppOptions<Code>, ending: () => boolean): void {
  const headers = { 'cache-control': 'no-store' }
  hono.get('/healthz', (c) => c.json({ status: 'ok' }, 200, headers))
  hono.get('/readyz', async (c) => {
    const ready = !ending() && (options.ready === undefined || (await options.ready().catch(() => false)))
    return c.json({ status: ready ? 'ready' : 'not ready' }, ready ? 200 : 503, headers)
  })
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

/** What reading a body ends with when the connection does: by node, by a web stream over it, by our HTTP adaptor. */
function isAborted(error: unknown): boolean {
  const { code, message, name } = error as NodeJS.ErrnoException
  return (
    name === 'AbortError' ||
    (code === 'ECONNRESET' && message === 'aborted') ||
    code === 'ERR_STREAM_PREMATURE_CLOSE' ||
    message === 'Client connection prematurely closed.'
  )
}

function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Failure<HttpCode>('http/timeout', `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/**
 * An HTTP application with every bound that a service needs, in one place: body, time, concurrency, rate by address.
 * Failures thrown by handlers become answers here and nowhere else.
 */
export function createApp<Code extends string>(options: AppOptions<Code>): App {
  const limits = { ...defaults, ...options.limits }
  const nowMs = options.nowMs ?? (() => performance.now())
  const rate = createRateLimit({ perMinute: limits.ratePerMinute, nowMs })
  const hono = new Hono<Env>({ strict: true })
  let active = 0
  let ending = false
  const idle = new Set<() => void>()

  const encode = options.encodeFailure ?? problemResponse
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
  addHealth(hono, options, () => ending)

  const refuse = (code: HttpCode, message: string): never => {
    options.onRefused?.(code)
    throw new Failure<HttpCode>(code, message)
  }
  hono.use('*', async (c, next) => {
    if (ending) refuse('http/busy', 'the service is ending')
    const address = c.env?.address ?? c.env?.incoming?.socket.remoteAddress ?? 'unknown'
    if (!rate.allow(networkOf(address))) refuse('http/rate', `more than ${limits.ratePerMinute} requests a minute`)
    if (active >= limits.concurrencyMax) refuse('http/busy', `more than ${limits.concurrencyMax} requests at a time`)
    active++
    const work = next()
    // Invariant: a request counts until its handler has ended, not until its answer was due.
    const done = () => {
      active--
      if (active === 0) for (const one of idle) one()
    }
    work.then(done, done)
    await withTimeout(work, limits.timeoutMs)
  })
  hono.use(
    '*',
    bodyLimit({
      maxSize: limits.bodySizeMax,
      onError: () => refuse('http/body-size', `body has more than ${limits.bodySizeMax} bytes`),
    }),
  )
  return {
    hono,
    drain(timeoutMs) {
      ending = true
      if (active === 0) return Promise.resolve()
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
