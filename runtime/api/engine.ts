/**
 * What belongs in runtime/api: what a model answers on each route, as pure functions of a request and of the engine port
 * declared here. What does not: sockets, sealed channels, receipts, callers (runtime/service), and ONNX Runtime
 * (runtime/engine, which fills this port).
 */
import { wipe } from '#core/bytes/secret.js'
import type { DataType, Tensor } from '#core/wire/tensor.js'

/** What the graph declares. A dimension of -1 is free. `datatype` is null where the Open Inference Protocol has no name for it. */
export interface TensorSlot {
  readonly name: string
  readonly datatype: DataType | null
  readonly shape: readonly number[]
}

export const pipelineNames = ['tensors', 'moonshine'] as const
/** `tensors`: one graph, served by the Open Inference Protocol alone. `moonshine`: speech to text. */
export type PipelineName = (typeof pipelineNames)[number]

/** What a loaded model is, as its own graph says. */
export interface ModelMetadata {
  readonly pipeline: PipelineName
  readonly inputs: readonly TensorSlot[]
  readonly outputs: readonly TensorSlot[]
  /** `onnxruntime-node 1.30.0`, `cpu`, threads in use */
  readonly runtime: string
  readonly provider: string
  readonly threads: number
  /** how many known answers it was loaded with, and gave; 0 where its owner sealed none */
  readonly knownAnswers: number
  /** of a key that is split: indices of shares that were not those which the owner committed to; it was had without them */
  readonly wrongShares: readonly number[]
}

/** Failures of an engine that a request can meet. */
export type EngineCode =
  | 'engine/input'
  | 'engine/run'
  | 'engine/output'
  | 'engine/pipeline'
  | 'engine/busy'
  | 'engine/deadline'
  | 'engine/crashed'
  | 'engine/not-loaded'
  | 'engine/protocol'

export interface Transcript {
  readonly text: string
  /** decoder steps taken over all windows */
  readonly tokens: number
}

/**
 * The port behind which a loaded model answers. One request runs at a time; others wait in a bounded queue.
 *
 * throws  Failure<EngineCode>
 */
export interface InferenceEngine {
  /** Whether a model is loaded and its process lives. */
  ready(): boolean
  /** Runs the graph once. `outputs` names those wanted; none means all. */
  infer(inputs: readonly Tensor[], outputs: readonly string[]): Promise<readonly Tensor[]>
  /** samples: mono, 16 kHz, -1 to 1 */
  transcribe(samples: Float32Array): Promise<Transcript>
}

/** How the model is named on the routes. */
export interface ServedModel {
  readonly name: string
  readonly version: string
  /** thumbprint of the owner's key */
  readonly owner: string
  /** unix seconds */
  readonly loadedAt: number
  readonly metadata: ModelMetadata
}

/** The bytes of a tensor's data; strings count two for each character. */
export function sizeOf(tensor: Tensor): number {
  if (ArrayBuffer.isView(tensor.data)) return tensor.data.byteLength
  return (tensor.data as readonly string[]).reduce((sum, one) => sum + one.length * 2, 0)
}

/** What was asked and answered does not outlive the request in memory that is ours. Strings cannot be overwritten. */
export function wipeTensors(tensors: readonly Tensor[]): void {
  for (const { data } of tensors) {
    if (ArrayBuffer.isView(data)) wipe(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
}
