import {
  type Cursor,
  countValue,
  type JsonCode,
  readNumber,
  readShortly,
  readString,
  skipSpace,
  skipValue,
  syntax,
} from '#core/encoding/json.js'
import type { ShapeCode } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { jsonSizeMax, nameLengthMax } from '#core/limits.js'

/**
 * Reading a JSON text by the shape of what is wanted of it, in one pass: the grammar and the bounds of parseJson, the rules
 * of shape.ts, and nothing is built of what nobody asks for. For long documents of vendors, who add members without a new
 * version.
 */

/**
 * Reads the value at the cursor, which stands in `depth` others, and leaves the cursor right behind it. Never undefined:
 * that is a member which is not there.
 */
export type Read<T> = (cursor: Cursor, depth: number) => T
/** The type that a reader yields. */
export type ReadBy<R> = R extends Read<infer T> ? T : never

function refuse(cursor: Cursor, code: ShapeCode, message: string): Failure<ShapeCode> {
  const path = pathOf(cursor)
  return new Failure<ShapeCode>(code, `${path || 'value'}: ${message}`, { detail: { path } })
}

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g

/**
 * The names and numbers that lead to the cursor. They are found in the text once something is refused, so that who refuses
 * nothing does not pay for them; up to the cursor the text is known to be JSON.
 */
function pathOf({ text, at }: Cursor): string {
  const steps: (string | number)[] = []
  let name = ''
  for (const [found] of text.slice(0, at).matchAll(token)) {
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

/** The members that are read, in the order in which they most often come. */
interface Wanted {
  readonly names: readonly string[]
  /** each name as it most often stands in a text: in quotation marks, a colon behind */
  readonly spelled: readonly string[]
  readonly readers: readonly Read<unknown>[]
}

function wantedOf(members: Readers): Wanted {
  const names = Object.keys(members)
  return { names, spelled: names.map((name) => `"${name}":`), readers: Object.values(members) }
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
  const { names } = wanted
  const requiredCount = Object.keys(required).length
  return (cursor, depth) => {
    const values = readMembers(cursor, depth, wanted)
    const out: Record<string, unknown> = {}
    for (let i = 0; i < names.length; i++) {
      if (values[i] !== undefined) out[names[i]!] = values[i]
      else if (i < requiredCount) throw refuse(cursor, 'shape/missing', `member ${names[i]} is missing`)
    }
    return out as ReadOf<R> & Partial<ReadOf<O>>
  }
}

/** What an object has under one name. */
export function member<T>(name: string, read: Read<T>): Read<T> {
  const wanted = wantedOf({ [name]: read })
  const only = `{"${name}":`
  return (cursor, depth) => {
    // Long lists are made of objects that have this member alone: those are read without a second look.
    const { at, items } = cursor
    if (cursor.text.startsWith(only, at) && cursor.text.charCodeAt(at + only.length) > 0x20) {
      cursor.at += only.length
      countValue(cursor)
      const alone = read(cursor, depth + 1)
      if (cursor.text[cursor.at++] === '}') return alone
      cursor.at = at
      cursor.items = items
    }
    const [value] = readMembers(cursor, depth, wanted)
    if (value === undefined) throw refuse(cursor, 'shape/missing', `member ${name} is missing`)
    return value as T
  }
}

/** The values of an object's members in the order of `names`; undefined for one that is not there. */
function readMembers(cursor: Cursor, depth: number, wanted: Wanted): readonly unknown[] {
  const { names, readers } = wanted
  const values = new Array<unknown>(names.length)
  let others: Set<string> | undefined
  let next = 0
  if (cursor.text[cursor.at] !== '{') throw refuse(cursor, 'shape/type', 'expected an object')
  cursor.at++
  skipSpace(cursor)
  if (cursor.text[cursor.at] === '}') {
    cursor.at++
    return values
  }
  for (;;) {
    const index = readName(cursor, wanted, next)
    if (typeof index === 'string') {
      others ??= new Set()
      if (others.has(index)) throw twice(index)
      others.add(index)
      skipValue(cursor, depth + 1)
    } else {
      if (values[index] !== undefined) throw twice(names[index]!)
      countValue(cursor)
      values[index] = readers[index]!(cursor, depth + 1)
      next = index + 1
    }
    skipSpace(cursor)
    const mark = cursor.text[cursor.at++]
    if (mark === '}') return values
    if (mark !== ',') throw syntax(cursor, 'a comma or the end of the object')
    skipSpace(cursor)
  }
}

function twice(name: string): Failure<JsonCode> {
  return new Failure<JsonCode>('json/duplicate', `member ${JSON.stringify(name)} occurs twice`)
}

/** Reads a name and its colon: the index of one that is wanted, most often the next one, or the name of any other. */
function readName(cursor: Cursor, { names, spelled }: Wanted, next: number): number | string {
  const likely = spelled[next]
  if (likely !== undefined && cursor.text.startsWith(likely, cursor.at)) {
    cursor.at += likely.length
    skipSpace(cursor)
    return next
  }
  const name = readString(cursor)
  const index = names.indexOf(name)
  skipSpace(cursor)
  if (cursor.text[cursor.at++] !== ':') throw syntax(cursor, 'a colon')
  skipSpace(cursor)
  return index < 0 ? name : index
}

/** A list of `min` (0) to `max` values. */
export function items<T>(read: Read<T>, { min = 0, max }: { min?: number; max: number }): Read<readonly T[]> {
  return (cursor, depth) => {
    const out: T[] = []
    if (cursor.text[cursor.at] !== '[') throw refuse(cursor, 'shape/type', 'expected a list')
    cursor.at++
    skipSpace(cursor)
    let mark: string | undefined = ','
    if (cursor.text[cursor.at] === ']') mark = cursor.text[cursor.at++]
    while (mark === ',') {
      if (out.length === max) throw refuse(cursor, 'shape/range', `more than ${max} items`)
      skipSpace(cursor)
      countValue(cursor)
      out.push(read(cursor, depth + 1))
      skipSpace(cursor)
      mark = cursor.text[cursor.at++]
    }
    if (mark !== ']') throw syntax(cursor, 'a comma or the end of the array')
    if (out.length < min) throw refuse(cursor, 'shape/range', `expected ${min} to ${max} items`)
    return out
  }
}

/**
 * A string of at most `max` characters, or what `make` makes of it: undefined when it is not of this form. What it is given
 * is a piece of the document, which it would hold on to if it gave it back.
 */
export function text(max?: number): Read<string>
export function text<T>(max: number, make: (text: string) => T | undefined, form: string): Read<T>
export function text<T>(max = nameLengthMax, make?: (text: string) => T | undefined, form?: string): Read<T | string> {
  return (cursor) => {
    if (cursor.text[cursor.at] !== '"') throw refuse(cursor, 'shape/type', 'expected a string')
    const found = make ? readShortly(cursor) : readString(cursor)
    if (found.length > max) throw refuse(cursor, 'shape/range', `longer than ${max} characters`)
    if (!make) return found
    const made = make(found)
    if (made === undefined) throw refuse(cursor, 'shape/form', `expected ${form}`)
    return made
  }
}

/** One of these strings, of printable ASCII without quotation marks and backslashes. */
export function oneOf<const T extends readonly string[]>(...names: T): Read<T[number]> {
  const spelled = names.map((name) => `"${name}"`)
  return (cursor) => {
    let index = spelled.findIndex((name) => cursor.text.startsWith(name, cursor.at))
    if (index >= 0) cursor.at += spelled[index]!.length
    else if (cursor.text[cursor.at] === '"') index = names.indexOf(readString(cursor)) // spelled with escapes, perhaps
    if (index < 0) throw refuse(cursor, 'shape/form', `expected one of ${names.join(', ')}`)
    return names[index]!
  }
}

/** A whole number from `min` (0) to `max`. */
export function whole(max: number, min = 0): Read<number> {
  return (cursor) => {
    const first = cursor.text.charCodeAt(cursor.at)
    if (first !== 0x2d && !(first >= 0x30 && first <= 0x39))
      throw refuse(cursor, 'shape/type', 'expected a whole number')
    const number = readNumber(cursor)
    if (!Number.isInteger(number)) throw refuse(cursor, 'shape/type', 'expected a whole number')
    if (number < min || number > max) throw refuse(cursor, 'shape/range', `expected ${min} to ${max}`)
    return number
  }
}

/**
 * The value of one JSON text, by its shape.
 *
 * text    at most 4 MiB
 * throws  json/syntax, json/duplicate, json/number, json/surrogate, json/limit, shape/...
 * source  RFC 8259; RFC 7493 (I-JSON), "Object Constraints"
 */
export function readJson<T>(text: string, read: Read<T>): T {
  if (text.length > jsonSizeMax)
    throw new Failure<JsonCode>('json/limit', `${text.length} characters, at most ${jsonSizeMax}`)
  const cursor: Cursor = { text, at: 0, items: 1 }
  skipSpace(cursor)
  const value = read(cursor, 0)
  skipSpace(cursor)
  if (cursor.at !== text.length) throw syntax(cursor, 'the end')
  return value
}
