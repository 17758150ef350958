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

/** One value: its contents, and all of its bytes as they were signed. Both are views, made when asked for. */
export class Der {
  readonly tag: number
  readonly #bytes: Uint8Array
  readonly #start: number
  readonly #from: number
  readonly #end: number

  constructor(tag: number, bytes: Uint8Array, start: number, from: number, end: number) {
    this.tag = tag
    this.#bytes = bytes
    this.#start = start
    this.#from = from
    this.#end = end
  }

  get body(): Uint8Array {
    return this.#bytes.subarray(this.#from, this.#end)
  }

  get whole(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end)
  }
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
    return new Der(tag, this.#bytes, start, from, this.#at)
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
  let out = ''
  let arc = 0
  let fresh = true
  for (const byte of body) {
    if (fresh && byte === 0x80) throw refuse('der/value', `${what} has an arc that is not minimal`)
    arc = arc * 128 + (byte & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER) throw refuse('der/value', `${what} has an arc beyond 2^53`)
    fresh = !(byte & 0x80)
    if (!fresh) continue
    if (out === '') {
      const head = Math.min(2, Math.floor(arc / 40))
      out = `${head}.${arc - head * 40}`
    } else out += `.${arc}`
    arc = 0
  }
  return out
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
  const { body } = reader.next(short ? derTag.utcTime : derTag.generalizedTime, what)
  // A CRL has one in every entry, so the digits are read where they stand.
  const from = short ? 2 : 4
  let wrong = body.length !== from + 11 || body[from + 10] !== 0x5a ? 1 : 0
  const two = (at: number): number => {
    const [tens, ones] = [body[at]! - 0x30, body[at + 1]! - 0x30]
    if (!(tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9)) wrong = 1
    return tens * 10 + ones
  }
  const head = two(0)
  const year = short ? (head < 50 ? 2000 : 1900) + head : head * 100 + two(2)
  const [month, day] = [two(from), two(from + 2)]
  const [hour, minute, second] = [two(from + 4), two(from + 6), two(from + 8)]
  if (wrong !== 0) throw refuse('der/value', `${what} is no time`)
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, second)
  // Invariant: a day that does not exist is refused, not carried into the next month.
  const exists = month >= 1 && month <= 12 && day >= 1 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day
  if (!exists || hour > 23 || minute > 59 || second > 59) throw refuse('der/value', `${what} is no date`)
  if (!short && form === 'profile' && year < 2050) throw refuse('der/value', `${what} must be a UTCTime before 2050`)
  return date.getTime() / 1000
}
