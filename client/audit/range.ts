import { type LogSource, nodesFrom } from '#client/audit/follow.js'
import { equal } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { emptyFrontier, grow, makeFrontier, rootOf } from '#core/tlog/frontier.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { planRoot } from '#core/tlog/prove.js'
import { parseEntries, tileHeight, tileWidth } from '#core/tlog/tiles.js'
import { type LogTrust, type VerifiedCheckpoint, verifyCheckpoint } from '#core/tlog/verify.js'
import { type Entry, parseEntry } from '#core/wire/entries.js'

/** Failures of reading the end of a log. */
export type RangeCode =
  /** a bundle of entries has not as many as the tree has there */
  | 'audit-range/width'
  /** the entries that the log serves are not those of its tree */
  | 'audit-range/tiles'

/** Entries are made a little before they are in the log, by clocks of several brokers: so much older ones end the reading. */
const marginSeconds = 3600

export interface RangeOptions {
  readonly trust: LogTrust
  readonly at: UnixSeconds
  /** the oldest time of entries that are wanted */
  readonly since: UnixSeconds
  /** entries that are read at most */
  readonly entriesMax: number
  readonly keep: (entry: Entry) => boolean
  /** after every bundle of entries, with how many were read */
  readonly progress?: (done: number) => void
}

/** The end of a log, of which no entry is left out. */
export interface LogRange {
  readonly tree: VerifiedCheckpoint
  /** index of the first entry that was read */
  readonly from: number
  /** whether the reading ended before `since`, or at the first entry; else at its bound */
  readonly isWhole: boolean
  /** those that are kept, in the order of the log */
  readonly entries: readonly { readonly index: number; readonly entry: Entry }[]
  /** leaves that are no entry: an audit convicts a log of them */
  readonly unreadable: number
}

/**
 * Reads a log from its end backwards to a time, and holds what it read against the tree that the log signed and witnesses cosigned: the
 * hashes of what stands before come from the log, and lead to the root of the tree only together with every entry behind them.
 *
 * throws  audit-range/..., what verifyCheckpoint throws, tlog/entries, audit-tile/width, and what the source throws
 */
export async function readSince(source: LogSource, options: RangeOptions): Promise<LogRange> {
  const { since, entriesMax, keep, progress } = options
  const tree = await verifyCheckpoint(await source.checkpoint(), options.trust, options.at)
  const kept: { index: number; entry: Entry }[][] = []
  const parts: (readonly Uint8Array[])[] = []
  let unreadable = 0
  let isWhole = false
  let from = tree.treeSize
  while (from > 0 && !isWhole && tree.treeSize - from < entriesMax) {
    const end = from
    from = Math.floor((end - 1) / tileWidth) * tileWidth
    const leaves = await entriesBetween(source, from, end)
    parts.unshift(hashesOf(leaves))
    const own: { index: number; entry: Entry }[] = []
    let newest = 0
    for (const [i, leaf] of leaves.entries()) {
      const entry = entryIn(leaf)
      if (entry === null) unreadable++
      else newest = Math.max(newest, entry.at)
      if (entry !== null && keep(entry)) own.push({ index: from + i, entry })
    }
    kept.unshift(own)
    isWhole = newest < since - marginSeconds
    progress?.(tree.treeSize - from)
  }
  await verifyRange(source, tree, from, parts)
  return { tree, from, isWhole: isWhole || from === 0, entries: kept.flat(), unreadable }
}

async function entriesBetween(source: LogSource, from: number, end: number): Promise<readonly Uint8Array[]> {
  const index = from / tileWidth
  const leaves = parseEntries(await source.tile({ level: 'entries', index, width: end - from }))
  if (leaves.length === end - from) return leaves
  throw new Failure<RangeCode>('audit-range/width', `bundle ${index} has ${leaves.length} entries, not ${end - from}`)
}

function entryIn(leaf: Uint8Array): Entry | null {
  try {
    return parseEntry(leaf)
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

/** Of a whole bundle the root alone, since a long log has many: it is one of the hashes eight levels up. */
function hashesOf(leaves: readonly Uint8Array[]): readonly Uint8Array[] {
  const hashes = leaves.map(hashLeaf)
  if (hashes.length < tileWidth) return hashes
  return [rootOf(hashes.reduce(grow, emptyFrontier))]
}

async function verifyRange(
  source: LogSource,
  { treeSize, rootHash }: VerifiedCheckpoint,
  from: number,
  parts: readonly (readonly Uint8Array[])[],
): Promise<void> {
  const before = await nodesFrom(source, treeSize)(planRoot(from).flat())
  // Of a tree whose size is a number of bundles, and of the tree of those bundles, the whole parts are the same.
  let frontier = makeFrontier(from / tileWidth, before)
  const isPartial = treeSize % tileWidth !== 0
  for (const [bundle] of isPartial ? parts.slice(0, -1) : parts) frontier = grow(frontier, bundle!)
  frontier = makeFrontier(frontier.size * 2 ** tileHeight, frontier.hashes)
  if (isPartial) for (const leaf of parts.at(-1) ?? []) frontier = grow(frontier, leaf)
  if (equal(rootOf(frontier), rootHash)) return
  throw new Failure<RangeCode>('audit-range/tiles', 'the entries that the log serves are not those of its tree')
}
