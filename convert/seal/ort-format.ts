import type { SealCode } from '#convert/seal/failures.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import type { ByteSource } from '#core/onnx/protobuf.js'

const identifier = 'ORTM'

function u32(source: ByteSource, at: number): number {
  if (at < 0 || at + 4 > source.size) throw new RangeError('offset past the end')
  const bytes = source.bytes(at, 4)
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
}

function u16(source: ByteSource, at: number): number {
  return u32(source, at) & 0xffff
}

/**
 * `InferenceSession.ort_version`, the first field of the root table of a FlatBuffer.
 * source: flatbuffers.dev, "FlatBuffer Internals"; microsoft/onnxruntime, core/flatbuffers/schema/ort.fbs
 */
function readField(source: ByteSource): string {
  if (source.size < 16 || fromUtf8(source.bytes(4, 4)) !== identifier) throw new RangeError('no identifier')
  const table = u32(source, 0)
  const vtable = table - (u32(source, table) | 0)
  if (u16(source, vtable) < 6) throw new RangeError('no first field')
  const field = u16(source, vtable + 4)
  if (field === 0) throw new RangeError('no version')
  const text = table + field + u32(source, table + field)
  const length = u32(source, text)
  if (length > 32 || text + 4 + length > source.size) throw new RangeError('version is too long')
  return fromUtf8(source.bytes(text + 4, length))
}

/**
 * The version of ONNX Runtime that wrote a prepared form: only the same one reads it in place.
 *
 * throws  seal/file for anything that is not a model in ORT format
 */
export function readOrtVersion(source: ByteSource, path: string): string {
  try {
    const version = readField(source)
    if (/^[0-9]+\.[0-9]+\.[0-9]+$/.test(version)) return version
    throw new RangeError('version is not three numbers')
  } catch (cause) {
    if (!(cause instanceof RangeError) && !isFailure(cause)) throw cause
    throw new Failure<SealCode>('seal/file', `${path} is not a model in ORT format`, { cause })
  }
}
