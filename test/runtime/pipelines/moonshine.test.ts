import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import {
  type Graph,
  type GraphTensor,
  type GraphTensors,
  type MoonshineModel,
  moonshineGeometry,
  transcribe,
} from '#runtime/pipelines/moonshine.js'
import { parseTokenizer } from '#runtime/pipelines/tokenizer.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'

const vocab = { '<unk>': 0, '<s>': 1, '</s>': 2, '▁a': 3, '▁b': 4, '▁c': 5 }
const tokenizer = parseTokenizer(utf8(JSON.stringify({ model: { type: 'BPE', vocab } })))
const parts = ['decoder.key', 'decoder.value', 'encoder.key', 'encoder.value']
const names = [0, 1].flatMap((layer) => parts.map((part) => `${layer}.${part}`))
const float = (dims: readonly number[], fill: number): GraphTensor => ({
  type: 'float32',
  dims,
  data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(fill),
})

interface Step {
  readonly id: number
  readonly cached: boolean
  readonly past: Readonly<Record<string, readonly number[]>>
  readonly encoderKey: number | undefined
}

/** A decoder that says the ids of `script`, one a step, then the last of them for ever; and records what it was given. */
function scripted(script: readonly number[]) {
  const steps: Step[] = []
  const given: GraphTensor[] = []
  const made: GraphTensor[] = []
  const keep = (tensor: GraphTensor) => {
    made.push(tensor)
    return tensor
  }
  const encoder: Graph = {
    inputs: new Map([['input_values', [-1, -1]]]),
    outputs: new Set(['last_hidden_state']),
    run: async (inputs) => {
      given.push(inputs.input_values!)
      return { last_hidden_state: keep(float([1, 4, 3], 9)) }
    },
  }
  const decoder: Graph = {
    inputs: new Map([
      ['input_ids', [-1, -1]],
      ['encoder_hidden_states', [-1, -1, 3]],
      ['use_cache_branch', [1]],
      ...names.map((name): [string, number[]] => [`past_key_values.${name}`, [-1, 2, -1, 5]]),
    ]),
    outputs: new Set(['logits', ...names.map((name) => `present.${name}`)]),
    run: async (inputs, outputs) => {
      const at = steps.length
      const past = (name: string) => inputs[`past_key_values.${name}`]!
      steps.push({
        id: Number((inputs.input_ids!.data as BigInt64Array)[0]),
        cached: inputs.use_cache_branch!.data[0] === 1,
        past: Object.fromEntries(names.map((name) => [name, past(name).dims])),
        encoderKey: past('1.encoder.key').data[0] as number | undefined,
      })
      const logits = float([1, 1, 6], 0)
      logits.data[script[Math.min(at, script.length - 1)]!] = 1
      const presents = outputs
        .filter((name) => name !== 'logits')
        .map((name): [string, GraphTensor] => [
          name,
          keep(float([1, 2, name.includes('decoder') ? at + 1 : 4, 5], at + 1)),
        ])
      return { logits, ...Object.fromEntries(presents) } as GraphTensors
    },
  }
  const model: MoonshineModel = { encoder, decoder, tokenizer, geometry: moonshineGeometry(encoder, decoder) }
  return { model, steps, made, given }
}
const second = () => new Float32Array(16_000).fill(0.1)

describe('greedy decoding with a cache', () => {
  test('begins without a past, keeps the encoder of the first step, ends at the end id', async () => {
    const { model, steps } = scripted([3, 4, 5, 2])
    expect(await transcribe(model, second(), () => {})).toEqual({ text: 'a b c', tokens: 3 })
    expect(steps.map((step) => step.id)).toEqual([1, 3, 4, 5])
    expect(steps.map((step) => step.cached)).toEqual([false, true, true, true])
    expect(steps[0]!.past['0.decoder.key']).toEqual([0, 2, 1, 5])
    expect(steps.map((step) => step.past['0.decoder.key']![2])).toEqual([1, 1, 2, 3])
    // 1 is what step 0 returned: no later step replaced it.
    expect(steps.slice(1).map((step) => step.encoderKey)).toEqual([1, 1, 1])
  })
  test('a decoder that never ends is stopped by the length of the sound', async () => {
    const { model, steps } = scripted([3])
    const { tokens } = await transcribe(model, second(), () => {})
    expect(tokens).toBe(7)
    expect(steps).toHaveLength(7)
  })
  test('a request that is over is left between steps, and leaves nothing behind', async () => {
    const { model, made, given } = scripted([3])
    let left = 3
    const step = () => {
      if (left-- === 0) throw new Error('over')
    }
    await expect(transcribe(model, second(), step)).rejects.toThrow('over')
    for (const tensor of [...made, ...given]) expect(tensor.data.some((one) => one !== 0)).toBe(false)
  })
  test('what was said is overwritten after an answer too', async () => {
    const { model, made, given } = scripted([3, 2])
    await transcribe(model, second(), () => {})
    for (const tensor of [...made, ...given]) expect(tensor.data.some((one) => one !== 0)).toBe(false)
  })
  test('windows of a long sound are joined by one space', async () => {
    const { model } = scripted([3, 2, 4, 2])
    expect((await transcribe(model, new Float32Array(16_000 * 40), () => {})).text).toBe('a b')
  })
  test('refuses no sound, and more than ten minutes', async () => {
    const { model } = scripted([2])
    expect(await codeOfPromise(transcribe(model, new Float32Array(0), () => {}))).toBe('audio/too-short')
    expect(await codeOfPromise(transcribe(model, new Float32Array(9_600_001), () => {}))).toBe('audio/too-long')
  })
  test.each([
    ['input_values', 'encoder'],
    ['use_cache_branch', 'decoder'],
    ['past_key_values.0.decoder.key', 'decoder'],
    ['past_key_values.1.encoder.value', 'decoder'],
  ] as const)('refuses graphs without input %s', (name, which) => {
    const { model } = scripted([2])
    const without = (graph: Graph): Graph => ({
      ...graph,
      inputs: new Map([...graph.inputs].filter(([one]) => one !== name)),
    })
    const graphs = { encoder: model.encoder, decoder: model.decoder, [which]: without(model[which]) }
    expect(codeOf(() => moonshineGeometry(graphs.encoder, graphs.decoder))).toBe('pipeline/graph')
  })
})
