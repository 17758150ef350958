/** What belongs in core/encoding: JSON, CBOR, DER and PEM, strict, one accepted form per value. */
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { jsonDepthMax, jsonItemsMax, jsonSizeMax } from '#core/limits.js'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/** Failures of reading JSON. */
export type JsonCode =
  | 'json/syntax'
  | 'json/duplicate'
  | 'json/number'
  | 'json/limit'
  | 'json/canonical'
  | 'json/surrogate'

/** Part by part: what one match may go back over lies on a stack, and a text of 16 MiB would overflow it. */
const stringPart = /(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){1,4096}/y
const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const loneSurrogate = /\p{Surrogate}/u

/** Printable ASCII without quotation mark and backslash: spelled in JSON as it stands. */
const plain = /^[ !#-[\]-~]*$/
const words = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const

/** Where a reader stands in a text, and how many values it has seen. */
interface Cursor {
  readonly text: string
  at: number
  items: number
}

function skipSpace(cursor: Cursor): void {
  const { text } = cursor
  let code = text.charCodeAt(cursor.at)
  while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++cursor.at)
}

function match(cursor: Cursor, token: RegExp): string | undefined {
  token.lastIndex = cursor.at
  const found = token.exec(cursor.text)?.[0]
  if (found !== undefined) cursor.at += found.length
  return found
}

function syntax(cursor: Cursor, expected: string): Failure<JsonCode> {
  return new Failure<JsonCode>('json/syntax', `expected ${expected} at character ${cursor.at}`)
}

/** The string at the cursor, if nothing in it needs a second look; undefined where something does. */
function readPlainString(cursor: Cursor): string | undefined {
  const { text, at } = cursor
  if (text.charCodeAt(at) !== 0x22) return undefined
  let end = at + 1
  for (let code = text.charCodeAt(end); code !== 0x22; code = text.charCodeAt(++end)) {
    // A control character, the end of the text (NaN), a backslash, or half of a pair perhaps.
    if (!(code >= 0x20 && code < 0xd800) || code === 0x5c) return undefined
  }
  cursor.at = end + 1
  // A longer slice would hold on to the whole text as long as the value lives.
  return end - at < 12 ? text.slice(at + 1, end) : (JSON.parse(text.slice(at, end + 1)) as string)
}

/** Where what a string may hold ends, from the character behind the cursor on. */
function stringEnd({ text, at }: Cursor): number {
  let end = at + 1
  for (stringPart.lastIndex = end; stringPart.test(text); end = stringPart.lastIndex);
  return end
}

function readString(cursor: Cursor): string {
  const plain = readPlainString(cursor)
  if (plain !== undefined) return plain
  const { text, at } = cursor
  const end = stringEnd(cursor)
  if (text.charCodeAt(at) !== 0x22 || text.charCodeAt(end) !== 0x22) throw syntax(cursor, 'a string')
  cursor.at = end + 1
  const value = JSON.parse(text.slice(at, end + 1)) as string
  if (loneSurrogate.test(value)) throw new Failure<JsonCode>('json/surrogate', 'string holds half a surrogate pair')
  return value
}

function readNumber(cursor: Cursor): number {
  const { text, at } = cursor
  // A few digits before a comma or a bracket: most numbers of most documents.
  let [end, digits, code] = [at, 0, text.charCodeAt(at)]
  for (; code >= 0x30 && code <= 0x39 && end - at < 15; code = text.charCodeAt(++end))
    digits = digits * 10 + code - 0x30
  const isPlain = end === at + 1 || (end > at && text.charCodeAt(at) !== 0x30)
  if (isPlain && (code === 0x2c || code === 0x7d || code === 0x5d)) {
    cursor.at = end
    return digits
  }
  const token = match(cursor, numberToken)
  if (token === undefined) throw syntax(cursor, 'a value')
  return toNumber(token)
}

/** The number that a text of JSON is; undefined for a text that is none. @throws json/number */
export function numberOf(text: string): number | undefined {
  numberToken.lastIndex = 0
  return numberToken.exec(text)?.[0].length === text.length ? toNumber(text) : undefined
}

function toNumber(token: string): number {
  const value = Number(token)
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
    throw new Failure<JsonCode>('json/number', 'number is beyond 2^53')
  }
  return value
}

function readArray(cursor: Cursor, depth: number): Json[] {
  const out: Json[] = []
  cursor.at++
  skipSpace(cursor)
  if (cursor.text[cursor.at] === ']') {
    cursor.at++
    return out
  }
  for (;;) {
    out.push(readValue(cursor, depth + 1))
    const next = cursor.text[cursor.at++]
    if (next === ']') return out
    if (next !== ',') throw syntax(cursor, 'a comma or the end of the array')
  }
}

function readObject(cursor: Cursor, depth: number): Json {
  const members: Record<string, Json> = {}
  cursor.at++
  skipSpace(cursor)
  if (cursor.text[cursor.at] === '}') {
    cursor.at++
    return members
  }
  for (;;) {
    skipSpace(cursor)
    const name = readString(cursor)
    if (Object.hasOwn(members, name))
      throw new Failure<JsonCode>('json/duplicate', `member ${JSON.stringify(name)} occurs twice`)
    skipSpace(cursor)
    if (cursor.text[cursor.at++] !== ':') throw syntax(cursor, 'a colon')
    const value = readValue(cursor, depth + 1)
    // Invariant: a defined property, so that a member called __proto__ stays a member.
    if (name === '__proto__')
      Object.defineProperty(members, name, { value, writable: true, enumerable: true, configurable: true })
    else members[name] = value
    const next = cursor.text[cursor.at++]
    if (next === '}') return members
    if (next !== ',') throw syntax(cursor, 'a comma or the end of the object')
  }
}

/** The value at the cursor, which is left behind the space that follows. */
function readValue(cursor: Cursor, depth: number): Json {
  if (depth > jsonDepthMax) throw new Failure<JsonCode>('json/limit', `nested deeper than ${jsonDepthMax}`)
  if (++cursor.items > jsonItemsMax) throw new Failure<JsonCode>('json/limit', `more than ${jsonItemsMax} values`)
  skipSpace(cursor)
  const value = readBare(cursor, depth)
  skipSpace(cursor)
  return value
}

function readBare(cursor: Cursor, depth: number): Json {
  const first = cursor.text[cursor.at]
  if (first === '{') return readObject(cursor, depth)
  if (first === '[') return readArray(cursor, depth)
  if (first === '"') return readString(cursor)
  for (const [word, value] of words) {
    if (first === word[0] && cursor.text.startsWith(word, cursor.at)) {
      cursor.at += word.length
      return value
    }
  }
  return readNumber(cursor)
}

/**
 * The value of one JSON text; duplicate members, half surrogates, integers beyond 2^53 and trailing text are refused.
 *
 * bytes   UTF-8, at most `sizeMax` bytes (default 4 MiB)
 * throws  json/syntax, json/duplicate, json/number, json/surrogate, json/limit, bytes/utf8
 * source  RFC 8259; RFC 7493 (I-JSON), "Object Constraints"
 */
export function parseJson(bytes: Uint8Array, sizeMax = jsonSizeMax): Json {
  if (bytes.length > sizeMax) throw new Failure<JsonCode>('json/limit', `${bytes.length} bytes, at most ${sizeMax}`)
  const cursor: Cursor = { text: fromUtf8(bytes), at: 0, items: 0 }
  const value = readValue(cursor, 0)
  if (cursor.at !== cursor.text.length) throw syntax(cursor, 'the end')
  return value
}

/**
 * The one canonical form of a value. Members that are `undefined` are left out.
 *
 * source  RFC 8785, "Serialization of Primitive Data Types", "Sorting of Object Properties"
 */
export function canonicalJson(value: unknown): Uint8Array {
  return utf8(canonicalText(value))
}

const notKnown = () => false

/**
 * The same as text.
 *
 * isPlain  for a caller who knows some of the texts to be printable ASCII without quotation mark and backslash
 */
export function canonicalText(given: unknown, isPlain: (text: string) => boolean = notKnown): string {
  const value = given as Json
  if (Array.isArray(value)) return `[${value.map((item) => canonicalText(item, isPlain)).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const members: Record<string, string> = Object.create(null)
    for (const [name, member] of Object.entries(value)) members[name] = canonicalText(member, isPlain)
    return canonicalMembers(members)
  }
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new Failure<JsonCode>('json/number', 'number is not finite')
  // Long texts are base64 most of the time: looking for what needs an escape is cheaper than writing each character.
  return typeof value === 'string' && (isPlain(value) || plain.test(value)) ? `"${value}"` : JSON.stringify(value)
}

/** The canonical text of an object, made of the canonical texts of its members; none is the text of `undefined`. */
export function canonicalMembers(members: Readonly<Record<string, string | undefined>>): string {
  let text = ''
  // UTF-16 code units, as RFC 8785 wants
  for (const name of Object.keys(members).sort())
    if (members[name] !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${members[name]}`
  return `{${text}}`
}

/** The value of a JSON text that must already be in canonical form. @throws json/canonical and all of parseJson */
export function parseCanonicalJson(bytes: Uint8Array, sizeMax = jsonSizeMax): Json {
  const value = parseJson(bytes, sizeMax)
  const again = canonicalJson(value)
  let same = again.length === bytes.length
  for (let i = 0; same && i < again.length; i++) same = again[i] === bytes[i]
  if (!same) throw new Failure<JsonCode>('json/canonical', 'JSON is not in canonical form (RFC 8785)')
  return value
}
