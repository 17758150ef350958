import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { arrayOf, type DataType, itemsOf, type Tensor } from '#core/wire/tensor.js'
import type { ApiCode } from '#runtime/api/answer.js'

function refuse(name: string, message: string): Failure<ApiCode> {
  return new Failure<ApiCode>('api/tensor', `tensor ${name}: ${message}`)
}

/**
 * The JSON head and the binary rest of a body.
 *
 * length  the field `inference-header-content-length`, undefined when the body is JSON alone
 * throws  api/request
 * source  Triton Inference Server, "Binary Tensor Data Extension"
 */
export function splitBinary(body: Uint8Array, length: string | undefined) {
  if (length === undefined) return { head: body, binary: new Uint8Array(0) }
  const size = /^(0|[1-9][0-9]{0,9})$/.test(length) ? Number(length) : Number.NaN
  if (!(size <= body.length)) {
    throw new Failure<ApiCode>('api/request', 'inference-header-content-length is not a length within the body')
  }
  return { head: body.subarray(0, size), binary: body.subarray(size) }
}

function strings(name: string, bytes: Uint8Array, items: number): readonly string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out: string[] = []
  let at = 0
  while (at + 4 <= bytes.length && out.length < items) {
    const size = view.getUint32(at, true)
    if (size > bytes.length - at - 4) throw refuse(name, 'a string ends outside the data')
    try {
      out.push(fromUtf8(bytes.subarray(at + 4, at + 4 + size)))
    } catch (error) {
      if (!isFailure(error)) throw error
      throw refuse(name, 'a string is not valid utf-8')
    }
    at += 4 + size
  }
  if (at !== bytes.length || out.length !== items) throw refuse(name, `the data is not ${items} strings`)
  return out
}

/**
 * A tensor from its little-endian bytes; strings each follow their length as u32.
 *
 * whole   whether the body held that many bytes
 * throws  api/tensor
 */
export function binaryTensor(
  name: string,
  datatype: DataType,
  shape: readonly number[],
  bytes: Uint8Array,
  whole: boolean,
): Tensor {
  const items = itemsOf(shape)
  if (!whole) throw refuse(name, 'the body ends inside its data')
  if (datatype === 'BYTES') return { name, datatype, shape, data: strings(name, bytes, items) }
  const array = arrayOf[datatype]
  if (bytes.length !== items * array.BYTES_PER_ELEMENT) {
    throw refuse(name, `${bytes.length} bytes, shape [${shape}] of ${datatype} has ${items * array.BYTES_PER_ELEMENT}`)
  }
  if (datatype === 'BOOL' && bytes.some((bit) => bit > 1)) throw refuse(name, 'a BOOL is neither 0 nor 1')
  const own = bytes.slice() // aligned, and apart from the request
  return { name, datatype, shape, data: new array(own.buffer, 0, items) }
}

/** The bytes of a tensor's data, as binaryTensor reads them. */
export function encodeBinary(tensor: Tensor): Uint8Array {
  if (ArrayBuffer.isView(tensor.data)) {
    return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength)
  }
  const parts = (tensor.data as readonly string[]).map(utf8)
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0))
  const view = new DataView(out.buffer)
  let at = 0
  for (const part of parts) {
    view.setUint32(at, part.length, true)
    out.set(part, at + 4)
    at += 4 + part.length
  }
  return out
}
