/**
 * What belongs in runtime/api: what a model answers on each route, as pure functions of a request and of the engine port
 * declared here. What does not: sockets, sealed channels, receipts, callers (runtime/service), and ONNX Runtime
 * (runtime/engine, which fills this port).
 */
import { wipe } from '#core/bytes/secret.js'

/** Open Inference Protocol v2, "Tensor Data Types"; FP16 and BF16 have no JSON form and are not served. */
export const dataTypes = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP32',
  'FP64',
  'BYTES',
] as const
export type DataType = (typeof dataTypes)[number]

/** How each type lies in memory; BOOL is one byte each, 0 or 1. */
export const arrayOf = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const

export type NumberArray =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array

/** A named, typed, shaped value. `data` holds exactly the product of `shape` items, row-major; strings for BYTES. */
export interface Tensor {
  readonly name: string
  readonly datatype: DataType
  readonly shape: readonly number[]
  readonly data: NumberArray | readonly string[]
}

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

export const tensorNameLengthMax = 256
export const tensorRankMax = 16
export const tensorsMax = 256
/** All tensors of one request, and of one answer, in bytes of their data. */
export const inputSizeMax = 32 * 1024 * 1024
export const outputSizeMax = 48 * 1024 * 1024

/** The number of items of a shape. */
export function itemsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/**
 * Whether a shape spans no more items than a request can carry. A tensor without items may name huge sizes beside the one
 * that is 0, and what a graph makes of those (the mean over that axis) takes memory that nobody paid for.
 */
export function isBounded(shape: readonly number[]): boolean {
  return shape.reduce((product, size) => product * Math.max(1, size), 1) <= inputSizeMax
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
