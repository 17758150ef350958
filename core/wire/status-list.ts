import { fromBase64Url, toBase64Url } from '#core/bytes/bytes.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { base64Url, integer, object, optional, type Shape, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { signJws, verifyJws } from '#core/jws.js'
import { clockSkewSeconds, statusListSizeMax, statusListTokenMax } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { timeShape } from '#core/wire/names.js'

/** Failures of a status list, beside those of the JWS and of its shape. */
export type StatusListCode =
  /** not a list, too large, or not compressed as zlib does it */
  | 'status-list/form'
  /** a list of another address than the credential names */
  | 'status-list/uri'
  | 'status-list/not-yet-valid'
  | 'status-list/expired'
  /** the credential's place is outside of the list */
  | 'status-list/index'

/** What a credential says about where its status stands. source: draft-ietf-oauth-status-list, "Referenced Token" */
export const statusReferenceShape = object({
  status_list: object({
    idx: integer({ max: statusListSizeMax * 8 }),
    uri: string({ max: 500, form: /^https:\/\/[^\s#]+$/ }),
  }),
})
export type StatusReference = Shaped<typeof statusReferenceShape>

const bitsShape: Shape<1 | 2 | 4 | 8> = (value, path) => {
  const bits = integer({ min: 1, max: 8 })(value, path)
  if (bits === 1 || bits === 2 || bits === 4 || bits === 8) return bits
  throw new Failure<StatusListCode>('status-list/form', `a status has ${bits} bits, expected 1, 2, 4 or 8`)
}

const tokenShape = object({
  sub: string({ max: 500 }),
  iat: timeShape,
  exp: timeShape,
  ttl: optional(integer({ min: 1 })),
  status_list: object({ bits: bitsShape, lst: base64Url(undefined, statusListTokenMax) }),
})

/** A status list whose signature and time were verified. */
export interface StatusList {
  readonly uri: string
  readonly bits: 1 | 2 | 4 | 8
  readonly bytes: Uint8Array
  readonly issuedAt: UnixSeconds
  readonly expiresAt: UnixSeconds
}

/** What a list says of one credential. Anything but `valid` is a refusal. */
export type Status = 'valid' | 'invalid' | 'suspended' | 'other'

/** Bytes through a stream of the platform, which ends when more than `max` come out. @throws status-list/form */
async function through(
  stream: { readonly readable: ReadableStream<Uint8Array>; readonly writable: WritableStream<Uint8Array> },
  bytes: Uint8Array,
  max: number,
): Promise<Uint8Array> {
  const writer = stream.writable.getWriter()
  // Whoever reads meets the error too; unheard, it would end the process.
  const written = writer
    .write(new Uint8Array(bytes))
    .then(() => writer.close())
    .catch(() => undefined)
  const reader = stream.readable.getReader()
  const parts: Uint8Array[] = []
  let size = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      size += value.length
      if (size > max) throw new Failure<StatusListCode>('status-list/form', `status list has more than ${max} bytes`)
      parts.push(value)
    }
  } catch (cause) {
    await reader.cancel().catch(() => undefined)
    if (cause instanceof Failure) throw cause
    throw new Failure<StatusListCode>('status-list/form', 'status list is not compressed as zlib does it', { cause })
  }
  await written
  const out = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/**
 * A status list token, as an issuer publishes it.
 *
 * source  draft-ietf-oauth-status-list, "Status List Token in JWT Format"
 */
export async function signStatusList(list: StatusList, key: SigningKey): Promise<string> {
  const lst = toBase64Url(await through(new CompressionStream('deflate') as never, list.bytes, statusListTokenMax))
  const { uri, bits, issuedAt, expiresAt } = list
  const claims = { sub: uri, iat: issuedAt, exp: expiresAt, status_list: { bits, lst } }
  return signJws(key, canonicalJson(claims), 'statuslist+jwt')
}

/**
 * A status list that one of `keys` signed, of this address, in its time. A list without an end would never have to be
 * renewed, so that a revocation might never be heard of: it is refused.
 *
 * throws  status-list/form, status-list/uri, status-list/not-yet-valid, status-list/expired, jws/..., json/..., shape/...
 * source  draft-ietf-oauth-status-list, "Validation Rules"
 */
export async function verifyStatusList(
  token: string,
  keys: readonly SignatureJwk[],
  uri: string,
  at: UnixSeconds,
): Promise<StatusList> {
  if (token.length > statusListTokenMax)
    throw new Failure<StatusListCode>(
      'status-list/form',
      `status list token has more than ${statusListTokenMax} characters`,
    )
  const { payload } = await verifyJws(token, keys, 'status list', 'statuslist+jwt')
  const { sub, iat, exp, status_list: list } = tokenShape(parseJson(payload), 'status list')
  if (sub !== uri) throw new Failure<StatusListCode>('status-list/uri', `status list is of ${sub}, expected ${uri}`)
  if (iat > at + clockSkewSeconds)
    throw new Failure<StatusListCode>('status-list/not-yet-valid', `status list is from ${formatTime(iat)}`)
  if (at >= exp) throw new Failure<StatusListCode>('status-list/expired', `status list expired at ${formatTime(exp)}`)
  const bytes = await through(new DecompressionStream('deflate') as never, fromBase64Url(list.lst), statusListSizeMax)
  return { uri, bits: list.bits, bytes, issuedAt: iat, expiresAt: exp }
}

/** What a status list token says of itself. Nothing is verified: for finding the list that a credential names, or one's own. */
export function claimedStatusList(token: string): { readonly uri: string; readonly issuedAt: UnixSeconds } {
  const body = token.length > statusListTokenMax ? undefined : token.split('.', 4)[1]
  if (body === undefined) throw new Failure<StatusListCode>('status-list/form', 'not a status list token')
  const { sub, iat } = tokenShape(parseJson(fromBase64Url(body)), 'status list')
  return { uri: sub, issuedAt: iat }
}

/** What a list says of the credential at this place. @throws status-list/index */
export function statusAt({ bits, bytes }: Pick<StatusList, 'bits' | 'bytes'>, index: number): Status {
  const perByte = 8 / bits
  const byte = bytes[Math.floor(index / perByte)]
  if (byte === undefined) throw new Failure<StatusListCode>('status-list/index', `status list has no place ${index}`)
  const value = (byte >> ((index % perByte) * bits)) & ((1 << bits) - 1)
  return value === 0 ? 'valid' : value === 1 ? 'invalid' : value === 2 ? 'suspended' : 'other'
}

/** The list with another status at one place. @throws status-list/index */
export function withStatus(list: StatusList, index: number, value: number): StatusList {
  statusAt(list, index)
  const perByte = 8 / list.bits
  const bytes = new Uint8Array(list.bytes)
  const at = Math.floor(index / perByte)
  const shift = (index % perByte) * list.bits
  const mask = ((1 << list.bits) - 1) << shift
  bytes[at] = (bytes[at]! & ~mask) | ((value << shift) & mask)
  return { ...list, bytes }
}
