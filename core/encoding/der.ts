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

/** One value: its contents, and all of its bytes as they were signed. Views are made when asked for: they are dear. */
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

  /** How many bytes the contents have. */
  get size(): number {
    return this.#end - this.#from
  }

  /** A byte of the contents; undefined behind their end. */
  byte(at: number): number | undefined {
    const index = this.#from + at
    return index < this.#end ? this.#bytes[index] : undefined
  }

  get body(): Uint8Array {
    return this.#bytes.subarray(this.#from, this.#end)
  }

  /** The contents from this byte on. */
  bodyFrom(at: number): Uint8Array {
    return this.#bytes.subarray(this.#from + at, this.#end)
  }

  get whole(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end)
  }

  /** Whether these bytes stand in the contents, at their beginning or behind the first `at`. */
  beginsWith(bytes: Uint8Array, at = 0): boolean {
    if (this.size < at + bytes.length) return false
    const from = this.#from + at
    for (let i = 0; i < bytes.length; i++) if (this.#bytes[from + i] !== bytes[i]) return false
    return true
  }

  /** Whether these bytes spell it, tag and length included. */
  isSpelled(bytes: Uint8Array): boolean {
    if (bytes.length !== this.#end - this.#start) return false
    for (let i = 0; i < bytes.length; i++) if (this.#bytes[this.#start + i] !== bytes[i]) return false
    return true
  }

  /** Whether it is spelled as the other one, tag and length included. */
  isSame(other: Der): boolean {
    const size = this.#end - this.#start
    if (size !== other.#end - other.#start) return false
    for (let i = 0; i < size; i++) if (this.#bytes[this.#start + i] !== other.#bytes[other.#start + i]) return false
    return true
  }

  /** Reads the values that the contents are made of. */
  reader(): DerReader {
    return new DerReader(this.#bytes, this.#from, this.#end)
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
  readonly #end: number
  #at: number

  constructor(bytes: Uint8Array, from = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#end = end
    this.#at = from
  }

  get done(): boolean {
    return this.#at === this.#end
  }

  /** The tag of the next value, or undefined at the end. */
  get tag(): number | undefined {
    return this.#byte(this.#at)
  }

  /** Invariant: nothing behind the end is looked at, though the bytes go on there. */
  #byte(at: number): number | undefined {
    return at < this.#end ? this.#bytes[at] : undefined
  }

  next(wanted: number, what: string): Der {
    const tag = this.tag
    if (tag === undefined) throw refuse('der/truncated', `${what} is missing`)
    if (tag !== wanted) throw refuse('der/tag', `${what} has tag ${tag}, expected ${wanted}`)
    const start = this.#at
    const first = this.#byte(start + 1)
    if (first === undefined) throw refuse('der/truncated', `${what} is cut off`)
    const count = first < 0x80 ? 0 : first & 0x7f
    const size = first < 0x80 ? first : this.#longSize(start + 2, count, what)
    const from = start + 2 + count
    if (size > this.#end - from) throw refuse('der/truncated', `${what} is cut off`)
    this.#at = from + size
    return new Der(tag, this.#bytes, start, from, this.#at)
  }

  #longSize(at: number, count: number, what: string): number {
    if (count === 0 || count > 4) throw refuse('der/length', `${what} has a length of ${count} bytes, expected 1 to 4`)
    let size = 0
    for (let i = 0; i < count; i++) {
      const byte = this.#byte(at + i)
      if (byte === undefined) throw refuse('der/truncated', `${what} is cut off`)
      size = size * 256 + byte
    }
    if (size < 0x80 || size < 256 ** (count - 1)) throw refuse('der/length', `${what} has a length that is not minimal`)
    return size
  }

  /** The next value when it has this tag; undefined, and nothing read, when not. */
  optional(wanted: number, what: string): Der | undefined {
    return this.tag === wanted ? this.next(wanted, what) : undefined
  }

  /** What is left, unread. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end)
  }

  /** Whether these bytes are what is left. */
  isLeft(bytes: Uint8Array): boolean {
    if (bytes.length !== this.#end - this.#at) return false
    for (let i = 0; i < bytes.length; i++) if (this.#bytes[this.#at + i] !== bytes[i]) return false
    return true
  }

  end(what: string): void {
    if (!this.done) throw refuse('der/trailing', `${what} goes on after its last value`)
  }
}

/** The one value that the bytes, or the contents of another value, spell. @throws der/trailing and all of DerReader */
export function parseDer(bytes: Uint8Array | Der, tag: number, what: string): Der {
  const reader = bytes instanceof Der ? bytes.reader() : new DerReader(bytes)
  const value = reader.next(tag, what)
  reader.end(what)
  return value
}

/** How many bytes of an INTEGER that is not negative are its sign: none or one. @throws der/value */
export function derSignSize(value: Der, what: string): 0 | 1 {
  const first = value.byte(0)
  if (first === undefined || first & 0x80) throw refuse('der/value', `${what} is negative or empty`)
  if (first !== 0 || value.size === 1) return 0
  if (!(value.byte(1)! & 0x80)) throw refuse('der/value', `${what} is an integer with needless zeros`)
  return 1
}

/** The magnitude of an INTEGER that is not negative, without sign byte; zero is one zero byte. @throws der/value */
export function derUnsigned(value: Der, what: string): Uint8Array {
  return value.bodyFrom(derSignSize(value, what))
}

/** An INTEGER from 0 to `max` (at most 2^32 - 1). @throws der/value */
export function derInteger(value: Der, max: number, what: string): number {
  let number = 0
  const from = derSignSize(value, what)
  for (let i = from; i < value.size && i < from + 5; i++) number = number * 256 + value.byte(i)!
  if (value.size - from > 4 || number > max) throw refuse('der/value', `${what} is more than ${max}`)
  return number
}

/** @throws der/value for anything but the two spellings of DER */
export function derBoolean(value: Der, what: string): boolean {
  const byte = value.byte(0)
  if (value.size !== 1 || (byte !== 0 && byte !== 0xff)) throw refuse('der/value', `${what} is no boolean`)
  return byte === 0xff
}

/** Hands over the arcs that an OBJECT IDENTIFIER of at most 64 bytes spells. */
function readArcs(value: Der, what: string, take: (arc: number) => void): void {
  const { size } = value
  if (size === 0 || size > 64 || value.byte(size - 1)! & 0x80)
    throw refuse('der/value', `${what} is no object identifier`)
  let arc = 0
  let fresh = true
  for (let i = 0; i < size; i++) {
    const byte = value.byte(i)!
    if (fresh && byte === 0x80) throw refuse('der/value', `${what} has an arc that is not minimal`)
    arc = arc * 128 + (byte & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER) throw refuse('der/value', `${what} has an arc beyond 2^53`)
    fresh = !(byte & 0x80)
    if (!fresh) continue
    take(arc)
    arc = 0
  }
}

/** An identifier below which many are: its contents, and the dotted forms of those that are one small number below it. */
export interface OidArc {
  readonly contents: Uint8Array
  readonly below: readonly string[]
}

export function oidArc(contents: Uint8Array, dotted: string): OidArc {
  return { contents, below: Array.from({ length: 0x80 }, (_, last) => `${dotted}.${last}`) }
}

/**
 * The dotted form of an OBJECT IDENTIFIER of at most 64 bytes.
 *
 * arcs    identifiers that this one may be below: then its text is not written anew
 * throws  der/value
 */
export function derOid(value: Der, what: string, ...arcs: readonly OidArc[]): string {
  for (const { contents, below } of arcs) {
    if (value.size !== contents.length + 1 || !value.beginsWith(contents)) continue
    const known = below[value.byte(contents.length)!]
    if (known !== undefined) return known
  }
  let out = ''
  readArcs(value, what, (arc) => {
    // The first two arcs are spelled as one number.
    const head = Math.min(2, Math.floor(arc / 40))
    out += out === '' ? `${head}.${arc - head * 40}` : `.${arc}`
  })
  return out
}

/** Whether an OBJECT IDENTIFIER is the one with these contents; what is none is refused. @throws der/value */
export function derOidIs(value: Der, contents: Uint8Array, what: string): boolean {
  if (value.size === contents.length && value.beginsWith(contents)) return true
  readArcs(value, what, () => undefined)
  return false
}

/** The bits of a BIT STRING, and how many of the last byte are none. @throws der/value */
export function derBits(value: Der, what: string): { readonly bytes: Uint8Array; readonly unused: number } {
  const unused = value.byte(0)
  const { size } = value
  if (unused === undefined || unused > 7 || (size === 1 && unused !== 0))
    throw refuse('der/value', `${what} is no bit string`)
  if (size > 1 && value.byte(size - 1)! & ((1 << unused) - 1))
    throw refuse('der/value', `${what} sets bits that it does not use`)
  return { bytes: value.bodyFrom(1), unused }
}

/** The bytes of a BIT STRING of whole bytes. @throws der/value */
export function derBitBytes(value: Der, what: string): Uint8Array {
  const { bytes, unused } = derBits(value, what)
  if (unused !== 0) throw refuse('der/value', `${what} is not made of whole bytes`)
  return bytes
}

/** The text of a string of at most 1,024 bytes that holds printable ASCII only. @throws der/value */
export function derAscii(value: Der, what: string): string {
  if (value.size > 1024) throw refuse('der/value', `${what} has ${value.size} characters, at most 1024`)
  let text = ''
  for (let i = 0; i < value.size; i++) {
    const byte = value.byte(i)!
    if (byte < 0x20 || byte > 0x7e) throw refuse('der/value', `${what} holds byte ${toHex(new Uint8Array([byte]))}`)
    text += String.fromCharCode(byte)
  }
  return text
}
