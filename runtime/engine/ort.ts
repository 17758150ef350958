import * as ort from 'onnxruntime-node'
import { Failure } from '#core/failure.js'
import { arrayOf, type DataType, type NumberArray, outputSizeMax, type Tensor } from '#core/wire/tensor.js'
import { type EngineCode, sizeOf, type TensorSlot } from '#runtime/api/engine.js'
import type { GraphTensor } from '#runtime/pipelines/moonshine.js'

/** Failures of making a session. */
export type SessionCode = 'engine/graph'

/** The version that prepared forms are tied to. */
export const runtimeVersion: string = ort.env.versions.node ?? ort.env.versions.common

export interface SessionSettings {
  readonly threads: number
  /** Keeps a second copy of weights in the layout that the processor likes: faster runs, slower load, twice the memory. */
  readonly prepacking: boolean
  /** The bytes are in ORT format and stay where they are: the caller holds them until the session is released. */
  readonly inPlace: boolean
}

export interface ExternalData {
  readonly path: string
  readonly data: Uint8Array
}

/**
 * The whole of what is ever set on a session. Everything else that ONNX Runtime reads is refused by being absent here:
 * profiling and the optimized model would be written to disk, `extra` can name libraries and folders.
 */
export function sessionOptions(
  settings: SessionSettings,
  externalData: readonly ExternalData[],
): ort.InferenceSession.SessionOptions {
  return {
    // Invariant: a closed list. ONNX Runtime drops unknown names with a warning and goes on without them.
    executionProviders: ['cpu'],
    intraOpNumThreads: settings.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
    // A memory pattern plans one block for all weights, in-place ones too, and MALLOC_PERTURB_ would touch all of it.
    enableMemPattern: false,
    logId: 'engine',
    logSeverityLevel: 4, // fatal only: messages name what is in the owner's graph
    ...(externalData.length === 0 ? {} : { externalData }),
    extra: {
      session: {
        'intra_op.allow_spinning': '0',
        'inter_op.allow_spinning': '0',
        ...(settings.prepacking ? {} : { disable_prepacking: '1' }),
        ...(settings.inPlace ? { use_ort_model_bytes_directly: '1', use_ort_model_bytes_for_initializers: '1' } : {}),
      },
    },
  }
}

const datatypes: Readonly<Record<string, DataType>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
}
const ortTypes = Object.fromEntries(Object.entries(datatypes).map(([name, type]) => [type, name]))

function slotOf(value: ort.InferenceSession.ValueMetadata): TensorSlot {
  if (!value.isTensor) throw new Failure<SessionCode>('engine/graph', 'an input or output of the graph is no tensor')
  const shape = value.shape.map((size) => (typeof size === 'number' && size >= 0 ? size : -1))
  return { name: value.name, datatype: datatypes[value.type] ?? null, shape }
}

/** A graph that is ready to run. It blocks the thread while it runs. */
export interface Session {
  readonly inputs: readonly TensorSlot[]
  readonly outputs: readonly TensorSlot[]
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<readonly Tensor[]>
  runNamed(
    inputs: Readonly<Record<string, GraphTensor>>,
    outputs: readonly string[],
  ): Promise<Readonly<Record<string, GraphTensor>>>
  release(): Promise<void>
}

/** What ONNX Runtime says about a graph may name what is in it: shown only where the memory is open anyway. */
function reason(error: unknown, verbose: boolean): string {
  return verbose ? `: ${String(error instanceof Error ? error.message : error).slice(0, 600)}` : ''
}

function toOrt(tensor: Tensor): ort.Tensor {
  const { data, shape } = tensor
  const type = ortTypes[tensor.datatype]
  if (type === undefined) throw new Failure<EngineCode>('engine/input', `${tensor.name}: type is not served`)
  return new ort.Tensor(type as 'float32', data as Float32Array, [...shape])
}

function fromOrt(name: string, tensor: ort.Tensor): Tensor {
  const datatype = datatypes[tensor.type]
  if (datatype === undefined) {
    throw new Failure<EngineCode>('engine/output', `an output has type ${tensor.type}, which has no wire form`)
  }
  const data = tensor.data as unknown as NumberArray | readonly string[]
  if (datatype !== 'BYTES' && !(data instanceof arrayOf[datatype])) {
    throw new Failure<EngineCode>('engine/output', 'an output has no data of its type')
  }
  return { name, datatype, shape: [...tensor.dims], data }
}

function verifyInputs(slots: readonly TensorSlot[], inputs: readonly Tensor[]): void {
  const refuse = (message: string) => new Failure<EngineCode>('engine/input', message)
  const given = new Map(inputs.map((input) => [input.name, input]))
  if (given.size !== inputs.length) throw refuse('an input is given twice')
  for (const slot of slots) {
    const input = given.get(slot.name)
    if (input === undefined) throw refuse(`input ${slot.name} is missing`)
    if (input.datatype !== slot.datatype) {
      throw refuse(
        `input ${slot.name}: expected ${slot.datatype ?? 'a type that is not served'}, got ${input.datatype}`,
      )
    }
    const fits =
      input.shape.length === slot.shape.length && slot.shape.every((size, i) => size === -1 || size === input.shape[i])
    if (!fits) throw refuse(`input ${slot.name}: expected shape [${slot.shape}], got [${input.shape}]`)
    given.delete(slot.name)
  }
  const [unknown] = given.keys()
  if (unknown !== undefined) throw refuse(`the model has no input ${unknown}`)
}

/**
 * A session of ONNX Runtime on the CPU, from bytes in memory: nothing is read from disk, nothing written.
 *
 * model   an .onnx graph, or ORT format when `inPlace`; not a view of a SharedArrayBuffer
 * verbose whether messages may carry ONNX Runtime's own words
 * trusts  that every external location of the graph is in `externalData` (verified against the graph's bytes)
 * throws  engine/graph
 */
export async function createSession(
  model: Uint8Array,
  externalData: readonly ExternalData[],
  settings: SessionSettings,
  verbose: boolean,
): Promise<Session> {
  let session: ort.InferenceSession
  try {
    session = await ort.InferenceSession.create(model, sessionOptions(settings, externalData))
  } catch (error) {
    throw new Failure<SessionCode>('engine/graph', `onnxruntime refused the graph${reason(error, verbose)}`)
  }
  const inputs = session.inputMetadata.map(slotOf)
  const outputs = session.outputMetadata.map(slotOf)

  const run = async (feeds: Record<string, ort.Tensor>, wanted: readonly string[]) => {
    try {
      return await session.run(feeds, [...wanted])
    } catch (error) {
      throw new Failure<EngineCode>('engine/run', `the graph failed on this input${reason(error, verbose)}`)
    }
  }
  return {
    inputs,
    outputs,
    async run(given, wanted) {
      verifyInputs(inputs, given)
      const names = wanted.length === 0 ? outputs.map((slot) => slot.name) : wanted
      const unknown = names.find((name) => !outputs.some((slot) => slot.name === name))
      if (unknown !== undefined) throw new Failure<EngineCode>('engine/input', `the model has no output ${unknown}`)
      const results = await run(Object.fromEntries(given.map((input) => [input.name, toOrt(input)])), names)
      let size = 0
      return names.map((name) => {
        const result = results[name]
        if (result === undefined) throw new Failure<EngineCode>('engine/output', 'an output is missing')
        const tensor = fromOrt(name, result)
        size += sizeOf(tensor)
        if (size > outputSizeMax)
          throw new Failure<EngineCode>('engine/output', `outputs exceed ${outputSizeMax} bytes`)
        return tensor
      })
    },
    async runNamed(given, wanted) {
      const feeds = Object.entries(given).map(([name, tensor]): [string, ort.Tensor] => [
        name,
        new ort.Tensor(tensor.type as 'float32', tensor.data as Float32Array, [...tensor.dims]),
      ])
      const results = await run(Object.fromEntries(feeds), wanted)
      return Object.fromEntries(
        Object.entries(results).map(([name, tensor]) => [
          name,
          { type: tensor.type, data: tensor.data, dims: tensor.dims } as GraphTensor,
        ]),
      )
    },
    release: () => session.release(),
  }
}
