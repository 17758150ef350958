import { convicts, type Finding, Findings } from '#client/audit/findings.js'
import { Auditor, type Own } from '#client/audit/rules.js'
import { type AuditState, auditLimits, copyState, newState } from '#client/audit/state.js'
import { equal, toHex } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { grow, rootOf } from '#core/tlog/frontier.js'
import { hashLeaf, verifyConsistency } from '#core/tlog/merkle.js'
import { parsePolicy } from '#core/tlog/policy.js'
import { proveConsistency, type ReadNodes } from '#core/tlog/prove.js'
import { expandTile, parseEntries, placeOf, type TileId, tileWidth, tileWidthAt } from '#core/tlog/tiles.js'
import { type LogTrust, type VerifiedCheckpoint, verifyCheckpoint } from '#core/tlog/verify.js'

/** Failures of following a log. */
export type FollowCode =
  /** what is remembered is of another log */
  | 'audit-state/other-log'
  /** a bundle of entries has not as many as the tree has there */
  | 'audit-tile/width'

/** A log's static files, as C2SP tlog-tiles has them. Bounds of size and time are the implementation's. */
export interface LogSource {
  checkpoint(): Promise<string>
  tile(id: TileId): Promise<Uint8Array>
}

export interface FollowOptions {
  readonly trust: LogTrust
  readonly own: Own
  readonly at: UnixSeconds
  /** seconds without a cosignature after which the log counts as stalled; null for never */
  readonly stalledAfter: number | null
  /** where an earlier reading of the same log was stopped on its way to a tree that it had verified */
  readonly part?: AuditState | null
  /** after every bundle of entries. A promise is waited for */
  readonly progress?: (done: Progress) => unknown
}

/** Where a reading is. part: what it can go on from, if it is stopped here */
export interface Progress {
  readonly done: number
  readonly size: number
  part(): AuditState
}

export interface Followed {
  /** where the auditor stands now: as before, where the log contradicts itself */
  readonly state: AuditState
  readonly tree: VerifiedCheckpoint
  /** entries that were judged in this run */
  readonly judged: number
  /** what is new, in the order of the log */
  readonly findings: readonly Finding[]
}

/** Bundles that are asked for before they are needed. */
const ahead = 8

/**
 * Reads all that a log has added, and judges it: the checkpoint by the reader's trust, every entry by what stands before it, and the tree
 * by the entries, so that it is one with every tree that was seen before.
 *
 * throws  what verifyCheckpoint throws, audit-state/..., audit-tile/width, tlog/entries, and what the source throws
 * source  docs/spec/audit.md, "Following"
 */
export async function follow(source: LogSource, before: AuditState | null, options: FollowOptions): Promise<Followed> {
  const { trust, own, at } = options
  const text = await source.checkpoint()
  const tree = await verifyCheckpoint(text, trust, at)
  const start = options.part ?? before
  const state = start === null ? newState(tree.origin) : copyState(start)
  if (state.origin !== tree.origin)
    throw new Failure<FollowCode>('audit-state/other-log', `the log is ${tree.origin}, remembered is ${state.origin}`)
  const found = new Findings(state.untold)
  const stays = (finding: Finding): Followed =>
    ended(before ?? newState(tree.origin), tree, 0, [...witnessesOf(tree, options), finding])

  const { size } = state.frontier
  if (tree.treeSize < size) {
    const message = `the log serves a tree of ${tree.treeSize} entries, and has signed one of ${size}`
    return stays({ code: 'audit/older', index: null, message })
  }
  const auditor = new Auditor(state, own, at)
  for await (const [index, leaf] of entriesOf(source, size, tree.treeSize)) {
    found.add(auditor.judge(index, leaf))
    state.frontier = grow(state.frontier, hashLeaf(leaf))
    if (index % tileWidth === tileWidth - 1)
      await options.progress?.({ done: index + 1, size: tree.treeSize, part: () => ({ ...state, untold: found.kept }) })
  }
  const isTree = equal(rootOf(state.frontier), tree.rootHash)
  // What was read when a reading was stopped was not yet held against a tree: without it, all is read again.
  if (!isTree && options.part) return follow(source, before, { ...options, part: null })
  if (!isTree) return stays(await contradiction(source, before, tree))
  state.checkpoint = text
  state.untold = []
  return ended(state, tree, tree.treeSize - size, [...witnessesOf(tree, options), ...found.all()])
}

function ended(state: AuditState, tree: VerifiedCheckpoint, judged: number, findings: readonly Finding[]): Followed {
  const convictions = [...state.convictions, ...findings.filter(convicts)].slice(0, auditLimits.convictions)
  return { state: { ...state, convictions }, tree, judged, findings }
}

function witnessesOf(tree: VerifiedCheckpoint, { trust, at, stalledAfter }: FollowOptions): readonly Finding[] {
  const found: Finding[] = []
  for (const { name } of parsePolicy(trust.policy).witnesses)
    if (!tree.cosigners.some((one) => one.name === name))
      found.push({
        code: 'notice/witness-missing',
        index: null,
        message: `witness ${name} has not cosigned the newest tree`,
      })
  const newest = Math.max(0, ...tree.cosigners.map(({ time }) => time))
  if (stalledAfter !== null && newest < at - stalledAfter)
    found.push({ code: 'notice/stalled', index: null, message: `the newest cosignature is ${at - newest} seconds old` })
  return found
}

/** Entries `from` to `size` (exclusive) with their indexes. */
async function* entriesOf(
  source: LogSource,
  from: number,
  size: number,
): AsyncGenerator<readonly [number, Uint8Array]> {
  const last = Math.ceil(size / tileWidth)
  const asked: Promise<Uint8Array>[] = []
  let next = Math.floor(from / tileWidth)
  for (let bundle = next; bundle < last; bundle++) {
    for (; next < last && next < bundle + ahead; next++) {
      const one = source.tile({ level: 'entries', index: next, width: Math.min(tileWidth, size - next * tileWidth) })
      one.catch(() => undefined) // it is awaited in its turn
      asked.push(one)
    }
    const entries = parseEntries(await asked.shift()!)
    const first = bundle * tileWidth
    if (entries.length !== Math.min(tileWidth, size - first))
      throw new Failure<FollowCode>('audit-tile/width', `bundle ${bundle} has ${entries.length} entries`)
    for (const [i, leaf] of entries.entries()) if (first + i >= from) yield [first + i, leaf]
  }
}

/** Reads hashes of a tree of this size from a log's tiles: as it serves them, held against nothing. */
export function nodesFrom(source: LogSource, treeSize: number): ReadNodes {
  return (nodes) =>
    Promise.all(
      nodes.map(async (node) => {
        const { level, index, row, at } = placeOf(node)
        const width = tileWidthAt(level, index, treeSize)
        const bytes = await source.tile({ level, index, width })
        const hash = bytes.length === width * 32 ? expandTile(bytes)[row]?.[at] : undefined
        if (hash === undefined) throw new Failure<FollowCode>('audit-tile/width', 'a tile of hashes is too short')
        return hash
      }),
    )
}

/** The entries do not lead to the tree. Either they are not those of the tree, or the tree is not the one that was seen before. */
async function contradiction(source: LogSource, before: AuditState | null, tree: VerifiedCheckpoint): Promise<Finding> {
  const tiles = {
    code: 'audit/tiles',
    index: null,
    message: 'the entries that the log serves are not those of its tree',
  } as const
  if (before === null || before.frontier.size === 0) return tiles
  const { size } = before.frontier
  const seen = rootOf(before.frontier)
  try {
    const proof = await proveConsistency(size, tree.treeSize, nodesFrom(source, tree.treeSize))
    verifyConsistency(size, seen, tree.treeSize, tree.rootHash, proof)
    return tiles
  } catch (error) {
    if (!isFailure(error)) throw error
  }
  const old = `${size} entries with root ${toHex(seen)}`
  const message = `a tree of ${old} was signed before, and does not lead to that of ${tree.treeSize} with root ${toHex(tree.rootHash)}`
  return { code: 'audit/split-view', index: null, message }
}
