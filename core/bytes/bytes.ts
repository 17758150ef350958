/** What belongs in core/bytes: reading, writing, spelling and comparing bytes with bounds. Knows no format. */
import { Failure } from '#core/failure.js'

/** Failures of reading and spelling bytes. */
export type BytesCode =
  | 'bytes/truncated'
  | 'bytes/trailing'
  | 'bytes/range'
  | 'bytes/hex'
  | 'bytes/base64'
  | 'bytes/utf8'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes of a string. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The string that valid UTF-8 bytes spell. @throws bytes/utf8 */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new Failure<BytesCode>('bytes/utf8', 'text is not valid utf-8', { cause })
  }
}

/** All parts in one new array. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const part of parts) size += part.length
  const out = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Whether two byte strings are the same, in time that depends on their length only. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}

/** Whether every byte is zero. */
export function isZero(bytes: Uint8Array): boolean {
  let any = 0
  for (const byte of bytes) any |= byte
  return any === 0
}

/** The character codes of 0 to 9 and a to f. */
const hexCodes = encoder.encode('0123456789abcdef')

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  const codes = new Uint8Array(bytes.length * 2)
  for (let i = 0; i < bytes.length; i++) {
    codes[2 * i] = hexCodes[bytes[i]! >> 4]!
    codes[2 * i + 1] = hexCodes[bytes[i]! & 15]!
  }
  return decoder.decode(codes)
}

/** Bytes of lowercase hex; `size` fixes the length. @throws bytes/hex */
export function fromHex(text: string, size?: number): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) {
    throw new Failure<BytesCode>('bytes/hex', 'text is not lowercase hex')
  }
  if (size !== undefined && text.length !== size * 2) {
    throw new Failure<BytesCode>('bytes/hex', `hex has ${text.length / 2} bytes, expected ${size}`)
  }
  const out = new Uint8Array(text.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16)
  return out
}

/** The character codes of base64's alphabet, in the order of what they stand for. */
const base64Codes = encoder.encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
/** The six bits that a byte of base64 stands for; all bits for one that is none. */
const base64Bits = new Int32Array(256).fill(-1)
for (let i = 0; i < 64; i++) base64Bits[base64Codes[i]!] = i

/** Padded standard base64 (RFC 4648, "Base 64 Encoding"). */
export function toBase64(bytes: Uint8Array): string {
  const codes = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
  let to = 0
  for (let from = 0; from < bytes.length; from += 3) {
    const [b0, b1, b2] = [bytes[from]!, bytes[from + 1] ?? 0, bytes[from + 2] ?? 0]
    codes[to++] = base64Codes[b0 >> 2]!
    codes[to++] = base64Codes[((b0 & 3) << 4) | (b1 >> 4)]!
    codes[to++] = base64Codes[((b1 & 15) << 2) | (b2 >> 6)]!
    codes[to++] = base64Codes[b2 & 63]!
  }
  const padding = (3 - (bytes.length % 3)) % 3
  codes.fill(0x3d, codes.length - padding)
  return decoder.decode(codes)
}

/**
 * Bytes of canonical padded base64: one spelling a value, so stray bits before the padding are refused as much as spaces
 * and missing padding. @throws bytes/base64
 */
export function fromBase64(text: string, size?: number): Uint8Array {
  const refuse = (message: string) => new Failure<BytesCode>('bytes/base64', message)
  const bytes = encoder.encode(text) // other characters than those of base64 become bytes that are none of it
  if (bytes.length % 4 !== 0) throw refuse('base64 is not canonical: its length is no multiple of 4')
  const padding = bytes.at(-1) !== 0x3d ? 0 : bytes.at(-2) !== 0x3d ? 1 : 2
  // Padding stands for zero bits.
  for (let i = 1; i <= padding; i++) bytes[bytes.length - i] = base64Codes[0]!
  const out = new Uint8Array((bytes.length / 4) * 3 - padding)
  const table = base64Bits
  let wrong = 0
  let word = 0
  let to = 0
  for (let from = 0; from < bytes.length; from += 4) {
    const [first, second] = [table[bytes[from]!]!, table[bytes[from + 1]!]!]
    word = (first << 18) | (second << 12) | (table[bytes[from + 2]!]! << 6) | table[bytes[from + 3]!]!
    wrong |= word // a negative number stays one
    out[to++] = word >> 16
    out[to++] = word >> 8 // beyond the end, where the padding is: not written
    out[to++] = word
  }
  if (wrong < 0) throw refuse('text is not base64')
  if ((word & ((1 << (8 * padding)) - 1)) !== 0)
    throw refuse('base64 is not canonical: bits before the padding are set')
  if (size !== undefined && out.length !== size) throw refuse(`base64 has ${out.length} bytes, expected ${size}`)
  return out
}

/** Unpadded base64url (RFC 4648, "Base 64 Encoding with URL and Filename Safe Alphabet"). */
export function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

/** Bytes of canonical unpadded base64url. @throws bytes/base64 */
export function fromBase64Url(text: string, size?: number): Uint8Array {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Failure<BytesCode>('bytes/base64', 'text is not base64url')
  const padded = text.replaceAll('-', '+').replaceAll('_', '/') + '='.repeat((4 - (text.length % 4)) % 4)
  return fromBase64(padded, size)
}
