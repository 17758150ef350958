import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

/** Failures of tensors in JSON. */
export type TensorCode = 'tensor/data'

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

export const tensorNameLengthMax = 256
export const tensorRankMax = 16
export const tensorsMax = 256
/** All tensors of one request, and of one answer, in bytes of their data. */
export const inputSizeMax = 32 * MiB
export const outputSizeMax = 48 * MiB

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

function refuse(name: string, message: string): Failure<TensorCode> {
  return new Failure<TensorCode>('tensor/data', `tensor ${name}: ${message}`)
}

/** Smallest and largest value; JSON carries whole numbers up to 2^53 only. */
const ranges: Readonly<Partial<Record<DataType, readonly [number, number]>>> = {
  UINT8: [0, 2 ** 8 - 1],
  UINT16: [0, 2 ** 16 - 1],
  UINT32: [0, 2 ** 32 - 1],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT8: [-(2 ** 7), 2 ** 7 - 1],
  INT16: [-(2 ** 15), 2 ** 15 - 1],
  INT32: [-(2 ** 31), 2 ** 31 - 1],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
}

/** Flat data, from a flat list or from lists nested as the shape says. */
function flatten(name: string, data: Json, shape: readonly number[]): readonly Json[] {
  if (!Array.isArray(data)) throw refuse(name, 'data is not a list')
  const items = itemsOf(shape)
  if (!data.some(Array.isArray)) {
    if (data.length !== items) throw refuse(name, `${data.length} values, shape [${shape}] has ${items}`)
    return data
  }
  let level: readonly Json[] = [data]
  for (const size of shape) {
    level = level.flatMap((list) => {
      if (!Array.isArray(list) || list.length !== size) throw refuse(name, `data is not nested as shape [${shape}]`)
      return list as readonly Json[]
    })
  }
  if (level.some(Array.isArray)) throw refuse(name, `data is nested deeper than shape [${shape}]`)
  return level
}

function wrong(name: string, datatype: DataType, at: number): Failure<TensorCode> {
  return refuse(name, `value ${at} is not a ${datatype}`)
}

/**
 * Tensor data from JSON: row-major, flat or nested as the shape says; booleans for BOOL, strings for BYTES.
 *
 * throws  tensor/data
 * source  Open Inference Protocol v2, "Tensor Data"
 */
export function tensorData(name: string, datatype: DataType, shape: readonly number[], data: Json): Tensor['data'] {
  const flat = flatten(name, data, shape)
  if (datatype === 'BYTES') {
    return flat.map((value, i) => {
      if (typeof value !== 'string') throw wrong(name, datatype, i)
      return value
    })
  }
  const out = new arrayOf[datatype](flat.length)
  const range = ranges[datatype]
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i]
    if (datatype === 'BOOL') {
      if (typeof value !== 'boolean') throw wrong(name, datatype, i)
      out[i] = value ? 1 : 0
      continue
    }
    if (typeof value !== 'number') throw wrong(name, datatype, i)
    if (range && (!Number.isInteger(value) || value < range[0] || value > range[1])) throw wrong(name, datatype, i)
    if (out instanceof BigInt64Array || out instanceof BigUint64Array) out[i] = BigInt(value)
    else out[i] = value
  }
  return out
}
