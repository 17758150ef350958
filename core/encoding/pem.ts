import { fromBase64, fromPublicBase64, toBase64 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

/** Failures of reading PEM. */
export type PemCode = 'pem/form' | 'pem/label' | 'pem/count'

const head = /-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n/y
const bodyForm = /^[A-Za-z0-9+/=\r\n]+$/

/**
 * The DER of each block of a PEM text, in order. All blocks carry `label`; between them only white space may stand.
 *
 * max     how many blocks are accepted at most; at least one is required
 * throws  pem/form, pem/label, pem/count, bytes/base64
 * source  RFC 7468, "Textual Encoding of ..."
 */
export function parsePem(text: string, label: string, max: number): readonly Uint8Array[] {
  const out: Uint8Array[] = []
  let at = 0
  for (;;) {
    while (at < text.length && /\s/.test(text[at]!)) at++
    if (at === text.length) break
    const block = readBlock(text, at)
    const refusal =
      block.label !== label
        ? new Failure<PemCode>('pem/label', `PEM block is ${block.label}, expected ${label}`)
        : out.length === max && new Failure<PemCode>('pem/count', `more than ${max} PEM blocks`)
    if (refusal) throw bodyForm.test(block.body) ? refusal : noBlock(at)
    out.push(readBody(block.body, at, isPrivate(label)))
    at = block.end
  }
  if (out.length === 0) throw new Failure<PemCode>('pem/count', 'no PEM block')
  return out
}

/** A block of any label. */
export interface PemBlock {
  readonly label: string
  readonly der: Uint8Array
}

/**
 * Every block of a PEM text, in order and whatever its label; between them only white space may stand.
 *
 * throws  pem/form, pem/count, bytes/base64
 * source  RFC 7468, "Textual Encoding of ..."
 */
export function parsePemBlocks(text: string, max: number): readonly PemBlock[] {
  const out: PemBlock[] = []
  let at = 0
  for (;;) {
    while (at < text.length && /\s/.test(text[at]!)) at++
    if (at === text.length) break
    if (out.length === max) throw new Failure<PemCode>('pem/count', `more than ${max} PEM blocks`)
    const { label, body, end } = readBlock(text, at)
    out.push({ label, der: readBody(body, at, isPrivate(label)) })
    at = end
  }
  if (out.length === 0) throw new Failure<PemCode>('pem/count', 'no PEM block')
  return out
}

function noBlock(at: number, cause?: unknown): Failure<PemCode> {
  return new Failure<PemCode>('pem/form', `no PEM block at character ${at}`, { cause })
}

interface Block {
  readonly label: string
  readonly body: string
  /** where the text goes on */
  readonly end: number
}

/** A block as its lines say; whether its body is base64 is not looked at. */
function readBlock(text: string, at: number): Block {
  head.lastIndex = at
  const label = head.exec(text)?.[1]
  if (label === undefined) throw noBlock(at)
  const from = head.lastIndex
  // Base64 has no dash: the first one begins the last line.
  const to = text.indexOf('-', from)
  const foot = `-----END ${label}-----`
  if (to <= from || !text.startsWith(foot, to)) throw noBlock(at)
  const end = to + foot.length
  const newline = text.startsWith('\n', end) ? 1 : text.startsWith('\r\n', end) ? 2 : 0
  if (newline === 0 && end !== text.length) throw noBlock(at)
  return { label, body: text.slice(from, to), end: end + newline }
}

/** Only what a label calls private may be a secret, and needs memory of its own. */
const isPrivate = (label: string) => label.includes('PRIVATE')

/** The body is read first: what stands in it that is no base64 is asked for when that fails. */
function readBody(body: string, at: number, isSecret: boolean): Uint8Array {
  try {
    const lines = body.replaceAll('\n', '')
    const text = lines.includes('\r') ? lines.replaceAll('\r', '') : lines
    return isSecret ? fromBase64(text) : fromPublicBase64(text)
  } catch (cause) {
    throw bodyForm.test(body) ? cause : noBlock(at, cause)
  }
}

/** One PEM block, in lines of 64 characters. source: RFC 7468, "Encapsulation Boundaries" */
export function encodePem(der: Uint8Array, label: string): string {
  const lines = toBase64(der).replace(/.{64}(?!$)/g, (line) => `${line}\n`)
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}
