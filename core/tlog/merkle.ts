import { concat, equal } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { proofHashesMax } from '#core/limits.js'
import type { TlogCode } from '#core/tlog/failures.js'

/** The root of the tree without leaves. source: RFC 6962, "Merkle Hash Trees" */
export const emptyRoot: Uint8Array = sha256(new Uint8Array(0))

const leafPrefix = new Uint8Array([0x00])

/** SHA-256(0x00 || leaf). */
export function hashLeaf(leaf: Uint8Array): Uint8Array {
  return sha256(concat(leafPrefix, leaf))
}

// Written and hashed in one synchronous step, so nobody ever sees another caller's hashes in it.
const pair = new Uint8Array(65)
pair[0] = 0x01

/** SHA-256(0x01 || left || right); both have 32 bytes. */
export function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  pair.set(left, 1)
  pair.set(right, 33)
  return sha256(pair)
}

const half = (value: number) => Math.floor(value / 2)
const isOdd = (value: number) => value % 2 === 1

function wrongLength(given: number): Failure<TlogCode> {
  return new Failure<TlogCode>('tlog/proof-length', `proof has ${given} hashes, which is not the number the tree needs`)
}

function verifyRange(index: number, size: number, what: string): void {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index > size) {
    throw new Failure<TlogCode>('tlog/range', `${what} ${index} is not within a tree of size ${size}`)
  }
}

/**
 * The entry with hash `leafHash` stands at `index` in the tree of `size` leaves with root `rootHash`.
 *
 * leafHash   32 bytes, RFC 6962 leaf hash
 * proof      32 bytes each, the leaf's sibling first
 * trusts     that size and root come from a checkpoint whose signatures were verified
 * throws     tlog/range, tlog/proof-length, tlog/root-mismatch
 * source     RFC 9162, "Verifying an Inclusion Proof"
 */
export function verifyInclusion(
  leafHash: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  rootHash: Uint8Array,
): void {
  verifyRange(index, size, 'index')
  if (index === size) throw new Failure<TlogCode>('tlog/range', `index ${index} is not within a tree of size ${size}`)
  if (proof.length > proofHashesMax) throw wrongLength(proof.length)
  let node = index
  let last = size - 1
  let hash = leafHash
  for (const sibling of proof) {
    if (last === 0) throw wrongLength(proof.length)
    if (isOdd(node) || node === last) {
      hash = hashNode(sibling, hash)
      while (!isOdd(node) && node !== 0) {
        node = half(node)
        last = half(last)
      }
    } else {
      hash = hashNode(hash, sibling)
    }
    node = half(node)
    last = half(last)
  }
  if (last !== 0) throw wrongLength(proof.length)
  if (!equal(hash, rootHash)) throw new Failure<TlogCode>('tlog/root-mismatch', 'inclusion proof leads to another root')
}

/**
 * The tree of `newSize` leaves begins with the very leaves of the tree of `oldSize`.
 *
 * proof   empty when the sizes are equal or the old tree is empty
 * throws  tlog/range, tlog/proof-length, tlog/root-mismatch
 * source  RFC 9162, "Verifying Consistency between Two Tree Heads"
 */
export function verifyConsistency(
  oldSize: number,
  oldRoot: Uint8Array,
  newSize: number,
  newRoot: Uint8Array,
  proof: readonly Uint8Array[],
): void {
  verifyRange(oldSize, newSize, 'size')
  if (proof.length > proofHashesMax) throw wrongLength(proof.length)
  if (oldSize === 0 || oldSize === newSize) {
    if (proof.length !== 0) throw wrongLength(proof.length)
    if (!equal(oldRoot, oldSize === 0 ? emptyRoot : newRoot) || (newSize === 0 && !equal(newRoot, emptyRoot))) {
      throw new Failure<TlogCode>('tlog/root-mismatch', 'two trees of one size have different roots')
    }
    return
  }
  let node = oldSize - 1
  let last = newSize - 1
  while (isOdd(node)) {
    node = half(node)
    last = half(last)
  }
  // An old tree that is one whole subtree of the new one needs no first hash: it is the old root itself.
  const hashes = node === 0 ? [oldRoot, ...proof] : [...proof]
  const first = hashes.shift()
  if (first === undefined) throw wrongLength(proof.length)
  let fromOld = first
  let fromNew = first
  for (const sibling of hashes) {
    if (last === 0) throw wrongLength(proof.length)
    if (isOdd(node) || node === last) {
      fromOld = hashNode(sibling, fromOld)
      fromNew = hashNode(sibling, fromNew)
      while (!isOdd(node) && node !== 0) {
        node = half(node)
        last = half(last)
      }
    } else {
      fromNew = hashNode(fromNew, sibling)
    }
    node = half(node)
    last = half(last)
  }
  if (last !== 0) throw wrongLength(proof.length)
  if (!equal(fromOld, oldRoot) || !equal(fromNew, newRoot)) {
    throw new Failure<TlogCode>('tlog/root-mismatch', 'consistency proof leads to other roots')
  }
}
