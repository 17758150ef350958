import type { ModelCode } from '#convert/model/failures.js'
import { fromBase64, fromUtf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

/** The vocabulary of Llama, which Moonshine keeps and extends by its own 768 special pieces. */
const pieces = 32_000
const specialPieces = 768

function embedded(source: string, name: string): Uint8Array {
  const start = `const ${name} = "`
  const at = source.indexOf(start) + start.length
  const end = source.indexOf('"', at)
  if (at < start.length || end === -1) throw new Failure<ModelCode>('model/form', `tokenizer package holds no ${name}`)
  return fromBase64(source.slice(at, end))
}

/**
 * `tokenizer.json` in the form of Hugging Face's tokenizers, from the source text of llama-tokenizer-js. The text is
 * read, never run.
 *
 * throws  model/form, bytes/base64, bytes/utf8
 */
export function tokenizerJson(source: Uint8Array): Uint8Array {
  const text = fromUtf8(source)
  const vocabulary = fromUtf8(embedded(text, 'llama_vocab_base64')).split('\n')
  if (vocabulary.length !== pieces || new Set(vocabulary).size !== pieces) {
    throw new Failure<ModelCode>('model/form', `vocabulary has ${vocabulary.length} pieces, expected ${pieces}`)
  }
  const merged = embedded(text, 'llama_merges_binary')
  const pair = new DataView(merged.buffer, merged.byteOffset, merged.byteLength)
  const merges: string[] = []
  for (let at = 0; at + 4 <= merged.length; at += 4) {
    const [left, right] = [vocabulary[pair.getUint16(at, true)], vocabulary[pair.getUint16(at + 2, true)]]
    if (left === undefined || right === undefined) throw new Failure<ModelCode>('model/form', 'merge of no piece')
    merges.push(`${left} ${right}`)
  }
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })
  const added = Array.from({ length: specialPieces }, (_, i) => special(pieces + i, `<<ST_${i}>>`))
  return new TextEncoder().encode(
    `${JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>'), ...added],
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: '▁' },
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: '<unk>',
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: true,
        byte_fallback: true,
        vocab: Object.fromEntries(vocabulary.map((piece, id) => [piece, id])),
        merges,
      },
    })}\n`,
  )
}
