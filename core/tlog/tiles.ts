import { assert } from '#core/assert.js'
import { Reader } from '#core/bytes/reader.js'
import { Writer } from '#core/bytes/writer.js'
import { Failure } from '#core/failure.js'
import { entrySizeMax } from '#core/limits.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import type { TlogCode } from '#core/tlog/failures.js'
import { hashNode } from '#core/tlog/merkle.js'
import type { NodeId } from '#core/tlog/prove.js'

/** Hashes of a full tile, and the levels of the tree that it spans. */
export const tileWidth = 256
export const tileHeight = 8

/** A tile of hashes (`level` 0 to 63) or a bundle of entries; `width` 1 to 256. */
export interface TileId {
  readonly level: number | 'entries'
  readonly index: number
  readonly width: number
}

/** `tile/0/x001/x234/067.p/8`. source: C2SP tlog-tiles, "Merkle Tree" */
export function tilePath({ level, index, width }: TileId): string {
  const groups: string[] = []
  for (let rest = index, first = true; first || rest > 0; first = false) {
    groups.unshift(`${first ? '' : 'x'}${String(rest % 1000).padStart(3, '0')}`)
    rest = Math.floor(rest / 1000)
  }
  return `tile/${level}/${groups.join('/')}${width === tileWidth ? '' : `.p/${width}`}`
}

/**
 * The tile that a path names, without a slash before it: one path for each tile.
 *
 * throws  tlog/tile
 * source  C2SP tlog-tiles, "Merkle Tree", "Log entries"
 */
export function parseTilePath(path: string): TileId {
  const found = /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/.exec(path)
  const [, levelText = '', groups = '', widthText] = found ?? []
  const level = levelText === 'entries' ? levelText : parseDecimal(levelText)
  const width = widthText === undefined ? tileWidth : Number(widthText)
  const index = Number(groups.replaceAll(/[x/]/g, ''))
  const tile: TileId = { level: level ?? -1, index, width }
  // Leading groups of zeros, a width of 256 spelt out and the like are second spellings.
  if (!found || level === undefined || (level !== 'entries' && level > 63) || tilePath(tile) !== path) {
    throw new Failure<TlogCode>('tlog/tile', 'path is not that of a tile')
  }
  return tile
}

/** How many hashes the tile `index` of `level` has in a tree of `size` leaves: 0 (no such tile) to 256. */
export function tileWidthAt(level: number, index: number, size: number): number {
  const hashes = Math.floor(size / tileWidth ** level)
  return Math.max(0, Math.min(tileWidth, hashes - index * tileWidth))
}

/** A tile with the levels between its hashes: `[0]` its own hashes, `[k]` the roots of each 2^k of them. */
export type Pyramid = readonly (readonly Uint8Array[])[]

/** The pyramid above a tile's hashes: as high as whole pairs go. `bytes` are 1 to 256 hashes of 32 bytes. */
export function expandTile(bytes: Uint8Array): Pyramid {
  assert(bytes.length % 32 === 0 && bytes.length <= tileWidth * 32, 'a tile has 1 to 256 hashes')
  let row: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += 32) row.push(bytes.subarray(at, at + 32))
  const rows = [row]
  while (row.length > 1) {
    const next: Uint8Array[] = []
    for (let i = 0; i + 1 < row.length; i += 2) next.push(hashNode(row[i]!, row[i + 1]!))
    rows.push(next)
    row = next
  }
  return rows
}

/** Where a node is found: which tile, which row of its pyramid, which place in the row. */
export function placeOf(node: NodeId): {
  readonly level: number
  readonly index: number
  readonly row: number
  readonly at: number
} {
  const level = Math.floor(node.level / tileHeight)
  const row = node.level % tileHeight
  const perTile = tileWidth / 2 ** row
  return { level, index: Math.floor(node.index / perTile), row, at: node.index % perTile }
}

/** A bundle of entries. source: C2SP tlog-tiles, "Log entries" */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer()
  for (const entry of entries) {
    assert(entry.length <= entrySizeMax, 'an entry fits its length')
    writer.u16be(entry.length).bytes(entry)
  }
  return writer.done()
}

/** The entries of a bundle, at most 256. @throws tlog/entries */
export function parseEntries(bundle: Uint8Array): readonly Uint8Array[] {
  const reader = new Reader(bundle)
  const entries: Uint8Array[] = []
  try {
    while (reader.left > 0 && entries.length <= tileWidth) entries.push(reader.bytes(reader.u16be()))
  } catch (cause) {
    throw new Failure<TlogCode>('tlog/entries', 'bundle ends inside an entry', { cause })
  }
  if (entries.length > tileWidth)
    throw new Failure<TlogCode>('tlog/entries', `bundle has more than ${tileWidth} entries`)
  return entries
}
