import type { SealCode } from '#convert/seal/failures.js'
import { equal, utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { ByteSource } from '#core/onnx/protobuf.js'

/**
 * The file begins as a model in ORT format does. Which version of ONNX Runtime wrote it does not stand in it: the version
 * there is the format's own, so the owner has to name the engine.
 *
 * throws  seal/file
 * source  flatbuffers.dev, "FlatBuffer Internals"; microsoft/onnxruntime, core/flatbuffers/schema/ort.fbs, `file_identifier`
 */
export function verifyOrtFormat(source: ByteSource, path: string): void {
  if (source.size < 8 || !equal(source.bytes(4, 4), utf8('ORTM'))) {
    throw new Failure<SealCode>('seal/file', `${path} is not a model in ORT format`)
  }
}
