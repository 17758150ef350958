import { expect, test } from 'vitest'
import { toHex } from '#core/bytes/bytes.js'
import { emptyFrontier, grow, makeFrontier, rootOf } from '#core/tlog/frontier.js'
import { emptyRoot, hashLeaf, hashNode } from '#core/tlog/merkle.js'
import { computeRoot, type NodeId } from '#core/tlog/prove.js'
import { codeOf } from '#test/fakes/code-of.js'

const leaf = (i: number) => hashLeaf(new Uint8Array([i >> 8, i & 0xff]))
const node = ({ level, index }: NodeId): Uint8Array =>
  level === 0
    ? leaf(index)
    : hashNode(node({ level: level - 1, index: index * 2 }), node({ level: level - 1, index: index * 2 + 1 }))

test('a tree that grows leaf by leaf has the root of every size', async () => {
  let tree = emptyFrontier
  expect(rootOf(tree)).toEqual(emptyRoot)
  for (let size = 1; size <= 300; size++) {
    tree = grow(tree, leaf(size - 1))
    const root = await computeRoot(size, async (nodes) => nodes.map(node))
    expect([size, toHex(rootOf(tree)), tree.size]).toEqual([size, toHex(root), size])
    expect(makeFrontier(tree.size, tree.hashes)).toEqual(tree)
  }
})

test('a frontier has one hash for each bit of its size', () => {
  const hash = leaf(0)
  for (const [size, hashes] of [
    [0, [hash]],
    [3, [hash]],
    [4, [hash, hash]],
    [-1, []],
    [0.5, [hash]],
    [1, [hash.subarray(1)]],
  ] as const)
    expect(codeOf(() => makeFrontier(size, hashes))).toBe('tlog/range')
  expect(makeFrontier(2 ** 52, [hash]).size).toBe(2 ** 52)
})
