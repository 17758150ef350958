import { fromBase64, fromBase64Url, fromHex } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { nameLengthMax } from '#core/limits.js'

/** A value that has not the form its place asks for; `detail.path` says where. */
export type ShapeCode = 'shape/type' | 'shape/missing' | 'shape/unknown' | 'shape/range' | 'shape/form'

/**
 * A description of one accepted form of a JSON value: returns the typed value or throws.
 * Missing, unknown and differently typed members are refused: nothing is dropped, coerced or filled in.
 */
export type Shape<T> = (value: Json | undefined, path: string) => T
/** The type that a shape yields. */
export type Shaped<S> = S extends Shape<infer T> ? T : never

function refuse(code: ShapeCode, path: string, message: string): Failure<ShapeCode> {
  return new Failure<ShapeCode>(code, `${path || 'value'}: ${message}`, { detail: { path } })
}

function present(value: Json | undefined, path: string): Json {
  if (value === undefined) throw refuse('shape/missing', path, 'is missing')
  return value
}

/** A string of 0 to `max` characters that matches `form`, when given. */
export function string(options: { max?: number; form?: RegExp } = {}): Shape<string> {
  const max = options.max ?? nameLengthMax
  return (value, path) => {
    const text = present(value, path)
    if (typeof text !== 'string') throw refuse('shape/type', path, 'expected a string')
    if (text.length > max) throw refuse('shape/range', path, `longer than ${max} characters`)
    if (options.form && !options.form.test(text)) throw refuse('shape/form', path, `does not match ${options.form}`)
    return text
  }
}

/** A whole number from `min` (0) to `max` (2^53 - 1). */
export function integer(options: { min?: number; max?: number } = {}): Shape<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options
  return (value, path) => {
    const number = present(value, path)
    if (typeof number !== 'number' || !Number.isInteger(number))
      throw refuse('shape/type', path, 'expected a whole number')
    if (number < min || number > max) throw refuse('shape/range', path, `expected ${min} to ${max}`)
    return number
  }
}

export const boolean: Shape<boolean> = (value, path) => {
  const flag = present(value, path)
  if (typeof flag !== 'boolean') throw refuse('shape/type', path, 'expected true or false')
  return flag
}

/** Any JSON value. */
export const json: Shape<Json> = present

/** Exactly this value. */
export function literal<const T extends string | number | boolean | null>(wanted: T): Shape<T> {
  return (value, path) => {
    if (present(value, path) !== wanted) throw refuse('shape/form', path, `expected ${JSON.stringify(wanted)}`)
    return wanted
  }
}

/** One of these strings. */
export function oneOf<const T extends readonly string[]>(...names: T): Shape<T[number]> {
  return (value, path) => {
    const name = present(value, path)
    if (typeof name !== 'string' || !names.includes(name))
      throw refuse('shape/form', path, `expected one of ${names.join(', ')}`)
    return name
  }
}

/** A list of `min` (0) to `max` (1,000) items. */
export function list<T>(item: Shape<T>, options: { min?: number; max?: number } = {}): Shape<readonly T[]> {
  const { min = 0, max = 1000 } = options
  return (value, path) => {
    const items = present(value, path)
    if (!Array.isArray(items)) throw refuse('shape/type', path, 'expected a list')
    if (items.length < min || items.length > max) throw refuse('shape/range', path, `expected ${min} to ${max} items`)
    return items.map((one, i) => item(one, `${path}[${i}]`))
  }
}

/** An object whose member names are free: at most `max` (1,000) members. */
export function record<T>(item: Shape<T>, options: { max?: number } = {}): Shape<{ readonly [name: string]: T }> {
  const { max = 1000 } = options
  return (value, path) => {
    const members = asObject(value, path)
    const entries = Object.entries(members)
    if (entries.length > max) throw refuse('shape/range', path, `more than ${max} members`)
    return Object.fromEntries(entries.map(([name, member]) => [name, item(member, `${path}.${name}`)]))
  }
}

function asObject(value: Json | undefined, path: string): { readonly [name: string]: Json } {
  const object = present(value, path)
  if (object === null || typeof object !== 'object' || Array.isArray(object))
    throw refuse('shape/type', path, 'expected an object')
  return object as { readonly [name: string]: Json }
}

/** The value, or null. The member itself must be there: absence is not null. */
export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return (value, path) => (value === null ? null : shape(value, path))
}

/** The member may be absent. Only where a page in docs/spec says so. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value, path) => (value === undefined ? undefined : shape(value, path))
}

/** The first shape that accepts. */
export function either<A, B>(a: Shape<A>, b: Shape<B>): Shape<A | B> {
  return (value, path) => {
    try {
      return a(value, path)
    } catch (error) {
      if (!isFailure(error)) throw error
      return b(value, path)
    }
  }
}

/** An object with exactly these members. */
export function object<const M extends { readonly [name: string]: Shape<unknown> }>(
  members: M,
): Shape<{ readonly [K in keyof M]: Shaped<M[K]> }> {
  const entries = Object.entries(members)
  return (value, path) => {
    const given = asObject(value, path)
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(members, name)) throw refuse('shape/unknown', path, `unknown member ${JSON.stringify(name)}`)
    }
    const out: Record<string, unknown> = {}
    for (const [name, shape] of entries) {
      const member = shape(Object.hasOwn(given, name) ? given[name] : undefined, path ? `${path}.${name}` : name)
      if (member !== undefined) out[name] = member
    }
    return out as { readonly [K in keyof M]: Shaped<M[K]> }
  }
}

/** Text that spells `size` bytes (any number of them without it), kept as text so that encoding again is exact. */
function spelled(read: (text: string, size?: number) => Uint8Array, name: string) {
  return (size?: number, max = nameLengthMax): Shape<string> =>
    (value, path) => {
      const text = string({ max })(value, path)
      try {
        read(text, size)
      } catch (error) {
        if (!isFailure(error)) throw error
        throw refuse(
          'shape/form',
          path,
          `expected ${size === undefined ? '' : `${size} `}bytes as ${name}: ${error.message}`,
        )
      }
      return text
    }
}
export const hex = spelled(fromHex, 'lowercase hex')
export const base64 = spelled(fromBase64, 'base64')
export const base64Url = spelled(fromBase64Url, 'base64url')
