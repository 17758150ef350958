import { NodeClient, type NodeClientOptions, type VerifiedAnswer } from '#client/node-client.js'
import type { ClientCode } from '#client/steps.js'
import { Failure } from '#core/failure.js'
import { requestSizeMax } from '#core/limits.js'

/** Options of `createFetch`. */
export interface CreateFetchOptions extends NodeClientOptions {
  /** called with every verified answer, before its response is handed out: the place to keep receipts */
  onAnswer?(answer: VerifiedAnswer): void | Promise<void>
}

/** Fields that describe the connection between two hosts, not the request: they stay outside the seal. */
const hopFields = new Set([
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'transfer-encoding',
  'authorization',
  'accept-encoding',
])

/**
 * A `fetch` for the OpenAI client and others: the node is verified before the first byte is sent, the request is sealed
 * to its attested key, and the answer is handed out only after its receipt was verified (I8).
 *
 * The host of the requested URL is ignored: path, method, fields and body travel inside the seal. A bearer credential
 * travels there too; the placeholder keys that OpenAI clients insist on (`none`, `unused`) are dropped.
 * throws  client/... and the codes of core and attest, as the rejection of the returned promise
 */
export function createFetch(options: CreateFetchOptions): typeof fetch {
  const client = new NodeClient(options)
  return async (input, init) => {
    const request = new Request(input, init)
    const url = new URL(request.url)
    const body = new Uint8Array(await request.arrayBuffer())
    if (body.length > requestSizeMax)
      throw new Failure<ClientCode>('client/request-size', `request has more than ${requestSizeMax} bytes`)
    const headers = [...request.headers].filter(([name]) => !hopFields.has(name))
    const answer = await client.request({ method: request.method, path: url.pathname + url.search, headers, body })
    await options.onAnswer?.(answer)
    const fields = new Headers(answer.headers.map(([name, value]): [string, string] => [name, value]))
    fields.set('claviger-receipt-id', answer.receipt.receipt.id)
    const empty = answer.status === 204 || answer.status === 304
    return new Response(empty ? null : (answer.body as Uint8Array<ArrayBuffer>), {
      status: answer.status,
      headers: fields,
    })
  }
}
