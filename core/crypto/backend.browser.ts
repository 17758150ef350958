import { hmac as nobleHmac } from '@noble/hashes/hmac.js'
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js'
import { assert } from '#core/assert.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import type { Backend, HashName, PrivateKeyHandle, SignatureAlgorithm } from '#core/crypto/backend.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { hasKeyForm, x25519Pkcs8Prefix } from '#core/crypto/spki.js'
import { Failure } from '#core/failure.js'

interface WebKey extends PrivateKeyHandle {
  readonly key: CryptoKey
}
type CryptoKey = Awaited<ReturnType<typeof globalThis.crypto.subtle.importKey>>
type KeyPair = { readonly privateKey: CryptoKey; readonly publicKey: CryptoKey }
type Parameters = { readonly name: string; readonly [name: string]: unknown }

const hashes = { sha256, sha384, sha512 } as const
const subtle = globalThis.crypto.subtle

/** WebCrypto wants bytes over a plain ArrayBuffer, never a shared one. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes)
}

const keyParameters: Record<SignatureAlgorithm, Parameters> = {
  Ed25519: { name: 'Ed25519' },
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  'RSA-PSS-SHA384': { name: 'RSA-PSS', hash: 'SHA-384' },
  'RSA-SHA256': { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
}
const signParameters: Record<SignatureAlgorithm, Parameters> = {
  Ed25519: { name: 'Ed25519' },
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES384: { name: 'ECDSA', hash: 'SHA-384' },
  'RSA-PSS-SHA384': { name: 'RSA-PSS', saltLength: 48 },
  'RSA-SHA256': { name: 'RSASSA-PKCS1-v1_5' },
}

/** @throws crypto/key */
async function exchange(privateKey: CryptoKey, point: Uint8Array): Promise<Uint8Array> {
  try {
    const publicKey = await subtle.importKey('raw', plain(point), { name: 'X25519' }, true, [])
    const secret = new Uint8Array(await subtle.deriveBits({ name: 'X25519', public: publicKey }, privateKey, 256))
    // Not every platform refuses it by itself.
    if (secret.every((byte) => byte === 0)) throw new TypeError('zero')
    return secret
  } catch (cause) {
    throw new Failure<CryptoCode>('crypto/key', 'X25519: a point of small order', { cause })
  }
}

export const backend: Backend = {
  name: 'browser',
  segments: null,
  hash: (name: HashName, bytes) => hashes[name](bytes),
  hashHex: (name, message) => toHex(hashes[name](typeof message === 'string' ? utf8(message) : message)),
  runningHash: (name) => hashes[name].create(),
  hmac: (name, key, message) => nobleHmac(hashes[name], key, message),
  randomBytes(size) {
    const out = new Uint8Array(size)
    for (let at = 0; at < size; at += 65_536) globalThis.crypto.getRandomValues(out.subarray(at, at + 65_536))
    return out
  },

  async aesGcmSeal(key, iv, aad, plaintext) {
    const imported = await subtle.importKey('raw', plain(key), 'AES-GCM', false, ['encrypt'])
    const parameters = { name: 'AES-GCM', iv: plain(iv), additionalData: plain(aad), tagLength: 128 }
    return new Uint8Array(await subtle.encrypt(parameters, imported, plain(plaintext)))
  },

  async aesGcmOpen(key, iv, aad, sealed) {
    if (sealed.length < 16) return null
    const imported = await subtle.importKey('raw', plain(key), 'AES-GCM', false, ['decrypt'])
    const parameters = { name: 'AES-GCM', iv: plain(iv), additionalData: plain(aad), tagLength: 128 }
    try {
      return new Uint8Array(await subtle.decrypt(parameters, imported, plain(sealed)))
    } catch {
      return null
    }
  },

  async generateKey(algorithm) {
    const pair = (await subtle.generateKey(keyParameters[algorithm], true, ['sign', 'verify'])) as {
      readonly privateKey: CryptoKey
      readonly publicKey: CryptoKey
    }
    return {
      pkcs8: new Uint8Array(await subtle.exportKey('pkcs8', pair.privateKey)),
      spki: new Uint8Array(await subtle.exportKey('spki', pair.publicKey)),
    }
  },

  async importPrivateKey(algorithm, pkcs8): Promise<WebKey> {
    return { algorithm, key: await subtle.importKey('pkcs8', plain(pkcs8), keyParameters[algorithm], false, ['sign']) }
  },

  async sign(handle, message) {
    const { algorithm, key } = handle as WebKey
    return new Uint8Array(await subtle.sign(signParameters[algorithm], key, plain(message)))
  },

  async x25519Once(point) {
    const pair = (await subtle.generateKey({ name: 'X25519' }, false, ['deriveBits'])) as KeyPair
    const ephemeral = new Uint8Array(await subtle.exportKey('raw', pair.publicKey))
    return { ephemeral, secret: await exchange(pair.privateKey, point) }
  },

  async x25519(scalar, point) {
    const pkcs8 = secretBytes(x25519Pkcs8Prefix.length + 32)
    pkcs8.set(x25519Pkcs8Prefix)
    pkcs8.set(scalar, x25519Pkcs8Prefix.length)
    try {
      const privateKey = await subtle.importKey('pkcs8', plain(pkcs8), { name: 'X25519' }, false, ['deriveBits'])
      return await exchange(privateKey, point)
    } finally {
      wipe(pkcs8)
    }
  },

  async verify(algorithm, spki, message, signature) {
    if (!hasKeyForm(algorithm, spki)) return false
    // A page of plain http elsewhere than on the machine itself has none: that nothing can be verified says nothing of a signature.
    assert(subtle !== undefined, 'this runtime has WebCrypto, as browsers have it on https and on loopback')
    try {
      const key = await subtle.importKey('spki', plain(spki), keyParameters[algorithm], false, ['verify'])
      return await subtle.verify(signParameters[algorithm], key, plain(signature), plain(message))
    } catch {
      return false // bytes that are no key at all
    }
  },
}
