import { concat, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { hmacSha384 } from '#core/crypto/hash.js'

/** A model's data encryption key (DEK): 32 random bytes, new for each seal. */
export const dekSize = 32
const salt = utf8('claviger/sealed-model/v1')

/** HKDF-SHA-384 of the DEK. source: RFC 5869, "HKDF-Extract", "HKDF-Expand" (one block) */
function derive(dek: Uint8Array, info: Uint8Array): Uint8Array {
  const extracted = hmacSha384(salt, dek)
  const block = hmacSha384(extracted, concat(info, new Uint8Array([1])))
  const out = secretBytes(32)
  out.set(block.subarray(0, 32))
  wipe(extracted, block)
  return out
}

/** The FLOE key of one file: 32 bytes, for the caller to wipe. */
export function fileKey(dek: Uint8Array, path: string): Uint8Array {
  return derive(dek, utf8(`file:${path}`))
}

/** The key of the manifest's encrypted part: 32 bytes, for the caller to wipe. */
export function manifestKey(dek: Uint8Array): Uint8Array {
  return derive(dek, utf8('manifest'))
}

/** The key-encryption key of a folder that seals one: 32 bytes, for the caller to wipe. */
export function kekOf(dek: Uint8Array): Uint8Array {
  return derive(dek, utf8('kek'))
}
