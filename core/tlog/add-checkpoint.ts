import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { noteSizeMax, proofHashesMax } from '#core/limits.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import type { TlogCode } from '#core/tlog/failures.js'

/** A log's question to a witness: cosign this checkpoint, which continues the tree of `oldSize` leaves. */
export interface AddCheckpoint {
  readonly oldSize: number
  /** consistency proof, 32 bytes each */
  readonly proof: readonly Uint8Array[]
  /** the checkpoint with the log's signature, verbatim */
  readonly checkpoint: string
}

/** The body of a request. source: C2SP tlog-witness, "add-checkpoint" */
export function encodeAddCheckpoint(request: AddCheckpoint): string {
  return [`old ${request.oldSize}`, ...request.proof.map(toBase64), '', request.checkpoint].join('\n')
}

/**
 * The parts of a request body; the checkpoint is not read yet.
 *
 * throws  tlog/add-checkpoint
 * source  C2SP tlog-witness, "add-checkpoint"
 */
export function parseAddCheckpoint(body: string): AddCheckpoint {
  const refuse = (message: string, cause?: unknown) =>
    new Failure<TlogCode>('tlog/add-checkpoint', message, cause === undefined ? {} : { cause })
  if (body.length > noteSizeMax) throw refuse(`request has more than ${noteSizeMax} characters`)
  const blank = body.indexOf('\n\n')
  if (blank < 0) throw refuse('request has no blank line before its checkpoint')
  const [first = '', ...lines] = body.slice(0, blank).split('\n')
  const oldSize = first.startsWith('old ') ? parseDecimal(first.slice(4)) : undefined
  if (oldSize === undefined) throw refuse('first line is not the old size')
  if (lines.length > proofHashesMax) throw refuse(`proof has ${lines.length} hashes, at most ${proofHashesMax}`)
  try {
    return { oldSize, proof: lines.map((line) => fromBase64(line, 32)), checkpoint: body.slice(blank + 2) }
  } catch (cause) {
    throw refuse('a line of the proof is not 32 bytes of base64', cause)
  }
}
