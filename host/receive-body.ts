import type { HonoRequest } from 'hono'
import { Failure } from '#core/failure.js'
import type { Arriving } from '#host/arriving.js'
import type { HttpCode } from '#host/http-failures.js'

/** The bounds of a body. */
export interface BodyLimits {
  readonly bodySizeMax: number
  readonly bodyTimeoutMs: number
  /** of the whole request: a body gets no longer */
  readonly timeoutMs: number
}

/** What reading a body ends with when the connection does: by node, by a web stream over it, by our HTTP adaptor. */
export function isAborted(error: unknown): boolean {
  const { code, message, name } = error as NodeJS.ErrnoException
  return (
    name === 'AbortError' ||
    (code === 'ECONNRESET' && message === 'aborted') ||
    code === 'ERR_STREAM_PREMATURE_CLOSE' ||
    message === 'Client connection prematurely closed.'
  )
}

/** What `work` gives, or the failure when it takes longer; the work itself goes on. */
export function withTimeout<T>(work: Promise<T>, timeoutMs: number, failure: () => Failure<HttpCode>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(failure()), timeoutMs)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** The bytes that the head announces; null where it does not, as for a body in chunks. */
function announcedSize(request: HonoRequest): number | null {
  if (request.method === 'GET' || request.method === 'HEAD') return 0
  const text = request.header('content-length')
  if (text === undefined || request.header('transfer-encoding') !== undefined)
    return request.raw.body === null ? 0 : null
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : null
}

/** A body whose size nobody announced, as far as it may go. `grew` is told of what has come. */
async function readUnannounced(
  body: ReadableStream<Uint8Array>,
  sizeMax: number,
  grew: (bytes: number) => void,
): Promise<ArrayBuffer> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of body) {
    size += part.length
    if (size > sizeMax) throw new Failure<HttpCode>('http/body-size', `body has more than ${sizeMax} bytes`)
    grew(part.length)
    parts.push(part)
  }
  const whole = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole.buffer
}

/**
 * The whole body has come, and handlers find it as `arrayBuffer()`. A size that was announced is kept by the parser of the
 * protocol: no more than that comes.
 *
 * throws  http/body-size, http/unfinished, and what a connection ends with
 */
export async function receiveBody(
  request: HonoRequest,
  arriving: Arriving,
  network: string,
  limits: BodyLimits,
): Promise<void> {
  const announced = announcedSize(request)
  if (announced === 0) return
  const { bodySizeMax } = limits
  if (announced !== null && announced > bodySizeMax)
    throw new Failure<HttpCode>('http/body-size', `body has more than ${bodySizeMax} bytes`)
  const arrival = arriving.enter(network, announced ?? 0)
  try {
    const read =
      announced === null ? readUnannounced(request.raw.body!, bodySizeMax, arrival.grow) : request.arrayBuffer()
    read.catch(() => undefined) // it may fail after its request was refused
    const waitMs = Math.min(limits.bodyTimeoutMs, limits.timeoutMs)
    const late = () => new Failure<HttpCode>('http/unfinished', `the body did not come within ${waitMs} ms`)
    await withTimeout(Promise.race([read, arrival.madeRoom]), waitMs, late)
    Object.assign(request.bodyCache, { arrayBuffer: read })
  } finally {
    arrival.leave()
  }
}
