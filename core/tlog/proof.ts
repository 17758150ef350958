import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { noteSizeMax, proofHashesMax } from '#core/limits.js'
import { type Checkpoint, parseCheckpoint, parseDecimal } from '#core/tlog/checkpoint.js'
import type { TlogCode } from '#core/tlog/failures.js'

/** What a proof says: nothing in it is verified. */
export interface TlogProof {
  /** the leaf's sibling first, 32 bytes each */
  readonly hashes: readonly Uint8Array[]
  readonly index: number
  /** the cosigned checkpoint, verbatim */
  readonly checkpoint: string
}

export interface ParsedTlogProof extends TlogProof {
  readonly tree: Checkpoint
}

const header = 'c2sp.org/tlog-proof@v1'
const refuse = (message: string, cause?: unknown) =>
  new Failure<TlogCode>('tlog/proof', message, cause === undefined ? {} : { cause })

/**
 * The text of a proof. source: C2SP tlog-proof, "Format"
 *
 * spelled  base64 of hashes by their identity, for a caller that writes many proofs with the same ones
 */
export function encodeTlogProof(proof: TlogProof, spelled = new Map<Uint8Array, string>()): string {
  const spell = (hash: Uint8Array) => {
    const text = spelled.get(hash) ?? toBase64(hash)
    spelled.set(hash, text)
    return text
  }
  const lines = [header, `index ${proof.index}`, ...proof.hashes.map(spell), '']
  return `${lines.join('\n')}\n${proof.checkpoint}`
}

/**
 * The parts of a proof.
 *
 * A line of `extra` data is refused: nothing authenticates it, and no leaf of ours needs it.
 * throws  tlog/proof, tlog/note, tlog/checkpoint
 * source  C2SP tlog-proof, "Format"
 */
export function parseTlogProof(text: string): ParsedTlogProof {
  if (text.length > noteSizeMax) throw refuse(`proof has more than ${noteSizeMax} characters`)
  const blank = text.indexOf('\n\n')
  if (blank < 0) throw refuse('proof has no blank line before its checkpoint')
  const [first, indexLine = '', ...hashLines] = text.slice(0, blank).split('\n')
  if (first !== header) throw refuse(`first line is not ${header}`)
  if (indexLine.startsWith('extra ')) throw refuse('extra data is not accepted')
  const index = indexLine.startsWith('index ') ? parseDecimal(indexLine.slice(6)) : undefined
  if (index === undefined) throw refuse('second line is not an index')
  if (hashLines.length > proofHashesMax) throw refuse(`proof has ${hashLines.length} hashes, at most ${proofHashesMax}`)
  let hashes: readonly Uint8Array[]
  try {
    hashes = hashLines.map((line) => fromBase64(line, 32))
  } catch (cause) {
    throw refuse('a line of the proof is not 32 bytes of base64', cause)
  }
  const checkpoint = text.slice(blank + 2)
  return { hashes, index, checkpoint, tree: parseCheckpoint(checkpoint) }
}
