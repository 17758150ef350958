import { fromBase64, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { envelopeShape } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { object, type Shaped } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import {
  encodeBinaryRequest,
  encodeBinaryResponse,
  type Fields,
  fieldOf,
  parseBinaryRequest,
  parseBinaryResponse,
} from '#core/wire/bhttp.js'
import { type ClientPolicy, clientPolicyShape } from '#core/wire/client-policy.js'
import { commit, openingShape } from '#core/wire/commitment.js'
import { idShape, modelIdShape } from '#core/wire/names.js'

/** Failures of what travels inside a sealed request or response. */
export type InnerCode =
  /** a field that must be there is missing, or has not its form, or stands where it may not */
  | 'channel/field'
  /** an answer of success without a receipt, or a receipt that is not one */
  | 'channel/no-receipt'

/** The host that inner requests name: it resolves nowhere, so a misdirected request leaks no name. */
const innerAuthority = 'node.invalid'

/** What a client asks, as it stands inside the seal: route, model, deadline and policy cannot be changed on the way. */
export interface InnerRequest {
  /** 32 hex digits; a new one for every request */
  readonly requestId: string
  readonly model: string
  /** unix milliseconds after which nobody wants the answer */
  readonly deadlineMs: number
  readonly policy: ClientPolicy
  /** what the caller proves itself with, as it stood behind `Bearer`; null for none */
  readonly credential: string | null
  readonly method: string
  readonly path: string
  /** the other fields: content type and the like */
  readonly headers: Fields
  readonly body: Uint8Array
}

/** A receipt as it travels: with the openings of the two commitments that only the client needs. */
export const carriedReceiptShape = object({
  receipt: envelopeShape,
  openings: object({ request: openingShape, response: openingShape }),
})
export type CarriedReceipt = Shaped<typeof carriedReceiptShape>

/** What a node answers, as it stands inside the seal. */
export interface InnerResponse {
  readonly status: number
  readonly headers: Fields
  readonly body: Uint8Array
  /** null only in a refusal that came before the request could be understood */
  readonly receipt: CarriedReceipt | null
}

const ours = ['claviger-request-id', 'claviger-model', 'claviger-deadline', 'claviger-policy', 'authorization'] as const
const receiptField = 'claviger-receipt'

const refuse = (message: string, cause?: unknown) =>
  new Failure<InnerCode>('channel/field', message, cause === undefined ? {} : { cause })

/** The binary HTTP request, padded. @throws channel/field, bhttp/... */
export function encodeInnerRequest(request: InnerRequest): Uint8Array {
  if (request.headers.some(([name]) => name === 'authorization' || name.startsWith('claviger-'))) {
    throw refuse('a field of the channel stands among the other fields')
  }
  const headers: [string, string][] = [
    ['claviger-request-id', request.requestId],
    ['claviger-model', request.model],
    ['claviger-deadline', String(request.deadlineMs)],
    ['claviger-policy', new TextDecoder().decode(canonicalJson(request.policy))],
  ]
  if (request.credential !== null) headers.push(['authorization', `Bearer ${request.credential}`])
  const { method, path, body } = request
  const message = { method, scheme: 'https', authority: innerAuthority, path, body, trailers: [] }
  return encodeBinaryRequest({ ...message, headers: [...headers, ...request.headers] }, true)
}

function required(headers: Fields, name: string): string {
  const value = fieldOf(headers, name)
  if (value === null) throw refuse(`${name} is missing`)
  return value
}

/**
 * What a client asked, with every field of the channel in its place.
 *
 * throws  channel/field, bhttp/..., json/..., shape/...
 */
export function parseInnerRequest(bytes: Uint8Array): InnerRequest {
  const message = parseBinaryRequest(bytes)
  if (message.authority !== innerAuthority || message.scheme !== 'https') throw refuse('request is for another host')
  if (message.trailers.length > 0) throw refuse('request has trailers')
  const headers = message.headers
  for (const [name] of headers) {
    if (name.startsWith('claviger-') && !(ours as readonly string[]).includes(name)) throw refuse(`${name} is unknown`)
  }
  const deadline = required(headers, 'claviger-deadline')
  if (!/^[1-9][0-9]{12,13}$/.test(deadline)) throw refuse('claviger-deadline is not unix milliseconds')
  const authorization = fieldOf(headers, 'authorization')
  const credential = authorization === null ? null : /^Bearer ([A-Za-z0-9._~+/=-]{1,200})$/i.exec(authorization)?.[1]
  if (credential === undefined) throw refuse('authorization is not a bearer credential')
  return {
    requestId: idShape(required(headers, 'claviger-request-id'), 'claviger-request-id'),
    model: modelIdShape(required(headers, 'claviger-model'), 'claviger-model'),
    deadlineMs: Number(deadline),
    policy: clientPolicyShape(parseCanonicalJson(utf8(required(headers, 'claviger-policy'))), 'claviger-policy'),
    credential,
    method: message.method,
    path: message.path,
    headers: headers.filter(([name]) => !(ours as readonly string[]).includes(name)),
    body: message.body,
  }
}

/** The binary HTTP response, padded, with the receipt as its trailer. @throws channel/field, bhttp/... */
export function encodeInnerResponse(response: InnerResponse): Uint8Array {
  const { status, headers, body, receipt } = response
  const trailers: Fields = receipt === null ? [] : [[receiptField, toBase64(canonicalJson(receipt))]]
  return encodeBinaryResponse({ status, headers, body, trailers }, true)
}

function parseCarriedReceipt(text: string): CarriedReceipt {
  try {
    return carriedReceiptShape(parseCanonicalJson(fromBase64(text)), receiptField)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<InnerCode>('channel/no-receipt', `receipt of the answer is not one: ${cause.message}`, { cause })
  }
}

/**
 * What a node answered. An answer of success carries a receipt, or it is none.
 *
 * trusts  that the sealed stream was opened to its authenticated end
 * throws  channel/no-receipt, bhttp/...
 */
export function parseInnerResponse(bytes: Uint8Array): InnerResponse {
  const { status, headers, body, trailers } = parseBinaryResponse(bytes)
  const text = fieldOf(trailers, receiptField)
  if (text === null && status < 400) {
    throw new Failure<InnerCode>('channel/no-receipt', `answer with status ${status} carries no receipt`)
  }
  return { status, headers, body, receipt: text === null ? null : parseCarriedReceipt(text) }
}

/**
 * The commitment that a receipt makes to a body: to its SHA-256 and its length, under an opening of its own (TRUST 6).
 *
 * opening  base64url of 32 random bytes
 */
export function commitBody(label: 'request' | 'response', body: Uint8Array, opening: string): string {
  return commit(label, { sha256: toHex(sha256(body)), size: body.length }, opening)
}

/** SHA-256 of a caller's credential as it stands behind `Bearer`, lowercase hex: what an owner's caller list holds. */
export function credentialHash(credential: string): string {
  return toHex(sha256(utf8(credential)))
}

/** The name under which leases and receipts of one model speak of a caller. salt: base64url of 32 bytes, the broker's */
export function callerPseudonym(callerId: string, salt: string): string {
  return commit('caller', callerId, salt)
}
