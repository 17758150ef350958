import { concat } from '#core/bytes/bytes.js'

/** Where the contents of the outermost value begin: its tag, then one byte of length, or as many as that byte says. */
function contentsAt(der: Uint8Array): number {
  const first = der[1]!
  return first < 0x80 ? 2 : 2 + (first & 0x7f)
}

/** The same value by BER: its length is spelled with a byte of zeros before it. Nothing that is signed changes. */
export function withLongLength(der: Uint8Array): Uint8Array {
  const at = contentsAt(der)
  const length = at === 2 ? der.subarray(1, 2) : der.subarray(2, at)
  return concat(der.subarray(0, 1), new Uint8Array([0x81 + length.length, 0]), length, der.subarray(at))
}

/** The same value by BER: without a length, up to two bytes of zeros. Nothing that is signed changes. */
export function withoutLength(der: Uint8Array): Uint8Array {
  return concat(der.subarray(0, 1), new Uint8Array([0x80]), der.subarray(contentsAt(der)), new Uint8Array(2))
}
