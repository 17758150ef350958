import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  KeyObject,
  randomFillSync,
  sign,
  verify,
  webcrypto,
} from 'node:crypto'
import { fromBase64Url, toBase64Url } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import type { Backend, HashName, PrivateKeyHandle, SignatureAlgorithm } from '#core/crypto/backend.js'
import { segmentCipher } from '#core/crypto/backend.node.segments.js'
import { ecdsaDerToRaw, ecdsaRawToDer } from '#core/crypto/ecdsa.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { hasKeyForm, pointOf, x25519Pkcs8Prefix } from '#core/crypto/spki.js'
import { Failure } from '#core/failure.js'

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

/**
 * An RSA key says how it is padded; any other goes alone: an object with a key and options in it makes a signature half as
 * dear again in Node 24, and one in r||s twice as dear.
 */
function keyOf(algorithm: SignatureAlgorithm, key: KeyObject) {
  if (algorithm === 'RSA-PSS-SHA384') return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }
  if (algorithm === 'RSA-SHA256') return { key, padding: constants.RSA_PKCS1_PADDING }
  return key
}

/** How many bytes r and s have. */
const halfSizes = { ES256: 32, ES384: 48 } as const
const isEcdsa = (algorithm: SignatureAlgorithm): algorithm is keyof typeof halfSizes =>
  algorithm === 'ES256' || algorithm === 'ES384'

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

// Importing a key costs as much as a P-256 verification: the last ones used are kept by their bytes.
const publicKeys = new Map<string, KeyObject>()
const publicKeysMax = 256

/** Null for a key that is not one of the algorithm. Throws, or rejects, for bytes that are no key at all. */
function publicKey(algorithm: SignatureAlgorithm, spki: Uint8Array): KeyObject | null | Promise<KeyObject | null> {
  if (!hasKeyForm(algorithm, spki)) return null
  const id = Buffer.from(spki.buffer, spki.byteOffset, spki.byteLength).toString('latin1')
  const known = publicKeys.get(id)
  return known ? ofType(algorithm, known) : importPublicKey(algorithm, spki, id)
}

/** The form of an EC key says all; a key of RSA is asked for its type, also when another algorithm brought it here. */
function ofType(algorithm: SignatureAlgorithm, key: KeyObject): KeyObject | null {
  return algorithm.startsWith('RSA') && key.asymmetricKeyType !== 'rsa' ? null : key
}

async function importPublicKey(algorithm: SignatureAlgorithm, spki: Uint8Array, id: string): Promise<KeyObject | null> {
  const point = pointOf(algorithm, spki)
  const key = ofType(algorithm, point ? await importPoint(algorithm, point) : importDer(spki))
  if (key === null) return null
  if (publicKeys.size >= publicKeysMax) publicKeys.delete(publicKeys.keys().next().value!)
  publicKeys.set(id, key)
  return key
}

const importDer = (spki: Uint8Array) => createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })

/**
 * Half the price of DER in OpenSSL 3.0, and a third less than JWK, which asks whether the point has the order of the
 * curve: on P-256 and P-384 every point of the curve has it. That it is one of the curve is found out here too. Node does
 * this on the thread that asks. The point is copied: shared memory would not do. The key is public, so that it may be
 * extracted says nothing more of it; Node 24 warns where it may not.
 */
async function importPoint(algorithm: SignatureAlgorithm, point: Uint8Array): Promise<KeyObject> {
  const parameters = { name: 'ECDSA', namedCurve: algorithm === 'ES256' ? 'P-256' : 'P-384' }
  return KeyObject.from(await webcrypto.subtle.importKey('raw', new Uint8Array(point), parameters, true, ['verify']))
}

/** @throws crypto/key */
function exchange(privateKey: KeyObject, point: Uint8Array): Uint8Array {
  try {
    const key = { kty: 'OKP', crv: 'X25519', x: toBase64Url(point) }
    const secret = diffieHellman({ privateKey, publicKey: createPublicKey({ key, format: 'jwk' }) })
    return new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength)
  } catch (cause) {
    throw new Failure<CryptoCode>('crypto/key', 'X25519: a point of small order', { cause })
  }
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
    const signature = sign(digests[algorithm], message, keyOf(algorithm, key))
    return isEcdsa(algorithm) ? ecdsaDerToRaw(signature, halfSizes[algorithm]) : new Uint8Array(signature)
  },

  async x25519Once(point) {
    const pair = generateKeyPairSync('x25519')
    // Public halves as JWK: in OpenSSL 3.0 reading DER costs more than the exchange.
    const { x } = pair.publicKey.export({ format: 'jwk' })
    return { ephemeral: fromBase64Url(x!, 32), secret: exchange(pair.privateKey, point) }
  },

  async x25519(scalar, point) {
    const pkcs8 = secretBytes(x25519Pkcs8Prefix.length + 32)
    pkcs8.set(x25519Pkcs8Prefix)
    pkcs8.set(scalar, x25519Pkcs8Prefix.length)
    const key = Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.byteLength)
    try {
      return exchange(createPrivateKey({ key, format: 'der', type: 'pkcs8' }), point)
    } finally {
      wipe(pkcs8)
    }
  },

  async verify(algorithm, spki, message, signature, der) {
    try {
      const found = publicKey(algorithm, spki)
      const key = found instanceof Promise ? await found : found
      if (key === null) return false
      let spelled = signature
      if (isEcdsa(algorithm)) {
        if (signature.length !== 2 * halfSizes[algorithm]) return false
        spelled = der ?? ecdsaRawToDer(signature)
      }
      return verify(digests[algorithm], message, keyOf(algorithm, key), spelled)
    } catch {
      return false // bytes that are no key at all
    }
  },
}
