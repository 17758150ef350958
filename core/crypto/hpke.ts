import * as HPKE from 'hpke'
import { concat, equal } from '#core/bytes/bytes.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import {
  publicBytesOf,
  type RecipientJwk,
  type X25519Jwk,
  type XwingJwk,
  x25519ToJwk,
  xwingToJwk,
} from '#core/crypto/jwk.js'
import { xwingPublicKey } from '#core/crypto/xwing.js'
import { forgetXwingKey, xwingKem } from '#core/crypto/xwing-kem.js'
import { xwingSizes } from '#core/crypto/xwing-key.js'
import { Failure } from '#core/failure.js'

/** DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM: RFC 9180 numbers. */
export const suiteIds = { kem: 0x0020, kdf: 0x0001, aead: 0x0002 } as const
/** Nk and Nn of the suite's AEAD, Nenc of its KEM, in bytes. */
export const suiteSizes = { key: 32, nonce: 12, enc: 32 } as const

/**
 * The two suites. They differ in the KEM alone, whose number stands in the suite id that the key schedule begins with: what was
 * sealed under one opens under no other.
 */
const suites = {
  OKP: {
    cipher: new HPKE.CipherSuite(HPKE.KEM_DHKEM_X25519_HKDF_SHA256, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_256_GCM),
    enc: suiteSizes.enc,
    name: 'X25519',
  },
  AKP: {
    cipher: new HPKE.CipherSuite(xwingKem, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_256_GCM),
    enc: xwingSizes.enc,
    name: 'X-Wing',
  },
} as const

/** A recipient's key pair, made where it is used. The kind of its public key says its suite. */
export interface RecipientKey<K extends RecipientJwk = RecipientJwk> {
  readonly publicKey: K
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

/** A new key pair of X25519. `extractable` only for a key that its owner keeps in a file. */
export async function generateRecipientKey(extractable = false): Promise<RecipientKey<X25519Jwk>> {
  const { cipher } = suites.OKP
  const pair = await cipher.GenerateKeyPair(extractable)
  return {
    publicKey: x25519ToJwk(await cipher.SerializePublicKey(pair.publicKey as never)),
    pair: pair as HPKE.KeyPair,
  }
}

/** A new key pair of X-Wing: for what has to stay secret longer than today's key exchange may. */
export async function generateHybridKey(extractable = false): Promise<RecipientKey<XwingJwk>> {
  const { cipher } = suites.AKP
  const pair = await cipher.GenerateKeyPair(extractable)
  return { publicKey: xwingToJwk(await cipher.SerializePublicKey(pair.publicKey as never)), pair: pair as HPKE.KeyPair }
}

/** The 32 private bytes of an extractable key; of X-Wing the seed. */
export async function exportRecipientKey(key: RecipientKey): Promise<Uint8Array> {
  return suites[key.publicKey.kty].cipher.SerializePrivateKey(key.pair.privateKey as never)
}

/** Zeroes what this process holds of the private half: of X-Wing its seed. One of X25519 is the platform's, and stays there. */
export function forgetRecipientKey(key: RecipientKey): void {
  forgetXwingKey(key.pair.privateKey)
}

/** A key pair from its 32 private bytes and its public key. @throws crypto/key */
export async function importRecipientKey<K extends RecipientJwk>(
  privateBytes: Uint8Array,
  publicKey: K,
): Promise<RecipientKey<K>> {
  const { cipher, name } = suites[publicKey.kty]
  try {
    const raw = publicBytesOf(publicKey)
    if (publicKey.kty === 'AKP' && !equal(await xwingPublicKey(privateBytes), raw))
      throw new TypeError('the public key is another one')
    const pair = {
      privateKey: await cipher.DeserializePrivateKey(privateBytes, false),
      publicKey: await cipher.DeserializePublicKey(raw),
    }
    return { publicKey, pair: pair as HPKE.KeyPair }
  } catch (cause) {
    throw new Failure<CryptoCode>('crypto/key', `not a key pair of ${name}`, { cause })
  }
}

/** Begins sealing to a recipient. source: RFC 9180, "Encryption to a Public Key" (base mode). @throws crypto/key */
export async function setupSender(recipient: RecipientJwk, info: Uint8Array): Promise<SenderContext> {
  const { cipher, name } = suites[recipient.kty]
  let made: Awaited<ReturnType<typeof cipher.SetupSender>>
  try {
    made = await cipher.SetupSender((await cipher.DeserializePublicKey(publicBytesOf(recipient))) as never, { info })
  } catch (cause) {
    throw new Failure<CryptoCode>('crypto/key', `not a public key of ${name} that can be sealed to`, { cause })
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
  const { cipher } = suites[recipient.publicKey.kty]
  let ctx: Awaited<ReturnType<typeof cipher.SetupRecipient>>
  try {
    ctx = await cipher.SetupRecipient(recipient.pair as never, enc, { info })
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

/** One message: `enc` (32 bytes; of X-Wing 1,120), then the ciphertext. */
export async function hpkeSeal(
  recipient: RecipientJwk,
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
  const { enc } = suites[recipient.publicKey.kty]
  const context = await setupRecipient(recipient, sealed.subarray(0, enc), info)
  return context.open(sealed.subarray(enc), aad)
}
