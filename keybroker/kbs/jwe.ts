import { concat, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { aesGcmSeal } from '#core/crypto/aead.js'
import { sha256 } from '#core/crypto/hash.js'
import { aesKeyWrap, ecdhEphemeral, rsaOaepSha256 } from '#core/crypto/key-wrap.js'
import type { TeeKey } from '#keybroker/kbs/tee-key.js'

const keySize = 32
const ivSize = 12
const tagSize = 16

function uint32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

/** The wrapping key: one round of SHA-256 gives its 256 bits. source: RFC 7518, "Key Derivation for ECDH Key Agreement" */
function concatKdf(secret: Uint8Array): Uint8Array {
  const algorithm = utf8('ECDH-ES+A256KW')
  const none = uint32(0)
  const input = concat(uint32(1), secret, uint32(algorithm.length), algorithm, none, none, uint32(keySize * 8))
  const key = sha256(input)
  wipe(input)
  return key
}

interface WrappedKey {
  readonly header: string
  readonly encryptedKey: Uint8Array
}

/**
 * Invariant: the header's text. Clients parse it and write it again before they authenticate it, so only one spelling
 * opens for all of them: no spaces, `alg`, `enc`, `epk`, and inside `epk` the order `crv`, `kty`, `x`, `y`.
 */
async function wrapKey(key: TeeKey, contentKey: Uint8Array): Promise<WrappedKey> {
  if (key.kty === 'RSA') {
    return {
      header: '{"alg":"RSA-OAEP-256","enc":"A256GCM"}',
      encryptedKey: await rsaOaepSha256(key.n, key.e, contentKey),
    }
  }
  const { ephemeral, secret } = await ecdhEphemeral(key)
  const wrapping = concatKdf(secret)
  try {
    const { crv, x, y } = ephemeral
    return {
      header: `{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"crv":"${crv}","kty":"EC","x":"${x}","y":"${y}"}}`,
      encryptedKey: await aesKeyWrap(wrapping, contentKey),
    }
  } finally {
    wipe(secret, wrapping)
  }
}

/**
 * A resource encrypted to a TEE key: JWE in flattened JSON without an `aad` member.
 *
 * random  unpredictable bytes, for content key and iv
 * throws  crypto/key when the key's point is not on its curve
 * source  RFC 7516, "Flattened JWE JSON Serialization Syntax"; trustee kbs/src/jwe/mod.rs
 */
export async function encryptResource(
  key: TeeKey,
  resource: Uint8Array,
  random: (size: number) => Uint8Array,
): Promise<string> {
  const contentKey = secretBytes(keySize)
  contentKey.set(random(keySize))
  try {
    const { header, encryptedKey } = await wrapKey(key, contentKey)
    const protectedText = toBase64Url(utf8(header))
    const iv = random(ivSize)
    const sealed = await aesGcmSeal(contentKey, iv, utf8(protectedText), resource)
    return JSON.stringify({
      protected: protectedText,
      encrypted_key: toBase64Url(encryptedKey),
      iv: toBase64Url(iv),
      ciphertext: toBase64Url(sealed.subarray(0, -tagSize)),
      tag: toBase64Url(sealed.subarray(-tagSize)),
    })
  } finally {
    wipe(contentKey)
  }
}
