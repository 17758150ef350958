import { concat, fromBase64Url, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { sha256 } from '#core/crypto/hash.js'
import { ed25519Prefix, hasKeyForm, p256Prefix, p384Prefix } from '#core/crypto/spki.js'
import { latticeSizes, verifyXwingKey, xwingSizes } from '#core/crypto/xwing-key.js'
import { canonicalJson } from '#core/encoding/json.js'
import { base64Url, literal, object, type Shape, type ShapeCode, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'

/** Public keys travel as JWK (RFC 7517, RFC 8037) with exactly the members that the thumbprint covers. */
export type Ed25519Jwk = { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string }
export type X25519Jwk = { readonly kty: 'OKP'; readonly crv: 'X25519'; readonly x: string }
export type P256Jwk = { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string }
export type P384Jwk = { readonly kty: 'EC'; readonly crv: 'P-384'; readonly x: string; readonly y: string }
/**
 * A recipient key of X-Wing, for the one suite that `alg` spells out. The name is ours: JOSE has none for this suite yet.
 * source: draft-ietf-cose-dilithium, "Algorithm Key Pair Type" (AKP, and the members that its thumbprint covers)
 */
export type XwingJwk = { readonly kty: 'AKP'; readonly alg: typeof hybridSuite; readonly pub: string }
export const hybridSuite = 'X-Wing/HKDF-SHA256/AES-256-GCM'
/** A key that verifies signatures. */
export type SignatureJwk = Ed25519Jwk | P256Jwk
/** A key of somebody who signs reference values: vendors sign on P-384 too. Nothing of ours is signed by one of those. */
export type PublisherJwk = SignatureJwk | P384Jwk
/** A key that secrets are sealed to. Its kind says the suite: nothing else does, and nobody negotiates it. */
export type RecipientJwk = X25519Jwk | XwingJwk
export type PublicJwk = SignatureJwk | RecipientJwk

export const ed25519Jwk: Shape<Ed25519Jwk> = object({ kty: literal('OKP'), crv: literal('Ed25519'), x: base64Url(32) })
export const x25519Jwk: Shape<X25519Jwk> = object({ kty: literal('OKP'), crv: literal('X25519'), x: base64Url(32) })
export const xwingJwk: Shape<XwingJwk> = (value, path) => {
  const key = xwingMembers(value, path)
  try {
    verifyXwingKey(fromBase64Url(key.pub, xwingSizes.publicKey))
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<ShapeCode>('shape/form', `${path}: ${cause.message}`, { cause, detail: { path } })
  }
  return key
}
const xwingMembers: Shape<XwingJwk> = object({
  kty: literal('AKP'),
  alg: literal(hybridSuite),
  pub: base64Url(xwingSizes.publicKey, Math.ceil((xwingSizes.publicKey * 4) / 3)),
})
const p256Jwk: Shape<P256Jwk> = object({
  kty: literal('EC'),
  crv: literal('P-256'),
  x: base64Url(32),
  y: base64Url(32),
})
const p384Jwk: Shape<P384Jwk> = object({
  kty: literal('EC'),
  crv: literal('P-384'),
  x: base64Url(48),
  y: base64Url(48),
})
const crvOf = (value: unknown): unknown => (value as { crv?: unknown }).crv
const ktyOf = (value: unknown): unknown =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as { kty?: unknown }).kty : undefined

/** Decides by `kty`, never by trying one and then the other. */
export const signatureJwk: Shape<SignatureJwk> = (value, path) =>
  ktyOf(value) === 'EC' ? p256Jwk(value, path) : ed25519Jwk(value, path)
/** The same, and of two curves by `crv`. */
export const publisherJwk: Shape<PublisherJwk> = (value, path) =>
  ktyOf(value) === 'EC' && crvOf(value) === 'P-384' ? p384Jwk(value, path) : signatureJwk(value, path)
/** Decides by `kty`. */
export const recipientJwk: Shape<RecipientJwk> = (value, path) =>
  ktyOf(value) === 'AKP' ? xwingJwk(value, path) : x25519Jwk(value, path)

/** 43 characters of base64url. */
export const thumbprintShape: Shape<string> = string({ max: 43, form: /^[A-Za-z0-9_-]{43}$/ })

/**
 * The name of a key: SHA-256 of its canonical JWK, base64url.
 *
 * source  RFC 7638, "JSON Web Key (JWK) Thumbprint"
 */
export function thumbprint(key: PublicJwk | P384Jwk): string {
  return toBase64Url(sha256(canonicalJson(key)))
}

/** The DER SubjectPublicKeyInfo of a key. */
export function jwkToSpki(key: PublisherJwk): Uint8Array {
  if (key.kty === 'OKP') return concat(ed25519Prefix, fromBase64Url(key.x, 32))
  if (key.crv === 'P-384') return concat(p384Prefix, fromBase64Url(key.x, 48), fromBase64Url(key.y, 48))
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

/** The same, also of a P-384 key. @throws crypto/key */
export function spkiToPublisherJwk(spki: Uint8Array): PublisherJwk {
  if (!hasKeyForm('ES384', spki)) return spkiToJwk(spki)
  return { kty: 'EC', crv: 'P-384', x: toBase64Url(spki.subarray(24, 72)), y: toBase64Url(spki.subarray(72)) }
}

/** The JWK of 32 raw bytes of an X25519 public key. */
export function x25519ToJwk(raw: Uint8Array): X25519Jwk {
  return { kty: 'OKP', crv: 'X25519', x: toBase64Url(raw) }
}

/** The JWK of the 1,216 raw bytes of an X-Wing public key. */
export function xwingToJwk(raw: Uint8Array): XwingJwk {
  return { kty: 'AKP', alg: hybridSuite, pub: toBase64Url(raw) }
}

/** The raw bytes of a recipient key: 32, or 1,216 of X-Wing. */
export function publicBytesOf(key: RecipientJwk): Uint8Array {
  return key.kty === 'OKP' ? fromBase64Url(key.x, 32) : fromBase64Url(key.pub, xwingSizes.publicKey)
}

/** The 32 bytes of a recipient key on Curve25519, base64url: all of it, or the half beside the lattice. */
export function curvePoint(key: RecipientJwk): string {
  if (key.kty === 'OKP') return key.x
  return toBase64Url(fromBase64Url(key.pub, xwingSizes.publicKey).subarray(latticeSizes.publicKey))
}

/** A value's label, for hashes that must not be mistaken for each other. */
export function labelled(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return concat(utf8(label), new Uint8Array(1), ...parts)
}
