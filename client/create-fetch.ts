import { NodeClient, type NodeClientOptions, type VerifiedAnswer } from '#client/node-client.js'
import type { ClientCode } from '#client/steps.js'
import { Failure } from '#core/failure.js'
import { requestSizeMax } from '#core/limits.js'

/** Options of `createFetch`. */
export interface CreateFetchOptions extends NodeClientOptions {
  /** called with every verified answer, before its response is handed out: the place to keep receipts */
  onAnswer?(answer: VerifiedAnswer): void | Promise<void>
}

/** Fields that describe a connection between two hosts, not a message: they stay outside the seal, both ways. */
const hopFields = new Set([
  'accept-encoding',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'host',
  'keep-alive',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const withoutHopFields = (fields: Iterable<readonly [string, string]>): [string, string][] =>
  [...fields].filter(([name]) => !hopFields.has(name)).map(([name, value]) => [name, value])
/** Statuses whose answers have no body by definition. */
const bodyless: ReadonlySet<number> = new Set([204, 205, 304])

/**
 * A `fetch` for the OpenAI client and others: the node is verified before the first byte is sent, the request is sealed
 * to its attested key, and the answer is handed out only after its receipt was verified (I8).
 *
 * The host of the requested URL is ignored: path, method, fields and body travel inside the seal. The API key that OpenAI
 * clients insist on is dropped: what the caller proves itself with is the option `credential`, which travels there too.
 *
 * throws  client/... and the codes of core and attest, as the rejection of the returned promise; the reason of the
 *         request's own signal when that ended the wait
 */
export function createFetch(options: CreateFetchOptions): typeof fetch {
  const client = new NodeClient(options)
  return async (input, init) => {
    const request = new Request(input, init)
    request.signal.throwIfAborted()
    const url = new URL(request.url)
    const body = new Uint8Array(await request.arrayBuffer())
    if (body.length > requestSizeMax)
      throw new Failure<ClientCode>('client/request-size', `request has more than ${requestSizeMax} bytes`)
    const { method, signal } = request
    const headers = withoutHopFields(request.headers)
    const answer = await client
      .request({ method, path: url.pathname + url.search, headers, body, signal })
      .catch((error: unknown) => {
        signal.throwIfAborted() // what a fetch rejects with when its caller gave up
        throw error
      })
    await options.onAnswer?.(answer)
    const fields = new Headers(withoutHopFields(answer.headers))
    fields.set('claviger-receipt-id', answer.receipt.receipt.id)
    return new Response(bodyless.has(answer.status) ? null : (answer.body as Uint8Array<ArrayBuffer>), {
      status: answer.status,
      headers: fields,
    })
  }
}
