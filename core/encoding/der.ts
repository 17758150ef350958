import { toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

/** Failures of reading DER. */
export type DerCode = 'der/truncated' | 'der/trailing' | 'der/tag' | 'der/length' | 'der/value'

/** Tags of X.690, one byte each: higher tag numbers do not occur in what we read. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** One value: its contents, and all of its bytes as they were signed. Both are views, not copies. */
export interface Der {
  readonly tag: number
  readonly body: Uint8Array
  readonly whole: Uint8Array
}

function refuse(code: DerCode, message: string): Failure<DerCode> {
  return new Failure<DerCode>(code, message)
}

/**
 * Reads the values of a constructed value one after the other. Nothing is read deeper than the caller asks for, so
 * no input can make it recurse.
 *
 * throws  der/truncated, der/length for a length that is indefinite, beyond 4 bytes or not the shortest spelling,
 *         der/tag for another tag than the wanted one, der/trailing from `end()`
 * source  X.690, "Distinguished encoding rules"
 */
export class DerReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The tag of the next value, or undefined at the end. */
  get tag(): number | undefined {
    return this.#bytes[this.#at]
  }

  next(wanted: number, what: string): Der {
    const tag = this.tag
    if (tag === undefined) throw refuse('der/truncated', `${what} is missing`)
    if (tag !== wanted) throw refuse('der/tag', `${what} has tag ${tag}, expected ${wanted}`)
    const start = this.#at
    const { size, from } = this.#length(what)
    if (size > this.#bytes.length - from) throw refuse('der/truncated', `${what} is cut off`)
    this.#at = from + size
    return { tag, body: this.#bytes.subarray(from, this.#at), whole: this.#bytes.subarray(start, this.#at) }
  }

  #length(what: string): { size: number; from: number } {
    const first = this.#bytes[this.#at + 1]
    if (first === undefined) throw refuse('der/truncated', `${what} is cut off`)
    if (first < 0x80) return { size: first, from: this.#at + 2 }
    const count = first & 0x7f
    if (count === 0 || count > 4) throw refuse('der/length', `${what} has a length of ${count} bytes, expected 1 to 4`)
    let size = 0
    for (let i = 0; i < count; i++) {
      const byte = this.#bytes[this.#at + 2 + i]
      if (byte === undefined) throw refuse('der/truncated', `${what} is cut off`)
      size = size * 256 + byte
    }
    if (size < 0x80 || size < 256 ** (count - 1)) throw refuse('der/length', `${what} has a length that is not minimal`)
    return { size, from: this.#at + 2 + count }
  }

  /** The next value when it has this tag; undefined, and nothing read, when not. */
  optional(wanted: number, what: string): Der | undefined {
    return this.tag === wanted ? this.next(wanted, what) : undefined
  }

  end(what: string): void {
    if (!this.done) throw refuse('der/trailing', `${what} goes on after its last value`)
  }
}

/** The one value that the bytes spell. @throws der/trailing and all of DerReader */
export function parseDer(bytes: Uint8Array, tag: number, what: string): Der {
  const reader = new DerReader(bytes)
  const value = reader.next(tag, what)
  reader.end(what)
  return value
}

/** The magnitude of an INTEGER that is not negative, without sign byte; zero is one zero byte. @throws der/value */
export function derUnsigned(value: Der, what: string): Uint8Array {
  const body = value.body
  const padded = body.length > 1 && body[0] === 0
  if (body.length === 0 || body[0]! & 0x80) throw refuse('der/value', `${what} is negative or empty`)
  if (padded && !(body[1]! & 0x80)) throw refuse('der/value', `${what} is an integer with needless zeros`)
  return padded ? body.subarray(1) : body
}

/** An INTEGER from 0 to `max` (at most 2^32 - 1). @throws der/value */
export function derInteger(value: Der, max: number, what: string): number {
  const magnitude = derUnsigned(value, what)
  let number = 0
  for (const byte of magnitude.subarray(0, 5)) number = number * 256 + byte
  if (magnitude.length > 4 || number > max) throw refuse('der/value', `${what} is more than ${max}`)
  return number
}

/** @throws der/value for anything but the two spellings of DER */
export function derBoolean(value: Der, what: string): boolean {
  const byte = value.body[0]
  if (value.body.length !== 1 || (byte !== 0 && byte !== 0xff)) throw refuse('der/value', `${what} is no boolean`)
  return byte === 0xff
}

/** The dotted form of an OBJECT IDENTIFIER of at most 64 bytes. @throws der/value */
export function derOid(value: Der, what: string): string {
  const body = value.body
  if (body.length === 0 || body.length > 64 || body[body.length - 1]! & 0x80)
    throw refuse('der/value', `${what} is no object identifier`)
  const arcs: number[] = []
  let arc = 0
  let fresh = true
  for (const byte of body) {
    if (fresh && byte === 0x80) throw refuse('der/value', `${what} has an arc that is not minimal`)
    arc = arc * 128 + (byte & 0x7f)
    if (!Number.isSafeInteger(arc)) throw refuse('der/value', `${what} has an arc beyond 2^53`)
    fresh = !(byte & 0x80)
    if (fresh) {
      arcs.push(arc)
      arc = 0
    }
  }
  const first = arcs[0]!
  const head = Math.min(2, Math.floor(first / 40))
  return [head, first - head * 40, ...arcs.slice(1)].join('.')
}

/** The bits of a BIT STRING, and how many of the last byte are none. @throws der/value */
export function derBits(value: Der, what: string): { readonly bytes: Uint8Array; readonly unused: number } {
  const unused = value.body[0]
  const bytes = value.body.subarray(1)
  if (unused === undefined || unused > 7 || (bytes.length === 0 && unused !== 0))
    throw refuse('der/value', `${what} is no bit string`)
  if (bytes.length > 0 && bytes[bytes.length - 1]! & ((1 << unused) - 1))
    throw refuse('der/value', `${what} sets bits that it does not use`)
  return { bytes, unused }
}

/** The bytes of a BIT STRING of whole bytes. @throws der/value */
export function derBitBytes(value: Der, what: string): Uint8Array {
  const { bytes, unused } = derBits(value, what)
  if (unused !== 0) throw refuse('der/value', `${what} is not made of whole bytes`)
  return bytes
}

/** The text of a string of at most 1,024 bytes that holds printable ASCII only. @throws der/value */
export function derAscii(value: Der, what: string): string {
  if (value.body.length > 1024) throw refuse('der/value', `${what} has ${value.body.length} characters, at most 1024`)
  for (const byte of value.body) {
    if (byte < 0x20 || byte > 0x7e) throw refuse('der/value', `${what} holds byte ${toHex(new Uint8Array([byte]))}`)
  }
  return String.fromCharCode(...value.body)
}

/**
 * Whole seconds since 1970 of the next UTCTime or GeneralizedTime.
 *
 * form    `profile`: UTCTime up to 2049, GeneralizedTime from 2050 on; `any`: either for any year
 * throws  der/value
 * source  RFC 5280, "UTCTime", "GeneralizedTime": Zulu, with seconds, without fractions; UTCTime up to 2049
 */
export function readDerTime(reader: DerReader, what: string, form: 'profile' | 'any' = 'profile'): number {
  const short = reader.tag === derTag.utcTime
  const value = reader.next(short ? derTag.utcTime : derTag.generalizedTime, what)
  const text = derAscii(value, what)
  const digits = short ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text
  const parts = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(digits)
  if (!parts) throw refuse('der/value', `${what} is no time`)
  const [, year, month, day, hour, minute, second] = parts
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`
  const date = new Date(iso)
  // Invariant: a day that does not exist is refused, not carried into the next month.
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) throw refuse('der/value', `${what} is no date`)
  if (!short && form === 'profile' && Number(year) < 2050)
    throw refuse('der/value', `${what} must be a UTCTime before 2050`)
  return date.getTime() / 1000
}
