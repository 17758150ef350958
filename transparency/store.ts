import { equal } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import { computeRoot } from '#core/tlog/prove.js'
import { tileWidth } from '#core/tlog/tiles.js'
import type { LogCode } from '#transparency/failures.js'
import { type FullTile, Tree } from '#transparency/tree.js'

/** The one row that says which log this is and how large. `vkey` is the log's own verifier key. */
export interface LogHead {
  readonly origin: string
  readonly vkey: string
  readonly size: number
  readonly rootHash: Uint8Array
}

export interface NewEntry {
  readonly leaf: Uint8Array
  readonly leafHash: Uint8Array
}

/** Entries that follow the tree of `from` leaves, the tiles they complete, and the tree that results. */
export interface Batch {
  readonly from: number
  readonly entries: readonly NewEntry[]
  readonly tiles: readonly FullTile[]
  readonly size: number
  readonly rootHash: Uint8Array
}

/** A checkpoint with a quorum's cosignatures on it, verbatim. */
export interface Published {
  readonly size: number
  readonly rootHash: Uint8Array
  readonly checkpoint: string
}

/** What a batch begins with. */
export interface Survey {
  /** undefined when no log was ever created here */
  readonly head: LogHead | undefined
  readonly indexes: Map<string, number>
}

/**
 * Port: where a log is kept. Any number of readers; writers exclude each other by the size that a batch starts from.
 *
 * What was never stored is absent, and absence is an error of the caller's wherever the size says it must be there.
 */
export interface LogStore {
  /**
   * Runs `work` while no other writer of this log does, as far as that can be said: writers that take turns do not find each
   * other's batches in their way. Nothing rests on it; `integrate` compares.
   */
  inTurn<T>(work: () => Promise<T>): Promise<T>
  /** undefined when no log was ever created here */
  head(): Promise<LogHead | undefined>
  /**
   * The whole batch is durable and the head is the new tree; or nothing happened and it throws; or it throws and
   * nobody knows: then `head` tells.
   *
   * throws  log/writer when the stored size is not `from`
   */
  integrate(batch: Batch): Promise<void>
  /** The head, and the indexes of those leaf hashes that are stored, by their lowercase hex: of one moment. */
  survey(leafHashes: readonly Uint8Array[]): Promise<Survey>
  /** Entries `from` to `to` (exclusive), in order; at most 256. Fewer when they are not there. */
  entries(from: number, to: number): Promise<readonly NewEntry[]>
  tile(level: number, index: number): Promise<FullTile | undefined>
  /** Roots of the full tiles `from` to `to` (exclusive) of a level, in order; at most 256. */
  tileRoots(level: number, from: number, to: number): Promise<readonly Uint8Array[]>
  /** Durable. A second checkpoint of one size replaces the first, if its root is the same. @throws log/state */
  publish(published: Published): Promise<void>
  /** The largest cosigned checkpoint. */
  published(): Promise<Published | undefined>
}

const caughtUpMax = 4096

/**
 * The tree has grown by what other writers stored since: its own hashes with the new ones have the stored root.
 *
 * head     as it is stored now
 * returns  what was published of it since, if anything; null when the difference is large or negative: it is loaded anew
 * throws   log/forked when the stored entries do not continue this tree: somebody changed what was stored
 */
export async function catchUp(
  store: LogStore,
  tree: Tree,
  head: LogHead,
): Promise<{ readonly published: Published | undefined } | null> {
  if (head.size < tree.size || head.size - tree.size > caughtUpMax) return null
  const hasGrown = head.size > tree.size
  while (tree.size < head.size) {
    const fresh = await store.entries(tree.size, head.size)
    if (fresh.length === 0) throw new Failure<LogCode>('log/state', `entry ${tree.size} is missing`)
    tree.append(fresh.map((one) => one.leafHash))
  }
  if (!equal(tree.root(), head.rootHash))
    throw new Failure<LogCode>('log/forked', `stored entries do not continue the tree that was known at ${head.size}`)
  if (!hasGrown) return { published: undefined }
  const published = await store.published()
  if (published !== undefined && published.size <= head.size) await verifyContinues(published, head, tree)
  return { published }
}

/** The head of the log that must be here. @throws log/absent */
export async function loadHead(store: LogStore): Promise<LogHead> {
  return present(await store.head())
}

/** @throws log/absent */
export function present(head: LogHead | undefined): LogHead {
  if (head === undefined) throw new Failure<LogCode>('log/absent', 'no log was created here')
  return head
}

async function readTile(store: LogStore, level: number, index: number): Promise<Uint8Array> {
  const tile = await store.tile(level, index)
  if (tile === undefined) throw new Failure<LogCode>('log/state', `tile ${index} of level ${level} is missing`)
  return tile.hashes
}

/** The hashes of the unfinished tile of each level in a tree of this size, lowest level first. */
async function readEdge(store: LogStore, size: number): Promise<readonly (readonly Uint8Array[])[]> {
  const levels: (readonly Uint8Array[])[] = []
  for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / tileWidth)) {
    const from = hashes - (hashes % tileWidth)
    if (level > 0) levels.push(await store.tileRoots(level - 1, from, hashes))
    else levels.push((await store.entries(from, hashes)).map((entry) => entry.leafHash))
  }
  return levels
}

/**
 * The stored tree, whose right edge has the stored root and which continues the newest cosigned checkpoint.
 *
 * Reads a few rows for each level of 256, not the log: the start takes as long with ten million entries as with ten.
 * throws  log/absent, log/state
 */
export async function loadTree(
  store: LogStore,
): Promise<{ readonly tree: Tree; readonly published: Published | undefined }> {
  // The checkpoint first: a writer beside this one may add entries between the two questions, never take any away.
  const published = await store.published()
  const head = await loadHead(store)
  const tree = new Tree((level, index) => readTile(store, level, index))
  tree.restore(head.size, await readEdge(store, head.size))
  if (!equal(tree.root(), head.rootHash)) {
    throw new Failure<LogCode>('log/state', `stored hashes do not have the stored root of size ${head.size}`)
  }
  if (published !== undefined) await verifyContinues(published, head, tree)
  return { tree, published }
}

async function verifyContinues(published: Published, head: LogHead, tree: Tree): Promise<void> {
  const { origin, size, rootHash } = parseCheckpoint(published.checkpoint)
  if (origin !== head.origin || size !== published.size || !equal(rootHash, published.rootHash)) {
    throw new Failure<LogCode>('log/state', `stored checkpoint of size ${published.size} says something else`)
  }
  if (size > head.size) {
    throw new Failure<LogCode>('log/state', `stored tree has ${head.size} entries, its checkpoint ${size}`)
  }
  if (!equal(await computeRoot(size, (nodes) => tree.read(nodes)), rootHash)) {
    throw new Failure<LogCode>('log/state', `stored tree does not continue its checkpoint of size ${size}`)
  }
}
