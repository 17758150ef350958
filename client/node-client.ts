import type { VerifiedNode } from '#client/node-trust.js'
import { type Judged, judged, refuse, Steps } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { receiptSteps, type VerifiedReceipt, verifyReceipt } from '#client/verify-receipt.js'
import { toBase64Url, toHex } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds, jsonSizeMax, nameLengthMax, responseSizeMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { Fields } from '#core/wire/bhttp.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import { encodeInnerRequest, type InnerResponse, parseInnerResponse } from '#core/wire/inner.js'
import { requestType, responseType, sealRequest } from '#core/wire/ohttp.js'
import { claimedReceipt, type ReceiptFile } from '#core/wire/receipt.js'
import type { Trust, TrustFileCode } from '#core/wire/trust-file.js'

/** How a node is reached. */
export type NodeAddress = Pick<NodeClientOptions, 'url' | 'fetch' | 'timeoutMs'>

/** What a client of one node is given; clock, randomness and network are its caller's. */
export interface NodeClientOptions {
  /** base URL of the node */
  readonly url: string
  readonly trust: Trust
  readonly policy: ClientPolicy
  readonly fetch: typeof fetch
  now(): UnixSeconds
  randomBytes(size: number): Uint8Array
  /** what the caller proves itself with to the model's owner; null where anybody may call */
  readonly credential: string | null
  readonly timeoutMs: number
}

/** One request as it stands inside the seal. */
export interface PlainRequest {
  readonly method: string
  /** path and query */
  readonly path: string
  readonly headers: Fields
  readonly body: Uint8Array
  /** ends the wait for the answer; work that the node has begun is paid for */
  readonly signal?: AbortSignal
}

/** An answer, and the receipt that was verified before the answer was handed out. */
export interface VerifiedAnswer {
  readonly status: number
  readonly headers: Fields
  readonly body: Uint8Array
  readonly receipt: VerifiedReceipt
  readonly file: ReceiptFile
}

/** The body as it comes. A connection that ends early is a failure like any other, not a bug. */
async function* readParts(response: Response, sizeMax: number): AsyncGenerator<Uint8Array> {
  let size = 0
  try {
    for await (const part of response.body ?? []) {
      size += part.length
      if (size > sizeMax) throw refuse('client/answer', `answer has more than ${sizeMax} bytes`)
      yield part
    }
  } catch (cause) {
    if (isFailure(cause)) throw cause
    throw refuse('client/unreachable', 'the connection ended before the answer did', { cause })
  }
}

async function readBounded(response: Response, sizeMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of readParts(response, sizeMax)) parts.push(part)
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** What a stranger wrote, fit for a message on a terminal. */
const quote = (bytes: Uint8Array) =>
  new TextDecoder()
    .decode(bytes)
    .slice(0, 500)
    .replace(/[^\x20-\x7e]+/g, ' ')

async function call(options: NodeAddress, path: string, init: RequestInit): Promise<Response> {
  let response: Response
  try {
    const timeout = AbortSignal.timeout(options.timeoutMs)
    const signal = init.signal ? AbortSignal.any([timeout, init.signal]) : timeout
    response = await options.fetch(new URL(path, options.url), { ...init, signal, redirect: 'error' })
  } catch (cause) {
    throw refuse('client/unreachable', `no answer from ${options.url}`, { cause, hint: 'is a node running there?' })
  }
  // A fetch that is not the platform's may follow all the same.
  if (response.redirected || (response.status >= 300 && response.status < 400))
    throw refuse('client/answer', 'node answered with a redirection, which is never followed')
  return response
}

/** The node's document as it came: unverified. `nonce` asks for evidence that answers it. @throws client/unreachable, client/answer, json/... */
export async function fetchNodeDocument(options: NodeAddress, nonce: string | null): Promise<Json> {
  const query = nonce === null ? '' : `?nonce=${nonce}`
  const response = await call(options, `/.well-known/claviger/node${query}`, { method: 'GET' })
  if (response.status !== 200)
    throw refuse('client/answer', `node document has status ${response.status}`, {
      hint: 'is this the address of a node? a broker has another one',
    })
  return parseJson(await readBounded(response, jsonSizeMax))
}

/** Judges a node by evidence that answers a nonce of our own. */
export async function judgeNode(options: NodeClientOptions): Promise<Judged<VerifiedNode>> {
  const nonce = toBase64Url(options.randomBytes(32))
  return judged(nodeSteps, async (steps) => {
    const document = await fetchNodeDocument(options, nonce)
    return verifyNode(document, { trust: options.trust, policy: options.policy, nonce, at: options.now() }, steps)
  })
}

async function openAnswer(response: Response, sealed: Awaited<ReturnType<typeof sealRequest>>): Promise<InnerResponse> {
  if (response.headers.get('content-type') !== responseType) {
    const text = quote(await readBounded(response, 64 * 1024))
    throw refuse('client/answer', `node answered unsealed with status ${response.status}: ${text}`)
  }
  // Twice the plaintext's bound leaves room for padding, tags and chunk lengths.
  return parseInnerResponse(await sealed.openResponse(readParts(response, 2 * responseSizeMax)))
}

/**
 * The node that answered has itself heard of its broker, recently by this clock. What the document showed may have been
 * brought from the broker by whoever stands between, while the node's own time stands still (I15).
 *
 * throws  client/beat-stale
 */
function verifyBeatNow({ receipt }: VerifiedReceipt, { policy, now }: NodeClientOptions): void {
  const age = now() - receipt.beatAt
  if (age <= policy.beatAgeSecondsMax && age >= -clockSkewSeconds) return
  const most = policy.beatAgeSecondsMax
  throw refuse(
    'client/beat-stale',
    `the answer's last beat is ${age} s old by this clock, at most ${most} s are accepted`,
  )
}

/** A client of one node: verifies it before the first byte is sent, and every answer before it is handed out (I8). */
export class NodeClient {
  readonly #options: NodeClientOptions
  #node: VerifiedNode | null = null

  constructor(options: NodeClientOptions) {
    this.#options = options
  }

  /** A node that is verified now: the one of before while its beat is fresh, else asked again. @throws what verifyNode throws */
  async node(): Promise<VerifiedNode> {
    const known = this.#node
    const now = this.#options.now()
    const { expiresAt } = this.#options.trust
    // A trust file is judged when it is read; a client that lives longer than its file must notice too (I19).
    if (now > expiresAt) throw new Failure<TrustFileCode>('trust-file/expired', 'the trust file has expired meanwhile')
    if (known && now - known.beat.at <= this.#options.policy.beatAgeSecondsMax / 2 && now < known.lease.expiresAt)
      return known
    const verdict = await judgeNode(this.#options)
    if (!verdict.ok) throw verdict.failure
    this.#node = verdict.value
    return verdict.value
  }

  /**
   * Seals a request to the verified node's key, opens the answer and verifies its receipt.
   *
   * throws  client/..., ohttp/..., channel/..., and the codes of core and attest
   */
  async request(plain: PlainRequest): Promise<VerifiedAnswer> {
    const node = await this.node()
    try {
      return await this.#ask(plain, node)
    } catch (error) {
      // Whatever went wrong, the node may be another one by now: the next request asks who it is.
      this.#node = null
      throw error
    }
  }

  async #ask(plain: PlainRequest, node: VerifiedNode): Promise<VerifiedAnswer> {
    const options = this.#options
    const { method, path, headers, body } = plain
    const inner = {
      method,
      path,
      headers,
      body,
      requestId: toHex(options.randomBytes(16)),
      model: options.policy.model,
      deadlineMs: options.now() * 1000 + options.timeoutMs,
      policy: options.policy,
      credential: options.credential,
    }
    const sealed = await sealRequest(node.document.keyset.request, encodeInnerRequest(inner))
    const response = await call(options, '/ohttp', {
      method: 'POST',
      headers: { 'content-type': requestType },
      body: sealed.body as Uint8Array<ArrayBuffer>,
      signal: plain.signal ?? null,
    })
    const answer = await openAnswer(response, sealed)
    if (answer.receipt === null) {
      throw refuse('client/answer', `node refused with status ${answer.status}: ${quote(answer.body)}`)
    }
    const bodies = { request: body, response: answer.body }
    const { receipt, file } = await this.#verify(answer.receipt, inner.requestId, bodies, node)
    verifyBeatNow(receipt, options)
    const route = `${method} ${path.split('?', 1)[0]}`.slice(0, nameLengthMax)
    if (receipt.receipt.route !== route || receipt.receipt.status !== answer.status)
      throw refuse(
        'client/receipt-splice',
        `receipt is of ${receipt.receipt.route} with status ${receipt.receipt.status}`,
      )
    return { status: answer.status, headers: answer.headers, body: answer.body, receipt, file }
  }

  /** The lease may have been renewed since the node was verified: then the receipt names the newer log entry. */
  async #verify(
    carried: NonNullable<InnerResponse['receipt']>,
    requestId: string,
    bodies: { readonly request: Uint8Array; readonly response: Uint8Array },
    node: VerifiedNode,
  ): Promise<{ readonly receipt: VerifiedReceipt; readonly file: ReceiptFile }> {
    const options = this.#options
    const claimed = claimedReceipt(carried.receipt)
    if (claimed.requestId !== requestId) throw refuse('client/receipt-splice', 'receipt is of another request')
    let current = node
    if (claimed.leafHash !== node.leafHash) {
      this.#node = null
      current = await this.node()
      // Invariant: the answer came from the keyset that the request was sealed to.
      if (current.keysetDigest !== node.keysetDigest)
        throw refuse('client/keyset-splice', 'node changed its keyset during the request')
    }
    const document = { ...current.document, fresh: null }
    const file: ReceiptFile = {
      type: 'claviger/receipt-file/v1',
      receipt: carried.receipt,
      node: document,
      openings: carried.openings,
    }
    const receipt = await verifyReceipt(
      file as unknown as Json,
      {
        trust: options.trust,
        policy: options.policy,
        dangerousAllowSimulated: options.policy.dangerousAllowSimulated,
        bodies,
      },
      new Steps(receiptSteps),
    )
    return { receipt, file }
  }
}
