import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { Writer } from '#core/bytes/writer.js'
import { Failure, isFailure } from '#core/failure.js'
import { cborDepthMax, cborItemsMax, cborSizeMax } from '#core/limits.js'

/** Failures of reading CBOR. */
export type CborCode =
  | 'cbor/size'
  | 'cbor/truncated'
  | 'cbor/trailing'
  | 'cbor/depth'
  | 'cbor/items'
  | 'cbor/not-shortest'
  | 'cbor/indefinite'
  | 'cbor/unsupported'
  | 'cbor/key'
  | 'cbor/duplicate-key'
  | 'cbor/text'

/** Keys of maps in what we read: whole numbers and text. */
export type CborKey = number | string
export type CborMap = ReadonlyMap<CborKey, Cbor>
export interface CborTag {
  readonly tag: number
  readonly value: Cbor
}
/** A whole number is a `number` where that is exact, else a `bigint`. Byte strings are views, not copies. */
export type Cbor = number | bigint | string | boolean | null | Uint8Array | readonly Cbor[] | CborMap | CborTag

export interface CborOptions {
  /** bytes; 1 MiB without it */
  readonly sizeMax?: number
  /** how deep values may stand in one another; 16 without it */
  readonly depthMax?: number
  /** values in all, keys included; 20,000 without it */
  readonly itemsMax?: number
  /**
   * `containers` also reads maps and arrays that end with a break: some signers write them. What was signed are the
   * bytes as carried, so a second spelling gains an attacker nothing there. Strings in pieces are never read.
   */
  readonly indefinite?: 'containers'
}

const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const
const endOfContainer = 0xff

function refuse(code: CborCode, message: string, cause?: unknown): Failure<CborCode> {
  return new Failure<CborCode>(code, message, { cause })
}

/**
 * The one value that the bytes spell.
 *
 * Read are whole numbers, byte and text strings, arrays, maps, tags, true, false and null. Refused are: numbers and
 * lengths that are not the shortest spelling, keys that are neither whole numbers nor text, a key twice, floating-point
 * and other simple values, text that is not UTF-8, and bytes after the value. Keys may stand in any order.
 *
 * throws  CborCode
 * source  RFC 8949, "Core Deterministic Encoding Requirements", without its order of keys; "Validity of Items"
 */
export function decodeCbor(bytes: Uint8Array, options: CborOptions = {}): Cbor {
  const sizeMax = options.sizeMax ?? cborSizeMax
  if (bytes.length > sizeMax) throw refuse('cbor/size', `value has ${bytes.length} bytes, at most ${sizeMax}`)
  const decoder = new Decoder(bytes, options)
  const value = decoder.value(1)
  decoder.end()
  return value
}

/** Whether a value is a map, an array or a tagged value. */
export const isCborMap = (value: Cbor | undefined): value is CborMap => value instanceof Map
export const isCborArray = (value: Cbor | undefined): value is readonly Cbor[] => Array.isArray(value)
export const isCborTag = (value: Cbor | undefined): value is CborTag =>
  typeof value === 'object' &&
  value !== null &&
  !isCborMap(value) &&
  !isCborArray(value) &&
  !(value instanceof Uint8Array)

/** The first bytes of a value: `argument` is null where an indefinite length is announced. */
interface Head {
  readonly type: number
  readonly info: number
  readonly argument: number | bigint | null
}

/** One pass from front to back. Invariant: it never goes deeper than depthMax, nor makes more than itemsMax values. */
class Decoder {
  readonly #bytes: Uint8Array
  readonly #reader: Reader
  readonly #depthMax: number
  readonly #itemsMax: number
  readonly #indefinite: boolean
  #items = 0

  constructor(bytes: Uint8Array, options: CborOptions) {
    this.#bytes = bytes
    this.#reader = new Reader(bytes)
    this.#depthMax = options.depthMax ?? cborDepthMax
    this.#itemsMax = options.itemsMax ?? cborItemsMax
    this.#indefinite = options.indefinite === 'containers'
  }

  end(): void {
    if (this.#reader.left > 0) throw refuse('cbor/trailing', `${this.#reader.left} bytes after the value`)
  }

  value(depth: number): Cbor {
    if (depth > this.#depthMax) throw refuse('cbor/depth', `value is nested deeper than ${this.#depthMax}`)
    if (++this.#items > this.#itemsMax) throw refuse('cbor/items', `more than ${this.#itemsMax} values`)
    const head = this.#head()
    switch (head.type) {
      case major.unsigned:
        return this.#definite(head)
      case major.negative:
        return negative(this.#definite(head))
      case major.bytes:
        return this.#take(this.#length(head, 1))
      case major.text:
        return text(this.#take(this.#length(head, 1)))
      case major.array:
        return this.#array(head, depth)
      case major.map:
        return this.#map(head, depth)
      case major.tag:
        return this.#tag(head, depth)
      default:
        return simple(head)
    }
  }

  #need(size: number): void {
    if (size > this.#reader.left)
      throw refuse('cbor/truncated', `need ${size} bytes at ${this.#reader.at}, ${this.#reader.left} left`)
  }

  #take(size: number): Uint8Array {
    this.#need(size)
    return this.#reader.bytes(size)
  }

  #head(): Head {
    this.#need(1)
    const first = this.#reader.u8()
    const type = first >> 5
    const info = first & 0x1f
    if (info < 24) return { type, info, argument: info }
    if (info === 31) return { type, info, argument: null }
    if (info > 27) throw refuse('cbor/unsupported', `length of reserved kind ${info}`)
    this.#need(2 ** (info - 24))
    return { type, info, argument: type === major.simple ? 0 : this.#argument(info) }
  }

  #argument(info: number): number | bigint {
    const read = this.#reader
    if (info === 24) return shortest(read.u8(), 24)
    if (info === 25) return shortest(read.u16be(), 0x100)
    if (info === 26) return shortest(read.u32be(), 0x1_0000)
    const long = read.u64be()
    if (long < 0x1_0000_0000n) throw refuse('cbor/not-shortest', `${long} is spelled with 8 bytes`)
    return long <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(long) : long
  }

  #definite({ argument }: Head): number | bigint {
    if (argument === null) throw refuse('cbor/unsupported', 'number without a value')
    return argument
  }

  /** A length of at most what is left: each thing counted has at least `least` bytes. */
  #length({ argument }: Head, least: number): number {
    if (argument === null) throw refuse('cbor/indefinite', 'string in pieces')
    if (argument > this.#reader.left / least)
      throw refuse('cbor/truncated', `length ${argument}, ${this.#reader.left} bytes left`)
    return Number(argument)
  }

  /** Whether an indefinite container goes on; reads the break when not. */
  #goesOn(): boolean {
    this.#need(1)
    if (this.#bytes[this.#reader.at] !== endOfContainer) return true
    this.#reader.u8()
    return false
  }

  #open({ argument }: Head, what: string): boolean {
    if (argument !== null) return false
    if (!this.#indefinite) throw refuse('cbor/indefinite', `${what} of indefinite length`)
    return true
  }

  #array(head: Head, depth: number): readonly Cbor[] {
    const out: Cbor[] = []
    if (this.#open(head, 'array')) while (this.#goesOn()) out.push(this.value(depth + 1))
    else for (let left = this.#length(head, 1); left > 0; left--) out.push(this.value(depth + 1))
    return out
  }

  #map(head: Head, depth: number): CborMap {
    const out = new Map<CborKey, Cbor>()
    if (this.#open(head, 'map')) while (this.#goesOn()) this.#entry(out, depth)
    else for (let left = this.#length(head, 2); left > 0; left--) this.#entry(out, depth)
    return out
  }

  #entry(out: Map<CborKey, Cbor>, depth: number): void {
    const key = this.value(depth + 1)
    if (typeof key !== 'number' && typeof key !== 'string')
      throw refuse('cbor/key', 'key of a map is neither a whole number nor text')
    if (out.has(key)) throw refuse('cbor/duplicate-key', `key ${shown(key)} stands twice in one map`)
    out.set(key, this.value(depth + 1))
  }

  #tag(head: Head, depth: number): CborTag {
    const tag = this.#definite(head)
    if (typeof tag !== 'number') throw refuse('cbor/unsupported', `tag ${tag}`)
    return { tag, value: this.value(depth + 1) }
  }
}

/** A key in a message, bounded: a stranger wrote it. */
const shown = (key: CborKey) => JSON.stringify(typeof key === 'string' ? key.slice(0, 40) : key)

function shortest(value: number, least: number): number {
  if (value < least) throw refuse('cbor/not-shortest', `${value} is spelled with more bytes than it needs`)
  return value
}

function negative(argument: number | bigint): number | bigint {
  const value = -1n - BigInt(argument)
  return value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value
}

function text(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('cbor/text', 'text is not UTF-8', cause)
  }
}

function simple({ info }: Head): boolean | null {
  if (info === 20) return false
  if (info === 21) return true
  if (info === 22) return null
  throw refuse('cbor/unsupported', `simple or floating-point value ${info}`)
}

/**
 * The bytes of a value: shortest spellings, definite lengths, keys in the order of the map. What decodeCbor reads
 * without `indefinite` gives the same bytes again.
 *
 * source  RFC 8949, "Core Deterministic Encoding Requirements"; the order of keys is the caller's
 */
export function encodeCbor(value: Cbor): Uint8Array {
  const writer = new Writer()
  write(writer, value)
  return writer.done()
}

function write(writer: Writer, value: Cbor): void {
  if (value === null || typeof value === 'boolean') writer.u8(value === null ? 0xf6 : value ? 0xf5 : 0xf4)
  else if (typeof value === 'number' || typeof value === 'bigint')
    writeInteger(writer, Number.isSafeInteger(value) ? value : BigInt(value))
  else if (typeof value === 'string') {
    const bytes = utf8(value)
    writeHead(writer, major.text, bytes.length).bytes(bytes)
  } else if (value instanceof Uint8Array) writeHead(writer, major.bytes, value.length).bytes(value)
  else if (isCborArray(value)) {
    writeHead(writer, major.array, value.length)
    for (const item of value) write(writer, item)
  } else if (isCborMap(value)) {
    writeHead(writer, major.map, value.size)
    for (const [key, item] of value) {
      write(writer, key)
      write(writer, item)
    }
  } else if (isCborTag(value)) {
    writeHead(writer, major.tag, BigInt(value.tag))
    write(writer, value.value)
  }
}

/** A number is a safe integer: what is not is a bigint. */
function writeInteger(writer: Writer, value: number | bigint): void {
  if (value >= 0) writeHead(writer, major.unsigned, value)
  else writeHead(writer, major.negative, typeof value === 'number' ? -1 - value : -1n - value)
}

function writeHead(writer: Writer, type: number, argument: number | bigint): Writer {
  const first = type << 5
  if (argument < 24) return writer.u8(first | Number(argument))
  if (argument < 0x100) return writer.u8(first | 24).u8(Number(argument))
  if (argument < 0x1_0000) return writer.u8(first | 25).u16be(Number(argument))
  if (argument < 0x1_0000_0000) return writer.u8(first | 26).u32be(Number(argument))
  return writer.u8(first | 27).u64be(BigInt(argument))
}
