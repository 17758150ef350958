import { CompactSign, type CryptoKey, compactVerify, importJWK, type KeyObject } from 'jose'
import { fromBase64Url, toBase64Url } from '#core/bytes/bytes.js'
import { type SignatureJwk, thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { parseJson } from '#core/encoding/json.js'
import { json, list, literal, object, oneOf, optional, type Shape, type Shaped, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'

/** Failures of a compact JWS. Readers of one format turn them into codes of their own. */
export type JwsCode = 'jws/form' | 'jws/key' | 'jws/algorithm' | 'jws/signature' | 'jws/payload'

/** Exactly these members: a header that brings a key along (`jwk`, `x5c`, `jku`), or asks for more (`crit`), is refused. */
const headerOf = (typ: string) => object({ typ: literal(typ), alg: oneOf('EdDSA', 'ES256'), kid: thumbprintShape })

function refuse(code: JwsCode, message: string, cause?: unknown): Failure<JwsCode> {
  return new Failure<JwsCode>(code, message, { cause })
}

/** JOSE's name of the algorithm that a key signs with. */
export function joseAlgorithm(key: SignatureJwk): 'EdDSA' | 'ES256' {
  return key.kty === 'EC' ? 'ES256' : 'EdDSA'
}

/**
 * `payload` as a compact JWS. The header says `typ`, the key's algorithm, and its thumbprint as `kid`.
 *
 * source  RFC 7515, "JWS Compact Serialization"
 */
export async function signJws(key: SigningKey, payload: Uint8Array, typ = 'JWT'): Promise<string> {
  const header: Shaped<ReturnType<typeof headerOf>> = { alg: joseAlgorithm(key.publicKey), kid: key.id, typ }
  // What the library gets is the backend's reference to the key (KeyObject or CryptoKey), never the key's bytes.
  return new CompactSign(payload).setProtectedHeader(header).sign(key.handle.key as KeyObject | CryptoKey)
}

function partsOf(token: string, what: string): readonly [head: string, body: string, tail: string] {
  const parts = token.split('.', 4)
  const [head, body, tail] = parts
  if (parts.length !== 3 || head === undefined || body === undefined || tail === undefined)
    throw refuse('jws/form', `${what} is not a compact JWS of three parts`)
  return [head, body, tail]
}

/**
 * The payload of a compact JWS that one of `keys` signed, and the thumbprint of that key.
 *
 * token   the caller has bounded its size
 * typ     what kind of token it has to say it is: one kind never passes for another (RFC 8725, "Use Explicit Typing")
 * throws  jws/form (three parts, strict header, 64 bytes of signature), jws/key for a key that is not pinned,
 *         jws/algorithm for one that is not the key's, jws/signature, jws/payload for base64url that is not canonical
 * source  RFC 7515, "Message Signature or MAC Validation"; RFC 8725, "Perform Algorithm Verification"
 */
export async function verifyJws(
  token: string,
  keys: readonly SignatureJwk[],
  what: string,
  typ = 'JWT',
): Promise<{ readonly signer: string; readonly payload: Uint8Array }> {
  const [head, body, tail] = partsOf(token, what)
  const header = readOutside(head, tail, what, headerOf(typ))
  const key = keys.find((one) => thumbprint(one) === header.kid)
  if (!key) throw refuse('jws/key', `${what} is signed by key ${header.kid}, which is not one of the verifier's`)
  // Invariant: the key decides the algorithm; the header may only agree with it.
  const algorithm = joseAlgorithm(key)
  if (header.alg !== algorithm) throw refuse('jws/algorithm', `algorithm ${header.alg} is not that of the key`)
  const payload = await signedPayload(token, key, what)
  if (toBase64Url(payload) !== body) throw refuse('jws/payload', `payload of ${what} is not canonical base64url`)
  return { signer: header.kid, payload }
}

/**
 * What tokens of others bring along in their headers. A key in there is compared, never used, and so are names of keys:
 * which key verifies is decided by who pinned it.
 */
const foreignHeaderShape = object({
  typ: optional(literal('JWT')),
  alg: string({ max: 20 }),
  kid: optional(string({ max: 200 })),
  jwk: optional(
    object({
      kty: string(),
      crv: string(),
      x: string(),
      y: optional(string()),
      alg: optional(string()),
      kid: optional(string({ max: 200 })),
      use: optional(literal('sig')),
      x5c: optional(list(string({ max: 16_384 }), { max: 8 })),
      x5u: optional(json),
    }),
  ),
})

/**
 * The payload of a compact JWS that somebody else made, which one of `keys` signed, and the thumbprint of that key. As
 * `verifyJws`, but for the header, which need not name the key as we do: each pinned key of the header's algorithm is tried.
 *
 * token   the caller has bounded its size
 * keys    at most a handful
 * throws  jws/form, jws/key for a header that brings a key which is not pinned, jws/algorithm, jws/signature, jws/payload
 * source  RFC 7515, "Message Signature or MAC Validation"; RFC 8725, "Perform Algorithm Verification"
 */
export async function verifyForeignJws(
  token: string,
  keys: readonly SignatureJwk[],
  what: string,
): Promise<{ readonly signer: string; readonly payload: Uint8Array }> {
  const [head, body, tail] = partsOf(token, what)
  const header = readOutside(head, tail, what, foreignHeaderShape)
  // Invariant: only keys of the header's own algorithm are tried, each with that algorithm alone: `none` and MACs have none.
  const candidates = keys.filter((key) => joseAlgorithm(key) === header.alg)
  if (candidates.length === 0) throw refuse('jws/algorithm', `no pinned key signs ${what} with ${header.alg}`)
  const { jwk } = header
  const brought = (key: SignatureJwk) =>
    jwk === undefined ||
    (jwk.kty === key.kty && jwk.crv === key.crv && jwk.x === key.x && jwk.y === (key.kty === 'EC' ? key.y : undefined))
  const pinned = candidates.filter(brought)
  if (pinned.length === 0) throw refuse('jws/key', `the header of ${what} brings a key that is not pinned`)
  let failed: unknown
  for (const key of pinned) {
    try {
      const payload = await signedPayload(token, key, what)
      if (toBase64Url(payload) !== body) throw refuse('jws/payload', `payload of ${what} is not canonical base64url`)
      return { signer: thumbprint(key), payload }
    } catch (error) {
      if (!isFailure(error) || error.code !== 'jws/signature') throw error
      failed = error
    }
  }
  throw refuse('jws/signature', `${what} was signed by none of the pinned keys`, failed)
}

/** Header and signature, read strictly: the library lets other spellings of base64url and repeated members pass. */
function readOutside<T>(head: string, tail: string, what: string, shape: Shape<T>): T {
  try {
    fromBase64Url(tail, 64)
    return shape(parseJson(fromBase64Url(head)), 'header')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('jws/form', `header or signature of ${what}: ${cause.message}`, cause)
  }
}

async function signedPayload(token: string, key: SignatureJwk, what: string): Promise<Uint8Array> {
  const algorithm = joseAlgorithm(key)
  try {
    const pinned = await importJWK({ ...key }, algorithm)
    return (await compactVerify(token, pinned, { algorithms: [algorithm] })).payload
  } catch (cause) {
    // Whatever the library objects to, a key that is no point of its curve included: nothing was shown to be signed.
    throw refuse('jws/signature', `${what} was not signed by the key that it names`, cause)
  }
}
