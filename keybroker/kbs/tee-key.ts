import { fromBase64Url } from '#core/bytes/bytes.js'
import { coordinateSizes, type EcdhCurve } from '#core/crypto/key-wrap.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'

/** The key that the guest made and its evidence binds. Exactly the members that both sides hash. */
export type TeeKey =
  | {
      readonly kty: 'EC'
      readonly crv: EcdhCurve
      readonly alg: 'ECDH-ES+A256KW'
      readonly x: string
      readonly y: string
    }
  | { readonly kty: 'RSA'; readonly alg: 'RSA-OAEP-256'; readonly n: string; readonly e: string }

const modulusSizeMin = 256
const modulusSizeMax = 512

function refuse(message: string): Failure<KbsCode> {
  return new Failure<KbsCode>('kbs/tee-key', `tee key: ${message}`)
}

type Members = Readonly<Record<string, Json | undefined>>

function text(key: Members, name: string): string {
  const value = key[name]
  if (typeof value !== 'string' || value.length > 1024) throw refuse(`${name} is not a short text`)
  return value
}

function spelled(key: Members, name: string): { readonly text: string; readonly bytes: Uint8Array } {
  const value = text(key, name)
  try {
    return { text: value, bytes: fromBase64Url(value) }
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(`${name} is not unpadded base64url`)
  }
}

/**
 * A TEE key in one of the accepted forms: P-256 or P-521 with ECDH-ES+A256KW, RSA of 2,048 to 4,096 bits with
 * RSA-OAEP-256. RSA1_5 is refused, which other servers accept: its padding leaks.
 *
 * Members that are not the key's are dropped, as the reference server drops them before it hashes.
 * Whether a point lies on its curve is found when the key is used or verified.
 * throws  kbs/tee-key
 * source  kbs-protocol.md of trustee, "tee-pubkey"; RFC 7518, "Parameters for Elliptic Curve Keys", "Parameters for RSA Keys"
 */
export function parseTeeKey(value: Json): TeeKey {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw refuse('is not an object')
  const key = value as Members
  const kty = text(key, 'kty')
  const alg = text(key, 'alg')
  if (kty === 'EC') {
    const crv = text(key, 'crv')
    if (alg !== 'ECDH-ES+A256KW') throw refuse(`alg is ${JSON.stringify(alg)}, expected ECDH-ES+A256KW`)
    if (crv !== 'P-256' && crv !== 'P-521') throw refuse(`curve is ${JSON.stringify(crv)}, expected P-256 or P-521`)
    const [x, y] = [spelled(key, 'x'), spelled(key, 'y')]
    const size = coordinateSizes[crv]
    if (x.bytes.length !== size || y.bytes.length !== size)
      throw refuse(`coordinates of ${crv} have ${size} bytes each`)
    return { kty, crv, alg, x: x.text, y: y.text }
  }
  if (kty === 'RSA') {
    if (alg !== 'RSA-OAEP-256') throw refuse(`alg is ${JSON.stringify(alg)}, expected RSA-OAEP-256`)
    const [n, e] = [spelled(key, 'n'), spelled(key, 'e')]
    if (n.bytes.length < modulusSizeMin || n.bytes.length > modulusSizeMax || n.bytes[0] === 0) {
      throw refuse(`modulus has ${n.bytes.length} bytes, expected ${modulusSizeMin} to ${modulusSizeMax}`)
    }
    if (e.text !== 'AQAB') throw refuse('exponent is not 65537')
    return { kty, alg, n: n.text, e: e.text }
  }
  throw refuse(`kty is ${JSON.stringify(kty)}, expected EC or RSA`)
}
