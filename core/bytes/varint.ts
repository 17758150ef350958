import type { Reader } from '#core/bytes/reader.js'
import { Failure } from '#core/failure.js'

/** Failures of reading a variable-length integer. */
export type VarintCode = 'bytes/varint'

/**
 * A QUIC variable-length integer below 2^53 in its shortest spelling: every number has one form here, although QUIC
 * would accept longer ones.
 *
 * throws  bytes/varint, bytes/truncated
 * source  RFC 9000, "Variable-Length Integer Encoding"
 */
export function readVarint(reader: Reader): number {
  const first = reader.u8()
  const size = 1 << (first >> 6)
  let value = first & 0x3f
  for (let i = 1; i < size; i++) value = value * 256 + reader.u8()
  if (!Number.isSafeInteger(value)) throw new Failure<VarintCode>('bytes/varint', 'variable-length integer beyond 2^53')
  if (varintSize(value) !== size) {
    throw new Failure<VarintCode>('bytes/varint', `variable-length integer ${value} is not in its shortest form`)
  }
  return value
}

/** How many bytes the shortest form has: 1, 2, 4 or 8. */
function varintSize(value: number): 1 | 2 | 4 | 8 {
  if (value < 0x40) return 1
  if (value < 0x4000) return 2
  return value < 0x4000_0000 ? 4 : 8
}

/** The shortest form of a whole number below 2^53. */
export function encodeVarint(value: number): Uint8Array {
  const size = varintSize(value)
  const out = new Uint8Array(size)
  let rest = value
  for (let i = size - 1; i >= 0; i--) {
    out[i] = rest % 256
    rest = Math.floor(rest / 256)
  }
  out[0] = out[0]! | (Math.log2(size) << 6)
  return out
}
