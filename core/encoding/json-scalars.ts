import { utf8 } from '#core/bytes/bytes.js'
import { mark, type Read, readNumber, readString, refuse, startsWith } from '#core/encoding/json-bytes.js'
import { nameLengthMax } from '#core/limits.js'
import { parseTime, timeOfCodes, type UnixSeconds } from '#core/time.js'

/** Strings and numbers as json-read.ts reads them: each a form of its own, and no other. */

/** A string of at most `max` characters, or what `make` makes of it: undefined when it is not of this form. */
export function text(max?: number): Read<string>
export function text<T>(max: number, make: (text: string) => T | undefined, form: string): Read<T>
export function text<T>(max = nameLengthMax, make?: (text: string) => T | undefined, form?: string): Read<T | string> {
  return (cursor) => {
    if (cursor.bytes[cursor.at] !== mark.quote) throw refuse(cursor, 'shape/type', 'expected a string')
    const found = readString(cursor)
    if (found.length > max) throw refuse(cursor, 'shape/range', `longer than ${max} characters`)
    if (!make) return found
    const made = make(found)
    if (made === undefined) throw refuse(cursor, 'shape/form', `expected ${form}`)
    return made
  }
}

const timeSize = 20
const slowTime = text(timeSize, parseTime, 'a time such as 2026-11-25T09:13:25Z')

/** A time such as `2026-11-25T09:13:25Z`, in whole seconds. */
export const time: Read<UnixSeconds> = (cursor, depth) => {
  const { bytes, at } = cursor
  const isLong = bytes[at] === mark.quote && bytes[at + timeSize + 1] === mark.quote
  const found = isLong ? timeOfCodes((i) => bytes[at + 1 + i]!) : undefined
  if (found === undefined) return slowTime(cursor, depth) // with escapes, perhaps
  cursor.at += timeSize + 2
  return found
}

/** One of these strings, of printable ASCII without quotation marks and backslashes. */
export function oneOf<const T extends readonly string[]>(...names: T): Read<T[number]> {
  const spelled = names.map((name) => utf8(`"${name}"`))
  return (cursor) => {
    let index = spelled.findIndex((name) => startsWith(cursor, name))
    if (index >= 0) cursor.at += spelled[index]!.length
    else if (cursor.bytes[cursor.at] === mark.quote) index = names.indexOf(readString(cursor)) // with escapes, perhaps
    if (index < 0) throw refuse(cursor, 'shape/form', `expected one of ${names.join(', ')}`)
    return names[index]!
  }
}

/** A whole number from `min` (0) to `max`. */
export function whole(max: number, min = 0): Read<number> {
  return (cursor) => {
    const first = cursor.bytes[cursor.at]
    if (first !== mark.minus && !(first !== undefined && first >= 0x30 && first <= 0x39))
      throw refuse(cursor, 'shape/type', 'expected a whole number')
    const number = readNumber(cursor)
    if (!Number.isInteger(number)) throw refuse(cursor, 'shape/type', 'expected a whole number')
    if (number < min || number > max) throw refuse(cursor, 'shape/range', `expected ${min} to ${max}`)
    return number
  }
}
