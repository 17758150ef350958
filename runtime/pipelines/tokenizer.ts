import { utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

/** Failures of reading what lies beside the graphs: tokenizer and config. */
export type PipelineCode = 'pipeline/config' | 'pipeline/tokenizer' | 'pipeline/graph'

const tokenizerSizeMax = 16 * MiB
const vocabularyMax = 1_000_000
const controlPieces = ['<unk>', '<s>', '</s>']

/** Ids to text. */
export interface Tokenizer {
  readonly size: number
  /** The text of these ids: special ones are left out, unknown ones too. Invalid UTF-8 becomes U+FFFD. */
  decode(ids: readonly number[]): string
}

function member(value: Json | undefined, name: string): Json | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined
  const object = value as { readonly [name: string]: Json }
  return Object.hasOwn(object, name) ? object[name] : undefined
}

function refuse(message: string): Failure<PipelineCode> {
  return new Failure<PipelineCode>('pipeline/tokenizer', message)
}

function idOf(value: Json | undefined, where: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= vocabularyMax) {
    throw refuse(`${where}: expected a whole number below ${vocabularyMax}`)
  }
  return value
}

/** The bytes that a SentencePiece piece stands for: `<0xNN>` is one byte, `▁` a space. */
function bytesOf(piece: string): Uint8Array {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1]
  return byte === undefined ? utf8(piece.replaceAll('\u2581', ' ')) : Uint8Array.of(Number.parseInt(byte, 16))
}

/**
 * The decoder of a SentencePiece vocabulary with byte fallback, in the Hugging Face `tokenizers` JSON form.
 * Read are `model.type` (BPE or Unigram), `model.vocab` and `added_tokens`; the other members serve encoding and are passed over.
 *
 * throws  pipeline/tokenizer, and those of parseJson
 */
export function parseTokenizer(bytes: Uint8Array): Tokenizer {
  const json = parseJson(bytes, tokenizerSizeMax)
  const model = member(json, 'model')
  const type = member(model, 'type')
  const vocab = member(model, 'vocab')
  const pieces = new Map<number, Uint8Array>()
  const silent = new Set<number>()
  const add = (id: number, piece: string) => {
    if (pieces.has(id)) throw refuse(`id ${id} stands for two pieces`)
    pieces.set(id, bytesOf(piece))
    // Invariant: control pieces are silent even when the file does not list them as added tokens.
    if (controlPieces.includes(piece)) silent.add(id)
  }
  if (type === 'Unigram' && Array.isArray(vocab)) {
    vocab.forEach((entry, id) => {
      const piece = Array.isArray(entry) ? (entry[0] as Json) : undefined
      if (typeof piece !== 'string') throw refuse(`model.vocab[${id}]: expected a piece and its score`)
      add(id, piece)
    })
  } else if (type === 'BPE' && vocab !== null && typeof vocab === 'object' && !Array.isArray(vocab)) {
    for (const [piece, id] of Object.entries(vocab)) add(idOf(id, `model.vocab ${JSON.stringify(piece)}`), piece)
  } else {
    throw refuse('model: expected type BPE or Unigram with its vocab')
  }
  const added = member(json, 'added_tokens') ?? []
  if (!Array.isArray(added)) throw refuse('added_tokens: expected a list')
  for (const token of added as readonly Json[]) {
    const id = idOf(member(token, 'id'), 'added_tokens id')
    const content = member(token, 'content')
    if (typeof content !== 'string') throw refuse('added_tokens content: expected a string')
    if (member(token, 'special') === true) silent.add(id)
    else pieces.set(id, utf8(content))
  }
  return { size: pieces.size, decode: (ids) => decode(ids, pieces, silent) }
}

function decode(ids: readonly number[], pieces: ReadonlyMap<number, Uint8Array>, silent: ReadonlySet<number>): string {
  const parts = ids.flatMap((id) => (silent.has(id) ? [] : (pieces.get(id) ?? [])))
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  // SentencePiece puts one space before a text when it encodes.
  return text.startsWith(' ') ? text.slice(1) : text
}
