import { fromHex } from '#core/bytes/bytes.js'
import type { SignatureAlgorithm } from '#core/crypto/backend.js'

/**
 * What stands before the point, or the raw key, in the one spelling of a SubjectPublicKeyInfo that we take: a named curve
 * and an uncompressed point. Both backends look here and not at what a library makes of the bytes, which is dear to ask
 * for and differs between libraries in the spellings that it takes (compressed points, curves spelled out).
 *
 * source  RFC 5480, "Subject Public Key Information Fields"; RFC 8410, "Subject Public Key Fields"
 */
export const p256Prefix = fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004')
export const p384Prefix = fromHex('3076301006072a8648ce3d020106052b8104002203620004')
export const ed25519Prefix = fromHex('302a300506032b6570032100')
/** Before the 32 bytes of an X25519 key, public and private. source: RFC 8410, "Private Key Format" */
export const x25519Pkcs8Prefix = fromHex('302e020100300506032b656e04220420')

const forms = {
  ES256: { prefix: p256Prefix, size: 91 },
  ES384: { prefix: p384Prefix, size: 120 },
  Ed25519: { prefix: ed25519Prefix, size: 44 },
} as const

/** Whether the bytes are a key of the type, and on the curve, that the algorithm's name fixes. RSA keys have any form. */
export function hasKeyForm(algorithm: SignatureAlgorithm, spki: Uint8Array): boolean {
  if (algorithm === 'RSA-PSS-SHA384' || algorithm === 'RSA-SHA256') return true
  const { prefix, size } = forms[algorithm]
  if (spki.length !== size) return false
  for (let i = 0; i < prefix.length; i++) if (spki[i] !== prefix[i]) return false
  return true
}

/** The uncompressed point of an EC key of this form; undefined for a key of another kind. */
export function pointOf(algorithm: SignatureAlgorithm, spki: Uint8Array): Uint8Array | undefined {
  if (algorithm !== 'ES256' && algorithm !== 'ES384') return undefined
  return spki.subarray(forms[algorithm].prefix.length - 1) // the prefix ends with the byte that says: uncompressed
}
