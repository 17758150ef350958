import { Failure } from '#core/failure.js'
import type { Tensor } from '#core/wire/tensor.js'
import type { ApiCode } from '#runtime/api/answer.js'

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
