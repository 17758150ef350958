import { assert } from '#core/assert.js'
import { utf8 } from '#core/bytes/bytes.js'
import type { JsonCode } from '#core/encoding/json.js'
import {
  type Cursor,
  countValue,
  cursorOf,
  isRepeated,
  mark,
  type Read,
  type ReadBy,
  readString,
  refuse,
  skipColon,
  skipSpace,
  skipValue,
  startsWith,
  syntax,
  twice,
} from '#core/encoding/json-bytes.js'
import { whole } from '#core/encoding/json-scalars.js'
import type { ShapeCode } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { jsonSizeMax } from '#core/limits.js'

/**
 * Reading a JSON text by the shape of what is wanted of it, in one pass: the grammar and the bounds of parseJson, the rules
 * of shape.ts, and nothing is built of what nobody asks for. For long documents of vendors, who add members without a new
 * version.
 */

/** The members that are read, in the order in which they most often come: at most 31, for each has its bit. */
interface Wanted {
  readonly names: readonly string[]
  /** each name as it most often stands in a text: in quotation marks, a colon behind */
  readonly spelled: readonly Uint8Array[]
  readonly readers: readonly Read<unknown>[]
}

function wantedOf(members: Readers): Wanted {
  const names = Object.keys(members)
  assert(names.length <= 31, 'at most 31 members are read of one object')
  return { names, spelled: names.map((name) => utf8(`"${name}":`)), readers: Object.values(members) }
}

type Readers = { readonly [name: string]: Read<unknown> }
type ReadOf<R extends Readers> = { readonly [K in keyof R]: ReadBy<R[K]> }

/**
 * An object with these members, each once and in any order. Others are read over, and may not be there twice either.
 *
 * optional  members that may be absent
 */
export function members<const R extends Readers, const O extends Readers = Record<never, never>>(
  required: R,
  optional: O = {} as O,
): Read<ReadOf<R> & Partial<ReadOf<O>>> {
  const wanted = wantedOf({ ...required, ...optional })
  const all = 2 ** Object.keys(required).length - 1
  return (cursor, depth) => {
    const out: Record<string, unknown> = {}
    const seen = readMembers(cursor, depth, wanted, out)
    if ((seen & all) !== all) throw missing(cursor, wanted, seen)
    return out as ReadOf<R> & Partial<ReadOf<O>>
  }
}

function missing(cursor: Cursor, { names }: Wanted, seen: number): Failure<ShapeCode> {
  const first = names.find((_, i) => (seen & (1 << i)) === 0)
  return refuse(cursor, 'shape/missing', `member ${first} is missing`)
}

/** What an object has under one name. */
export function member<T>(name: string, read: Read<T>): Read<T> {
  const all = members({ [name]: read })
  return (cursor, depth) => all(cursor, depth)[name] as T
}

/** Reads an object into `out`, and says by a bit for each which of the names were there. */
function readMembers(cursor: Cursor, depth: number, wanted: Wanted, out: Record<string, unknown>): number {
  const { names, readers } = wanted
  const { bytes } = cursor
  if (bytes[cursor.at] !== mark.open) throw refuse(cursor, 'shape/type', 'expected an object')
  cursor.at++
  skipSpace(cursor)
  if (bytes[cursor.at] === mark.close) {
    cursor.at++
    return 0
  }
  let others: Names | undefined
  let seen = 0
  let next = 0
  for (;;) {
    const index = readName(cursor, wanted, next)
    if (typeof index === 'string') {
      others = withName(others, index)
      skipValue(cursor, depth + 1)
    } else {
      const name = names[index]!
      if (seen & (1 << index)) throw twice(name)
      seen |= 1 << index
      countValue(cursor)
      out[name] = readers[index]!(cursor, depth + 1)
      next = index + 1
    }
    skipSpace(cursor)
    const then = bytes[cursor.at++]
    if (then === mark.close) return seen
    if (then !== mark.comma) throw syntax(cursor, 'a comma or the end of the object')
    skipSpace(cursor)
  }
}

/** Names of members that nobody asked for. A set is dear to make for the few that there are. */
type Names = string[] | Set<string>

/** @throws json/duplicate */
function withName(names: Names | undefined, name: string): Names {
  if (names === undefined) return [name]
  const isThere = Array.isArray(names) ? names.includes(name) : names.has(name)
  if (isThere) throw twice(name)
  if (!Array.isArray(names)) return names.add(name)
  if (names.length === 8) return new Set([...names, name])
  names.push(name)
  return names
}

/** Reads a name and its colon: the index of one that is wanted, most often the next one, or the name of any other. */
function readName(cursor: Cursor, { names, spelled }: Wanted, next: number): number | string {
  const likely = spelled[next]
  if (likely !== undefined && startsWith(cursor, likely)) {
    cursor.at += likely.length
    skipSpace(cursor)
    return next
  }
  const name = readString(cursor)
  const index = names.indexOf(name)
  skipColon(cursor)
  return index < 0 ? name : index
}

/** A list of `min` (0) to `max` values. */
export function items<T>(read: Read<T>, { min = 0, max }: { min?: number; max: number }): Read<readonly T[]> {
  return (cursor, depth) => {
    const { bytes } = cursor
    const out: T[] = []
    if (bytes[cursor.at] !== mark.openList) throw refuse(cursor, 'shape/type', 'expected a list')
    cursor.at++
    skipSpace(cursor)
    let then: number | undefined = mark.comma
    if (bytes[cursor.at] === mark.closeList) then = bytes[cursor.at++]
    while (then === mark.comma) {
      if (out.length === max) throw refuse(cursor, 'shape/range', `more than ${max} items`)
      skipSpace(cursor)
      countValue(cursor)
      out.push(read(cursor, depth + 1))
      skipSpace(cursor)
      then = bytes[cursor.at++]
    }
    if (then !== mark.closeList) throw syntax(cursor, 'a comma or the end of the array')
    if (out.length < min) throw refuse(cursor, 'shape/range', `expected ${min} to ${max} items`)
    return out
  }
}

/**
 * The whole numbers, 0 to `max`, that each object of a list of `count` has under one name: what items(member(name,
 * whole(max))) reads, at once where each is spelled as shortly as can be.
 */
export function column(name: string, max: number, count: number): Read<readonly number[]> {
  const one = member(name, whole(max))
  const first = utf8(`{"${name}":`)
  return (cursor, depth) => {
    const { bytes } = cursor
    if (bytes[cursor.at] !== mark.openList) throw refuse(cursor, 'shape/type', 'expected a list')
    cursor.at++
    const out: number[] = []
    let then: number | undefined = mark.comma
    while (then === mark.comma && out.length < count) {
      skipSpace(cursor)
      countValue(cursor)
      const from = cursor.at + first.length
      const number = startsWith(cursor, first) ? shortNumber(bytes, from) : -1
      const end = from + (number < 10 ? 1 : number < 100 ? 2 : 3)
      // What ends the number ends it here: no fourth digit and no exponent goes on with it.
      const isShort = number >= 0 && number <= max && (bytes[end] === mark.close || bytes[end] === mark.comma)
      if (isShort && bytes[end] === mark.close) {
        countValue(cursor)
        cursor.at = end + 1
        out.push(number)
      } else if (isShort && skipAgain(cursor, end, first, depth)) out.push(number)
      else {
        const { items } = cursor
        out.push(one(cursor, depth + 1))
        if (isShort && end < cursor.at) noteRest(cursor, end, first, depth, cursor.items - items)
      }
      skipSpace(cursor)
      then = bytes[cursor.at++]
    }
    if (then === mark.comma) throw refuse(cursor, 'shape/range', `more than ${count} items`)
    if (then !== mark.closeList) throw syntax(cursor, 'a comma or the end of the array')
    if (out.length < count) throw refuse(cursor, 'shape/range', `expected ${count} items`)
    return out
  }
}

/** How many different ends of objects are worth a comparison. */
const restsMax = 8

/** Keeps what stands from `from` to the cursor: behind a number, to the end of its object. */
function noteRest(cursor: Cursor, from: number, first: Uint8Array, depth: number, items: number): void {
  if (cursor.rests.length < restsMax) cursor.rests.push({ from, end: cursor.at, first, depth, items })
}

/**
 * Steps over the rest of an object when the same bytes were the rest of an earlier one, as deep and begun alike: whatever
 * had to be found out about them was found out then.
 */
function skipAgain(cursor: Cursor, at: number, first: Uint8Array, depth: number): boolean {
  for (const rest of cursor.rests) {
    if (rest.first !== first || rest.depth !== depth || !isRepeated(cursor.bytes, at, rest)) continue
    for (let i = 0; i < rest.items; i++) countValue(cursor)
    cursor.at = at + rest.end - rest.from
    return true
  }
  return false
}

/** The number of up to three digits that stands there, as short as can be; -1 for anything else. */
function shortNumber(bytes: Uint8Array, at: number): number {
  let number = bytes[at]! - 0x30
  if (!(number >= 0 && number <= 9)) return -1
  for (let i = at + 1; number > 0 && i < at + 3; i++) {
    const digit = bytes[i]! - 0x30
    if (!(digit >= 0 && digit <= 9)) break
    number = number * 10 + digit
  }
  return number
}

/**
 * The value of one JSON text, by its shape.
 *
 * bytes   UTF-8, at most 4 MiB
 * throws  json/syntax, json/duplicate, json/number, json/surrogate, json/limit, bytes/utf8, shape/...
 * source  RFC 8259; RFC 7493 (I-JSON), "Object Constraints"
 */
export function readJson<T>(bytes: Uint8Array, read: Read<T>): T {
  if (bytes.length > jsonSizeMax)
    throw new Failure<JsonCode>('json/limit', `${bytes.length} bytes, at most ${jsonSizeMax}`)
  const cursor = cursorOf(bytes)
  skipSpace(cursor)
  const value = read(cursor, 0)
  skipSpace(cursor)
  if (cursor.at !== bytes.length) throw syntax(cursor, 'the end')
  return value
}
