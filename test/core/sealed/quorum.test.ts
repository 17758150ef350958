import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { combineShares, splitSecret } from '#core/crypto/shamir.js'
import type { Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import {
  isSameQuorum,
  type Quorum,
  quorumShape,
  shareCommitment,
  shareIndexOf,
  verifyQuorum,
  verifyShare,
} from '#core/sealed/quorum.js'

const file = new URL('../../vectors/quorum/cases.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly model: { readonly id: string; readonly version: number }
  readonly quorum: Quorum
  readonly secret: string
  /** opening and share, by index */
  readonly records: readonly string[]
  readonly quorums: readonly { readonly name: string; readonly expected: string; readonly quorum: Json }[]
  readonly shares: readonly {
    readonly name: string
    readonly expected: string
    readonly index: number
    readonly model?: { readonly id: string; readonly version: number }
    readonly record: string
  }[]
}
const { model, quorum } = vectors
const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

describe('vectors', () => {
  test.each(vectors.quorums)('a quorum: $name', ({ expected, quorum: given }) => {
    expect(codeOf(() => verifyQuorum(quorumShape(given, 'quorum')))).toBe(expected)
  })
  test.each(vectors.shares)('a share: $name', ({ expected, index, record, model: other }) => {
    expect(codeOf(() => verifyShare(quorum, { model: other ?? model, index }, fromHex(record)))).toBe(expected)
  })
  test('any two of the shares give the key', () => {
    const shares = vectors.records.map((record, at) => verifyShare(quorum, { model, index: at + 1 }, fromHex(record)))
    expect(toHex(combineShares([shares[0]!, shares[1]!]))).toBe(vectors.secret)
    expect(toHex(combineShares([shares[2]!, shares[1]!]))).toBe(vectors.secret)
  })
})

describe('a wrong share', () => {
  test('is told with the broker whose share it should have been', () => {
    const record = fromHex(vectors.records[1]!)
    record[63]! ^= 1
    const thrown = (() => {
      try {
        verifyShare(quorum, { model, index: 2 }, record)
      } catch (error) {
        return error
      }
    })()
    expect(isFailure(thrown) && thrown.message).toContain(quorum.shares[1]!.broker)
    expect(isFailure(thrown) && thrown.detail).toMatchObject({ index: 2, broker: quorum.shares[1]!.broker })
    expect(isFailure(thrown) && thrown.message).not.toContain(toHex(record.subarray(32)))
  })
  test('any changed bit of opening or share is one, and so is any other size', () => {
    fc.assert(
      fc.property(fc.nat(63), fc.integer({ min: 1, max: 255 }), fc.integer({ min: 0, max: 200 }), (at, mask, size) => {
        const record = fromHex(vectors.records[0]!)
        record[at]! ^= mask
        expect(codeOf(() => verifyShare(quorum, { model, index: 1 }, record))).toBe('sealed/share')
        if (size === 64) return
        expect(codeOf(() => verifyShare(quorum, { model, index: 1 }, new Uint8Array(size)))).toBe('sealed/share')
      }),
    )
  })
  test('shares that combine to the same key under another split are wrong ones too', () => {
    const again = splitSecret(fromHex(vectors.secret), { threshold: 2, count: 3 }, randomBytes(32))
    const record = fromHex(vectors.records[0]!)
    record.set(again[0]!.value, 32)
    expect(codeOf(() => verifyShare(quorum, { model, index: 1 }, record))).toBe('sealed/share')
  })
})

test('the same share with another opening has another commitment: nothing can be compared', () => {
  const record = fromHex(vectors.records[0]!)
  const context = { model, threshold: 2, index: 1 }
  const first = shareCommitment(context, record)
  expect(first).toBe(quorum.shares[0]!.commitment)
  record.set(randomBytes(32))
  expect(shareCommitment(context, record)).not.toBe(first)
})

test('a broker has the index of its place, or none', () => {
  expect(quorum.shares.map(({ broker }) => shareIndexOf(quorum, broker))).toEqual([1, 2, 3])
  expect(codeOf(() => shareIndexOf(quorum, 'A'.repeat(43)))).toBe('sealed/quorum')
})

test('quorums are the same member by member', () => {
  expect(isSameQuorum(quorum, structuredClone(quorum))).toBe(true)
  expect(isSameQuorum(undefined, undefined)).toBe(true)
  expect(isSameQuorum(quorum, undefined)).toBe(false)
  expect(isSameQuorum(quorum, { ...quorum, threshold: 3 })).toBe(false)
})

test('any JSON is a quorum or a Failure', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(codeOf(() => verifyQuorum(quorumShape(value as Json, 'quorum')))).not.toBe('ok')
    }),
  )
})
