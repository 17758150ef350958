import { Failure } from '#core/failure.js'
import type { TlogCode } from '#core/tlog/failures.js'
import { emptyRoot, hashNode } from '#core/tlog/merkle.js'

/** The root of the 2^level leaves from `index * 2^level` on: a hash that never changes once those leaves exist. */
export interface NodeId {
  readonly level: number
  readonly index: number
}

/** Reads hashes of whole subtrees, one for each node and in their order. */
export type ReadNodes = (nodes: readonly NodeId[]) => Promise<readonly Uint8Array[]>

/** What a proof is made of: one list of nodes for each hash, to be joined from the right. */
export type ProofPlan = readonly (readonly NodeId[])[]

/** The largest power of two below `size`; `size` is at least 2. */
function splitOf(size: number): number {
  let split = 1
  while (split * 2 < size) split *= 2
  return split
}

/** The whole subtrees that the leaves `from` to `to` (exclusive) consist of, largest first. */
function nodesOf(from: number, to: number): readonly NodeId[] {
  const nodes: NodeId[] = []
  for (let at = from; at < to; ) {
    let level = 0
    let size = 1
    while (at % (size * 2) === 0 && at + size * 2 <= to) {
      size *= 2
      level++
    }
    nodes.push({ level, index: at / size })
    at += size
  }
  return nodes
}

function verifyBounds(inner: number, outer: number): void {
  if (!Number.isSafeInteger(inner) || !Number.isSafeInteger(outer) || inner < 0 || inner > outer) {
    throw new Failure<TlogCode>('tlog/range', `${inner} is not within a tree of size ${outer}`)
  }
}

/** The nodes that make up the root of a tree. */
export function planRoot(size: number): ProofPlan {
  verifyBounds(size, size)
  return size === 0 ? [] : [nodesOf(0, size)]
}

/**
 * The nodes of an inclusion proof, the leaf's sibling first.
 *
 * throws  tlog/range
 * source  RFC 6962, "Merkle Audit Paths"
 */
export function planInclusion(index: number, size: number): ProofPlan {
  verifyBounds(index + 1, size)
  const plan: (readonly NodeId[])[] = []
  let from = 0
  let to = size
  while (to - from > 1) {
    const middle = from + splitOf(to - from)
    if (index < middle) {
      plan.push(nodesOf(middle, to))
      to = middle
    } else {
      plan.push(nodesOf(from, middle))
      from = middle
    }
  }
  return plan.reverse()
}

/**
 * The nodes of a consistency proof. None when the old tree is empty or the same.
 *
 * throws  tlog/range
 * source  RFC 6962, "Merkle Consistency Proofs"
 */
export function planConsistency(oldSize: number, newSize: number): ProofPlan {
  verifyBounds(oldSize, newSize)
  if (oldSize === 0 || oldSize === newSize) return []
  const plan: (readonly NodeId[])[] = []
  let from = 0
  let to = newSize
  // Ends where the old tree ends: there its last whole part is a hash of its own, unless that part is the old tree.
  while (oldSize !== to) {
    const middle = from + splitOf(to - from)
    if (oldSize <= middle) {
      plan.push(nodesOf(middle, to))
      to = middle
    } else {
      plan.push(nodesOf(from, middle))
      from = middle
    }
  }
  if (from !== 0) plan.push(nodesOf(from, to))
  return plan.reverse()
}

/** The hashes of a plan, from the hashes of its nodes in the order of `plan.flat()`. */
export function joinNodes(plan: ProofPlan, hashes: readonly Uint8Array[]): readonly Uint8Array[] {
  let at = 0
  return plan.map((nodes) => {
    const end = at + nodes.length
    let hash = hashes[end - 1]!
    for (let i = end - 2; i >= at; i--) hash = hashNode(hashes[i]!, hash)
    at = end
    return hash
  })
}

async function build(plan: ProofPlan, read: ReadNodes): Promise<readonly Uint8Array[]> {
  return joinNodes(plan, await read(plan.flat()))
}

/** The root of the tree's first `size` leaves. */
export async function computeRoot(size: number, read: ReadNodes): Promise<Uint8Array> {
  const [root] = await build(planRoot(size), read)
  return root ?? emptyRoot
}

/** A proof that `verifyInclusion` accepts. @throws tlog/range, and what `read` throws */
export function proveInclusion(index: number, size: number, read: ReadNodes): Promise<readonly Uint8Array[]> {
  return build(planInclusion(index, size), read)
}

/** A proof that `verifyConsistency` accepts. @throws tlog/range, and what `read` throws */
export function proveConsistency(oldSize: number, newSize: number, read: ReadNodes): Promise<readonly Uint8Array[]> {
  return build(planConsistency(oldSize, newSize), read)
}
