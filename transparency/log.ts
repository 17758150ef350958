import { concat } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { encodeTlogProof } from '#core/tlog/proof.js'
import { planInclusion, proveInclusion } from '#core/tlog/prove.js'
import { encodeEntries, type TileId, tileWidth, tileWidthAt } from '#core/tlog/tiles.js'
import type { LogCode } from '#transparency/failures.js'
import type { Appended } from '#transparency/ports.js'
import type { LogStore, Published } from '#transparency/store.js'
import type { Tree } from '#transparency/tree.js'

/** What anybody may read of a log: nothing beyond its newest cosigned checkpoint. */
export interface LogReader {
  readonly origin: string
  /** the log's verifier key, for a reader's trust file */
  readonly vkey: string
  /** The newest checkpoint with a quorum's cosignatures. @throws log/index before the first */
  checkpoint(): Promise<string>
  /** The proof of an entry under the newest cosigned checkpoint, as a `.tlog-proof` text. @throws log/index */
  proof(index: number): Promise<string>
  /** An entry's bytes. @throws log/index */
  entry(index: number): Promise<Uint8Array>
  /** A tile of hashes, or a bundle of entries, as C2SP tlog-tiles has it. @throws log/index for one not in the tree */
  tile(tile: TileId): Promise<Uint8Array>
}

/** A log that is open for writing. */
export interface Log extends LogReader {
  /**
   * The entry is durable, integrated, and a quorum of witnesses has cosigned a checkpoint over it (I3).
   *
   * The same bytes again, from whomever and whenever, return the same index: after any failure, ask again.
   * throws  log/entry-size, log/busy, log/closed, log/storage, log/state, log/rollback, log/forked,
   *         log/witness-unavailable after a bounded time; the entry may be integrated then
   */
  append(leaf: Uint8Array): Promise<Appended>
  /** Entries under the newest cosigned checkpoint. */
  size(): number
  /**
   * A quorum of witnesses has cosigned this very tree just now, so it is neither behind nor forked (TRUST, item 8).
   *
   * throws  log/rollback, log/forked, log/witness-unavailable, log/storage, log/state, log/closed
   */
  refresh(): Promise<void>
  /** Ends the writer; entries that still wait are refused with log/closed. The database stays open. */
  close(): Promise<void>
}

/** Where a reader takes its tree from: `tree` is at least as large as what was published. */
export type ReadState = () => Promise<{ readonly tree: Tree; readonly published: Published | undefined }>

function absent(what: string): Failure<LogCode> {
  return new Failure<LogCode>('log/index', `${what} is not in the published log`)
}

async function readHashes(store: LogStore, level: number, from: number, width: number): Promise<Uint8Array> {
  const hashes =
    level === 0
      ? (await store.entries(from, from + width)).map((entry) => entry.leafHash)
      : await store.tileRoots(level - 1, from, from + width)
  if (hashes.length !== width) {
    throw new Failure<LogCode>(
      'log/state',
      `level ${level} has ${hashes.length} hashes from ${from}, expected ${width}`,
    )
  }
  return concat(...hashes)
}

/** Reads a stored log, up to what was published. */
export function makeReader(
  identity: { readonly origin: string; readonly vkey: string },
  store: LogStore,
  state: ReadState,
): LogReader {
  const publishedOf = async () => {
    const { tree, published } = await state()
    if (published === undefined) throw absent('checkpoint')
    return { tree, published }
  }
  return {
    origin: identity.origin,
    vkey: identity.vkey,
    checkpoint: async () => (await publishedOf()).published.checkpoint,
    async proof(index) {
      const { tree, published } = await publishedOf()
      if (!Number.isSafeInteger(index) || index < 0 || index >= published.size) throw absent(`entry ${index}`)
      const hashes =
        tree.joinNow(planInclusion(index, published.size)) ??
        (await proveInclusion(index, published.size, (nodes) => tree.read(nodes)))
      return encodeTlogProof({ index, hashes, checkpoint: published.checkpoint })
    },
    async entry(index) {
      const { published } = await publishedOf()
      if (!Number.isSafeInteger(index) || index < 0 || index >= published.size) throw absent(`entry ${index}`)
      const [entry] = await store.entries(index, index + 1)
      if (entry === undefined) throw new Failure<LogCode>('log/state', `entry ${index} is missing`)
      return entry.leaf
    },
    async tile({ level, index, width }) {
      const { published } = await publishedOf()
      const hashLevel = level === 'entries' ? 0 : level
      if (width > tileWidthAt(hashLevel, index, published.size)) throw absent('tile')
      const from = index * tileWidth
      if (level === 'entries') {
        const entries = await store.entries(from, from + width)
        if (entries.length !== width) throw new Failure<LogCode>('log/state', `entries from ${from} are missing`)
        return encodeEntries(entries.map((entry) => entry.leaf))
      }
      const full = width === tileWidth ? await store.tile(level, index) : undefined
      return full?.hashes ?? readHashes(store, level, from, width)
    },
  }
}
