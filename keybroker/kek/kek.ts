/**
 * What belongs in keybroker/kek: providers of the key-encryption key, which wraps the keys of models for storage. What
 * does not: the decision to unwrap one, and the wrapping to a node's key.
 */
import { createCipheriv, createDecipheriv, randomBytes, randomFillSync } from 'node:crypto'
import { concat, isZero, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { hmacSha256, sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { createSecretFile, type FileCode, readSecretFile } from '#host/files.js'
import type { Kek } from '#keybroker/ports.js'

/** Failures of wrapping and unwrapping model keys. */
export type KekCode =
  /** the wrapped key was altered, or is not that of the tenant, model and statements named */
  | 'kek/unwrap'
  /** it was wrapped under another key-encryption key */
  | 'kek/key-id'
  /** the file does not hold a key-encryption key */
  | 'kek/file'
  | FileCode

/** A key-encryption key that this process can use until it is closed. */
export interface OpenKek extends Kek {
  /** who else can use it, as the broker's document tells it */
  readonly holder: 'operator'
  /**
   * The model key, 32 bytes, for the caller to wipe.
   *
   * keyId   the key-encryption key that the row names
   * throws  kek/unwrap, kek/key-id
   */
  unwrapDek(wrapped: Uint8Array, aad: Uint8Array, keyId: string): Promise<Uint8Array>
  /** The key is overwritten; every later use fails. */
  close(): void
}

// Layout of a wrapped key: version, key id, salt, iv, ciphertext, tag. docs/decisions/kek.md says why each is there.
const layoutVersion = 1
const keyIdSize = 16
const saltSize = 32
const ivSize = 12
const tagSize = 16
const dekSize = 32
const wrappedSize = 1 + keyIdSize + saltSize + ivSize + dekSize + tagSize
const kekSize = 32

/** A fresh AES key for each wrapping, so that no number of wrappings brings two ivs under one key near each other. */
function wrappingKey(kek: Uint8Array, salt: Uint8Array): Uint8Array {
  return derive(kek, salt, 'claviger model key wrapping v1')
}

function keyIdOf(kek: Uint8Array): Uint8Array {
  return sha256(derive(kek, new Uint8Array(0), 'claviger kek id v1')).subarray(0, keyIdSize)
}

/**
 * 32 bytes by HKDF-SHA-256.
 *
 * Node's own HKDF makes a key object of what it is given: one more copy of the key-encryption key for each use, which lies
 * about until a collector comes by. HMAC reads the key where it is.
 * source  RFC 5869, "HKDF-Extract", "HKDF-Expand" (one block)
 */
function derive(kek: Uint8Array, salt: Uint8Array, info: string): Uint8Array {
  const extracted = hmacSha256(salt, kek)
  try {
    return hmacSha256(extracted, concat(utf8(info), Uint8Array.of(1)))
  } finally {
    wipe(extracted)
  }
}

/** A provider over 32 bytes that it owns from now on. */
function kekOver(key: Uint8Array): OpenKek {
  const id = keyIdOf(key)
  let closed = false
  const open = () => {
    if (closed) throw new Error('assertion failed: the key-encryption key is used after it was closed')
  }
  return {
    keyId: toBase64Url(id),
    holder: 'operator',
    async wrapDek(dek, aad) {
      open()
      if (dek.length !== dekSize) throw new Error(`assertion failed: a model key has ${dekSize} bytes`)
      const salt = randomBytes(saltSize)
      const iv = randomBytes(ivSize)
      const wrapping = wrappingKey(key, salt)
      try {
        const cipher = createCipheriv('aes-256-gcm', wrapping, iv)
        const header = Buffer.concat([Uint8Array.of(layoutVersion), id, salt, iv])
        cipher.setAAD(Buffer.concat([header, aad]))
        const body = Buffer.concat([cipher.update(dek), cipher.final()])
        return new Uint8Array(Buffer.concat([header, body, cipher.getAuthTag()]))
      } finally {
        wrapping.fill(0)
      }
    },
    async unwrapDek(wrapped, aad, keyId) {
      open()
      const refuse = () => new Failure<KekCode>('kek/unwrap', 'the model key was altered, or belongs to something else')
      if (wrapped.length !== wrappedSize || wrapped[0] !== layoutVersion) throw refuse()
      const header = wrapped.subarray(0, 1 + keyIdSize + saltSize + ivSize)
      const named = toBase64Url(header.subarray(1, 1 + keyIdSize))
      const own = toBase64Url(id)
      if (named !== own || keyId !== own) {
        const other = named === own ? keyId : named
        const message = `the model key is wrapped under ${other}, this broker has ${own}`
        throw new Failure<KekCode>('kek/key-id', message)
      }
      const wrapping = wrappingKey(key, header.subarray(1 + keyIdSize, 1 + keyIdSize + saltSize))
      const dek = secretBytes(dekSize)
      try {
        const decipher = createDecipheriv('aes-256-gcm', wrapping, header.subarray(-ivSize), { authTagLength: tagSize })
        decipher.setAAD(Buffer.concat([header, aad]))
        decipher.setAuthTag(wrapped.subarray(-tagSize))
        const piece = decipher.update(wrapped.subarray(header.length, -tagSize))
        dek.set(piece)
        piece.fill(0)
        decipher.final()
        return dek
      } catch {
        dek.fill(0)
        throw refuse()
      } finally {
        wrapping.fill(0)
      }
    },
    close() {
      closed = true
      key.fill(0)
    },
  }
}

/**
 * A new key-encryption key of 32 random bytes stands in a new file of mode 0600; returns its id.
 *
 * Creating one is the operator's explicit act: with a second key, nothing that the first wrapped opens again.
 * throws  file/exists
 */
export async function createKekFile(path: string): Promise<string> {
  const key = secretBytes(kekSize)
  try {
    randomFillSync(key)
    await createSecretFile(path, key)
    return toBase64Url(keyIdOf(key))
  } finally {
    key.fill(0)
  }
}

/**
 * The key-encryption key of a file. Whoever can read the file can use it: shown as `KEK HELD BY OPERATOR`.
 *
 * throws  file/absent, file/permissions, file/kind, file/size, kek/file
 */
export async function openKekFile(path: string): Promise<OpenKek> {
  const key = await readSecretFile(path)
  if (key.length !== kekSize || isZero(key)) {
    const message = `${path} does not hold a key-encryption key: ${key.length} bytes, expected ${kekSize} random ones`
    key.fill(0)
    throw new Failure<KekCode>('kek/file', message)
  }
  return kekOver(key)
}
