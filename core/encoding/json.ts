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

const whitespace = /[ \t\n\r]*/y
const stringToken = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const loneSurrogate = /\p{Surrogate}/u

interface Cursor {
  readonly text: string
  at: number
  items: number
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

function readString(cursor: Cursor): string {
  const token = match(cursor, stringToken)
  if (token === undefined) throw syntax(cursor, 'a string')
  const value = JSON.parse(token) as string
  if (loneSurrogate.test(value)) throw new Failure<JsonCode>('json/surrogate', 'string holds half a surrogate pair')
  return value
}

function readNumber(cursor: Cursor): number {
  const token = match(cursor, numberToken)
  if (token === undefined) throw syntax(cursor, 'a value')
  const value = Number(token)
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
    throw new Failure<JsonCode>('json/number', 'number is beyond 2^53')
  }
  return value
}

function readArray(cursor: Cursor, depth: number): Json[] {
  const out: Json[] = []
  cursor.at++
  match(cursor, whitespace)
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
  const members = new Map<string, Json>()
  cursor.at++
  match(cursor, whitespace)
  if (cursor.text[cursor.at] === '}') {
    cursor.at++
    return {}
  }
  for (;;) {
    match(cursor, whitespace)
    const name = readString(cursor)
    if (members.has(name)) throw new Failure<JsonCode>('json/duplicate', `member ${JSON.stringify(name)} occurs twice`)
    match(cursor, whitespace)
    if (cursor.text[cursor.at++] !== ':') throw syntax(cursor, 'a colon')
    members.set(name, readValue(cursor, depth + 1))
    const next = cursor.text[cursor.at++]
    // Invariant: defined properties, so that a member called __proto__ stays a member.
    if (next === '}') return Object.fromEntries(members)
    if (next !== ',') throw syntax(cursor, 'a comma or the end of the object')
  }
}

function readValue(cursor: Cursor, depth: number): Json {
  if (depth > jsonDepthMax) throw new Failure<JsonCode>('json/limit', `nested deeper than ${jsonDepthMax}`)
  if (++cursor.items > jsonItemsMax) throw new Failure<JsonCode>('json/limit', `more than ${jsonItemsMax} values`)
  match(cursor, whitespace)
  const value = readBare(cursor, depth)
  match(cursor, whitespace)
  return value
}

function readBare(cursor: Cursor, depth: number): Json {
  const first = cursor.text[cursor.at]
  if (first === '{') return readObject(cursor, depth)
  if (first === '[') return readArray(cursor, depth)
  if (first === '"') return readString(cursor)
  for (const [word, value] of [
    ['true', true],
    ['false', false],
    ['null', null],
  ] as const) {
    if (cursor.text.startsWith(word, cursor.at)) {
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

function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value).filter(([, member]) => member !== undefined)
    members.sort(([a], [b]) => (a < b ? -1 : 1)) // UTF-16 code units, as RFC 8785 wants
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`
  }
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new Failure<JsonCode>('json/number', 'number is not finite')
  return JSON.stringify(value)
}

/**
 * The one canonical form of a value. Members that are `undefined` are left out.
 *
 * source  RFC 8785, "Serialization of Primitive Data Types", "Sorting of Object Properties"
 */
export function canonicalJson(value: unknown): Uint8Array {
  return utf8(canonical(value as Json))
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
