import { sha3_256, shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { concat } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { latticeSizes, verifyXwingKey, verifyXwingSize, xwingSizes } from '#core/crypto/xwing-key.js'
import { backend } from '#crypto-backend'

/**
 * X-Wing: ML-KEM-768 and X25519 in one key encapsulation. A secret stays one while either of the two holds.
 *
 * The lattice half runs in JavaScript, which does not run in constant time; the curve half is the platform's. What that
 * means here stands in docs/decisions/hybrid.md.
 * source  draft-connolly-cfrg-xwing-kem (commit 9b6ce9e61481, March 2026), "X-Wing Construction"
 */

const label = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)
const basePoint = Uint8Array.of(9, ...new Uint8Array(31))

/** Both private halves, for the caller to wipe, and the public ones. */
async function expand(seed: Uint8Array) {
  verifyXwingSize(seed, 'seed')
  const expanded = shake256(seed, { dkLen: 96 })
  try {
    const lattice = ml_kem768.keygen(expanded.subarray(0, 64))
    const scalar = secretBytes(32)
    scalar.set(expanded.subarray(64))
    return { lattice, scalar, point: await backend.x25519(scalar, basePoint) }
  } finally {
    wipe(expanded)
  }
}

/** The 1,216 public bytes of a seed. @throws crypto/key */
export async function xwingPublicKey(seed: Uint8Array): Promise<Uint8Array> {
  const { lattice, scalar, point } = await expand(seed)
  wipe(lattice.secretKey, scalar)
  return concat(lattice.publicKey, point)
}

/** source: draft-connolly-cfrg-xwing-kem, "Combiner". Wipes the two secrets that it combines. */
function combine(lattice: Uint8Array, curve: Uint8Array, ephemeral: Uint8Array, point: Uint8Array): Uint8Array {
  const hashed = sha3_256.create().update(lattice).update(curve).update(ephemeral).update(point).update(label)
  const secret = secretBytes(xwingSizes.secret)
  hashed.digestInto(secret)
  hashed.destroy()
  wipe(lattice, curve)
  return secret
}

interface Encapsulated {
  /** 32 bytes, for the caller to wipe */
  readonly secret: Uint8Array
  /** 1,120 bytes */
  readonly enc: Uint8Array
}

/** Both halves, and their combination. coins: 32 unpredictable bytes for the lattice half, used once */
async function encapsulate(
  publicKey: Uint8Array,
  coins: Uint8Array,
  exchange: (point: Uint8Array) => ReturnType<typeof backend.x25519Once>,
): Promise<Encapsulated> {
  verifyXwingKey(publicKey)
  const point = publicKey.subarray(latticeSizes.publicKey)
  const { ephemeral, secret: curve } = await exchange(point)
  const lattice = ml_kem768.encapsulate(publicKey.subarray(0, latticeSizes.publicKey), coins)
  return {
    secret: combine(lattice.sharedSecret, curve, ephemeral, point),
    enc: concat(lattice.cipherText, ephemeral),
  }
}

/** A secret and its encapsulation to `publicKey`. @throws crypto/key: not a public key, or its curve half is a point of small order */
export async function xwingEncapsulate(publicKey: Uint8Array): Promise<Encapsulated> {
  const coins = backend.randomBytes(32)
  try {
    return await encapsulate(publicKey, coins, (point) => backend.x25519Once(point))
  } finally {
    wipe(coins)
  }
}

/**
 * The same from a seed, as known answers are made.
 *
 * seed     64 unpredictable bytes, used once
 * throws   crypto/key
 */
export async function xwingEncapsulateFrom(publicKey: Uint8Array, seed: Uint8Array): Promise<Encapsulated> {
  verifyXwingSize(seed, 'encapsulationSeed')
  const scalar = secretBytes(32)
  scalar.set(seed.subarray(32))
  try {
    return await encapsulate(publicKey, seed.subarray(0, 32), async (point) => ({
      ephemeral: await backend.x25519(scalar, basePoint),
      secret: await backend.x25519(scalar, point),
    }))
  } finally {
    wipe(scalar)
  }
}

/**
 * The secret that was encapsulated to the public key of `seed`. For 1,120 bytes that nobody encapsulated to it, it is a secret
 * that nobody knows: only what is opened with it tells.
 *
 * returns  32 bytes, for the caller to wipe
 * throws   crypto/key: another size, or a point of small order, which nobody makes who wants to be understood
 */
export async function xwingDecapsulate(enc: Uint8Array, seed: Uint8Array): Promise<Uint8Array> {
  verifyXwingSize(enc, 'enc')
  const { lattice, scalar, point } = await expand(seed)
  try {
    const ephemeral = enc.subarray(latticeSizes.enc)
    const curve = await backend.x25519(scalar, ephemeral)
    return combine(ml_kem768.decapsulate(enc.subarray(0, latticeSizes.enc), lattice.secretKey), curve, ephemeral, point)
  } finally {
    wipe(lattice.secretKey, scalar)
  }
}
