import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

/** Failures of reading PEM. */
export type PemCode = 'pem/form' | 'pem/label' | 'pem/count'

const block = /-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----(?:\r?\n|$)/y

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
    block.lastIndex = at
    const found = block.exec(text)
    if (!found) throw new Failure<PemCode>('pem/form', `no PEM block at character ${at}`)
    if (found[1] !== label) throw new Failure<PemCode>('pem/label', `PEM block is ${found[1]}, expected ${label}`)
    if (out.length === max) throw new Failure<PemCode>('pem/count', `more than ${max} PEM blocks`)
    out.push(fromBase64(found[2]!.replace(/[\r\n]/g, '')))
    at = block.lastIndex
  }
  if (out.length === 0) throw new Failure<PemCode>('pem/count', 'no PEM block')
  return out
}

/** One PEM block, in lines of 64 characters. source: RFC 7468, "Encapsulation Boundaries" */
export function encodePem(der: Uint8Array, label: string): string {
  const lines = toBase64(der).replace(/.{64}(?!$)/g, (line) => `${line}\n`)
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}
