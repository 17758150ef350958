/**
 * What belongs in attest/collateral/fetch: asking vendors' services, one file for each, by one bounded transport. What comes
 * back is verified in attest/endorsements and kept by the store; neither is done here.
 */
import type { FetchCode } from '#attest/collateral/failures.js'
import { concat } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'

/** What fetches are made with. */
export interface HttpOptions {
  /** the platform's fetch, or a test's */
  readonly fetch: typeof fetch
  /** for one document, redirects and body included */
  readonly timeoutMs: number
}

export interface HttpAnswer {
  readonly body: Uint8Array
  header(name: string): string | null
}

export interface HttpRequest {
  readonly url: URL
  readonly bodySizeMax: number
  /** absent: GET */
  readonly post?: { readonly body: Uint8Array; readonly contentType: string }
  readonly accept?: string
}

const redirectsMax = 2
/** A service that wants to be left alone longer than this is asked again after this, in seconds. */
const retryAfterMax = 3600

function refuse(code: FetchCode, message: string, options: { detail?: Record<string, unknown>; cause?: unknown } = {}) {
  return new Failure<FetchCode>(code, message, options)
}

/** Where, for messages: what a query names is a chip, and stays out of logs. */
const placeOf = (url: URL) => `${url.origin}${url.pathname.split('/').slice(0, 4).join('/')}`

/**
 * The body of a 200 answer, whole and within its bound.
 *
 * A redirect is followed within the same origin only: where documents are fetched from is the operator's choice.
 * throws  collateral/unreachable, collateral/timeout, collateral/redirect, collateral/too-large, collateral/not-found,
 *         collateral/rate-limited and collateral/refused (`detail.retryAfterSeconds` when the service named a time)
 */
export async function request(options: HttpOptions, wanted: HttpRequest): Promise<HttpAnswer> {
  const signal = AbortSignal.timeout(options.timeoutMs)
  let { url } = wanted
  try {
    for (let redirects = 0; ; redirects++) {
      const response = await send(options, { ...wanted, url }, signal)
      const next = redirectOf(response, url)
      if (next === null) return await answerOf(response, url, wanted.bodySizeMax)
      await response.body?.cancel()
      if (redirects === redirectsMax) throw refuse('collateral/redirect', `${placeOf(url)} redirects without end`)
      url = next
    }
  } catch (error) {
    if (isFailure(error)) throw error
    if (signal.aborted)
      throw refuse('collateral/timeout', `${placeOf(url)} did not answer within ${options.timeoutMs} ms`)
    throw refuse('collateral/unreachable', `no whole answer from ${placeOf(url)}: ${reasonOf(error)}`, { cause: error })
  }
}

function send(options: HttpOptions, { url, post, accept }: HttpRequest, signal: AbortSignal): Promise<Response> {
  const headers = { accept: accept ?? '*/*', ...(post ? { 'content-type': post.contentType } : {}) }
  const method = post ? 'POST' : 'GET'
  const body = post ? { body: post.body as Uint8Array<ArrayBuffer> } : {}
  return options.fetch(url, { method, headers, redirect: 'manual', signal, ...body })
}

function redirectOf(response: Response, url: URL): URL | null {
  if (response.status < 300 || response.status > 399) return null
  const location = response.headers.get('location')
  const next = location === null || !URL.canParse(location, url.href) ? null : new URL(location, url.href)
  if (next === null || next.origin !== url.origin)
    throw refuse('collateral/redirect', `${placeOf(url)} redirects to ${next?.origin ?? 'nowhere'}, which nobody chose`)
  return next
}

async function answerOf(response: Response, url: URL, bodySizeMax: number): Promise<HttpAnswer> {
  const { status } = response
  if (status !== 200) {
    await response.body?.cancel()
    const seconds = Number(/^\d{1,9}$/.exec(response.headers.get('retry-after') ?? '')?.[0] ?? Number.NaN)
    const detail = Number.isNaN(seconds) ? {} : { detail: { retryAfterSeconds: Math.min(seconds, retryAfterMax) } }
    if (status === 429) throw refuse('collateral/rate-limited', `${placeOf(url)} answered 429`, detail)
    if (status === 404 || status === 400) throw refuse('collateral/not-found', `${placeOf(url)} answered ${status}`)
    throw refuse('collateral/refused', `${placeOf(url)} answered ${status}`, detail)
  }
  const body = await readWithin(response, url, bodySizeMax)
  return { body, header: (name) => response.headers.get(name) }
}

async function readWithin(response: Response, url: URL, max: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  const reader = response.body?.getReader()
  for (;;) {
    const next = await reader?.read()
    if (next === undefined || next.done) return concat(...parts)
    size += next.value.length
    if (size > max) {
      await reader?.cancel()
      throw refuse('collateral/too-large', `${placeOf(url)} sends more than ${max} bytes`)
    }
    parts.push(next.value)
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  const { code, message } = (cause ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  return typeof code === 'string' ? code : typeof message === 'string' ? message.slice(0, 100) : 'unknown'
}

/** A service's address as an operator wrote it, below which its routes stand. @throws collateral/content */
export function baseUrl(text: string): URL {
  const url = endpointUrl(text)
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

/** An address as an operator wrote it: http or https, no query, no credentials. @throws collateral/content */
export function endpointUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.username === ''
  if (!isPlain || url.password !== '' || url.hash !== '')
    throw refuse('collateral/content', `${JSON.stringify(text.slice(0, 200))} is no address of a service`)
  return url
}
