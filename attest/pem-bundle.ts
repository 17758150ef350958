import { attempt, type NamedFile } from '#attest/pool.js'
import { type Recognised, recognise } from '#attest/recognise.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { encodePem, type PemBlock, parsePemBlocks } from '#core/encoding/pem.js'

/** A board of devices has 12 chains of 5 certificates. */
const blocksMax = 128
/** What stands beside evidence in PEM. source: RFC 7468, "Textual Encoding of Certificates", "... of Certificate Revocation Lists" */
const labelsBeside: readonly string[] = ['CERTIFICATE', 'X509 CRL', 'PUBLIC KEY']

export interface PemBundle {
  readonly recognised: Recognised
  /** the other blocks: neighbours of one label that is known stay one file, as a chain is */
  readonly files: readonly NamedFile[]
}

/**
 * Evidence in a PEM text, with the certificates and lists that stand there beside it. What the block of the evidence is
 * called counts for nothing: its bytes are told apart as those of a file are. Null for a text that holds no evidence, or
 * more than one piece of it.
 */
export function readPemBundle(bytes: Uint8Array): PemBundle | null {
  if (bytes[0] !== 0x2d) return null
  const blocks = attempt(() => parsePemBlocks(fromUtf8(bytes), blocksMax)) ?? []
  const found = blocks.flatMap((block, i) => {
    const one = labelsBeside.includes(block.label) ? null : attempt(() => recognise(block.der))
    return one === null ? [] : [{ one, i }]
  })
  const [evidence, ...more] = found
  if (evidence === undefined || more.length > 0) return null
  const notes = ['taken out of a PEM bundle', ...evidence.one.notes]
  return { recognised: { ...evidence.one, notes }, files: filesOf(blocks.filter((_, i) => i !== evidence.i)) }
}

function filesOf(blocks: readonly PemBlock[]): readonly NamedFile[] {
  const files: { name: string; bytes: Uint8Array }[] = []
  let last = ''
  for (const { label, der } of blocks) {
    const isKnown = labelsBeside.includes(label)
    const bytes = isKnown ? utf8(encodePem(der, label)) : der
    const before = isKnown && label === last ? files.pop() : undefined
    files.push({ name: label, bytes: before ? utf8(fromUtf8(before.bytes) + fromUtf8(bytes)) : bytes })
    last = label
  }
  return files
}
