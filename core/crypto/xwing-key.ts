import type { CryptoCode } from '#core/crypto/failures.js'
import { Failure } from '#core/failure.js'

/** In bytes: the private key is a seed, from which both halves are made. */
export const xwingSizes = { seed: 32, publicKey: 1216, enc: 1120, secret: 32, encapsulationSeed: 64 } as const
/** The lattice half of a public key and of an encapsulation; the curve half stands behind it. */
export const latticeSizes = { publicKey: 1184, enc: 1088 } as const

/** @throws crypto/key */
export function verifyXwingSize(bytes: Uint8Array, part: keyof typeof xwingSizes): void {
  const size = xwingSizes[part]
  if (bytes.length === size) return
  throw new Failure<CryptoCode>('crypto/key', `X-Wing ${part} has ${bytes.length} bytes, expected ${size}`)
}

/**
 * Returns only for the bytes of a public key: every coefficient of its lattice half is below the modulus. The library that
 * encapsulates takes larger ones, so this is the one place that refuses them.
 *
 * throws  crypto/key
 * source  FIPS 203, "ML-KEM Encapsulation" (type check and modulus check)
 */
export function verifyXwingKey(publicKey: Uint8Array): void {
  verifyXwingSize(publicKey, 'publicKey')
  // Two coefficients of 12 bits in three bytes; the last 32 bytes of the half are a seed.
  for (let at = 0; at < latticeSizes.publicKey - 32; at += 3) {
    const [low, middle, high] = [publicKey[at]!, publicKey[at + 1]!, publicKey[at + 2]!]
    const first = low | ((middle & 0x0f) << 8)
    const second = (middle >> 4) | (high << 4)
    if (first >= 3329 || second >= 3329)
      throw new Failure<CryptoCode>('crypto/key', `X-Wing publicKey: a coefficient at byte ${at} is not below 3329`)
  }
}
