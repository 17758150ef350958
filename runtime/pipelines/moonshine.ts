import { Failure } from '#core/failure.js'
import type { PipelineCode, Tokenizer } from '#runtime/pipelines/tokenizer.js'
import type { AudioCode } from '#runtime/pipelines/wav.js'
import { windowsOf } from '#runtime/pipelines/windows.js'

/** A tensor as it goes into and comes out of a graph of this pipeline. */
export interface GraphTensor {
  readonly type: 'float32' | 'int64' | 'bool'
  readonly data: Float32Array | BigInt64Array | Uint8Array
  readonly dims: readonly number[]
}
export type GraphTensors = Readonly<Record<string, GraphTensor>>

/** One session. `outputs` names what is wanted. */
export interface Graph {
  readonly inputs: ReadonlyMap<string, readonly number[]>
  readonly outputs: ReadonlySet<string>
  run(inputs: GraphTensors, outputs: readonly string[]): Promise<GraphTensors>
}

export interface MoonshineModel {
  readonly encoder: Graph
  readonly decoder: Graph
  readonly tokenizer: Tokenizer
  readonly geometry: Geometry
}

interface Geometry {
  readonly layers: number
  readonly heads: number
  readonly headSize: number
}

export const sampleRate = 16_000
/** Text tokens for one second of speech are bounded: the published decoder stops at 6 to 6.5. */
const tokensPerSecondMax = 6.5
const tokensMin = 4
const startId = 1
const endId = 2
const layersMax = 64
const samplesMax = sampleRate * 600
/** The encoder's convolutions need some samples: shorter sound is padded with silence to a tenth of a second. */
const samplesMin = sampleRate / 10

/**
 * The geometry of the cache, read from the decoder's own inputs.
 *
 * throws  pipeline/graph when an input or output of the pipeline is absent
 */
export function moonshineGeometry(encoder: Graph, decoder: Graph): Geometry {
  const refuse = (message: string) => new Failure<PipelineCode>('pipeline/graph', message)
  if (!encoder.inputs.has('input_values') || !encoder.outputs.has('last_hidden_state')) {
    throw refuse('encoder: expected input_values and last_hidden_state')
  }
  for (const name of ['input_ids', 'encoder_hidden_states', 'use_cache_branch']) {
    if (!decoder.inputs.has(name)) throw refuse(`decoder: expected input ${name}`)
  }
  const layers = [...decoder.inputs.keys()].filter((name) => name.endsWith('.decoder.key')).length
  const shape = decoder.inputs.get('past_key_values.0.decoder.key') ?? []
  const [, heads, , headSize] = shape
  if (layers < 1 || layers > layersMax || heads === undefined || headSize === undefined || heads < 1 || headSize < 1) {
    throw refuse('decoder: expected past_key_values.0.decoder.key of shape [batch, heads, past, size]')
  }
  const geometry = { layers, heads, headSize }
  for (const name of cacheNames(geometry)) {
    if (!decoder.inputs.has(`past_key_values.${name}`) || !decoder.outputs.has(`present.${name}`)) {
      throw refuse(`decoder: expected past_key_values.${name} and present.${name}`)
    }
  }
  if (!decoder.outputs.has('logits')) throw refuse('decoder: expected output logits')
  return geometry
}

function cacheNames(geometry: Geometry): readonly string[] {
  return Array.from({ length: geometry.layers }, (_, layer) =>
    ['decoder.key', 'decoder.value', 'encoder.key', 'encoder.value'].map((part) => `${layer}.${part}`),
  ).flat()
}

/** The index of the largest value of the last row; the first one of equals. */
function argmaxOfLast(logits: GraphTensor | undefined): number {
  const width = logits?.dims.at(-1) ?? 0
  if (logits === undefined || !(logits.data instanceof Float32Array) || width < 1 || logits.data.length < width) {
    throw new Failure<PipelineCode>('pipeline/graph', 'decoder: logits are not a matrix of float32')
  }
  const from = logits.data.length - width
  let best = 0
  for (let i = 1; i < width; i++) if (logits.data[from + i]! > logits.data[from + best]!) best = i
  return best
}

function wipe(tensors: Iterable<GraphTensor | undefined>): void {
  for (const tensor of tensors) tensor?.data.fill(0 as never)
}

async function transcribeWindow(model: MoonshineModel, samples: Float32Array, step: () => void): Promise<number[]> {
  const { layers: _, heads, headSize } = model.geometry
  const names = cacheNames(model.geometry)
  const audio = new Float32Array(Math.max(samples.length, samplesMin))
  audio.set(samples)
  const stepsMax = Math.max(tokensMin, Math.ceil((audio.length / sampleRate) * tokensPerSecondMax))

  const encoded = await model.encoder.run({ input_values: { type: 'float32', data: audio, dims: [1, audio.length] } }, [
    'last_hidden_state',
  ])
  const states = encoded.last_hidden_state
  if (states === undefined) throw new Failure<PipelineCode>('pipeline/graph', 'encoder: no last_hidden_state')
  // The first step has no past: the graph is built for a batch of none there.
  const none: GraphTensor = { type: 'float32', data: new Float32Array(0), dims: [0, heads, 1, headSize] }
  const cache = new Map<string, GraphTensor>(names.map((name) => [name, none]))
  const ids: number[] = []
  let id = startId
  try {
    for (let taken = 0; taken < stepsMax; taken++) {
      step()
      const first = taken === 0
      // Invariant: the encoder's keys and values come from step 0 alone; later steps return empty ones.
      const kept = first ? names : names.filter((name) => name.includes('.decoder.'))
      const outputs = await model.decoder.run(
        {
          input_ids: { type: 'int64', data: BigInt64Array.of(BigInt(id)), dims: [1, 1] },
          encoder_hidden_states: states,
          use_cache_branch: { type: 'bool', data: Uint8Array.of(first ? 0 : 1), dims: [1] },
          ...Object.fromEntries(names.map((name) => [`past_key_values.${name}`, cache.get(name) ?? none])),
        },
        ['logits', ...kept.map((name) => `present.${name}`)],
      )
      id = argmaxOfLast(outputs.logits)
      for (const name of kept) {
        const present = outputs[`present.${name}`]
        if (present === undefined) throw new Failure<PipelineCode>('pipeline/graph', `decoder: no present.${name}`)
        wipe([cache.get(name)])
        cache.set(name, present)
      }
      wipe([outputs.logits])
      if (id === endId) break
      ids.push(id)
    }
    return ids
  } finally {
    // What was said leaves with the request: sound, its encoding, and the cache.
    audio.fill(0)
    wipe([states, ...cache.values()])
  }
}

/**
 * The words of a sound, by greedy decoding: no sampling, the same text for the same bytes.
 *
 * samples  mono, 16 kHz, at most 600 s; longer than 30 s is cut at quiet places and decoded window by window
 * step     called before every decoder step; it throws when the request's time is over
 * throws   audio/too-long, audio/too-short, pipeline/graph, and what `step` throws
 */
export async function transcribe(
  model: MoonshineModel,
  samples: Float32Array,
  step: () => void,
): Promise<{ readonly text: string; readonly tokens: number }> {
  if (samples.length > samplesMax) {
    throw new Failure<AudioCode>(
      'audio/too-long',
      `${samples.length / sampleRate} s, at most ${samplesMax / sampleRate}`,
    )
  }
  if (samples.length === 0) throw new Failure<AudioCode>('audio/too-short', 'the sound has no samples')
  const texts: string[] = []
  let tokens = 0
  for (const window of windowsOf(samples, sampleRate)) {
    const ids = await transcribeWindow(model, window, step)
    tokens += ids.length
    texts.push(model.tokenizer.decode(ids).trim())
  }
  return { text: texts.filter((text) => text.length > 0).join(' '), tokens }
}
