import { createCipheriv, createDecipheriv } from 'node:crypto'
import { createRequire } from 'node:module'
import type { SegmentCipher } from '#core/crypto/backend.js'

/**
 * Two ways to the same cipher. `node:crypto` hands out each piece in a fresh buffer, which has to be copied and zeroed:
 * half the speed, and plaintext in places that nobody chose. The OpenSSL that Node itself carries writes where it is
 * told; its symbols are exported for native add-ons, and koffi calls them. Where they are not to be found, the first
 * way is taken. docs/decisions/segment-size.md has the figures.
 */
const tagSize = 16
/** Pieces for node:crypto: larger ones are mapped and unmapped by the allocator each time. */
const pieceSize = 64 * 1024

/** AES-256-GCM by way of node:crypto's streams. */
export const streamSegments: SegmentCipher = {
  sealInto(key, iv, aad, plaintext, destination) {
    const cipher = createCipheriv('aes-256-gcm', key, iv)
    cipher.setAAD(aad)
    for (let at = 0; at < plaintext.length; at += pieceSize) {
      destination.set(cipher.update(plaintext.subarray(at, at + pieceSize)), at)
    }
    cipher.final()
    destination.set(cipher.getAuthTag(), plaintext.length)
  },

  openInto(key, iv, aad, sealed, destination) {
    const end = sealed.length - tagSize
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: tagSize })
    decipher.setAAD(aad)
    decipher.setAuthTag(sealed.subarray(end))
    for (let at = 0; at < end; at += pieceSize) {
      const piece = decipher.update(sealed.subarray(at, Math.min(at + pieceSize, end)))
      destination.set(piece, at)
      piece.fill(0)
    }
    try {
      decipher.final()
      return true
    } catch {
      destination.fill(0) // unauthenticated plaintext is not handed out
      return false
    }
  },
}

type Pointer = unknown
/** The few functions of OpenSSL's EVP interface that are called (openssl.org, EVP_EncryptInit(3)). */
interface Evp {
  EVP_CIPHER_CTX_new(): Pointer
  EVP_CIPHER_CTX_free(context: Pointer): void
  EVP_aes_256_gcm(): Pointer
  EVP_DecryptInit_ex(context: Pointer, cipher: Pointer, engine: null, key: Uint8Array, iv: Uint8Array): number
  EVP_DecryptUpdate(
    context: Pointer,
    out: Uint8Array | null,
    outLength: Int32Array,
    from: Uint8Array,
    size: number,
  ): number
  EVP_DecryptFinal_ex(context: Pointer, out: Uint8Array, outLength: Int32Array): number
  EVP_CIPHER_CTX_ctrl(context: Pointer, type: number, argument: number, pointer: Uint8Array): number
}
/** EVP_CTRL_AEAD_SET_TAG of openssl/evp.h. */
const setTag = 0x11

function loadEvp(): Evp | null {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const self = koffi.load(null as unknown as string) // the process's own symbols
    const declare = (prototype: string) => self.func(prototype) as unknown
    return {
      EVP_CIPHER_CTX_new: declare('void *EVP_CIPHER_CTX_new()'),
      EVP_CIPHER_CTX_free: declare('void EVP_CIPHER_CTX_free(void *)'),
      EVP_aes_256_gcm: declare('void *EVP_aes_256_gcm()'),
      EVP_DecryptInit_ex: declare('int EVP_DecryptInit_ex(void *, void *, void *, void *, void *)'),
      EVP_DecryptUpdate: declare('int EVP_DecryptUpdate(void *, void *, void *, void *, int)'),
      EVP_DecryptFinal_ex: declare('int EVP_DecryptFinal_ex(void *, void *, void *)'),
      EVP_CIPHER_CTX_ctrl: declare('int EVP_CIPHER_CTX_ctrl(void *, int, int, void *)'),
    } as Evp
  } catch {
    return null // no koffi, or a Node that hides its OpenSSL: streamSegments does the same work
  }
}

/** AES-256-GCM by way of the process's own OpenSSL, straight into the destination; null where it is not exported. */
export function directSegments(): SegmentCipher | null {
  const evp = loadEvp()
  if (evp === null) return null
  const outLength = new Int32Array(1)
  const none = new Uint8Array(tagSize)
  return {
    sealInto: streamSegments.sealInto, // ciphertext may lie about
    openInto(key, iv, aad, sealed, destination) {
      const end = sealed.length - tagSize
      const context = evp.EVP_CIPHER_CTX_new()
      try {
        const good =
          evp.EVP_DecryptInit_ex(context, evp.EVP_aes_256_gcm(), null, key, iv) === 1 &&
          evp.EVP_DecryptUpdate(context, null, outLength, aad, aad.length) === 1 &&
          (end === 0 || evp.EVP_DecryptUpdate(context, destination, outLength, sealed, end) === 1) &&
          evp.EVP_CIPHER_CTX_ctrl(context, setTag, tagSize, sealed.subarray(end)) === 1 &&
          evp.EVP_DecryptFinal_ex(context, none, outLength) === 1
        if (!good) destination.fill(0)
        return good
      } finally {
        evp.EVP_CIPHER_CTX_free(context)
      }
    },
  }
}

let chosen: SegmentCipher | undefined
function choose(): SegmentCipher {
  chosen ??= directSegments() ?? streamSegments
  return chosen
}

/** Loads nothing before its first use. */
export const segmentCipher: SegmentCipher = {
  sealInto: (key, iv, aad, plaintext, destination) => streamSegments.sealInto(key, iv, aad, plaintext, destination),
  openInto: (key, iv, aad, sealed, destination) => choose().openInto(key, iv, aad, sealed, destination),
}
