import { type XwingJwk, xwingJwk } from '#core/crypto/jwk.js'
import { sharesMax } from '#core/crypto/shamir.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { knownAnswersMax } from '#core/wire/known-answers.js'
import {
  arrayOf,
  type DataType,
  dataTypes,
  inputSizeMax,
  isBounded,
  itemsOf,
  outputSizeMax,
  type Tensor,
  tensorNameLengthMax,
  tensorRankMax,
  tensorsMax,
} from '#core/wire/tensor.js'
import { type EngineCode, type ModelMetadata, pipelineNames, sizeOf, type TensorSlot } from '#runtime/api/engine.js'

/** What was sealed by HPKE to this process. index: of a share, from 1; 0 for a whole key */
export interface WrappedKey {
  readonly index: number
  readonly sealed: Uint8Array
  readonly info: Uint8Array
}

/** What the parent asks of the engine's process. Every message but the first reply carries the number of its request. */
export type ToEngine =
  | {
      readonly kind: 'load'
      readonly id: number
      /** absolute path of the sealed folder */
      readonly folder: string
      readonly manifest: Uint8Array
      /** the DEK, or shares of it, sealed by HPKE to this process: the parent relays them and cannot open them */
      readonly keys: readonly WrappedKey[]
      readonly aad: Uint8Array
      readonly threads: number
      readonly prepacking: boolean
    }
  | {
      readonly kind: 'infer'
      readonly id: number
      readonly inputs: readonly Tensor[]
      readonly outputs: readonly string[]
    }
  | { readonly kind: 'transcribe'; readonly id: number; readonly samples: Float32Array; readonly budgetMs: number }
  | { readonly kind: 'unload'; readonly id: number }

/** What the engine's process answers. */
export type FromEngine =
  | { readonly kind: 'started'; readonly releaseKey: XwingJwk }
  | { readonly kind: 'loaded'; readonly id: number; readonly metadata: ModelMetadata }
  | { readonly kind: 'inferred'; readonly id: number; readonly outputs: readonly Tensor[] }
  | { readonly kind: 'transcribed'; readonly id: number; readonly text: string; readonly tokens: number }
  | { readonly kind: 'unloaded'; readonly id: number }
  | { readonly kind: 'failed'; readonly id: number; readonly code: string; readonly message: string }

const bytesMax = 8 * 1024 * 1024
const textLengthMax = 1_000_000
const threadsMax = 256
/** 600 s at 16 kHz. */
const samplesMax = 9_600_000

type Fields = { readonly [name: string]: unknown }

function refuse(field: string, expected: string): Failure<EngineCode> {
  return new Failure<EngineCode>('engine/protocol', `${field}: expected ${expected}`)
}

/** The members of a plain object that has exactly these names. */
function fields(value: unknown, names: readonly string[]): Fields {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw refuse('message', 'an object')
  const found = Object.keys(value)
  if (found.length !== names.length || !names.every((name) => Object.hasOwn(value, name))) {
    throw refuse('message', `members ${names.join(', ')}`)
  }
  return value as Fields
}
function integer(value: unknown, field: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw refuse(field, `a whole number from ${min} to ${max}`)
  }
  return value
}
function text(value: unknown, field: string, max: number): string {
  if (typeof value !== 'string' || value.length > max) throw refuse(field, `a string of at most ${max} characters`)
  return value
}
function list(value: unknown, field: string, max: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > max) throw refuse(field, `a list of at most ${max}`)
  return value
}
/** A byte string by itself; a Buffer arrives as one too. */
function bytes(value: unknown, field: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > bytesMax) throw refuse(field, `at most ${bytesMax} bytes`)
  return value
}
function flag(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw refuse(field, 'true or false')
  return value
}
function idOf(message: Fields): number {
  return integer(message.id, 'id', 1, Number.MAX_SAFE_INTEGER)
}
function oneOf<const T extends readonly string[]>(value: unknown, field: string, names: T): T[number] {
  if (typeof value !== 'string' || !names.includes(value)) throw refuse(field, `one of ${names.join(', ')}`)
  return value
}

function shapeOf(value: unknown, min: number): readonly number[] {
  return list(value, 'shape', tensorRankMax).map((size) => integer(size, 'shape', min, Number.MAX_SAFE_INTEGER))
}

function dataOf(value: unknown, datatype: DataType, items: number): Tensor['data'] {
  if (datatype === 'BYTES') {
    const strings = list(value, 'data', items)
    if (strings.length !== items) throw refuse('data', `${items} strings`)
    return strings.map((one) => text(one, 'data', textLengthMax))
  }
  const array = arrayOf[datatype]
  if (!(value instanceof array) || value.length !== items) throw refuse('data', `${items} values of ${datatype}`)
  return value
}

/** Tensors that agree with themselves: the data has the type and the number of items that datatype and shape say. */
function tensors(value: unknown, field: string, sizeMax: number): readonly Tensor[] {
  let size = 0
  return list(value, field, tensorsMax).map((one) => {
    const given = fields(one, ['name', 'datatype', 'shape', 'data'])
    const datatype = oneOf(given.datatype, 'datatype', dataTypes)
    const shape = shapeOf(given.shape, 0)
    const tensor: Tensor = {
      name: text(given.name, 'name', tensorNameLengthMax),
      datatype,
      shape,
      data: dataOf(given.data, datatype, itemsOf(shape)),
    }
    size += sizeOf(tensor)
    if (size > sizeMax) throw refuse(field, `at most ${sizeMax} bytes`)
    return tensor
  })
}

function bounded(inputs: readonly Tensor[]): readonly Tensor[] {
  if (inputs.every(({ shape }) => isBounded(shape))) return inputs
  throw refuse('shape', `at most ${inputSizeMax} items`)
}

function slots(value: unknown, field: string): readonly TensorSlot[] {
  return list(value, field, tensorsMax).map((one) => {
    const given = fields(one, ['name', 'datatype', 'shape'])
    return {
      name: text(given.name, 'name', tensorNameLengthMax),
      datatype: given.datatype === null ? null : oneOf(given.datatype, 'datatype', dataTypes),
      shape: shapeOf(given.shape, -1),
    }
  })
}

function metadataOf(value: unknown): ModelMetadata {
  const given = fields(value, [
    'pipeline',
    'inputs',
    'outputs',
    'runtime',
    'provider',
    'threads',
    'knownAnswers',
    'wrongShares',
  ])
  return {
    pipeline: oneOf(given.pipeline, 'pipeline', pipelineNames),
    inputs: slots(given.inputs, 'inputs'),
    outputs: slots(given.outputs, 'outputs'),
    runtime: text(given.runtime, 'runtime', 100),
    provider: text(given.provider, 'provider', 100),
    threads: integer(given.threads, 'threads', 1, threadsMax),
    knownAnswers: integer(given.knownAnswers, 'knownAnswers', 0, knownAnswersMax),
    wrongShares: list(given.wrongShares, 'wrongShares', sharesMax).map((one) =>
      integer(one, 'wrongShares', 1, sharesMax),
    ),
  }
}

function keysOf(value: unknown): readonly WrappedKey[] {
  return list(value, 'keys', sharesMax).map((one) => {
    const given = fields(one, ['index', 'sealed', 'info'])
    const index = integer(given.index, 'index', 0, sharesMax)
    return { index, sealed: bytes(given.sealed, 'sealed'), info: bytes(given.info, 'info') }
  })
}

function releaseKeyOf(value: unknown): XwingJwk {
  try {
    return xwingJwk(value as Json, 'releaseKey')
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse('releaseKey', 'a public key of X-Wing')
  }
}

function kindOf(value: unknown): unknown {
  return value !== null && typeof value === 'object' ? (value as { kind?: unknown }).kind : undefined
}

/** One request of the parent. @throws engine/protocol */
export function parseToEngine(value: unknown): ToEngine {
  switch (kindOf(value)) {
    case 'load': {
      const names = ['kind', 'id', 'folder', 'manifest', 'keys', 'aad', 'threads', 'prepacking']
      const given = fields(value, names)
      return {
        kind: 'load',
        id: idOf(given),
        folder: text(given.folder, 'folder', 4096),
        manifest: bytes(given.manifest, 'manifest'),
        keys: keysOf(given.keys),
        aad: bytes(given.aad, 'aad'),
        threads: integer(given.threads, 'threads', 1, threadsMax),
        prepacking: flag(given.prepacking, 'prepacking'),
      }
    }
    case 'infer': {
      const given = fields(value, ['kind', 'id', 'inputs', 'outputs'])
      return {
        kind: 'infer',
        id: idOf(given),
        inputs: bounded(tensors(given.inputs, 'inputs', inputSizeMax)),
        outputs: list(given.outputs, 'outputs', tensorsMax).map((name) => text(name, 'name', tensorNameLengthMax)),
      }
    }
    case 'transcribe': {
      const given = fields(value, ['kind', 'id', 'samples', 'budgetMs'])
      if (!(given.samples instanceof Float32Array) || given.samples.length > samplesMax) {
        throw refuse('samples', `at most ${samplesMax} float32 samples`)
      }
      const budgetMs = integer(given.budgetMs, 'budgetMs', 1, 86_400_000)
      return { kind: 'transcribe', id: idOf(given), samples: given.samples, budgetMs }
    }
    case 'unload':
      return { kind: 'unload', id: idOf(fields(value, ['kind', 'id'])) }
    default:
      throw refuse('kind', 'one of load, infer, transcribe, unload')
  }
}

/**
 * One answer of the engine's process. That process runs what an owner supplied, so its answers are a stranger's.
 *
 * throws  engine/protocol
 */
export function parseFromEngine(value: unknown): FromEngine {
  switch (kindOf(value)) {
    case 'started':
      return { kind: 'started', releaseKey: releaseKeyOf(fields(value, ['kind', 'releaseKey']).releaseKey) }
    case 'loaded': {
      const given = fields(value, ['kind', 'id', 'metadata'])
      return { kind: 'loaded', id: idOf(given), metadata: metadataOf(given.metadata) }
    }
    case 'inferred': {
      const given = fields(value, ['kind', 'id', 'outputs'])
      return { kind: 'inferred', id: idOf(given), outputs: tensors(given.outputs, 'outputs', outputSizeMax) }
    }
    case 'transcribed': {
      const given = fields(value, ['kind', 'id', 'text', 'tokens'])
      const tokens = integer(given.tokens, 'tokens', 0, textLengthMax)
      return { kind: 'transcribed', id: idOf(given), text: text(given.text, 'text', textLengthMax), tokens }
    }
    case 'unloaded':
      return { kind: 'unloaded', id: idOf(fields(value, ['kind', 'id'])) }
    case 'failed': {
      const given = fields(value, ['kind', 'id', 'code', 'message'])
      const code = text(given.code, 'code', 60)
      if (!/^[a-z0-9-]+\/[a-z0-9-]+$/.test(code)) throw refuse('code', 'area/reason')
      return { kind: 'failed', id: idOf(given), code, message: text(given.message, 'message', 1000) }
    }
    default:
      throw refuse('kind', 'one of started, loaded, inferred, transcribed, unloaded, failed')
  }
}
