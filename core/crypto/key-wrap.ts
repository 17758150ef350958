import { toBase64Url } from '#core/bytes/bytes.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { Failure } from '#core/failure.js'

/**
 * What JWE needs beside AES-GCM: ECDH with a key made for one message, AES key wrap, RSA-OAEP. WebCrypto is the same on
 * both backends, so these stand once.
 */
const { subtle } = globalThis.crypto
type Key = Awaited<ReturnType<typeof subtle.importKey>>

export type EcdhCurve = 'P-256' | 'P-521'
/** Bytes of a coordinate. */
export const coordinateSizes: Readonly<Record<EcdhCurve, number>> = { 'P-256': 32, 'P-521': 66 }

export interface EcdhPoint {
  readonly crv: EcdhCurve
  /** base64url of exactly the curve's coordinate size */
  readonly x: string
  readonly y: string
}

function keyFailure(what: string, cause: unknown): Failure<CryptoCode> {
  return new Failure<CryptoCode>('crypto/key', `${what} is not a public key of its kind`, { cause })
}

async function importPoint(point: EcdhPoint): Promise<Key> {
  try {
    const jwk = { kty: 'EC', crv: point.crv, x: point.x, y: point.y }
    return await subtle.importKey('jwk', jwk, { name: 'ECDH', namedCurve: point.crv }, true, [])
  } catch (cause) {
    throw keyFailure(`${point.crv} point`, cause)
  }
}

/** Returns only when the point lies on its curve. @throws crypto/key */
export async function verifyPoint(point: EcdhPoint): Promise<void> {
  await importPoint(point)
}

/**
 * A key pair made for one message, and what it shares with `peer`.
 *
 * secret  the x-coordinate, 32 or 66 bytes; the caller wipes it
 * throws  crypto/key when the point is not on the curve
 * source  NIST SP 800-56A, "Elliptic Curve Cryptography Cofactor Diffie-Hellman (ECC CDH) Primitive"
 */
export async function ecdhEphemeral(
  peer: EcdhPoint,
): Promise<{ readonly ephemeral: EcdhPoint; readonly secret: Uint8Array }> {
  const algorithm = { name: 'ECDH', namedCurve: peer.crv }
  const publicKey = await importPoint(peer)
  const pair = (await subtle.generateKey(algorithm, true, ['deriveBits'])) as { publicKey: Key; privateKey: Key }
  const size = coordinateSizes[peer.crv]
  const secret = new Uint8Array(await subtle.deriveBits({ name: 'ECDH', public: publicKey }, pair.privateKey, size * 8))
  // An uncompressed point: 04, x, y.
  const raw = new Uint8Array(await subtle.exportKey('raw', pair.publicKey))
  const x = toBase64Url(raw.subarray(1, 1 + size))
  const y = toBase64Url(raw.subarray(1 + size))
  return { ephemeral: { crv: peer.crv, x, y }, secret }
}

/** `key` (32 bytes) wrapped under `wrapping` (32 bytes): 40 bytes. source: RFC 3394, "Key Wrap" */
export async function aesKeyWrap(wrapping: Uint8Array, key: Uint8Array): Promise<Uint8Array> {
  const outer = await subtle.importKey('raw', wrapping, 'AES-KW', false, ['wrapKey'])
  const inner = await subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, true, ['sign'])
  return new Uint8Array(await subtle.wrapKey('raw', inner, outer, 'AES-KW'))
}

/**
 * `plaintext` encrypted to an RSA key with OAEP, SHA-256 and MGF1 with SHA-256.
 *
 * n, e    base64url of the modulus and exponent
 * throws  crypto/key
 * source  RFC 8017, "RSAES-OAEP"; RFC 7518, "Key Encryption with RSAES OAEP"
 */
export async function rsaOaepSha256(n: string, e: string, plaintext: Uint8Array): Promise<Uint8Array> {
  let key: Key
  try {
    key = await subtle.importKey('jwk', { kty: 'RSA', n, e }, { name: 'RSA-OAEP', hash: 'SHA-256' }, false, ['encrypt'])
  } catch (cause) {
    throw keyFailure('RSA key', cause)
  }
  return new Uint8Array(await subtle.encrypt({ name: 'RSA-OAEP' }, key, plaintext))
}
