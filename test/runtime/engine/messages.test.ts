import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { generateHybridKey } from '#core/crypto/hpke.js'
import { isFailure } from '#core/failure.js'
import { parseFromEngine, parseToEngine } from '#runtime/engine/messages.js'
import { codeOf } from '#test/fakes/code-of.js'

const tensor = { name: 'x', datatype: 'FP32', shape: [1, 2], data: new Float32Array(2) }
const bytes = new Uint8Array(3)
const metadata = {
  pipeline: 'tensors',
  inputs: [{ name: 'x', datatype: null, shape: [-1] }],
  outputs: [],
  runtime: 'onnxruntime 1.30.0',
  provider: 'cpu',
  threads: 1,
  knownAnswers: 3,
  wrongShares: [2],
}
const load = {
  kind: 'load',
  id: 1,
  folder: '/m',
  manifest: bytes,
  keys: [{ index: 0, sealed: bytes, info: bytes }],
  aad: bytes,
  threads: 2,
  prepacking: true,
}
const toEngine = [
  load,
  { kind: 'infer', id: 2, inputs: [tensor, { ...tensor, datatype: 'BYTES', data: ['a', 'b'] }], outputs: ['y'] },
  { kind: 'transcribe', id: 3, samples: new Float32Array(4), budgetMs: 10 },
  { kind: 'unload', id: 4 },
]
const { publicKey: releaseKey } = await generateHybridKey()
const fromEngine = [
  { kind: 'started', releaseKey },
  { kind: 'loaded', id: 1, metadata },
  { kind: 'inferred', id: 2, outputs: [tensor] },
  { kind: 'transcribed', id: 3, text: 'words', tokens: 1 },
  { kind: 'unloaded', id: 4 },
  { kind: 'failed', id: 5, code: 'engine/run', message: 'why' },
]

describe('messages of the engine', () => {
  test.each(toEngine)('$kind is read as it is', (message) => {
    expect(parseToEngine(message)).toEqual(message)
  })
  test.each(fromEngine)('$kind is read as it is', (message) => {
    expect(parseFromEngine(message)).toEqual(message)
  })

  const [, infer] = toEngine
  const refused: readonly [string, unknown][] = [
    ['an unknown kind', { kind: 'eval', id: 1 }],
    ['a missing member', { kind: 'load', id: 1 }],
    ['an unknown member', { ...load, options: {} }],
    ['a number that is none', { ...load, id: 0 }],
    ['text for bytes', { ...load, keys: [{ index: 0, sealed: 'abc', info: bytes }] }],
    ['a share beyond the last', { ...load, keys: [{ index: 17, sealed: bytes, info: bytes }] }],
    ['more shares than there can be', { ...load, keys: Array(17).fill({ index: 1, sealed: bytes, info: bytes }) }],
    ['a key without what opens it', { ...load, keys: [{ index: 1, sealed: bytes }] }],
    ['too many threads', { ...load, threads: 100_000 }],
    ['data of another type', { ...infer, inputs: [{ ...tensor, data: new Float64Array(2) }] }],
    ['less data than the shape says', { ...infer, inputs: [{ ...tensor, data: new Float32Array(1) }] }],
    ['a shape below zero', { ...infer, inputs: [{ ...tensor, shape: [-1, -2] }] }],
    [
      'no items, of a size that nobody could send',
      { ...infer, inputs: [{ ...tensor, shape: [0, 2 ** 31], data: new Float32Array(0) }] },
    ],
    ['a type that is not served', { ...infer, inputs: [{ ...tensor, datatype: 'FP16' }] }],
    [
      'more input than the bound',
      { ...infer, inputs: [{ ...tensor, shape: [2 ** 24], data: new Float32Array(2 ** 24) }] },
    ],
    ['sound that is not float32', { kind: 'transcribe', id: 3, samples: new Int16Array(4), budgetMs: 10 }],
    ['nothing', null],
  ]
  test.each(refused)('the engine refuses %s', (_, message) => {
    expect(codeOf(() => parseToEngine(message))).toBe('engine/protocol')
  })
  const lies: readonly [string, unknown][] = [
    ['a key that is none', { kind: 'started', releaseKey: { ...releaseKey, pub: 'AA' } }],
    ['a key without a lattice', { kind: 'started', releaseKey: { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) } }],
    ['a private key', { kind: 'started', releaseKey: { ...releaseKey, priv: 'A' } }],
    ['text without end', { kind: 'transcribed', id: 1, text: 'a'.repeat(2_000_000), tokens: 1 }],
    ['a code that is none', { kind: 'failed', id: 1, code: 'Engine Run', message: '' }],
    ['more known answers than there can be', { kind: 'loaded', id: 1, metadata: { ...metadata, knownAnswers: 65 } }],
    ['a wrong share that there cannot be', { kind: 'loaded', id: 1, metadata: { ...metadata, wrongShares: [0] } }],
    ['known answers that are no number', { kind: 'loaded', id: 1, metadata: { ...metadata, knownAnswers: 'all' } }],
    ['another pipeline', { kind: 'loaded', id: 1, metadata: { ...metadata, pipeline: 'shell' } }],
    ['outputs that contradict themselves', { kind: 'inferred', id: 1, outputs: [{ ...tensor, shape: [3] }] }],
  ]
  test.each(lies)('the parent refuses %s', (_, message) => {
    expect(codeOf(() => parseFromEngine(message))).toBe('engine/protocol')
  })

  test('any value: a message or a Failure', () => {
    const kinds = fc.constantFrom(...toEngine, ...fromEngine)
    const altered = fc.tuple(kinds, fc.anything(), fc.nat(20)).map(([message, value, at]) => {
      const names = Object.keys(message)
      return { ...message, [names[at % names.length]!]: value }
    })
    fc.assert(
      fc.property(fc.oneof(fc.anything(), altered), (value) => {
        for (const parse of [parseToEngine, parseFromEngine]) {
          try {
            parse(value)
          } catch (error) {
            expect(isFailure(error)).toBe(true)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
