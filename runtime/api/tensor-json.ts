import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { ApiCode } from '#runtime/api/answer.js'
import { arrayOf, type DataType, itemsOf, type Tensor } from '#runtime/api/engine.js'

function refuse(name: string, message: string): Failure<ApiCode> {
  return new Failure<ApiCode>('api/tensor', `tensor ${name}: ${message}`)
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

function wrong(name: string, datatype: DataType, at: number): Failure<ApiCode> {
  return refuse(name, `value ${at} is not a ${datatype}`)
}

/**
 * Tensor data from JSON: row-major, flat or nested as the shape says; booleans for BOOL, strings for BYTES.
 *
 * throws  api/tensor
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

/** The JSON text of a tensor's data, flat. @throws api/answer for values that JSON cannot carry */
export function tensorJson(tensor: Tensor): string {
  const { data, datatype, name } = tensor
  if (datatype === 'BYTES') return JSON.stringify(data)
  if (datatype === 'BOOL')
    return `[${Array.from(data as Uint8Array, (bit) => (bit === 0 ? 'false' : 'true')).join(',')}]`
  if (data instanceof Float32Array || data instanceof Float64Array) {
    if (!data.every(Number.isFinite)) {
      throw new Failure<ApiCode>(
        'api/answer',
        `output ${name} holds values that JSON cannot carry: ask for it in binary`,
      )
    }
  }
  return `[${(data as Float32Array).join(',')}]`
}
