import { concat } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { emptyRoot, hashNode } from '#core/tlog/merkle.js'
import { joinNodes, type NodeId, type ProofPlan, planRoot } from '#core/tlog/prove.js'
import { expandTile, type Pyramid, placeOf, tileHeight, tileWidth } from '#core/tlog/tiles.js'
import type { LogCode } from '#transparency/failures.js'

/** A full tile: 256 hashes of 32 bytes in `hashes`, and the root above them. Once it exists it never changes. */
export interface FullTile {
  readonly level: number
  readonly index: number
  readonly hashes: Uint8Array
  readonly rootHash: Uint8Array
}

/** The unfinished tile at the right edge of one level. */
interface EdgeTile {
  index: number
  /** as in `Pyramid`; grows at its right side */
  rows: Uint8Array[][]
}

/** Reads the hashes of a full tile: 8,192 bytes. */
export type ReadTile = (level: number, index: number) => Promise<Uint8Array>

const cachedTilesMax = 256

/**
 * The tree of one log: its right edge in memory (one unfinished tile a level), full tiles through `readTile` and a cache.
 *
 * Memory does not grow with the tree: 16 KiB for each level of 256 and for each of at most 256 tiles in the cache.
 */
export class Tree {
  readonly #readTile: ReadTile
  readonly #edge: EdgeTile[] = []
  readonly #cache = new Map<string, Pyramid>()
  #size = 0

  constructor(readTile: ReadTile) {
    this.#readTile = readTile
  }

  get size(): number {
    return this.#size
  }

  /**
   * Puts back the right edge of a stored tree.
   *
   * levels  hashes of the unfinished tile of each level, lowest first; their count is what `size` says
   * throws  log/state
   */
  restore(size: number, levels: readonly (readonly Uint8Array[])[]): void {
    this.#edge.length = 0
    this.#size = size
    for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / tileWidth)) {
      const given = levels[level] ?? []
      if (given.length !== hashes % tileWidth) {
        throw new Failure<LogCode>(
          'log/state',
          `level ${level} has ${given.length} hashes at its edge, not those of size ${size}`,
        )
      }
      const tile = this.#edgeAt(level)
      tile.index = Math.floor(hashes / tileWidth)
      for (const hash of given) push(tile, hash)
    }
  }

  /** Adds leaf hashes; returns the tiles that they completed, to be stored with them. */
  append(leafHashes: readonly Uint8Array[]): readonly FullTile[] {
    const full: FullTile[] = []
    for (const hash of leafHashes) this.#append(0, hash, full)
    this.#size += leafHashes.length
    return full
  }

  #append(level: number, hash: Uint8Array, full: FullTile[]): void {
    const tile = this.#edgeAt(level)
    push(tile, hash)
    const root = tile.rows[tileHeight]?.[0]
    if (root === undefined) return
    full.push({ level, index: tile.index, hashes: concat(...tile.rows[0]!), rootHash: root })
    this.#keep(level, tile.index, tile.rows)
    tile.index++
    tile.rows = []
    this.#append(level + 1, root, full)
  }

  #edgeAt(level: number): EdgeTile {
    while (this.#edge.length <= level) this.#edge.push({ index: 0, rows: [] })
    return this.#edge[level]!
  }

  #keep(level: number, index: number, pyramid: Pyramid): void {
    const key = `${level}/${index}`
    this.#cache.delete(key)
    this.#cache.set(key, pyramid)
    if (this.#cache.size > cachedTilesMax) this.#cache.delete(this.#cache.keys().next().value!)
  }

  /** The pyramid of a tile, as far as it is in memory. */
  #pyramid(level: number, index: number): Pyramid | undefined {
    const edge = this.#edge[level]
    return edge?.index === index ? edge.rows : this.#cache.get(`${level}/${index}`)
  }

  async #load(level: number, index: number): Promise<Pyramid> {
    const known = this.#pyramid(level, index)
    if (known !== undefined) return known
    const pyramid = expandTile(await this.#readTile(level, index))
    this.#keep(level, index, pyramid)
    return pyramid
  }

  /** Hashes of whole subtrees of this tree. @throws log/state, and what reading a tile throws */
  async read(nodes: readonly NodeId[]): Promise<readonly Uint8Array[]> {
    const hashes: Uint8Array[] = []
    for (const node of nodes) {
      const { level, index, row, at } = placeOf(node)
      hashes.push(hashIn(await this.#load(level, index), row, at, node))
    }
    return hashes
  }

  /** The hashes of a plan if all of them are in memory, as they are for new entries; undefined otherwise. */
  joinNow(plan: ProofPlan): readonly Uint8Array[] | undefined {
    const hashes: Uint8Array[] = []
    for (const node of plan.flat()) {
      const { level, index, row, at } = placeOf(node)
      const pyramid = this.#pyramid(level, index)
      if (pyramid === undefined) return undefined
      hashes.push(hashIn(pyramid, row, at, node))
    }
    return joinNodes(plan, hashes)
  }

  /** The root of the whole tree: its nodes are the right edge. */
  root(): Uint8Array {
    return this.joinNow(planRoot(this.#size))?.[0] ?? emptyRoot
  }
}

function hashIn(pyramid: Pyramid, row: number, at: number, node: NodeId): Uint8Array {
  const hash = pyramid[row]?.[at]
  if (hash === undefined) {
    throw new Failure<LogCode>('log/state', `tree has no node ${node.index} of level ${node.level}`)
  }
  return hash
}

/** Adds a hash at the right side of an unfinished tile and joins every pair that it completes. */
function push(tile: EdgeTile, hash: Uint8Array): void {
  let row = 0
  for (let node = hash; ; row++) {
    const hashes = (tile.rows[row] ??= [])
    hashes.push(node)
    if (hashes.length % 2 === 1) return
    node = hashNode(hashes[hashes.length - 2]!, node)
  }
}
