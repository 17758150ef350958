/** What belongs in core/bytes: reading, writing, spelling and comparing bytes with bounds. Knows no format. */
import { Failure } from '#core/failure.js'
import { spelling } from '#spelling'

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

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  return spelling.toHex(bytes)
}

/** What the character of a code stands for as a digit of lowercase hex; -1 for one that is none. */
const hexDigits = new Int8Array(128).fill(-1)
for (let i = 0; i < 16; i++) hexDigits['0123456789abcdef'.charCodeAt(i)] = i

/** Bytes of lowercase hex; `size` fixes the length. @throws bytes/hex */
export function fromHex(text: string, size?: number): Uint8Array {
  const out = new Uint8Array(text.length >> 1)
  let wrong = text.length & 1 ? -1 : 0
  for (let i = 0; i < out.length; i++) {
    const [high, low] = [text.charCodeAt(2 * i), text.charCodeAt(2 * i + 1)]
    const byte = ((hexDigits[high] ?? -1) << 4) | (hexDigits[low] ?? -1)
    wrong |= byte // a negative number stays one
    out[i] = byte
  }
  if (wrong < 0) throw new Failure<BytesCode>('bytes/hex', 'text is not lowercase hex')
  if (size !== undefined && out.length !== size)
    throw new Failure<BytesCode>('bytes/hex', `hex has ${out.length} bytes, expected ${size}`)
  return out
}

/** Padded standard base64 (RFC 4648, "Base 64 Encoding"). */
export function toBase64(bytes: Uint8Array): string {
  return spelling.toBase64(bytes)
}

/**
 * Bytes of canonical padded base64: one spelling a value, so stray bits before the padding are refused as much as spaces
 * and missing padding. @throws bytes/base64
 */
export function fromBase64(text: string, size?: number): Uint8Array {
  const bytes = spelling.fromBase64(text)
  if (bytes === null) throw notBase64()
  if (size !== undefined && bytes.length !== size)
    throw new Failure<BytesCode>('bytes/base64', `base64 has ${bytes.length} bytes, expected ${size}`)
  return bytes
}

function notBase64(): Failure<BytesCode> {
  return new Failure<BytesCode>('bytes/base64', 'text is not canonical base64')
}

/** The same for what is no secret: the bytes are not alone in their memory, so that it need not be asked for. @throws bytes/base64 */
export function fromPublicBase64(text: string): Uint8Array {
  const bytes = spelling.fromPublicBase64(text)
  if (bytes === null) throw notBase64()
  return bytes
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
