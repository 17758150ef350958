import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import {
  type ApiCode,
  type ApiRequest,
  type ApiResponse,
  headerOf,
  jsonAnswer,
  segmentsOf,
  statusOfFailure,
} from '#runtime/api/answer.js'
import type { InferenceEngine, ServedModel } from '#runtime/api/engine.js'
import { type FormPart, parseMultipart } from '#runtime/api/multipart.js'
import { sampleRate } from '#runtime/pipelines/moonshine.js'
import { resample } from '#runtime/pipelines/resample.js'
import { parseWav } from '#runtime/pipelines/wav.js'

const formats = ['json', 'text', 'verbose_json'] as const
type Format = (typeof formats)[number]

interface TranscriptionRequest {
  readonly file: Uint8Array
  readonly format: Format
}

function unsupported(field: string, message: string): Failure<ApiCode> {
  return new Failure<ApiCode>('api/unsupported', `${field}: ${message}`, { detail: { param: field } })
}

function fieldsOf(parts: readonly FormPart[]): ReadonlyMap<string, FormPart> {
  const fields = new Map<string, FormPart>()
  for (const part of parts) {
    if (fields.has(part.name)) throw new Failure<ApiCode>('api/request', `field ${part.name} occurs twice`)
    fields.set(part.name, part)
  }
  return fields
}

/** A short text field; undefined when it is absent. */
function textOf(fields: ReadonlyMap<string, FormPart>, name: string): string | undefined {
  const part = fields.get(name)
  if (part === undefined) return undefined
  const refused = new Failure<ApiCode>('api/request', `${name}: expected a short text`, { detail: { param: name } })
  if (part.fileName !== null || part.bytes.length > 200) throw refused
  try {
    return fromUtf8(part.bytes)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refused
  }
}

/**
 * The form's fields. One that would change the answer and cannot be obeyed is refused, not ignored: decoding here is greedy
 * (temperature 0), without prompt, timestamps or streaming, and the model speaks English.
 */
function parseTranscription(request: ApiRequest, model: ServedModel): TranscriptionRequest {
  const fields = fieldsOf(parseMultipart(headerOf(request, 'content-type') ?? '', request.body))
  const known = ['file', 'model', 'response_format', 'language', 'temperature', 'stream']
  const unknown = [...fields.keys()].find((name) => !known.includes(name))
  if (unknown !== undefined) throw unsupported(unknown.slice(0, 60), 'this model does not have it')
  const file = fields.get('file')
  if (file === undefined || file.fileName === null) {
    throw new Failure<ApiCode>('api/request', 'file: expected a file', { detail: { param: 'file' } })
  }
  const named = textOf(fields, 'model')
  if (named !== model.name) {
    throw new Failure<ApiCode>('api/model', `model: expected ${model.name}`, { detail: { param: 'model' } })
  }
  const format = textOf(fields, 'response_format') ?? 'json'
  if (!(formats as readonly string[]).includes(format)) {
    throw unsupported('response_format', `expected one of ${formats.join(', ')}`)
  }
  const language = textOf(fields, 'language') ?? 'en'
  if (!/^en(-[a-z]{2})?$/i.test(language)) throw unsupported('language', 'expected en')
  const temperature = textOf(fields, 'temperature') ?? '0'
  if (!/^0(\.0+)?$/.test(temperature)) throw unsupported('temperature', 'expected 0: decoding is greedy')
  if ((textOf(fields, 'stream') ?? 'false') !== 'false') throw unsupported('stream', 'expected false')
  return { file: file.bytes, format: format as Format }
}

function transcriptionAnswer(format: Format, text: string, seconds: number): ApiResponse {
  if (format === 'text') {
    const { body } = jsonAnswer(200, `${text}\n`)
    return { status: 200, headers: [['content-type', 'text/plain; charset=utf-8']], body }
  }
  const billed = { type: 'duration', seconds: Math.ceil(seconds) }
  const value =
    format === 'json'
      ? { text, usage: billed }
      : { task: 'transcribe', language: 'english', duration: seconds, text, segments: [], usage: billed }
  return jsonAnswer(200, JSON.stringify(value))
}

async function transcribe(request: ApiRequest, engine: InferenceEngine, model: ServedModel): Promise<ApiResponse> {
  if (model.metadata.pipeline !== 'moonshine') throw unsupported('model', 'this model does not transcribe speech')
  const { file, format } = parseTranscription(request, model)
  const sound = parseWav(file)
  const seconds = sound.samples.length / sound.rate
  const samples = resample(sound, sampleRate)
  try {
    const { text } = await engine.transcribe(samples)
    return transcriptionAnswer(format, text, seconds)
  } finally {
    // What was said does not outlive the request in memory that is ours.
    samples.fill(0)
    sound.samples.fill(0)
  }
}

function modelObject(model: ServedModel) {
  return { id: model.name, object: 'model', created: model.loadedAt, owned_by: model.owner }
}

async function route(request: ApiRequest, engine: InferenceEngine, model: ServedModel): Promise<ApiResponse> {
  const path = segmentsOf(request.path)
  const is = (...wanted: readonly string[]) =>
    path.length === wanted.length && wanted.every((name, i) => name === path[i])
  const only = (method: string) => {
    if (request.method !== method) throw new Failure<ApiCode>('api/method', `expected ${method}`)
  }
  if (is('v1', 'audio', 'transcriptions')) {
    only('POST')
    return transcribe(request, engine, model)
  }
  if (is('v1', 'models')) {
    only('GET')
    return jsonAnswer(200, JSON.stringify({ object: 'list', data: [modelObject(model)] }))
  }
  if (path.length === 3 && path[0] === 'v1' && path[1] === 'models') {
    only('GET')
    if (path[2] !== model.name) throw new Failure<ApiCode>('api/model', `model: expected ${model.name}`)
    return jsonAnswer(200, JSON.stringify(modelObject(model)))
  }
  throw new Failure<ApiCode>('api/route', `no route ${request.path}`)
}

function errorAnswer(error: Failure, status: number): ApiResponse {
  const param = typeof error.detail?.param === 'string' ? error.detail.param : null
  const type = status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'server_error'
  return jsonAnswer(status, JSON.stringify({ error: { message: error.message, type, param, code: error.code } }))
}

/**
 * Answers an OpenAI route: `POST /v1/audio/transcriptions`, `GET /v1/models`, `GET /v1/models/{name}`.
 * A refusal is an answer in OpenAI's error shape, with our failure code as its `code`.
 *
 * source  OpenAI API reference, "Create transcription", "List models", "Error codes"
 */
export async function answerOpenAi(
  request: ApiRequest,
  engine: InferenceEngine,
  model: ServedModel,
): Promise<ApiResponse> {
  try {
    return await route(request, engine, model)
  } catch (error) {
    const status = isFailure(error) ? statusOfFailure(error) : undefined
    if (!isFailure(error) || status === undefined) throw error
    return errorAnswer(error, status)
  }
}
