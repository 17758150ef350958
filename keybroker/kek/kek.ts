/**
 * What belongs in keybroker/kek: providers of the key-encryption key, which wraps the keys of models for storage. What
 * does not: the decision to unwrap one, and the wrapping to a node's key.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, randomFillSync } from 'node:crypto'
import { isZero, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { createSecretFile, type FileCode, readSecretFile, secretBuffer } from '#host/files.js'

/** Failures of wrapping and unwrapping model keys. */
export type KekCode =
  /** the wrapped key was altered, or is not that of the tenant, model and statements named */
  | 'kek/unwrap'
  /** it was wrapped under another key-encryption key */
  | 'kek/key-id'
  /** the file does not hold a key-encryption key */
  | 'kek/file'
  | FileCode

/**
 * What a wrapped model key is bound to: it unwraps for exactly these values. Digests as their formats spell them.
 * A row that is swapped, a class that is flipped, an owner who is replaced: none of them unwraps.
 */
export interface WrapContext {
  readonly tenant: string
  readonly tenantClass: 'production' | 'development'
  readonly model: string
  readonly version: number
  readonly manifestDigest: string
  readonly ownerKeysDigest: string
  readonly trustDigest: string
}

/** A key-encryption key that somebody keeps. `holder` says who can use it, for node document and receipt. */
export interface Kek {
  readonly keyId: string
  readonly holder: 'operator'
  /** The wrapped key, for storage. dek 32 bytes; the caller's, and the caller overwrites it */
  wrapDek(dek: Uint8Array, context: WrapContext): Promise<Uint8Array>
  /**
   * The model key, 32 bytes in a buffer of its own, for the caller to overwrite.
   *
   * throws  kek/unwrap, kek/key-id
   */
  unwrapDek(wrapped: Uint8Array, context: WrapContext): Promise<Uint8Array>
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

function aadOf(context: WrapContext): Uint8Array {
  const { tenant, tenantClass, model, version, manifestDigest, ownerKeysDigest, trustDigest } = context
  return canonicalJson({
    purpose: 'claviger model key v1',
    tenant,
    tenant_class: tenantClass,
    model,
    version,
    manifest_digest: manifestDigest,
    owner_keys_digest: ownerKeysDigest,
    trust_digest: trustDigest,
  })
}

/** A fresh AES key for each wrapping, so that no number of wrappings brings two ivs under one key near each other. */
function wrappingKey(kek: Uint8Array, salt: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', kek, salt, utf8('claviger model key wrapping v1'), 32))
}

function keyIdOf(kek: Uint8Array): Uint8Array {
  const derived = new Uint8Array(hkdfSync('sha256', kek, new Uint8Array(0), utf8('claviger kek id v1'), 32))
  return sha256(derived).subarray(0, keyIdSize)
}

/** A provider over 32 bytes that it owns from now on. */
function kekOver(key: Buffer): Kek {
  const id = keyIdOf(key)
  let closed = false
  const open = () => {
    if (closed) throw new Error('assertion failed: the key-encryption key is used after it was closed')
  }
  return {
    keyId: toBase64Url(id),
    holder: 'operator',
    async wrapDek(dek, context) {
      open()
      if (dek.length !== dekSize) throw new Error(`assertion failed: a model key has ${dekSize} bytes`)
      const salt = randomBytes(saltSize)
      const iv = randomBytes(ivSize)
      const wrapping = wrappingKey(key, salt)
      try {
        const cipher = createCipheriv('aes-256-gcm', wrapping, iv)
        const header = Buffer.concat([Uint8Array.of(layoutVersion), id, salt, iv])
        cipher.setAAD(Buffer.concat([header, aadOf(context)]))
        const body = Buffer.concat([cipher.update(dek), cipher.final()])
        return new Uint8Array(Buffer.concat([header, body, cipher.getAuthTag()]))
      } finally {
        wrapping.fill(0)
      }
    },
    async unwrapDek(wrapped, context) {
      open()
      const refuse = () =>
        new Failure<KekCode>('kek/unwrap', `the key of ${context.model} version ${context.version} does not unwrap`)
      if (wrapped.length !== wrappedSize || wrapped[0] !== layoutVersion) throw refuse()
      const header = wrapped.subarray(0, 1 + keyIdSize + saltSize + ivSize)
      const named = header.subarray(1, 1 + keyIdSize)
      if (Buffer.compare(named, id) !== 0) {
        const message = `the key of ${context.model} is wrapped under ${toBase64Url(named)}, this broker has ${toBase64Url(id)}`
        throw new Failure<KekCode>('kek/key-id', message)
      }
      const wrapping = wrappingKey(key, header.subarray(1 + keyIdSize, 1 + keyIdSize + saltSize))
      const dek = secretBuffer(dekSize)
      try {
        const decipher = createDecipheriv('aes-256-gcm', wrapping, header.subarray(-ivSize), { authTagLength: tagSize })
        decipher.setAAD(Buffer.concat([header, aadOf(context)]))
        decipher.setAuthTag(wrapped.subarray(-tagSize))
        const piece = decipher.update(wrapped.subarray(header.length, -tagSize))
        piece.copy(dek)
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
  const key = secretBuffer(kekSize)
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
export async function openKekFile(path: string): Promise<Kek> {
  const key = await readSecretFile(path)
  if (key.length !== kekSize || isZero(key)) {
    const message = `${path} does not hold a key-encryption key: ${key.length} bytes, expected ${kekSize} random ones`
    key.fill(0)
    throw new Failure<KekCode>('kek/file', message)
  }
  return kekOver(key)
}
