import { CompactSign, type CryptoKey, compactVerify, importJWK, type KeyObject } from 'jose'
import { fromBase64Url, toBase64Url } from '#core/bytes/bytes.js'
import { type SignatureJwk, thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { parseJson } from '#core/encoding/json.js'
import { literal, object, oneOf, type Shaped } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'

/** Failures of a compact JWS. Readers of one format turn them into codes of their own. */
export type JwsCode = 'jws/form' | 'jws/key' | 'jws/algorithm' | 'jws/signature' | 'jws/payload'

/** Exactly these members: a header that brings a key along (`jwk`, `x5c`, `jku`), or asks for more (`crit`), is refused. */
const headerShape = object({ typ: literal('JWT'), alg: oneOf('EdDSA', 'ES256'), kid: thumbprintShape })

function refuse(code: JwsCode, message: string, cause?: unknown): Failure<JwsCode> {
  return new Failure<JwsCode>(code, message, { cause })
}

/** JOSE's name of the algorithm that a key signs with. */
export function joseAlgorithm(key: SignatureJwk): 'EdDSA' | 'ES256' {
  return key.kty === 'EC' ? 'ES256' : 'EdDSA'
}

/**
 * `payload` as a compact JWS. The header says `typ` JWT, the key's algorithm, and its thumbprint as `kid`.
 *
 * source  RFC 7515, "JWS Compact Serialization"
 */
export async function signJws(key: SigningKey, payload: Uint8Array): Promise<string> {
  const header: Shaped<typeof headerShape> = { alg: joseAlgorithm(key.publicKey), kid: key.id, typ: 'JWT' }
  // What the library gets is the backend's reference to the key (KeyObject or CryptoKey), never the key's bytes.
  return new CompactSign(payload).setProtectedHeader(header).sign(key.handle.key as KeyObject | CryptoKey)
}

/**
 * The payload of a compact JWS that one of `keys` signed, and the thumbprint of that key.
 *
 * token   the caller has bounded its size
 * throws  jws/form (three parts, strict header, 64 bytes of signature), jws/key for a key that is not pinned,
 *         jws/algorithm for one that is not the key's, jws/signature, jws/payload for base64url that is not canonical
 * source  RFC 7515, "Message Signature or MAC Validation"; RFC 8725, "Perform Algorithm Verification"
 */
export async function verifyJws(
  token: string,
  keys: readonly SignatureJwk[],
  what: string,
): Promise<{ readonly signer: string; readonly payload: Uint8Array }> {
  const parts = token.split('.', 4)
  const [head, body, tail] = parts
  if (parts.length !== 3 || head === undefined || body === undefined || tail === undefined)
    throw refuse('jws/form', `${what} is not a compact JWS of three parts`)
  const header = readOutside(head, tail, what)
  const key = keys.find((one) => thumbprint(one) === header.kid)
  if (!key) throw refuse('jws/key', `${what} is signed by key ${header.kid}, which is not one of the verifier's`)
  // Invariant: the key decides the algorithm; the header may only agree with it.
  const algorithm = joseAlgorithm(key)
  if (header.alg !== algorithm) throw refuse('jws/algorithm', `algorithm ${header.alg} is not that of the key`)
  const payload = await signedPayload(token, key, what)
  if (toBase64Url(payload) !== body) throw refuse('jws/payload', `payload of ${what} is not canonical base64url`)
  return { signer: header.kid, payload }
}

/** Header and signature, read strictly: the library lets other spellings of base64url and repeated members pass. */
function readOutside(head: string, tail: string, what: string): Shaped<typeof headerShape> {
  try {
    fromBase64Url(tail, 64)
    return headerShape(parseJson(fromBase64Url(head)), 'header')
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
