import { secretBytes, wipe } from '#core/bytes/secret.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { Failure } from '#core/failure.js'

/** Shares of one secret at most: more brokers than any owner will name. */
export const sharesMax = 16

/** One share: the value of every byte's polynomial at `index`. */
export interface Share {
  /** 1 to 16: where the polynomials are taken. 0 would be the secret */
  readonly index: number
  /** as long as the secret */
  readonly value: Uint8Array
}

/*
 * GF(2^8) with x^8 + x^4 + x^3 + x + 1. Invariant: no branch and no address depends on a secret. Tables of logarithms, which
 * are what libraries use, are read at an address that is the secret, and a neighbour on the machine sees which cache line that was.
 */

/** The product of two elements: eight steps, whatever they are. source: FIPS 197, "Multiplication in GF(2^8)" */
function multiply(a: number, b: number): number {
  let product = 0
  let left = a
  for (let bit = 0; bit < 8; bit++) {
    product ^= -((b >> bit) & 1) & left
    left = ((left << 1) ^ (-(left >> 7) & 0x11b)) & 0xff
  }
  return product
}

/** The inverse, a^254: for indices only, none of which is 0. */
function inverse(a: number): number {
  let result = 1
  let square = a
  for (let bit = 1; bit < 8; bit++) {
    square = multiply(square, square)
    result = multiply(result, square)
  }
  return result
}

function refuse(message: string): Failure<CryptoCode> {
  return new Failure<CryptoCode>('crypto/shares', message)
}

/**
 * `count` shares of which any `threshold` give the secret back, while fewer say nothing about it: for every secret there is
 * exactly one choice of the randomness that yields them.
 *
 * secret  any size; the shares have the same
 * random  (threshold - 1) * secret.length random bytes of which nobody keeps a copy: the caller wipes them
 * returns shares 1 to `count`, in memory outside V8's heap, for the caller to wipe
 * throws  crypto/shares
 * source  A. Shamir, "How to Share a Secret", CACM 22 (1979), over GF(2^8) as FIPS 197 has it
 */
export function splitSecret(
  secret: Uint8Array,
  { threshold, count }: { readonly threshold: number; readonly count: number },
  random: Uint8Array,
): readonly Share[] {
  if (!Number.isInteger(count) || count < 2 || count > sharesMax)
    throw refuse(`${count} shares, expected 2 to ${sharesMax}`)
  if (!Number.isInteger(threshold) || threshold < 2 || threshold > count)
    throw refuse(`threshold ${threshold}, expected 2 to ${count}`)
  if (secret.length === 0 || random.length !== (threshold - 1) * secret.length)
    throw refuse(`${random.length} random bytes, expected ${(threshold - 1) * secret.length}`)
  return Array.from({ length: count }, (_, at) => {
    const index = at + 1
    const value = secretBytes(secret.length)
    for (let byte = 0; byte < secret.length; byte++) {
      let sum = 0
      // Horner's rule, from the highest coefficient down to the secret.
      for (let power = threshold - 2; power >= 0; power--)
        sum = multiply(sum ^ random[power * secret.length + byte]!, index)
      value[byte] = sum ^ secret[byte]!
    }
    return { index, value }
  })
}

/**
 * The secret of which these are shares, by interpolation at 0, in memory outside V8's heap, for the caller to wipe.
 *
 * Invariant: any values give some secret. Whether it is the right one is not seen here: compare each share with its
 * commitment first.
 *
 * shares  exactly as many as the threshold, each index once
 * throws  crypto/shares
 */
export function combineShares(shares: readonly Share[]): Uint8Array {
  const [first] = shares
  if (first === undefined || shares.length < 2 || shares.length > sharesMax)
    throw refuse(`${shares.length} shares, expected 2 to ${sharesMax}`)
  const size = first.value.length
  const indices = shares.map(({ index }) => index)
  if (new Set(indices).size !== shares.length) throw refuse('two shares have one index')
  if (!indices.every((index) => Number.isInteger(index) && index >= 1 && index <= sharesMax))
    throw refuse(`an index is not from 1 to ${sharesMax}`)
  if (size === 0 || shares.some(({ value }) => value.length !== size)) throw refuse('shares have different sizes')
  const secret = secretBytes(size)
  try {
    for (const { index, value } of shares) {
      let weight = 1
      for (const other of indices)
        if (other !== index) weight = multiply(weight, multiply(other, inverse(other ^ index)))
      for (let byte = 0; byte < size; byte++) secret[byte]! ^= multiply(value[byte]!, weight)
    }
    return secret
  } catch (error) {
    wipe(secret)
    throw error
  }
}
