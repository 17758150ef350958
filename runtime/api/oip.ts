import { utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { integer, json, list, object, oneOf, optional, record, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { requestSizeMax } from '#core/limits.js'
import {
  dataTypes,
  isBounded,
  type Tensor,
  tensorData,
  tensorNameLengthMax,
  tensorRankMax,
  tensorsMax,
} from '#core/wire/tensor.js'
import {
  type ApiCode,
  type ApiRequest,
  type ApiResponse,
  headerOf,
  jsonAnswer,
  segmentsOf,
  statusOfFailure,
} from '#runtime/api/answer.js'
import { type InferenceEngine, type ServedModel, wipeTensors } from '#runtime/api/engine.js'
import { binaryTensor, encodeBinary, splitBinary } from '#runtime/api/tensor-binary.js'
import { tensorJson } from '#runtime/api/tensor-json.js'

const parameters = optional(record(json, { max: 32 }))
const tensorName = string({ max: tensorNameLengthMax })
const inferShape = object({
  id: optional(string({ max: 128 })),
  parameters,
  inputs: list(
    object({
      name: tensorName,
      shape: list(integer({ max: 2 ** 31 - 1 }), { max: tensorRankMax }),
      datatype: oneOf(...dataTypes),
      parameters,
      data: optional(json),
    }),
    { max: tensorsMax },
  ),
  outputs: optional(list(object({ name: tensorName, parameters }), { max: tensorsMax })),
})

function parseInfer(bytes: Uint8Array) {
  try {
    return inferShape(parseJson(bytes, requestSizeMax), '')
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<ApiCode>('api/request', error.message, { cause: error })
  }
}
type InferRequest = ReturnType<typeof parseInfer>

/** The inputs, each from JSON or from the binary part, which is used up exactly. */
function inputsOf(request: InferRequest, binary: Uint8Array): readonly Tensor[] {
  let at = 0
  const inputs = request.inputs.map(({ name, datatype, shape, data, parameters }): Tensor => {
    if (!isBounded(shape)) throw new Failure<ApiCode>('api/tensor', `tensor ${name}: shape [${shape}] spans too much`)
    const size = parameters?.binary_data_size
    if ((size === undefined) === (data === undefined)) {
      throw new Failure<ApiCode>('api/tensor', `tensor ${name}: expected data or parameters.binary_data_size`)
    }
    if (data !== undefined) return { name, datatype, shape, data: jsonData(name, datatype, shape, data) }
    const from = at
    at += binaryLength(size)
    return binaryTensor(name, datatype, shape, binary.subarray(from, at), at <= binary.length)
  })
  if (at !== binary.length) {
    throw new Failure<ApiCode>('api/tensor', `${binary.length} bytes of binary data, the inputs take ${at}`)
  }
  return inputs
}

function jsonData(...given: Parameters<typeof tensorData>): Tensor['data'] {
  try {
    return tensorData(...given)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<ApiCode>('api/tensor', error.message, { cause: error })
  }
}

function binaryLength(size: Json | undefined): number {
  if (typeof size === 'number' && Number.isInteger(size) && size >= 0 && size <= requestSizeMax) return size
  throw new Failure<ApiCode>('api/tensor', 'parameters.binary_data_size is not a size')
}

/** Which outputs are wanted in binary: named one by one, or all. */
function wantsBinary(request: InferRequest, name: string): boolean {
  const own = request.outputs?.find((output) => output.name === name)?.parameters?.binary_data
  return (own ?? request.parameters?.binary_data_output) === true
}

function answerOf(request: InferRequest, model: ServedModel, outputs: readonly Tensor[]): ApiResponse {
  const binaries: Uint8Array[] = []
  const parts = outputs.map((tensor) => {
    const head = `"name":${JSON.stringify(tensor.name)},"datatype":"${tensor.datatype}","shape":[${tensor.shape}]`
    if (!wantsBinary(request, tensor.name)) return `{${head},"data":${tensorJson(tensor)}}`
    const bytes = encodeBinary(tensor)
    binaries.push(bytes)
    return `{${head},"parameters":{"binary_data_size":${bytes.length}}}`
  })
  const id = request.id === undefined ? '' : `"id":${JSON.stringify(request.id)},`
  const names = `"model_name":${JSON.stringify(model.name)},"model_version":${JSON.stringify(model.version)}`
  const text = `{${names},${id}"outputs":[${parts.join(',')}]}`
  if (binaries.length === 0) return jsonAnswer(200, text)
  const head = utf8(text)
  const body = new Uint8Array(head.length + binaries.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of [head, ...binaries]) {
    body.set(part, at)
    at += part.length
  }
  const headers = [
    ['content-type', 'application/octet-stream'],
    ['inference-header-content-length', String(head.length)],
  ] as const
  return { ...jsonAnswer(200, ''), headers, body }
}

async function infer(request: ApiRequest, engine: InferenceEngine, model: ServedModel): Promise<ApiResponse> {
  const { head, binary } = splitBinary(request.body, headerOf(request, 'inference-header-content-length'))
  const parsed = parseInfer(head)
  const inputs = inputsOf(parsed, binary)
  try {
    const outputs = await engine.infer(
      inputs,
      (parsed.outputs ?? []).map((output) => output.name),
    )
    try {
      return answerOf(parsed, model, outputs)
    } finally {
      wipeTensors(outputs)
    }
  } finally {
    wipeTensors(inputs)
  }
}

function modelMetadata(model: ServedModel): string {
  const { inputs, outputs } = model.metadata
  // A type that the protocol has no name for is still shown, so that the list is whole.
  const slots = (list: typeof inputs) => list.map((slot) => ({ ...slot, datatype: slot.datatype ?? 'UNSUPPORTED' }))
  return JSON.stringify({
    name: model.name,
    versions: [model.version],
    platform: 'onnxruntime_onnx',
    inputs: slots(inputs),
    outputs: slots(outputs),
  })
}

async function route(request: ApiRequest, engine: InferenceEngine, model: ServedModel): Promise<ApiResponse> {
  const [v2, area, name, ...rest] = segmentsOf(request.path)
  const notFound = new Failure<ApiCode>('api/route', `no route ${request.path}`)
  if (v2 !== 'v2') throw notFound
  const tail = rest[0] === 'versions' ? rest.slice(2) : rest
  const isInfer = area === 'models' && tail.length === 1 && tail[0] === 'infer'
  const method = isInfer ? 'POST' : 'GET'
  if (request.method !== method) throw new Failure<ApiCode>('api/method', `expected ${method}`)
  if (area === undefined) {
    return jsonAnswer(200, '{"name":"claviger","version":"v2","extensions":["binary_tensor_data"]}')
  }
  if (area === 'health' && rest.length === 0) {
    if (name === 'live') return jsonAnswer(200, '{"live":true}')
    if (name === 'ready') return jsonAnswer(engine.ready() ? 200 : 400, `{"ready":${engine.ready()}}`)
  }
  if (area !== 'models' || name === undefined) throw notFound
  if (name !== model.name || (rest[0] === 'versions' && rest[1] !== model.version)) {
    throw new Failure<ApiCode>('api/model', 'another model or version than the one that is loaded')
  }
  if (tail.length === 0) return jsonAnswer(200, modelMetadata(model))
  if (tail.length === 1 && tail[0] === 'ready') {
    return jsonAnswer(engine.ready() ? 200 : 400, JSON.stringify({ name: model.name, ready: engine.ready() }))
  }
  if (isInfer) return infer(request, engine, model)
  throw notFound
}

/**
 * Answers a route of the Open Inference Protocol: server and model metadata, health, and inference with tensors in JSON or
 * in the binary tensor data extension. A refusal is an answer: `{"error": "code: message"}`.
 *
 * source  Open Inference Protocol v2 (kserve/open-inference-protocol), "HTTP/REST"; Triton, "Binary Tensor Data Extension"
 */
export async function answerOip(
  request: ApiRequest,
  engine: InferenceEngine,
  model: ServedModel,
): Promise<ApiResponse> {
  try {
    return await route(request, engine, model)
  } catch (error) {
    const status = isFailure(error) ? statusOfFailure(error) : undefined
    if (!isFailure(error) || status === undefined) throw error
    return jsonAnswer(status, JSON.stringify({ error: `${error.code}: ${error.message}` }))
  }
}
