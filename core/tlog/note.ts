import { concat, fromBase64, fromHex, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sign, verifySignature } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { noteSignaturesMax, noteSizeMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { cosignedMessage, parseCosignature } from '#core/tlog/cosignature.js'
import type { TlogCode } from '#core/tlog/failures.js'
import { isKeyName, type NoteSignature, type NoteSigner, type VerifierKey } from '#core/tlog/vkey.js'

/** A text with signature lines. Nothing is known about any of them until `verifyNote` has returned. */
export interface Note {
  /** ends in a newline */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

const refuse = (message: string, cause?: unknown) =>
  new Failure<TlogCode>('tlog/note', message, cause === undefined ? {} : { cause })

/** Throws unless every character may stand in a note. */
function verifyCharacters(text: string): void {
  if (/[\u0000-\u0009\u000b-\u001f]/.test(text)) throw refuse('note holds a control character')
  if (/\p{Surrogate}/u.test(text)) throw refuse('note is not valid unicode')
}

function parseSignatureLine(line: string): NoteSignature {
  const parts = line.split(' ')
  const [dash, name, blobText] = parts
  if (parts.length !== 3 || dash !== '—' || name === undefined || blobText === undefined || !isKeyName(name)) {
    throw refuse('signature line is not a dash, a key name and a signature')
  }
  let blob: Uint8Array
  try {
    blob = fromBase64(blobText)
  } catch (cause) {
    throw refuse(`signature of ${name} is not base64`, cause)
  }
  if (blob.length < 5) throw refuse(`signature of ${name} has ${blob.length} bytes, expected at least 5`)
  return { name, id: toHex(blob.subarray(0, 4)), signature: blob.subarray(4) }
}

/**
 * The signatures that a run of signature lines spells: the end of a note, or a witness's answer.
 *
 * lines   each ends in a newline; 1 to 64 of them
 * throws  tlog/note
 */
export function parseSignatureLines(lines: string): readonly NoteSignature[] {
  if (lines.length > noteSizeMax) throw refuse(`signature lines have more than ${noteSizeMax} characters`)
  verifyCharacters(lines)
  if (!lines.endsWith('\n')) throw refuse('last signature line does not end in a newline')
  const parts = lines.slice(0, -1).split('\n')
  if (parts.length > noteSignaturesMax)
    throw refuse(`note has ${parts.length} signatures, at most ${noteSignaturesMax}`)
  return parts.map(parseSignatureLine)
}

/**
 * Text and signatures of a note: at most 256 KiB and 64 signatures.
 *
 * throws  tlog/note
 * source  C2SP signed-note, "Format"
 */
export function parseNote(note: string): Note {
  if (note.length > noteSizeMax) throw refuse(`note has more than ${noteSizeMax} characters`)
  verifyCharacters(note)
  // The last empty line ends the text: the text may hold empty lines, the signatures may not.
  const blank = note.lastIndexOf('\n\n')
  if (blank < 0) throw refuse('note has no blank line before its signatures')
  return { text: note.slice(0, blank + 1), signatures: parseSignatureLines(note.slice(blank + 2)) }
}

/** Signature lines, as they follow a text and its blank line. */
export function encodeSignatureLines(signatures: readonly NoteSignature[]): string {
  return signatures
    .map(({ name, id, signature }) => `— ${name} ${toBase64(concat(fromHex(id, 4), signature))}\n`)
    .join('')
}

/** The note that spells this text and these signatures. @throws tlog/note when the text cannot stand in a note */
export function encodeNote(note: Note): string {
  const encoded = `${note.text}\n${encodeSignatureLines(note.signatures)}`
  if (!note.text.endsWith('\n')) throw refuse('text of a note does not end in a newline')
  verifyCharacters(encoded)
  return encoded
}

/** A log's signature of a note's text. */
export async function signNote(text: string, signer: NoteSigner): Promise<NoteSignature> {
  return { name: signer.verifier.name, id: signer.verifier.id, signature: await sign(signer.key, utf8(text)) }
}

/** A signature that verified; `time` in seconds since 1970 for a cosigner, null for a log. */
export interface VerifiedSignature {
  readonly key: VerifierKey
  readonly time: UnixSeconds | null
  readonly line: NoteSignature
}

async function verifyLine(text: string, line: NoteSignature, key: VerifierKey): Promise<VerifiedSignature> {
  const { time, signature } =
    key.use === 'log' ? { time: null, signature: line.signature } : parseCosignature(line.signature)
  const message = time === null ? utf8(text) : cosignedMessage(time, text)
  try {
    await verifySignature(key.publicKey, message, signature, `note by ${key.name}`)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<TlogCode>('tlog/signature', `signature of ${key.name} is not that key's`, { cause })
  }
  return { key, time, line }
}

/**
 * The signatures of `keys` on a note, each verified; lines of keys that are not among them are passed over.
 *
 * The result may be empty, and may hold a key twice: who must have signed is the caller's to ask.
 * throws  tlog/signature, tlog/cosignature when a line names one of `keys` and is not its signature
 * source  C2SP signed-note, "Signatures"; tlog-cosignature, "Format"
 */
export async function verifyNote(note: Note, keys: readonly VerifierKey[]): Promise<readonly VerifiedSignature[]> {
  const verified: VerifiedSignature[] = []
  for (const line of note.signatures) {
    const key = keys.find((one) => one.name === line.name && one.id === line.id)
    if (key !== undefined) verified.push(await verifyLine(note.text, line, key))
  }
  return verified
}
