import * as HPKE from 'hpke'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { xwingDecapsulate, xwingEncapsulate, xwingPublicKey } from '#core/crypto/xwing.js'
import { verifyXwingKey, xwingSizes } from '#core/crypto/xwing-key.js'
import { backend } from '#crypto-backend'

// X-Wing as the KEM of an HPKE suite: what the library asks for, and nothing else of it.

const algorithm = { name: 'X-Wing' }
/** The bytes of keys stand here, so that nobody who is given a key object reads them off it. */
const held = new WeakMap<HPKE.Key, Uint8Array>()

function hold(type: 'public' | 'private', extractable: boolean, bytes: Uint8Array): HPKE.Key {
  const key: HPKE.Key = { algorithm, type, extractable }
  held.set(key, bytes)
  return key
}

function bytesOf(key: HPKE.Key): Uint8Array {
  const bytes = held.get(key)
  if (bytes === undefined) throw new TypeError('not a key of X-Wing')
  return bytes
}

function holdSeed(bytes: Uint8Array, extractable: boolean): HPKE.Key {
  const seed = secretBytes(xwingSizes.seed)
  seed.set(bytes)
  return hold('private', extractable, seed)
}

/** Zeroes a private key of X-Wing: nothing opens with it any more. False for a key that is held elsewhere. */
export function forgetXwingKey(key: HPKE.Key): boolean {
  const bytes = held.get(key)
  if (bytes !== undefined) wipe(bytes)
  return bytes !== undefined
}

/**
 * HPKE KEM 0x647a.
 *
 * source  draft-connolly-cfrg-xwing-kem, "Use in HPKE"; draft-ietf-hpke-pq, "PQ/T Hybrid KEM Entries"
 */
export const xwingKem: HPKE.KEMFactory = () => ({
  id: 0x647a,
  type: 'KEM',
  name: algorithm.name,
  Nsecret: xwingSizes.secret,
  Nenc: xwingSizes.enc,
  Npk: xwingSizes.publicKey,
  Nsk: xwingSizes.seed,
  // Two drafts derive differently, and nothing of ours derives a key.
  DeriveKeyPair: async () => {
    throw new HPKE.NotSupportedError('keys of X-Wing are made, not derived')
  },
  async GenerateKeyPair(extractable) {
    const seed = backend.randomBytes(xwingSizes.seed)
    return {
      privateKey: hold('private', extractable, seed),
      publicKey: hold('public', true, await xwingPublicKey(seed)),
    }
  },
  SerializePublicKey: async (key) => bytesOf(key).slice(),
  async DeserializePublicKey(bytes) {
    verifyXwingKey(bytes)
    return hold('public', true, bytes.slice())
  },
  async SerializePrivateKey(key) {
    const seed = secretBytes(xwingSizes.seed)
    seed.set(bytesOf(key))
    return seed
  },
  DeserializePrivateKey: async (bytes, extractable) => holdSeed(bytes, extractable),
  async Encap(key) {
    const { secret, enc } = await xwingEncapsulate(bytesOf(key))
    return { shared_secret: secret, enc }
  },
  Decap: (enc, key) => xwingDecapsulate(enc, bytesOf(key)),
})
