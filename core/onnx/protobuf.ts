import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { OnnxCode } from '#core/onnx/failures.js'

/** Bytes that are read in pieces: a graph of two gigabytes need not be in memory to be understood. */
export interface ByteSource {
  readonly size: number
  /** the bytes from `at`, exactly `size` of them; valid until the next call. Called within the bounds only. */
  bytes(at: number, size: number): Uint8Array
}

/** A source over bytes that are in memory: no copies. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, bytes: (at, size) => bytes.subarray(at, at + size) }
}

/** Where a length-delimited field's content lies. */
export interface Span {
  readonly at: number
  readonly end: number
}

export type Field =
  | { readonly number: number; readonly kind: 'varint'; readonly value: bigint }
  | { readonly number: number; readonly kind: 'span'; readonly span: Span }
  | { readonly number: number; readonly kind: 'fixed'; readonly size: 4 | 8 }

const fieldNumberMax = 536_870_911

function refuse(message: string): Failure<OnnxCode> {
  return new Failure<OnnxCode>('onnx/protobuf', message)
}

/** A varint at `at` and where it ends. At most ten bytes and 64 bits. source: protobuf.dev, "Base 128 Varints" */
function readVarint(source: ByteSource, at: number, end: number): { value: bigint; next: number } {
  const window = source.bytes(at, Math.min(10, end - at))
  let value = 0n
  for (let i = 0; i < window.length; i++) {
    const byte = window[i]!
    value |= BigInt(byte & 0x7f) << BigInt(7 * i)
    if (byte & 0x80) continue
    if (value >= 1n << 64n) throw refuse(`varint at ${at} has more than 64 bits`)
    return { value, next: at + i + 1 }
  }
  throw refuse(`varint at ${at} does not end`)
}

/** A tag or a length: a varint of at most 42 bits, which no real one reaches. */
function readSmall(source: ByteSource, at: number, end: number): { value: number; next: number } {
  const window = source.bytes(at, Math.min(6, end - at))
  let value = 0
  for (let i = 0; i < window.length; i++) {
    const byte = window[i]!
    value += (byte & 0x7f) * 2 ** (7 * i)
    if ((byte & 0x80) === 0) return { value, next: at + i + 1 }
  }
  throw refuse(`tag or length at ${at} does not end`)
}

/**
 * The fields of a message, in the order of the bytes. Groups, field number zero and lengths past the end are refused.
 *
 * throws  onnx/protobuf
 * source  protobuf.dev, "Encoding", "Message Structure"
 */
export function* readFields(source: ByteSource, span: Span): Generator<Field> {
  let at = span.at
  while (at < span.end) {
    const tag = readSmall(source, at, span.end)
    const number = Math.floor(tag.value / 8)
    if (number < 1 || number > fieldNumberMax) throw refuse(`field number ${number} at ${at}`)
    const type = tag.value % 8
    at = tag.next
    if (type === 0) {
      const { value, next } = readVarint(source, at, span.end)
      at = next
      yield { number, kind: 'varint', value }
    } else if (type === 2) {
      const { value, next } = readSmall(source, at, span.end)
      if (value > span.end - next) throw refuse(`field ${number} at ${at} is longer than its message`)
      at = next + value
      yield { number, kind: 'span', span: { at: next, end: at } }
    } else if (type === 1 || type === 5) {
      const size = type === 1 ? 8 : 4
      if (size > span.end - at) throw refuse(`field ${number} at ${at} is longer than its message`)
      at += size
      yield { number, kind: 'fixed', size }
    } else {
      throw refuse(`wire type ${type} at ${at}`)
    }
  }
}

/** A string field of at most `max` bytes. @throws onnx/limit, bytes/utf8 */
export function readText(source: ByteSource, span: Span, max = 4096): string {
  const size = span.end - span.at
  if (size > max) throw new Failure<OnnxCode>('onnx/limit', `a name of ${size} bytes, at most ${max}`)
  return fromUtf8(source.bytes(span.at, size))
}
