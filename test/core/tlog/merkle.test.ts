import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { emptyRoot, hashLeaf, verifyConsistency, verifyInclusion } from '#core/tlog/merkle.js'
import { computeRoot, planInclusion, proveConsistency, proveInclusion } from '#core/tlog/prove.js'
import { nodesOfLeaves } from '#test/core/tlog/trees.js'

interface Vectors {
  readonly leaves: readonly string[]
  readonly roots: readonly string[]
  readonly inclusion: readonly { index: number; size: number; proof: readonly string[] }[]
  readonly consistency: readonly { old: number; new: number; proof: readonly string[] }[]
}
const vectors = JSON.parse(readFileSync(new URL('../../vectors/tlog/merkle.json', import.meta.url), 'utf8')) as Vectors
const leaves = vectors.leaves.map((leaf) => fromHex(leaf))
const roots = vectors.roots.map((root) => fromHex(root, 32))
const read = nodesOfLeaves(leaves)
const hashes = (proof: readonly string[]) => proof.map((one) => fromHex(one, 32))

const many = Array.from({ length: 70 }, (_, i) => utf8(`leaf ${i}`))
const readMany = nodesOfLeaves(many)
const sizes = fc
  .tuple(fc.integer({ min: 0, max: many.length }), fc.integer({ min: 0, max: many.length }))
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)

describe('merkle trees with known answers', () => {
  test('have the published roots', async () => {
    for (const [size, root] of roots.entries()) expect(toHex(await computeRoot(size, read))).toBe(toHex(root))
    expect(toHex(emptyRoot)).toBe(vectors.roots[0])
  })

  test.each(vectors.inclusion)('entry $index of $size has the published proof, which verifies', async (one) => {
    expect((await proveInclusion(one.index, one.size, read)).map(toHex)).toEqual(one.proof)
    verifyInclusion(hashLeaf(leaves[one.index]!), one.index, one.size, hashes(one.proof), roots[one.size]!)
  })

  test.each(vectors.consistency)('size $old to $new has the published proof, which verifies', async (one) => {
    expect((await proveConsistency(one.old, one.new, read)).map(toHex)).toEqual(one.proof)
    verifyConsistency(one.old, roots[one.old]!, one.new, roots[one.new]!, hashes(one.proof))
  })
})

describe('merkle proofs', () => {
  test('of every entry in every size to 70 verify, and under no other index', async () => {
    for (const size of [1, 2, 3, 7, 8, 9, 64, 69, 70]) {
      const root = await computeRoot(size, readMany)
      for (let index = 0; index < size; index++) {
        const proof = await proveInclusion(index, size, readMany)
        const leafHash = hashLeaf(many[index]!)
        verifyInclusion(leafHash, index, size, proof, root)
        if (size > 1) expect(() => verifyInclusion(leafHash, (index + 1) % size, size, proof, root)).toThrow()
      }
    }
  })

  test('of consistency verify between every two sizes', () =>
    fc.assert(
      fc.asyncProperty(sizes, async ([from, to]) => {
        const proof = await proveConsistency(from, to, readMany)
        const [old, now] = [await computeRoot(from, readMany), await computeRoot(to, readMany)]
        verifyConsistency(from, old, to, now, proof)
      }),
    ))

  test('with a flipped bit, a hash missing or one too many are refused', () =>
    fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(255), async ([from, to], where, bit) => {
        if (from === to || from === 0) return
        const [old, now] = [await computeRoot(from, readMany), await computeRoot(to, readMany)]
        const consistency = await proveConsistency(from, to, readMany)
        const inclusion = await proveInclusion(from - 1, to, readMany)
        for (const [proof, verify] of [
          [consistency, (p: readonly Uint8Array[]) => verifyConsistency(from, old, to, now, p)],
          [inclusion, (p: readonly Uint8Array[]) => verifyInclusion(hashLeaf(many[from - 1]!), from - 1, to, p, now)],
        ] as const) {
          const broken = proof.map((hash) => hash.slice())
          broken[where % broken.length]![bit >> 3]! ^= 1 << (bit & 7)
          expect(() => verify(broken)).toThrow(expect.objectContaining({ code: 'tlog/root-mismatch' }))
          expect(() => verify(proof.slice(1))).toThrow(expect.objectContaining({ code: 'tlog/proof-length' }))
          expect(() => verify([...proof, old])).toThrow(expect.objectContaining({ code: 'tlog/proof-length' }))
        }
      }),
    ))

  test('of a tree that forked are refused: what was seen before is not where the new one comes from', () =>
    fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async ([from, to], where) => {
        if (from === to || from === 0) return
        const other = many.map((leaf, i) => (i === where % from ? utf8('another') : leaf))
        const seen = await computeRoot(from, nodesOfLeaves(other))
        const now = await computeRoot(to, readMany)
        const proof = await proveConsistency(from, to, readMany)
        expect(() => verifyConsistency(from, seen, to, now, proof)).toThrow(
          expect.objectContaining({ code: 'tlog/root-mismatch' }),
        )
      }),
    ))

  test('reach sizes beyond 2^32 with whole numbers', () => {
    const size = 2 ** 52 + 3
    expect(planInclusion(size - 1, size).length).toBe(2)
    expect(planInclusion(5, size).length).toBe(53)
  })

  test.each([
    ['an index at the size', 8, 8],
    ['an index below zero', -1, 8],
    ['an index that is no whole number', 0.5, 8],
    ['an empty tree', 0, 0],
  ])('refuse %s', (_, index, size) => {
    expect(() => verifyInclusion(hashLeaf(leaves[0]!), index, size, [], roots[8]!)).toThrow(
      expect.objectContaining({ code: 'tlog/range' }),
    )
  })

  test('refuse a proof longer than any tree is high', () => {
    const proof = Array.from({ length: 64 }, () => roots[0]!)
    expect(() => verifyInclusion(roots[0]!, 1, 2 ** 52, proof, roots[0]!)).toThrow(
      expect.objectContaining({ code: 'tlog/proof-length' }),
    )
  })

  test('refuse two roots of one size, and an old tree that is larger', () => {
    expect(() => verifyConsistency(8, roots[8]!, 8, roots[7]!, [])).toThrow(
      expect.objectContaining({ code: 'tlog/root-mismatch' }),
    )
    expect(() => verifyConsistency(8, roots[8]!, 7, roots[7]!, [])).toThrow(
      expect.objectContaining({ code: 'tlog/range' }),
    )
    expect(() => verifyConsistency(0, roots[1]!, 7, roots[7]!, [])).toThrow(
      expect.objectContaining({ code: 'tlog/root-mismatch' }),
    )
  })
})
