import * as HPKE from 'hpke'
import { concat, fromBase64Url } from '#core/bytes/bytes.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { type X25519Jwk, x25519ToJwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'

/** DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM: RFC 9180 numbers. */
export const suiteIds = { kem: 0x0020, kdf: 0x0001, aead: 0x0002 } as const
/** Nk and Nn of the suite's AEAD, Nenc of its KEM, in bytes. */
export const suiteSizes = { key: 32, nonce: 12, enc: 32 } as const

const suite = new HPKE.CipherSuite(HPKE.KEM_DHKEM_X25519_HKDF_SHA256, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_256_GCM)

/** A recipient's key pair, made where it is used. */
export interface RecipientKey {
  readonly publicKey: X25519Jwk
  readonly pair: HPKE.KeyPair
}

/** A sealing or opening context: messages in order, and exported secrets. */
export interface SenderContext {
  readonly enc: Uint8Array
  seal(plaintext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>
  exportSecret(context: Uint8Array, size: number): Promise<Uint8Array>
}
export interface RecipientContext {
  /** @throws crypto/hpke-open */
  open(ciphertext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>
  exportSecret(context: Uint8Array, size: number): Promise<Uint8Array>
}

/** A new key pair. `extractable` only for a key that its owner keeps in a file. */
export async function generateRecipientKey(extractable = false): Promise<RecipientKey> {
  const pair = await suite.GenerateKeyPair(extractable)
  return { publicKey: x25519ToJwk(await suite.SerializePublicKey(pair.publicKey as never)), pair: pair as HPKE.KeyPair }
}

/** The 32 private bytes of an extractable key. */
export async function exportRecipientKey(key: RecipientKey): Promise<Uint8Array> {
  return suite.SerializePrivateKey(key.pair.privateKey as never)
}

/** A key pair from its 32 private and 32 public bytes. @throws crypto/key */
export async function importRecipientKey(privateBytes: Uint8Array, publicKey: X25519Jwk): Promise<RecipientKey> {
  try {
    const pair = {
      privateKey: await suite.DeserializePrivateKey(privateBytes, false),
      publicKey: await suite.DeserializePublicKey(fromBase64Url(publicKey.x, 32)),
    }
    return { publicKey, pair: pair as HPKE.KeyPair }
  } catch (cause) {
    throw new Failure<CryptoCode>('crypto/key', 'not an X25519 key pair', { cause })
  }
}

/** Begins sealing to a recipient. source: RFC 9180, "Encryption to a Public Key" (base mode). @throws crypto/key */
export async function setupSender(recipient: X25519Jwk, info: Uint8Array): Promise<SenderContext> {
  let made: Awaited<ReturnType<typeof suite.SetupSender>>
  try {
    const key = await suite.DeserializePublicKey(fromBase64Url(recipient.x, 32))
    made = await suite.SetupSender(key, { info })
  } catch (cause) {
    throw new Failure<CryptoCode>('crypto/key', 'not an X25519 public key that can be sealed to', { cause })
  }
  return {
    enc: made.encapsulatedSecret,
    seal: (plaintext, aad) => made.ctx.Seal(plaintext, aad),
    exportSecret: (context, size) => made.ctx.Export(context, size),
  }
}

/** Begins opening what a sender sealed. @throws crypto/hpke-open for an encapsulated key that is none */
export async function setupRecipient(
  recipient: RecipientKey,
  enc: Uint8Array,
  info: Uint8Array,
): Promise<RecipientContext> {
  const refused = (cause: unknown) =>
    new Failure<CryptoCode>('crypto/hpke-open', 'sealed to another key, with other info, or altered', { cause })
  let ctx: Awaited<ReturnType<typeof suite.SetupRecipient>>
  try {
    ctx = await suite.SetupRecipient(recipient.pair as never, enc, { info })
  } catch (cause) {
    throw refused(cause)
  }
  return {
    async open(ciphertext, aad) {
      try {
        return await ctx.Open(ciphertext, aad)
      } catch (cause) {
        throw refused(cause)
      }
    },
    exportSecret: (context, size) => ctx.Export(context, size),
  }
}

/** One message: `enc` (32 bytes), then the ciphertext. */
export async function hpkeSeal(
  recipient: X25519Jwk,
  info: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Promise<Uint8Array> {
  const context = await setupSender(recipient, info)
  return concat(context.enc, await context.seal(plaintext, aad))
}

/** The plaintext of one message of hpkeSeal. @throws crypto/hpke-open */
export async function hpkeOpen(
  recipient: RecipientKey,
  info: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  const context = await setupRecipient(recipient, sealed.subarray(0, suiteSizes.enc), info)
  return context.open(sealed.subarray(suiteSizes.enc), aad)
}
