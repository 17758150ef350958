/**
 * What belongs in client/proxy: `createFetch` behind a local HTTP port, for clients that speak plain HTTP. Verifying and
 * sealing stand in client/; the bounds of time and concurrency are those of the application that it is mounted in.
 */
import { Hono, type HonoRequest } from 'hono'
import { type CreateFetchOptions, createFetch } from '#client/create-fetch.js'
import type { ClientCode } from '#client/steps.js'
import { Failure, isFailure } from '#core/failure.js'
import { requestSizeMax } from '#core/limits.js'

/** Fields that name the caller's own network or stay on this machine; the seal would carry them to the node. */
const localFields = ['cookie', 'origin', 'referer', 'user-agent', 'x-forwarded-for', 'forwarded']

const tooLarge = () => new Failure<ClientCode>('client/request-size', `request has more than ${requestSizeMax} bytes`)

async function readBody(request: HonoRequest): Promise<Uint8Array<ArrayBuffer>> {
  // An application around this one, which bounds slow bodies, has read it already.
  if (request.raw.bodyUsed) {
    const body = new Uint8Array(await request.arrayBuffer())
    if (body.length > requestSizeMax) throw tooLarge()
    return body
  }
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of request.raw.body ?? []) {
    size += part.length
    if (size > requestSizeMax) throw tooLarge()
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts, size))
}

/**
 * Only programs of this machine's user speak here, never a page in a browser: a page of anybody's could otherwise spend
 * the user's credential, and read answers by a name that resolves to this machine (DNS rebinding).
 *
 * throws  client/browser
 */
function verifyNotBrowser(request: Request): void {
  const { hostname } = new URL(request.url)
  const isAddress = hostname === 'localhost' || /^[0-9.]+$/.test(hostname) || /^\[[0-9a-f:.]+\]$/.test(hostname)
  const fromPage = request.headers.has('origin') || (request.headers.get('sec-fetch-site') ?? 'none') !== 'none'
  if (isAddress && !fromPage) return
  throw new Failure<ClientCode>('client/browser', 'the proxy answers programs by its address, not pages in a browser')
}

const statuses: Readonly<Record<string, 403 | 413>> = { 'client/browser': 403, 'client/request-size': 413 }

/**
 * A local HTTP server that any OpenAI client can be pointed at: it seals every request to the verified node and hands
 * out an answer only after its receipt was verified. A request that cannot be sealed is refused, never passed on plain.
 */
export function createProxy(options: CreateFetchOptions): Hono {
  const sealedFetch = createFetch(options)
  const app = new Hono()
  app.all('*', async (context) => {
    verifyNotBrowser(context.req.raw)
    const { method, url, headers } = context.req.raw
    const body = await readBody(context.req)
    const fields = new Headers(headers)
    for (const name of localFields) fields.delete(name)
    const init = body.length === 0 ? { method, headers: fields } : { method, headers: fields, body }
    return sealedFetch(url, init)
  })
  app.onError((error, context) => {
    if (!isFailure(error)) throw error
    // The OpenAI error shape: clients show `message`, programs read `code`.
    const body = { message: error.message, type: 'claviger_refused', param: null, code: error.code }
    // A refusal is no hiccup: clients that try again by themselves would only have it refused again, and pay again.
    const again = error.code === 'client/unreachable' ? 'true' : 'false'
    return context.json({ error: body }, statuses[error.code] ?? 502, { 'x-should-retry': again })
  })
  return app
}
