import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { nameLengthMax } from '#core/limits.js'
import type { TlogCode } from '#core/tlog/failures.js'
import { encodeNote, type Note, parseNote, signNote } from '#core/tlog/note.js'
import type { NoteSigner } from '#core/tlog/vkey.js'

/** A tree as its log announces it. `rootHash` has 32 bytes. */
export interface TreeHead {
  readonly origin: string
  readonly size: number
  readonly rootHash: Uint8Array
}

/** A parsed checkpoint: nothing in it is verified. */
export interface Checkpoint extends TreeHead {
  /** what the log wrote below the root hash: signed by the log, attested by nobody */
  readonly extensions: readonly string[]
  readonly note: Note
}

const refuse = (message: string, cause?: unknown) =>
  new Failure<TlogCode>('tlog/checkpoint', message, cause === undefined ? {} : { cause })

/** A whole number below 2^53 in its only spelling; undefined for any other text. */
export function parseDecimal(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/**
 * The tree head and the note of a checkpoint: one spelling for each value.
 *
 * throws  tlog/note, tlog/checkpoint
 * source  C2SP tlog-checkpoint, "Note text"
 */
export function parseCheckpoint(text: string): Checkpoint {
  const note = parseNote(text)
  const [origin, sizeText, rootText, ...extensions] = note.text.slice(0, -1).split('\n')
  if (origin === undefined || sizeText === undefined || rootText === undefined) {
    throw refuse('checkpoint has fewer than three lines')
  }
  if (origin === '' || origin.length > nameLengthMax) {
    throw refuse(`origin has ${origin.length} characters, expected 1 to ${nameLengthMax}`)
  }
  const size = parseDecimal(sizeText)
  if (size === undefined) throw refuse('tree size is not a decimal number below 2^53')
  let rootHash: Uint8Array
  try {
    rootHash = fromBase64(rootText, 32)
  } catch (cause) {
    throw refuse('root hash is not 32 bytes of base64', cause)
  }
  if (extensions.includes('')) throw refuse('checkpoint has an empty line in its text')
  return { origin, size, rootHash, extensions, note }
}

/** The text that a log signs and a witness cosigns. */
export function encodeCheckpointText(head: TreeHead): string {
  return `${head.origin}\n${head.size}\n${toBase64(head.rootHash)}\n`
}

/**
 * A checkpoint with the log's own signature.
 *
 * trusts  that the caller never asks for two trees of one log that are inconsistent
 * throws  tlog/checkpoint when the signer's name is not the origin
 */
export async function signCheckpoint(head: TreeHead, signer: NoteSigner): Promise<Note> {
  if (signer.verifier.use !== 'log' || signer.verifier.name !== head.origin) {
    throw refuse(`checkpoint of ${head.origin} cannot be signed by ${signer.verifier.name}`)
  }
  const text = encodeCheckpointText(head)
  return { text, signatures: [await signNote(text, signer)] }
}

/** The same checkpoint with more signatures on it. */
export function addSignatures(note: Note, signatures: Note['signatures']): string {
  return encodeNote({ text: note.text, signatures: [...note.signatures, ...signatures] })
}
