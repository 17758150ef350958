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

const hexDigits = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  let out = ''
  for (const byte of bytes) out += hexDigits[byte]
  return out
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

function binaryString(bytes: Uint8Array): string {
  let out = ''
  for (let at = 0; at < bytes.length; at += 8192) out += String.fromCharCode(...bytes.subarray(at, at + 8192))
  return out
}

/** Padded standard base64 (RFC 4648, "Base 64 Encoding"). */
export function toBase64(bytes: Uint8Array): string {
  return btoa(binaryString(bytes))
}

/** Bytes of canonical padded base64: one spelling a value. @throws bytes/base64 */
export function fromBase64(text: string, size?: number): Uint8Array {
  let binary: string
  try {
    binary = atob(text)
  } catch (cause) {
    throw new Failure<BytesCode>('bytes/base64', 'text is not base64', { cause })
  }
  const out = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i)
  // Invariant: atob forgives spaces, missing padding and stray bits; re-encoding does not.
  if (btoa(binary) !== text) throw new Failure<BytesCode>('bytes/base64', 'base64 is not canonical')
  if (size !== undefined && out.length !== size) {
    throw new Failure<BytesCode>('bytes/base64', `base64 has ${out.length} bytes, expected ${size}`)
  }
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
