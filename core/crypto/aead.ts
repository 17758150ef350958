import { assert } from '#core/assert.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { Failure } from '#core/failure.js'
import { backend } from '#crypto-backend'

/**
 * AES-256-GCM: the ciphertext with its 16-byte tag behind it.
 *
 * key 32 bytes, iv 12 bytes and never used twice with one key
 * source  NIST SP 800-38D
 */
export async function aesGcmSeal(
  key: Uint8Array,
  iv: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Promise<Uint8Array> {
  assert(key.length === 32 && iv.length === 12, 'AES-256-GCM takes a 32-byte key and a 12-byte iv')
  return backend.aesGcmSeal(key, iv, aad, plaintext)
}

/** The plaintext of what aesGcmSeal made. @throws crypto/aead-tag */
export async function aesGcmOpen(
  key: Uint8Array,
  iv: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  assert(key.length === 32 && iv.length === 12, 'AES-256-GCM takes a 32-byte key and a 12-byte iv')
  const plaintext = await backend.aesGcmOpen(key, iv, aad, sealed)
  if (plaintext === null) throw new Failure<CryptoCode>('crypto/aead-tag', 'ciphertext or associated data was altered')
  return plaintext
}
