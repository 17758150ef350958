import { createCipheriv, createDecipheriv, randomBytes, randomFillSync } from 'node:crypto'
import { concat, isZero, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { hmacSha256, sha256 } from '#core/crypto/hash.js'
import { Failure, isFailure } from '#core/failure.js'
import { kekOf } from '#core/sealed/keys.js'
import { createSecretFile, type FileCode, readSecretFile } from '#host/files.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'
import { dekSize, ivSize, keyIdSize, refuseWrapped, splitWrapped, tagSize, wrappedHead } from '#keybroker/kek/layout.js'

const saltSize = 32
const kekSize = 32

/** A fresh AES key for each wrapping, so that no number of wrappings brings two ivs under one key near each other. */
function wrappingKey(kek: Uint8Array, salt: Uint8Array): Uint8Array {
  return derive(kek, salt, 'claviger model key wrapping v1')
}

function keyIdOf(kek: Uint8Array): string {
  return toBase64Url(sha256(derive(kek, new Uint8Array(0), 'claviger kek id v1')).subarray(0, keyIdSize))
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
export function kekOver(key: Uint8Array): OpenKek {
  const keyId = keyIdOf(key)
  let closed = false
  const open = () => {
    if (closed) throw new Error('assertion failed: the key-encryption key is used after it was closed')
  }
  return {
    keyId,
    provider: 'file',
    holder: 'operator',
    isCurrent: () => true,
    verifyProtected: () => undefined,
    verifyUsable: open,
    async wrapDek(dek, aad) {
      open()
      if (dek.length !== dekSize) throw new Error(`assertion failed: a model key has ${dekSize} bytes`)
      const salt = randomBytes(saltSize)
      const iv = randomBytes(ivSize)
      const wrapping = wrappingKey(key, salt)
      try {
        const head = wrappedHead('derived', keyId, concat(salt, iv))
        const cipher = createCipheriv('aes-256-gcm', wrapping, iv)
        cipher.setAAD(concat(head, aad))
        return concat(head, cipher.update(dek), cipher.final(), cipher.getAuthTag())
      } finally {
        wipe(wrapping)
      }
    },
    async unwrapDek(wrapped, aad, named) {
      open()
      const { head, body } = splitWrapped(wrapped, 'derived', keyId, named)
      const wrapping = wrappingKey(key, head.subarray(-ivSize - saltSize, -ivSize))
      const dek = secretBytes(dekSize)
      try {
        const decipher = createDecipheriv('aes-256-gcm', wrapping, head.subarray(-ivSize), { authTagLength: tagSize })
        decipher.setAAD(concat(head, aad))
        decipher.setAuthTag(body.subarray(-tagSize))
        const piece = decipher.update(body.subarray(0, dekSize))
        dek.set(piece)
        wipe(piece)
        decipher.final()
        return dek
      } catch {
        wipe(dek)
        throw refuseWrapped()
      } finally {
        wipe(wrapping)
      }
    },
    async close() {
      closed = true
      wipe(key)
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
    return keyIdOf(key)
  } finally {
    wipe(key)
  }
}

/** The id of the key-encryption key for which the key of a sealed folder stands. dek: 32 bytes */
export function kekIdOf(dek: Uint8Array): string {
  const kek = kekOf(dek)
  try {
    return keyIdOf(kek)
  } finally {
    wipe(kek)
  }
}

/**
 * The key-encryption key of a file. Whoever can read the file can use it: shown as `KEK HELD BY OPERATOR`.
 *
 * throws  file/absent, file/permissions, file/kind, file/size, kek/file
 */
export async function openKekFile(path: string): Promise<OpenKek> {
  const key = await readSecretFile(path).catch((cause: unknown) => {
    if (!isFailure(cause) || cause.code !== 'file/absent') throw cause
    const hint = `restore ${path} from its backup, or name where the key is: --kek; a new one opens nothing that is stored`
    const message = `there is no key-encryption key in ${path}, and without it a broker would store keys in the clear`
    throw new Failure<FileCode>('file/absent', message, { cause, detail: { hint } })
  })
  if (key.length !== kekSize || isZero(key)) {
    const message = `${path} does not hold a key-encryption key: ${key.length} bytes, expected ${kekSize} random ones`
    wipe(key)
    throw new Failure<KekCode>('kek/file', message)
  }
  return kekOver(key)
}
