import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { curvePoint, ed25519Jwk, recipientJwk, thumbprint, x25519Jwk } from '#core/crypto/jwk.js'
import { canonicalJson } from '#core/encoding/json.js'
import { hex, literal, nullable, object, type Shaped } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { timeShape } from '#core/wire/names.js'

/** Failures of a keyset. */
export type KeysetCode = 'keyset/role'

/**
 * The keys of one node, one role each. Suites are fixed here, in what evidence binds, and never negotiated: `suite` is that of keys
 * of X25519; a key of X-Wing names its own.
 */
export const keysetShape = object({
  type: literal('claviger/keyset/v1'),
  suite: literal('DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM'),
  /** the model key is wrapped to it; the private half never leaves the engine's process */
  release: recipientJwk,
  /** requests are sealed to it */
  request: x25519Jwk,
  /** receipts are signed with it */
  receipt: ed25519Jwk,
  /** SHA-256 of the SubjectPublicKeyInfo of the node's TLS certificate, when it speaks TLS */
  tls: nullable(hex(32)),
  landmark: nullable(ed25519Jwk),
  notAfter: timeShape,
})
export type Keyset = Shaped<typeof keysetShape>

/** Lowercase hex of SHA-256 over the canonical JSON: joins evidence, EAR, release, node document and receipt (I20). */
export function keysetDigest(keyset: Keyset): string {
  return toHex(sha256(canonicalJson(keyset)))
}

/** Returns only when no key stands in two roles, nor the curve half of one. @throws keyset/role */
export function verifyKeysetRoles(keyset: Keyset): void {
  const raw = [
    curvePoint(keyset.release),
    keyset.request.x,
    keyset.receipt.x,
    ...(keyset.landmark ? [keyset.landmark.x] : []),
  ]
  if (new Set(raw).size !== raw.length) throw new Failure<KeysetCode>('keyset/role', 'one key stands in two roles')
}

/** The thumbprint of the release key: `cnf.jkt` of the EAR. */
export function releaseKeyThumbprint(keyset: Keyset): string {
  return thumbprint(keyset.release)
}
