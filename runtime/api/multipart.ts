import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import type { ApiCode } from '#runtime/api/answer.js'

/** One part of a form. `fileName` is null for a plain field. */
export interface FormPart {
  readonly name: string
  readonly fileName: string | null
  readonly bytes: Uint8Array
}

const partsMax = 32
const headSizeMax = 4096

function refuse(message: string): Failure<ApiCode> {
  return new Failure<ApiCode>('api/request', `multipart form: ${message}`)
}

/** Where `needle` begins in `bytes` at or after `from`; -1 when nowhere. */
function find(bytes: Uint8Array, needle: Uint8Array, from: number): number {
  const first = needle[0]!
  for (let at = bytes.indexOf(first, from); at !== -1; at = bytes.indexOf(first, at + 1)) {
    if (at + needle.length > bytes.length) return -1
    let i = 1
    while (i < needle.length && bytes[at + i] === needle[i]) i++
    if (i === needle.length) return at
  }
  return -1
}

function boundaryOf(contentType: string): string {
  const found = /^multipart\/form-data\s*;\s*boundary=(?:"([^"\\]{1,70})"|([^\s";,]{1,70}))\s*$/i.exec(contentType)
  const boundary = found?.[1] ?? found?.[2]
  if (boundary === undefined) throw refuse('expected content-type multipart/form-data with a boundary')
  return boundary
}

/** Name and file name of a part. Other header lines are passed over; percent escapes are those of browsers. */
function parseHead(head: Uint8Array): Pick<FormPart, 'name' | 'fileName'> {
  let text: string
  try {
    text = fromUtf8(head)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse('a part has a head that is not utf-8')
  }
  const lines = text.split('\r\n').filter((line) => /^content-disposition\s*:/i.test(line))
  if (lines.length !== 1) throw refuse('a part has not exactly one content-disposition')
  const parameters = new Map<string, string>()
  const [, rest] = /^content-disposition\s*:\s*form-data((?:\s*;\s*[a-z*]+="[^"\r\n]*")+)\s*$/i.exec(lines[0]!) ?? []
  if (rest === undefined) throw refuse('a content-disposition is not form-data with quoted parameters')
  for (const [, name, value] of rest.matchAll(/;\s*([a-z*]+)="([^"\r\n]*)"/gi)) {
    const key = name!.toLowerCase()
    if (parameters.has(key)) throw refuse(`a content-disposition has two ${key}`)
    parameters.set(key, value!.replaceAll('%22', '"').replaceAll('%0D', '\r').replaceAll('%0A', '\n'))
  }
  const name = parameters.get('name')
  if (name === undefined) throw refuse('a part has no name')
  return { name, fileName: parameters.get('filename') ?? null }
}

/**
 * The parts of a form, in order: at most 32, names may repeat. Their bytes are views of `body`.
 *
 * throws  api/request
 * source  RFC 7578, "Definition of multipart/form-data"; RFC 2046, "Common Syntax"
 */
export function parseMultipart(contentType: string, body: Uint8Array): readonly FormPart[] {
  const delimiter = utf8(`\r\n--${boundaryOf(contentType)}`)
  const opening = delimiter.subarray(2)
  if (find(body.subarray(0, opening.length), opening, 0) !== 0) throw refuse('it does not begin with its boundary')
  const blank = utf8('\r\n\r\n')
  const parts: FormPart[] = []
  let at = opening.length
  for (;;) {
    const next = fromAscii(body.subarray(at, at + 2))
    if (next === '--') break
    if (next !== '\r\n') throw refuse('a boundary is followed by neither a line end nor --')
    if (parts.length === partsMax) throw refuse(`more than ${partsMax} parts`)
    const headEnd = find(body.subarray(0, at + headSizeMax), blank, at)
    if (headEnd === -1) throw refuse(`a part has no head within ${headSizeMax} bytes`)
    const end = find(body, delimiter, headEnd + 2)
    if (end === -1) throw refuse('a part has no end')
    if (end < headEnd + blank.length) throw refuse('a part has no body')
    parts.push({ ...parseHead(body.subarray(at + 2, headEnd)), bytes: body.subarray(headEnd + blank.length, end) })
    at = end + delimiter.length
  }
  const tail = body.subarray(at + 2)
  if (tail.length > 2 || (tail.length > 0 && fromAscii(tail) !== '\r\n')) throw refuse('bytes after the last boundary')
  return parts
}

function fromAscii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}
