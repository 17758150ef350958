import { Failure } from '#core/failure.js'
import type { TlogCode } from '#core/tlog/failures.js'
import { emptyRoot, hashNode } from '#core/tlog/merkle.js'

/**
 * What is needed of a tree to grow it at its end and to know its root at every size: the roots of the whole subtrees that its
 * leaves consist of, largest first, one for each bit that is set in its size. At most 53 hashes of 32 bytes.
 */
export interface Frontier {
  readonly size: number
  readonly hashes: readonly Uint8Array[]
}

export const emptyFrontier: Frontier = { size: 0, hashes: [] }

const onesOf = (size: number) => size.toString(2).replaceAll('0', '').length

/** The frontier of these parts. @throws tlog/range when it has not one hash for each bit that is set */
export function makeFrontier(size: number, hashes: readonly Uint8Array[]): Frontier {
  if (
    !Number.isSafeInteger(size) ||
    size < 0 ||
    hashes.length !== onesOf(size) ||
    hashes.some((one) => one.length !== 32)
  )
    throw new Failure<TlogCode>('tlog/range', `${hashes.length} hashes are no tree of size ${size}`)
  return { size, hashes }
}

/**
 * The tree with one more leaf. leafHash: 32 bytes, RFC 6962 leaf hash
 *
 * source  RFC 6962, "Merkle Hash Trees"
 */
export function grow({ size, hashes }: Frontier, leafHash: Uint8Array): Frontier {
  const parts = [...hashes]
  let hash = leafHash
  // Two whole subtrees of one size are one of the next.
  for (let rest = size; rest % 2 === 1; rest = Math.floor(rest / 2)) hash = hashNode(parts.pop()!, hash)
  parts.push(hash)
  return { size: size + 1, hashes: parts }
}

/** The root of the tree, 32 bytes. */
export function rootOf({ hashes }: Frontier): Uint8Array {
  if (hashes.length === 0) return emptyRoot
  return hashes.reduceRight((right, left) => hashNode(left, right))
}
