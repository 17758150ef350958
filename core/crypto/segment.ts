import { assert } from '#core/assert.js'
import type { SegmentCipher } from '#core/crypto/backend.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { Failure } from '#core/failure.js'
import { backend } from '#crypto-backend'

/** The tag of AES-GCM, in bytes. */
export const aesGcmTagSize = 16

function segments(key: Uint8Array, iv: Uint8Array): SegmentCipher {
  assert(key.length === 32 && iv.length === 12, 'AES-256-GCM takes a 32-byte key and a 12-byte iv')
  assert(backend.segments !== null, 'the synchronous cipher is Node only')
  return backend.segments
}

/** AES-256-GCM of `plaintext` into `destination`, 16 bytes longer, without a promise. Node only. */
export function aesGcmSealInto(
  key: Uint8Array,
  iv: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
  destination: Uint8Array,
): void {
  assert(destination.length === plaintext.length + aesGcmTagSize, 'destination takes ciphertext and tag')
  segments(key, iv).sealInto(key, iv, aad, plaintext, destination)
}

/**
 * The plaintext is in `destination`, 16 bytes shorter than `sealed` and possibly shared memory, and nowhere else.
 * Node only. On failure the destination is zero.
 *
 * throws  crypto/aead-tag
 */
export function aesGcmOpenInto(
  key: Uint8Array,
  iv: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
  destination: Uint8Array,
): void {
  assert(destination.length === sealed.length - aesGcmTagSize, 'destination takes the plaintext')
  if (!segments(key, iv).openInto(key, iv, aad, sealed, destination)) {
    throw new Failure<CryptoCode>('crypto/aead-tag', 'ciphertext or associated data was altered')
  }
}
