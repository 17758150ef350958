import {
  type Cursor,
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
 * Reading a JSON text by the shape of what is wanted of it, in one pass: the grammar of parseJson, the rules of shape.ts,
 * and nothing is built of what nobody asks for. For long documents of vendors, who add members without a new version.
 */

/** Reads the value at the cursor and leaves the cursor right behind it. */
export type Read<T> = (at: Place) => T
/** The type that a reader yields. */
export type ReadBy<R> = R extends Read<infer T> ? T : never

interface Place extends Cursor {
  /** the names and numbers that lead here, for messages */
  readonly path: (string | number)[]
}

function refuse({ path }: Place, code: ShapeCode, message: string): Failure<ShapeCode> {
  const where = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')
  return new Failure<ShapeCode>(code, `${where.slice(1) || 'value'}: ${message}`, { detail: { path: where.slice(1) } })
}

/** Members that an object may have beside those that are read: what vendors add over the years. */
const othersMax = 64

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
  const wanted = { ...required, ...optional }
  const [names, readers] = [Object.keys(wanted), Object.values(wanted)]
  const requiredCount = Object.keys(required).length
  return (place) => {
    const values = readMembers(place, names, readers)
    const out: Record<string, unknown> = {}
    for (let i = 0; i < names.length; i++) {
      if (values[i] !== undefined) out[names[i]!] = values[i]
      else if (i < requiredCount) throw refuse(place, 'shape/missing', `member ${names[i]} is missing`)
    }
    return out as ReadOf<R> & Partial<ReadOf<O>>
  }
}

/** What an object has under one name. */
export function member<T>(name: string, read: Read<T>): Read<T> {
  const [names, readers] = [[name], [read]]
  const only = `{"${name}":`
  return (place) => {
    // Long lists are made of objects that have this member alone: those are read without a second look.
    const from = place.at
    if (place.text.startsWith(only, from) && place.text.charCodeAt(from + only.length) > 0x20) {
      place.at += only.length
      place.path.push(name)
      const alone = read(place)
      place.path.pop()
      if (place.text[place.at++] === '}') return alone
      place.at = from
    }
    const [value] = readMembers(place, names, readers)
    if (value === undefined) throw refuse(place, 'shape/missing', `member ${name} is missing`)
    return value as T
  }
}

/** The values of an object's members in the order of `names`; undefined for one that is not there. */
function readMembers(place: Place, names: readonly string[], readers: readonly Read<unknown>[]): readonly unknown[] {
  const values = new Array<unknown>(names.length)
  let others: string[] | undefined
  let next = 0
  if (place.text[place.at] !== '{') throw refuse(place, 'shape/type', 'expected an object')
  place.at++
  skipSpace(place)
  if (place.text[place.at] === '}') {
    place.at++
    return values
  }
  for (;;) {
    const index = readName(place, names, next)
    if (typeof index === 'string') {
      others ??= []
      if (others.includes(index)) throw twice(index)
      if (others.push(index) > othersMax) throw refuse(place, 'shape/range', `more than ${othersMax} unknown members`)
      skipValue(place, place.path.length)
    } else {
      if (values[index] !== undefined) throw twice(names[index]!)
      place.path.push(names[index]!)
      values[index] = readers[index]!(place)
      place.path.pop()
      next = index + 1
    }
    skipSpace(place)
    const mark = place.text[place.at++]
    if (mark === '}') return values
    if (mark !== ',') throw syntax(place, 'a comma or the end of the object')
    skipSpace(place)
  }
}

function twice(name: string): Failure<JsonCode> {
  return new Failure<JsonCode>('json/duplicate', `member ${JSON.stringify(name)} occurs twice`)
}

/** Reads a name and its colon: the index of one that is wanted, most often the next one, or the name of any other. */
function readName(place: Place, names: readonly string[], next: number): number | string {
  const likely = names[next]
  let index: number
  let name = ''
  if (likely !== undefined && place.text.startsWith(`"${likely}"`, place.at)) {
    place.at += likely.length + 2
    index = next
  } else {
    name = readString(place)
    index = names.indexOf(name)
  }
  skipSpace(place)
  if (place.text[place.at++] !== ':') throw syntax(place, 'a colon')
  skipSpace(place)
  return index < 0 ? name : index
}

/** A list of `min` (0) to `max` values. */
export function items<T>(read: Read<T>, { min = 0, max }: { min?: number; max: number }): Read<readonly T[]> {
  return (place) => {
    const out: T[] = []
    if (place.text[place.at] !== '[') throw refuse(place, 'shape/type', 'expected a list')
    place.at++
    skipSpace(place)
    let mark: string | undefined = ','
    if (place.text[place.at] === ']') mark = place.text[place.at++]
    while (mark === ',') {
      if (out.length === max) throw refuse(place, 'shape/range', `more than ${max} items`)
      skipSpace(place)
      place.path.push(out.length)
      out.push(read(place))
      place.path.pop()
      skipSpace(place)
      mark = place.text[place.at++]
    }
    if (mark !== ']') throw syntax(place, 'a comma or the end of the array')
    if (out.length < min) throw refuse(place, 'shape/range', `expected ${min} to ${max} items`)
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
  return (place) => {
    if (place.text[place.at] !== '"') throw refuse(place, 'shape/type', 'expected a string')
    const found = make ? readShortly(place) : readString(place)
    if (found.length > max) throw refuse(place, 'shape/range', `longer than ${max} characters`)
    if (!make) return found
    const made = make(found)
    if (made === undefined) throw refuse(place, 'shape/form', `expected ${form}`)
    return made
  }
}

/** One of these strings, of printable ASCII without quotation marks and backslashes. */
export function oneOf<const T extends readonly string[]>(...names: T): Read<T[number]> {
  const spelled = names.map((name) => `"${name}"`)
  return (place) => {
    let index = spelled.findIndex((name) => place.text.startsWith(name, place.at))
    if (index >= 0) place.at += spelled[index]!.length
    else if (place.text[place.at] === '"') index = names.indexOf(readString(place)) // spelled with escapes, perhaps
    if (index < 0) throw refuse(place, 'shape/form', `expected one of ${names.join(', ')}`)
    return names[index]!
  }
}

/** A whole number from `min` (0) to `max`. */
export function whole(max: number, min = 0): Read<number> {
  return (place) => {
    const first = place.text.charCodeAt(place.at)
    if (first !== 0x2d && !(first >= 0x30 && first <= 0x39))
      throw refuse(place, 'shape/type', 'expected a whole number')
    const number = readNumber(place)
    if (!Number.isInteger(number)) throw refuse(place, 'shape/type', 'expected a whole number')
    if (number < min || number > max) throw refuse(place, 'shape/range', `expected ${min} to ${max}`)
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
export function readJson<T>(text: string, read: Read<T>, name: string): T {
  if (text.length > jsonSizeMax)
    throw new Failure<JsonCode>('json/limit', `${text.length} characters, at most ${jsonSizeMax}`)
  const place: Place = { text, at: 0, items: 0, path: [name] }
  skipSpace(place)
  const value = read(place)
  skipSpace(place)
  if (place.at !== text.length) throw syntax(place, 'the end')
  return value
}
