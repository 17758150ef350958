import { concat, fromBase64Url, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { sha256 } from '#core/crypto/hash.js'
import { ed25519Prefix, hasKeyForm, p256Prefix } from '#core/crypto/spki.js'
import { canonicalJson } from '#core/encoding/json.js'
import { base64Url, literal, object, type Shape, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'

/** Public keys travel as JWK (RFC 7517, RFC 8037) with exactly the members that the thumbprint covers. */
export type Ed25519Jwk = { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string }
export type X25519Jwk = { readonly kty: 'OKP'; readonly crv: 'X25519'; readonly x: string }
export type P256Jwk = { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string }
/** A key that verifies signatures. */
export type SignatureJwk = Ed25519Jwk | P256Jwk
export type PublicJwk = SignatureJwk | X25519Jwk

export const ed25519Jwk: Shape<Ed25519Jwk> = object({ kty: literal('OKP'), crv: literal('Ed25519'), x: base64Url(32) })
export const x25519Jwk: Shape<X25519Jwk> = object({ kty: literal('OKP'), crv: literal('X25519'), x: base64Url(32) })
const p256Jwk: Shape<P256Jwk> = object({
  kty: literal('EC'),
  crv: literal('P-256'),
  x: base64Url(32),
  y: base64Url(32),
})
/** Decides by `kty`, never by trying one and then the other. */
export const signatureJwk: Shape<SignatureJwk> = (value, path) => {
  const kty =
    value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as { kty?: unknown }).kty : undefined
  return kty === 'EC' ? p256Jwk(value, path) : ed25519Jwk(value, path)
}

/** 43 characters of base64url. */
export const thumbprintShape: Shape<string> = string({ max: 43, form: /^[A-Za-z0-9_-]{43}$/ })

/**
 * The name of a key: SHA-256 of its canonical JWK, base64url.
 *
 * source  RFC 7638, "JSON Web Key (JWK) Thumbprint"
 */
export function thumbprint(key: PublicJwk): string {
  return toBase64Url(sha256(canonicalJson(key)))
}

/** The DER SubjectPublicKeyInfo of a key. */
export function jwkToSpki(key: SignatureJwk): Uint8Array {
  if (key.kty === 'OKP') return concat(ed25519Prefix, fromBase64Url(key.x, 32))
  return concat(p256Prefix, fromBase64Url(key.x, 32), fromBase64Url(key.y, 32))
}

/** The JWK of a DER SubjectPublicKeyInfo of an Ed25519 or P-256 key. @throws crypto/key */
export function spkiToJwk(spki: Uint8Array): SignatureJwk {
  if (hasKeyForm('Ed25519', spki)) {
    return { kty: 'OKP', crv: 'Ed25519', x: toBase64Url(spki.subarray(12)) }
  }
  if (hasKeyForm('ES256', spki)) {
    return { kty: 'EC', crv: 'P-256', x: toBase64Url(spki.subarray(27, 59)), y: toBase64Url(spki.subarray(59)) }
  }
  throw new Failure<CryptoCode>('crypto/key', 'not an Ed25519 or uncompressed P-256 public key')
}

/** The JWK of 32 raw bytes of an X25519 public key. */
export function x25519ToJwk(raw: Uint8Array): X25519Jwk {
  return { kty: 'OKP', crv: 'X25519', x: toBase64Url(raw) }
}

/** A value's label, for hashes that must not be mistaken for each other. */
export function labelled(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return concat(utf8(label), new Uint8Array(1), ...parts)
}
