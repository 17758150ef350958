import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomFillSync,
  sign,
  verify,
} from 'node:crypto'
import { secretBytes } from '#core/bytes/secret.js'
import type { Backend, HashName, PrivateKeyHandle, SignatureAlgorithm } from '#core/crypto/backend.js'
import { segmentCipher } from '#core/crypto/backend.node.segments.js'
import { hasKeyForm } from '#core/crypto/spki.js'

interface NodeKey extends PrivateKeyHandle {
  readonly key: KeyObject
}

const digests: Record<SignatureAlgorithm, string | null> = {
  Ed25519: null,
  ES256: 'sha256',
  ES384: 'sha384',
  'RSA-PSS-SHA384': 'sha384',
  'RSA-SHA256': 'sha256',
}

function options(algorithm: SignatureAlgorithm, key: KeyObject) {
  if (algorithm === 'RSA-PSS-SHA384') return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }
  if (algorithm === 'RSA-SHA256') return { key, padding: constants.RSA_PKCS1_PADDING }
  return { key, dsaEncoding: 'ieee-p1363' as const }
}

/** Whether the key is of the type, and on the curve, that the algorithm's name fixes. */
function fits(algorithm: SignatureAlgorithm, key: KeyObject): boolean {
  const curve = key.asymmetricKeyDetails?.namedCurve
  switch (algorithm) {
    case 'Ed25519':
      return key.asymmetricKeyType === 'ed25519'
    case 'ES256':
      return key.asymmetricKeyType === 'ec' && curve === 'prime256v1'
    case 'ES384':
      return key.asymmetricKeyType === 'ec' && curve === 'secp384r1'
    case 'RSA-PSS-SHA384':
    case 'RSA-SHA256':
      return key.asymmetricKeyType === 'rsa'
  }
}

// Importing a key costs as much as a P-256 verification or two: the last ones used are kept by their bytes.
const publicKeys = new Map<string, KeyObject>()
const publicKeysMax = 256

/** Null for a key that is not one of the algorithm. Throws for bytes that are no key at all. */
function publicKey(algorithm: SignatureAlgorithm, spki: Uint8Array): KeyObject | null {
  if (!hasKeyForm(algorithm, spki)) return null
  const id = Buffer.from(spki.buffer, spki.byteOffset, spki.byteLength).toString('latin1')
  const known = publicKeys.get(id)
  const key = known ?? importPublicKey(algorithm, spki)
  // The form of an EC key says all; a key of RSA is asked for its type, also when another algorithm brought it here.
  if (algorithm.startsWith('RSA') && key.asymmetricKeyType !== 'rsa') return null
  if (known) return known
  if (publicKeys.size >= publicKeysMax) publicKeys.delete(publicKeys.keys().next().value!)
  publicKeys.set(id, key)
  return key
}

function importPublicKey(algorithm: SignatureAlgorithm, spki: Uint8Array): KeyObject {
  if (algorithm === 'ES256') {
    // Half the price of DER in OpenSSL 3.0, with the same check that the point is on the curve. Not so for P-384.
    const coordinate = (from: number) => Buffer.from(spki.subarray(from, from + 32)).toString('base64url')
    return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: coordinate(27), y: coordinate(59) }, format: 'jwk' })
  }
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
}

const names = { Ed25519: null, ES256: 'P-256', ES384: 'P-384' } as const

export const backend: Backend = {
  name: 'node',
  segments: segmentCipher,
  hash(name: HashName, bytes) {
    // A view, as below: a digest can be a derived key.
    const digest = hash(name, bytes, 'buffer')
    return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength)
  },
  hashHex: (name, message) => hash(name, message, 'hex'),
  runningHash(name) {
    const running = createHash(name)
    return {
      update: (bytes) => {
        running.update(bytes)
      },
      digest: () => new Uint8Array(running.digest()),
    }
  },
  hmac(name, key, message) {
    // A view, not a copy: the result may be a key, and whoever asked for it zeroes the one place where it is.
    const mac = createHmac(name, key).update(message).digest()
    return new Uint8Array(mac.buffer, mac.byteOffset, mac.byteLength)
  },
  // They may become a key: written once, where whoever asked for them zeroes them.
  randomBytes: (size) => randomFillSync(secretBytes(size)),

  async aesGcmSeal(key, iv, aad, plaintext) {
    const cipher = createCipheriv('aes-256-gcm', key, iv)
    cipher.setAAD(aad)
    const out = new Uint8Array(plaintext.length + 16)
    out.set(cipher.update(plaintext), 0)
    cipher.final()
    out.set(cipher.getAuthTag(), plaintext.length)
    return out
  },

  async aesGcmOpen(key, iv, aad, sealed) {
    if (sealed.length < 16) return null
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 })
    decipher.setAAD(aad)
    decipher.setAuthTag(sealed.subarray(sealed.length - 16))
    const plaintext = decipher.update(sealed.subarray(0, sealed.length - 16))
    try {
      decipher.final()
    } catch {
      plaintext.fill(0) // unauthenticated plaintext is not handed out
      return null
    }
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength)
  },

  async generateKey(algorithm) {
    const name = names[algorithm]
    const pair = name === null ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: name })
    return {
      pkcs8: new Uint8Array(pair.privateKey.export({ format: 'der', type: 'pkcs8' })),
      spki: new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' })),
    }
  },

  async importPrivateKey(algorithm, pkcs8): Promise<NodeKey> {
    const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })
    if (!fits(algorithm, key)) throw new TypeError(`not a key of ${algorithm}`)
    return { algorithm, key }
  },

  async sign(handle, message) {
    const { algorithm, key } = handle as NodeKey
    return new Uint8Array(sign(digests[algorithm], message, options(algorithm, key)))
  },

  async verify(algorithm, spki, message, signature) {
    try {
      const key = publicKey(algorithm, spki)
      return key !== null && verify(digests[algorithm], message, options(algorithm, key), signature)
    } catch {
      return false // bytes that are no key at all
    }
  },
}
