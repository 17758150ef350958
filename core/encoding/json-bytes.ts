import { fromUtf8 } from '#core/bytes/bytes.js'
import { type JsonCode, numberOf } from '#core/encoding/json.js'
import type { ShapeCode } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { jsonDepthMax, jsonItemsMax } from '#core/limits.js'

/**
 * The words of a JSON text, read from its bytes where they stand: the grammar and the bounds of parseJson, without a text
 * of the whole. For json-read.ts and json-scalars.ts alone.
 */

/** Where a reader stands in the bytes of a document, how many values it has seen, and the strings that it has made. */
export interface Cursor {
  readonly bytes: Uint8Array
  at: number
  items: number
  /** by their last two bytes, the last one for each: documents of vendors say the same words over and over */
  readonly made: (Made | undefined)[]
  /** ends of objects that were read, for `column` */
  readonly rests: Rest[]
}
/** A piece of the document. */
interface Piece {
  readonly from: number
  readonly end: number
}
/** The end of an object that begins with the bytes `first` and a number, and stands in `depth` others. */
interface Rest extends Piece {
  readonly first: Uint8Array
  readonly depth: number
  /** how many values the object has, itself not counted */
  readonly items: number
}
interface Made extends Piece {
  readonly text: string
}
const madeCount = 128

export function cursorOf(bytes: Uint8Array): Cursor {
  return { bytes, at: 0, items: 1, made: new Array<Made | undefined>(madeCount), rests: [] }
}

/** The ASCII characters that decide. */
export const mark = {
  quote: 0x22,
  comma: 0x2c,
  minus: 0x2d,
  colon: 0x3a,
  open: 0x7b,
  close: 0x7d,
  openList: 0x5b,
  closeList: 0x5d,
  backslash: 0x5c,
} as const

/**
 * Reads the value at the cursor, which stands in `depth` others, and leaves the cursor right behind it. Never undefined:
 * that is a member which is not there.
 */
export type Read<T> = (cursor: Cursor, depth: number) => T
/** The type that a reader yields. */
export type ReadBy<R> = R extends Read<infer T> ? T : never

export function refuse(cursor: Cursor, code: ShapeCode, message: string): Failure<ShapeCode> {
  const path = pathOf(cursor)
  return new Failure<ShapeCode>(code, `${path || 'value'}: ${message}`, { detail: { path } })
}

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g

/**
 * The names and numbers that lead to the cursor. They are found in the text once something is refused, so that who refuses
 * nothing does not pay for them; up to the cursor the bytes are known to be JSON.
 */
function pathOf({ bytes, at }: Cursor): string {
  const steps: (string | number)[] = []
  let name = ''
  for (const [found] of fromUtf8(bytes.subarray(0, at)).matchAll(token)) {
    const last = steps.at(-1)
    if (found === '{') steps.push('')
    else if (found === '[') steps.push(0)
    else if (found === '}' || found === ']') steps.pop()
    else if (found === ',') steps[steps.length - 1] = typeof last === 'number' ? last + 1 : ''
    else if (found === ':') steps[steps.length - 1] = name
    else name = JSON.parse(found) as string
  }
  const path = steps.map((step) => (typeof step === 'number' ? `[${step}]` : step && `.${step}`)).join('')
  return path.startsWith('.') ? path.slice(1) : path
}

export function syntax(cursor: Cursor, expected: string): Failure<JsonCode> {
  return new Failure<JsonCode>('json/syntax', `expected ${expected} at byte ${cursor.at}`)
}

export function twice(name: string): Failure<JsonCode> {
  return new Failure<JsonCode>('json/duplicate', `member ${JSON.stringify(name)} occurs twice`)
}

export function skipSpace(cursor: Cursor): void {
  const { bytes } = cursor
  let byte = bytes[cursor.at]
  while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++cursor.at]
}

/** Counts a value that is read. @throws json/limit */
export function countValue(cursor: Cursor): void {
  if (++cursor.items > jsonItemsMax) throw new Failure<JsonCode>('json/limit', `more than ${jsonItemsMax} values`)
}

/** Whether these bytes stand at the cursor. */
export function startsWith({ bytes, at }: Cursor, wanted: Uint8Array): boolean {
  if (at + wanted.length > bytes.length) return false
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false
  return true
}

/** Reads the string at the cursor. @throws json/syntax, json/surrogate, bytes/utf8 */
export function readString(cursor: Cursor): string {
  const { bytes, at, made } = cursor
  if (bytes[at] !== mark.quote) throw syntax(cursor, 'a string')
  const from = at + 1
  const end = plainEnd(bytes, from)
  if (end < 0) return readRareString(cursor)
  cursor.at = end + 1
  // Words of one document differ at their end first: names by their letters, advisories by their numbers.
  const slot = (bytes[end - 1]! + 10 * bytes[end - 2]! + 100 * (bytes[end - 3] ?? 0)) & (madeCount - 1)
  const known = made[slot]
  if (known?.text.length === end - from && isRepeated(bytes, from, known)) return known.text
  const text = fromUtf8(bytes.subarray(from, end))
  made[slot] = { from, end, text }
  return text
}

/** Where the quotation mark stands that ends a string of plain characters; -1 where something needs a second look. */
function plainEnd(bytes: Uint8Array, from: number): number {
  let end = from
  for (;;) {
    const byte = bytes[end]
    if (byte === mark.quote) return end
    // A control character, no ASCII, a backslash, or the end of the bytes (undefined).
    if (!(byte! >= 0x20 && byte! <= 0x7f) || byte === mark.backslash) return -1
    end++
  }
}

/** Whether what stands in the document at `at` is what stands in this piece. */
export function isRepeated(bytes: Uint8Array, at: number, { from, end }: Piece): boolean {
  // From behind: what documents say nearly alike differs at its end.
  for (let i = end - from - 1; i >= 0; i--) if (bytes[at + i] !== bytes[from + i]) return false
  return true
}

const loneSurrogate = /\p{Surrogate}/u

/** A string with an escape, or with characters beyond ASCII. */
function readRareString(cursor: Cursor): string {
  const { bytes, at } = cursor
  let end = at + 1
  for (let byte = bytes[end]; byte !== mark.quote; byte = bytes[++end]) {
    if (byte === mark.backslash) end++
    if (byte === undefined || byte < 0x20) throw syntax(cursor, 'a string')
  }
  let value: string
  const spelled = fromUtf8(bytes.subarray(at, end + 1))
  try {
    value = JSON.parse(spelled) as string
  } catch {
    throw syntax(cursor, 'a string')
  }
  cursor.at = end + 1
  if (loneSurrogate.test(value)) throw new Failure<JsonCode>('json/surrogate', 'string holds half a surrogate pair')
  return value
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}

/** Reads the number at the cursor. @throws json/syntax, json/number */
export function readNumber(cursor: Cursor): number {
  const { bytes, at } = cursor
  // A few digits before a comma or a bracket: most numbers of most documents.
  let [end, digits, byte] = [at, 0, bytes[at]]
  for (; byte !== undefined && byte >= 0x30 && byte <= 0x39 && end - at < 15; byte = bytes[++end])
    digits = digits * 10 + byte - 0x30
  const isPlain = end === at + 1 || (end > at && bytes[at] !== 0x30)
  if (isPlain && (byte === mark.comma || byte === mark.close || byte === mark.closeList)) {
    cursor.at = end
    return digits
  }
  // Every character that a number may be made of: what of them is one is for its grammar to say.
  while (isDigit(byte) || byte === 0x2b || byte === 0x2d || byte === 0x2e || byte === 0x45 || byte === 0x65)
    byte = bytes[++end]
  const value = numberOf(fromUtf8(bytes.subarray(at, end)))
  if (value === undefined) throw syntax(cursor, 'a value')
  cursor.at = end
  return value
}

/**
 * Reads over the value at the cursor, which stands in `depth` others and is held to the same grammar and bounds as one
 * that is read, and leaves the cursor right behind it.
 */
export function skipValue(cursor: Cursor, depth: number): void {
  if (depth > jsonDepthMax) throw new Failure<JsonCode>('json/limit', `nested deeper than ${jsonDepthMax}`)
  countValue(cursor)
  const first = cursor.bytes[cursor.at]
  if (first === mark.quote) skipString(cursor)
  else if (first === mark.open) skipObject(cursor, depth)
  else if (first === mark.openList) skipList(cursor, depth)
  else if (first === mark.minus || isDigit(first)) readNumber(cursor)
  else skipWord(cursor)
}

function skipString(cursor: Cursor): void {
  const end = plainEnd(cursor.bytes, cursor.at + 1)
  if (end < 0) readRareString(cursor)
  else cursor.at = end + 1
}

const words = ['true', 'false', 'null'].map((word) => Uint8Array.from(word, (letter) => letter.charCodeAt(0)))

function skipWord(cursor: Cursor): void {
  const word = words.find((one) => startsWith(cursor, one))
  if (!word) throw syntax(cursor, 'a value')
  cursor.at += word.length
}

function skipList(cursor: Cursor, depth: number): void {
  const { bytes } = cursor
  cursor.at++
  skipSpace(cursor)
  if (bytes[cursor.at] === mark.closeList) {
    cursor.at++
    return
  }
  for (;;) {
    skipSpace(cursor)
    skipValue(cursor, depth + 1)
    skipSpace(cursor)
    const next = bytes[cursor.at++]
    if (next === mark.closeList) return
    if (next !== mark.comma) throw syntax(cursor, 'a comma or the end of the array')
  }
}

function skipObject(cursor: Cursor, depth: number): void {
  const { bytes } = cursor
  const names = new Set<string>()
  cursor.at++
  skipSpace(cursor)
  if (bytes[cursor.at] === mark.close) {
    cursor.at++
    return
  }
  for (;;) {
    skipSpace(cursor)
    const name = readString(cursor)
    if (names.has(name)) throw twice(name)
    names.add(name)
    skipColon(cursor)
    skipValue(cursor, depth + 1)
    skipSpace(cursor)
    const next = bytes[cursor.at++]
    if (next === mark.close) return
    if (next !== mark.comma) throw syntax(cursor, 'a comma or the end of the object')
  }
}

/** The colon behind a name, and the space around it. */
export function skipColon(cursor: Cursor): void {
  skipSpace(cursor)
  if (cursor.bytes[cursor.at++] !== mark.colon) throw syntax(cursor, 'a colon')
  skipSpace(cursor)
}
