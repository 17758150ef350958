import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from '#core/bytes/bytes.js'
import { combineShares, type Share, sharesMax, splitSecret } from '#core/crypto/shamir.js'

const file = new URL('../../vectors/quorum/cases.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly sharing: readonly {
    readonly name: string
    readonly threshold: number
    readonly secret: string
    /** coefficients, from the first power up; null where another implementation split and did not show them */
    readonly random: string | null
    readonly shares: readonly { readonly index: number; readonly value: string }[]
  }[]
}

/** Every choice of `size` out of a list, in every order of the list's own. */
function choices<T>(from: readonly T[], size: number): readonly (readonly T[])[] {
  if (size === 0) return [[]]
  return from.flatMap((one, at) => choices(from.slice(at + 1), size - 1).map((rest) => [one, ...rest]))
}

const sharing = fc
  .record({ count: fc.integer({ min: 2, max: sharesMax }), size: fc.integer({ min: 1, max: 40 }) })
  .chain(({ count, size }) =>
    fc.integer({ min: 2, max: count }).chain((threshold) =>
      fc.record({
        threshold: fc.constant(threshold),
        count: fc.constant(count),
        secret: fc.uint8Array({ minLength: size, maxLength: size }),
        random: fc.uint8Array({ minLength: size * (threshold - 1), maxLength: size * (threshold - 1) }),
        order: fc.shuffledSubarray(
          Array.from({ length: count }, (_, at) => at),
          { minLength: threshold, maxLength: threshold },
        ),
      }),
    ),
  )

describe('known answers', () => {
  test.each(vectors.sharing)('$name', ({ threshold, secret, random, shares }) => {
    const given: Share[] = shares.map(({ index, value }) => ({ index, value: fromHex(value) }))
    for (const some of choices(given, threshold)) expect(toHex(combineShares(some))).toBe(secret)
    if (random === null) return
    const made = splitSecret(fromHex(secret), { threshold, count: shares.length }, fromHex(random))
    expect(made.map(({ index, value }) => ({ index, value: toHex(value) }))).toEqual(shares)
  })
})

describe('properties', () => {
  test('any shares up to the threshold, in any order, give the secret back', () => {
    fc.assert(
      fc.property(sharing, ({ threshold, count, secret, random, order }) => {
        const shares = splitSecret(secret, { threshold, count }, random)
        expect(shares.map(({ index }) => index)).toEqual(Array.from({ length: count }, (_, at) => at + 1))
        expect(toHex(combineShares(order.map((at) => shares[at]!)))).toBe(toHex(secret))
      }),
    )
  })

  test('one share of a threshold of two is each value for exactly one choice of the randomness, whatever the secret', () => {
    for (const index of [1, 2, 3, sharesMax]) {
      for (let secret = 0; secret < 256; secret += 5) {
        const seen = new Set<number>()
        for (let random = 0; random < 256; random++) {
          const of = { threshold: 2, count: sharesMax }
          seen.add(splitSecret(Uint8Array.of(secret), of, Uint8Array.of(random))[index - 1]!.value[0]!)
        }
        expect(seen.size).toBe(256)
      }
    }
  })

  test('two shares of a threshold of three are each pair for exactly one choice of it', () => {
    for (const secret of [0, 1, 0xff]) {
      const seen = new Uint8Array(65_536)
      for (let random = 0; random < 65_536; random++) {
        const bytes = Uint8Array.of(random >> 8, random & 0xff)
        const shares = splitSecret(Uint8Array.of(secret), { threshold: 3, count: 3 }, bytes)
        seen[(shares[0]!.value[0]! << 8) | shares[2]!.value[0]!]! += 1
      }
      expect(seen.every((count) => count === 1)).toBe(true)
    }
  })

  test('one share too few gives another secret, and a changed bit does', () => {
    const secret = fromHex('00112233445566778899aabbccddeeff', 16)
    const random = new Uint8Array(32).map((_, at) => at * 7 + 3)
    const shares = splitSecret(secret, { threshold: 3, count: 4 }, random)
    expect(toHex(combineShares(shares.slice(0, 2)))).not.toBe(toHex(secret))
    shares[1]!.value[5]! ^= 1
    expect(toHex(combineShares(shares.slice(0, 3)))).not.toBe(toHex(secret))
    expect(toHex(combineShares([shares[0]!, shares[2]!, shares[3]!]))).toBe(toHex(secret))
  })

  test('secrets and shares are views outside the small arrays that V8 moves', () => {
    const shares = splitSecret(new Uint8Array(32), { threshold: 2, count: 2 }, new Uint8Array(32))
    for (const { value } of shares) expect(value.buffer.byteLength).toBeGreaterThan(64)
    expect(combineShares(shares).buffer.byteLength).toBeGreaterThan(64)
  })
})

describe('what is refused', () => {
  const value = new Uint8Array(4)
  const split = (threshold: number, count: number, secret = 4, random = (threshold - 1) * secret) =>
    splitSecret(new Uint8Array(secret), { threshold, count }, new Uint8Array(Math.max(0, random)))
  test.each([
    ['one share', () => split(2, 1)],
    ['more shares than there are indices', () => split(2, 17)],
    ['a threshold of one: that is a copy', () => split(1, 3)],
    ['a threshold above the number of shares', () => split(4, 3)],
    ['no whole number', () => split(2.5, 3)],
    ['an empty secret', () => split(2, 3, 0)],
    ['too little randomness', () => split(3, 3, 4, 4)],
    ['no shares', () => combineShares([])],
    ['a single share', () => combineShares([{ index: 1, value }])],
    [
      'one index twice',
      () =>
        combineShares([
          { index: 1, value },
          { index: 1, value },
        ]),
    ],
    [
      'index 0, where the secret stands',
      () =>
        combineShares([
          { index: 0, value },
          { index: 1, value },
        ]),
    ],
    [
      'an index beyond',
      () =>
        combineShares([
          { index: 17, value },
          { index: 1, value },
        ]),
    ],
    [
      'shares of different sizes',
      () =>
        combineShares([
          { index: 1, value },
          { index: 2, value: value.subarray(1) },
        ]),
    ],
    [
      'empty shares',
      () =>
        combineShares([
          { index: 1, value: value.subarray(4) },
          { index: 2, value: value.subarray(4) },
        ]),
    ],
  ])('%s', (_, work) => {
    expect(work).toThrow(expect.objectContaining({ code: 'crypto/shares' }))
  })
})
