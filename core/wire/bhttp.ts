import { concat, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { encodeVarint, readVarint } from '#core/bytes/varint.js'
import { Failure, isFailure } from '#core/failure.js'
import { binaryFieldsMax, binaryFieldsSizeMax, pathLengthMax } from '#core/limits.js'

/** Failures of reading a binary HTTP message. */
export type BhttpCode =
  /** a request where a response is expected or the reverse, or a message of indeterminate length */
  | 'bhttp/framing'
  /** ends in the middle of a part, or a length points past the end */
  | 'bhttp/truncated'
  /** method, scheme, authority or path that HTTP/2 would not accept */
  | 'bhttp/control'
  /** a status that is not final, 200 to 599 */
  | 'bhttp/status'
  /** a field name or value that HTTP/2 would not accept */
  | 'bhttp/field'
  /** more fields, or more bytes, than are accepted */
  | 'bhttp/limit'
  /** something other than zero bytes after the end */
  | 'bhttp/padding'
  /** a field that may occur once occurs twice */
  | 'bhttp/duplicate'

/** Header or trailer fields in their order; names are lowercase. */
export type Fields = readonly (readonly [name: string, value: string])[]

export interface BinaryRequest {
  readonly method: string
  readonly scheme: string
  /** empty when the host field names it */
  readonly authority: string
  readonly path: string
  readonly headers: Fields
  readonly body: Uint8Array
  readonly trailers: Fields
}

export interface BinaryResponse {
  readonly status: number
  readonly headers: Fields
  readonly body: Uint8Array
  readonly trailers: Fields
}

const refuse = (code: BhttpCode, message: string, cause?: unknown) =>
  new Failure<BhttpCode>(code, message, cause === undefined ? {} : { cause })

// RFC 9113, "Field Validity": lowercase tokens; no NUL, CR, LF, and no white space at either end.
const fieldName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
const fieldValue =
  /^(?:[\u0021-\u007e\u0080-\u{10ffff}](?:[\t\u0020-\u007e\u0080-\u{10ffff}]*[\u0021-\u007e\u0080-\u{10ffff}])?)?$/u
const controlForms = {
  method: /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/,
  scheme: /^[a-z][a-z0-9+.-]{0,31}$/,
  authority: /^[A-Za-z0-9._~:[\]-]{0,255}$/,
  path: /^\/[\u0021-\u007e]*$/,
} as const
type Control = keyof typeof controlForms

const verified = (name: Control, text: string) => {
  if (text.length > pathLengthMax || !controlForms[name].test(text)) throw refuse('bhttp/control', `${name} is not one`)
  return text
}

function sized(reader: Reader, what: string): Uint8Array {
  const size = readVarint(reader)
  if (size > reader.left) throw refuse('bhttp/truncated', `${what} has ${size} bytes, ${reader.left} left`)
  return reader.bytes(size)
}

function text(reader: Reader, what: string): string {
  return fromUtf8(sized(reader, what))
}

function parseFields(section: Uint8Array, what: string): Fields {
  if (section.length > binaryFieldsSizeMax) throw refuse('bhttp/limit', `${what} has ${section.length} bytes`)
  const reader = new Reader(section)
  const fields: [string, string][] = []
  while (reader.left > 0) {
    if (fields.length === binaryFieldsMax)
      throw refuse('bhttp/limit', `${what} has more than ${binaryFieldsMax} fields`)
    const name = text(reader, 'field name')
    // The names of pseudo-fields begin with a colon: this format has its own place for what they say.
    if (!fieldName.test(name)) throw refuse('bhttp/field', `${what} has a name that is not a lowercase token`)
    const value = text(reader, 'field value')
    if (!fieldValue.test(value)) throw refuse('bhttp/field', `${what} has a value of ${name} that no field may have`)
    fields.push([name, value])
  }
  return fields
}

/** Headers, content, trailers and padding: a message may end where a part that is empty would begin. */
function parseRest(reader: Reader): Pick<BinaryRequest, 'headers' | 'body' | 'trailers'> {
  const part = (what: string) => (reader.left === 0 ? new Uint8Array(0) : sized(reader, what))
  const headers = parseFields(part('header section'), 'header section')
  const body = part('content')
  const trailers = parseFields(part('trailer section'), 'trailer section')
  if (reader.bytes(reader.left).some((byte) => byte !== 0)) throw refuse('bhttp/padding', 'padding is not zero')
  return { headers, body, trailers }
}

/** Failures of the readers below become ours: a caller sees one family of codes. */
function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (isFailure(error) && error.code === 'bytes/truncated')
      throw refuse('bhttp/truncated', 'message ends early', error)
    if (isFailure(error) && error.code === 'bytes/varint') throw refuse('bhttp/truncated', error.message, error)
    if (isFailure(error) && error.code === 'bytes/utf8') throw refuse('bhttp/field', 'text is not utf-8', error)
    throw error
  }
}

function verifyFraming(reader: Reader, expected: 0 | 1): void {
  const framing = readVarint(reader)
  if (framing !== expected) throw refuse('bhttp/framing', `framing indicator is ${framing}, expected ${expected}`)
}

/**
 * The request of known length that the bytes spell.
 *
 * throws  bhttp/framing, bhttp/truncated, bhttp/control, bhttp/field, bhttp/limit, bhttp/padding
 * source  RFC 9292, "Known-Length Messages", "Request Control Data", "Header and Trailer Field Lines", "Padding"
 */
export function parseBinaryRequest(bytes: Uint8Array): BinaryRequest {
  return reading(() => {
    const reader = new Reader(bytes)
    verifyFraming(reader, 0)
    const control = (name: Control) => verified(name, text(reader, name))
    const [method, scheme] = [control('method'), control('scheme')]
    const [authority, path] = [control('authority'), control('path')]
    return { method, scheme, authority, path, ...parseRest(reader) }
  })
}

/**
 * The final response of known length that the bytes spell. Informational responses before it are refused: nobody here
 * sends them.
 *
 * throws  bhttp/framing, bhttp/truncated, bhttp/status, bhttp/field, bhttp/limit, bhttp/padding
 * source  RFC 9292, "Known-Length Messages", "Response Control Data"
 */
export function parseBinaryResponse(bytes: Uint8Array): BinaryResponse {
  return reading(() => {
    const reader = new Reader(bytes)
    verifyFraming(reader, 1)
    const status = readVarint(reader)
    if (status < 200 || status > 599) throw refuse('bhttp/status', `status is ${status}, expected 200 to 599`)
    return { status, ...parseRest(reader) }
  })
}

const withSize = (part: Uint8Array) => [encodeVarint(part.length), part] as const

function encodeFields(fields: Fields): Uint8Array {
  const parts = fields.flatMap(([name, value]) => {
    if (!fieldName.test(name) || !fieldValue.test(value)) throw refuse('bhttp/field', `field ${name} cannot be written`)
    return [...withSize(utf8(name)), ...withSize(utf8(value))]
  })
  const section = concat(...parts)
  if (fields.length > binaryFieldsMax || section.length > binaryFieldsSizeMax) {
    throw refuse('bhttp/limit', `${fields.length} fields with ${section.length} bytes`)
  }
  return section
}

/**
 * The size that a message is padded to, at most an eighth above its own: sizes fall into few buckets, so that they tell
 * little about what is inside (TRUST 20).
 */
export function paddedSize(size: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(Math.max(size, 1))) - 3))
  return Math.ceil(size / step) * step
}

function encodeRest(
  head: readonly Uint8Array[],
  message: Pick<BinaryRequest, 'headers' | 'body' | 'trailers'>,
  pad: boolean,
) {
  const parts = [
    ...head,
    ...withSize(encodeFields(message.headers)),
    ...withSize(message.body),
    ...withSize(encodeFields(message.trailers)),
  ]
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  // Joined once: whoever seals the result zeroes the one place where it is.
  return concat(...parts, new Uint8Array(pad ? paddedSize(size) - size : 0))
}

/** A request of known length, with zero bytes behind it when `pad`. @throws bhttp/control, bhttp/field, bhttp/limit */
export function encodeBinaryRequest(request: BinaryRequest, pad: boolean): Uint8Array {
  const control = (['method', 'scheme', 'authority', 'path'] as const).flatMap((name) =>
    withSize(utf8(verified(name, request[name]))),
  )
  return encodeRest([encodeVarint(0), ...control], request, pad)
}

/** A response of known length, with zero bytes behind it when `pad`. @throws bhttp/status, bhttp/field, bhttp/limit */
export function encodeBinaryResponse(response: BinaryResponse, pad: boolean): Uint8Array {
  if (response.status < 200 || response.status > 599) throw refuse('bhttp/status', `status is ${response.status}`)
  return encodeRest([encodeVarint(1), encodeVarint(response.status)], response, pad)
}

/** The value of a field that may occur once; null when it does not occur. @throws bhttp/duplicate */
export function fieldOf(fields: Fields, name: string): string | null {
  const found = fields.filter(([one]) => one === name)
  if (found.length > 1) throw refuse('bhttp/duplicate', `field ${name} occurs ${found.length} times`)
  return found[0]?.[1] ?? null
}
