import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { parsePipelineConfig } from '#runtime/pipelines/config.js'
import { parseTokenizer } from '#runtime/pipelines/tokenizer.js'
import { codeOf } from '#test/fakes/code-of.js'

const bytes = (value: unknown) => utf8(JSON.stringify(value))
const vocab = { '<unk>': 0, '<s>': 1, '</s>': 2, '<0xE2>': 3, '<0x82>': 4, '<0xAC>': 5, '▁Ask': 6, '▁not': 7, '.': 8 }
const bpe = { model: { type: 'BPE', vocab, merges: [] }, added_tokens: [{ id: 9, content: '<pad>', special: true }] }

describe('tokenizer', () => {
  const tokenizer = parseTokenizer(bytes(bpe))
  test('joins pieces, spaces for the underline block, none in front', () => {
    expect(tokenizer.decode([6, 7, 8])).toBe('Ask not.')
  })
  test('joins bytes of one character', () => {
    expect(tokenizer.decode([6, 3, 4, 5])).toBe('Ask€')
  })
  test('marks bytes that are no character', () => {
    expect(tokenizer.decode([3, 8])).toBe('\ufffd.')
  })
  test('control pieces, special tokens and unknown ids are silent', () => {
    expect(tokenizer.decode([1, 6, 2, 0, 9, 32_767])).toBe('Ask')
  })
  test('reads a unigram vocabulary', () => {
    const unigram = { model: { type: 'Unigram', vocab: Object.keys(vocab).map((piece) => [piece, -1]) } }
    expect(parseTokenizer(bytes(unigram)).decode([6, 7])).toBe('Ask not')
  })

  const refused: readonly [string, unknown][] = [
    ['no model', {}],
    ['another model type', { model: { type: 'WordPiece', vocab } }],
    ['an id below zero', { model: { type: 'BPE', vocab: { a: -1 } } }],
    ['two pieces of one id', { model: { type: 'BPE', vocab: { a: 1, b: 1 } } }],
    ['an id that is no number', { model: { type: 'BPE', vocab: { a: '1' } } }],
    ['added tokens that are no list', { ...bpe, added_tokens: {} }],
    ['an added token without content', { ...bpe, added_tokens: [{ id: 9 }] }],
  ]
  test.each(refused)('refuses %s', (_, value) => {
    expect(codeOf(() => parseTokenizer(bytes(value)))).toBe('pipeline/tokenizer')
  })
  test('any JSON: a tokenizer or a Failure', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        try {
          parseTokenizer(utf8(text))
        } catch (error) {
          expect(isFailure(error)).toBe(true)
        }
      }),
    )
  })
})

describe('pipeline config', () => {
  const speech = new Set(['config.json', 'encoder_model.onnx', 'decoder_model_merged.onnx', 'tokenizer.json'])
  test('names a pipeline and its files', () => {
    expect(parsePipelineConfig(bytes({ pipeline: 'moonshine' }), speech)).toEqual({
      pipeline: 'moonshine',
      encoder: 'encoder_model.onnx',
      decoder: 'decoder_model_merged.onnx',
      tokenizer: 'tokenizer.json',
    })
  })
  test('a folder without config serves its only graph', () => {
    expect(parsePipelineConfig(undefined, new Set(['model.onnx', 'w.bin']))).toEqual({
      pipeline: 'tensors',
      graph: 'model.onnx',
    })
  })
  test("a config of the model's own says nothing about pipelines", () => {
    const config = bytes({ model_type: 'bert', hidden_size: 8 })
    expect(parsePipelineConfig(config, new Set(['model.onnx']))).toMatchObject({ graph: 'model.onnx' })
  })
  const refused: readonly [string, unknown, ReadonlySet<string>][] = [
    ['an unknown pipeline', { pipeline: 'whisper' }, speech],
    ['an unknown member', { pipeline: 'moonshine', sampling: true }, speech],
    ['a file that is not there', { pipeline: 'moonshine', encoder: 'e.onnx' }, speech],
    ['two graphs and no name', {}, speech],
  ]
  test.each(refused)('refuses %s', (_, value, files) => {
    expect(codeOf(() => parsePipelineConfig(bytes(value), files))).toBe('pipeline/config')
  })
})
