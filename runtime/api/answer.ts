import { utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { Fields } from '#core/wire/bhttp.js'
import type { EngineCode } from '#runtime/api/engine.js'
import type { PipelineCode } from '#runtime/pipelines/tokenizer.js'
import type { AudioCode } from '#runtime/pipelines/wav.js'

/** A request as it came out of the seal: nothing here is a socket. Header names are lower case. */
export interface ApiRequest {
  readonly method: string
  /** without query */
  readonly path: string
  readonly headers: Fields
  readonly body: Uint8Array
}

export interface ApiResponse {
  readonly status: number
  readonly headers: Fields
  readonly body: Uint8Array
}

/** Failures of the routes themselves. */
export type ApiCode =
  /** no such route */
  | 'api/route'
  | 'api/method'
  /** another model, or another version, than the one that is loaded */
  | 'api/model'
  /** the body is not what the route takes */
  | 'api/request'
  /** a tensor contradicts itself */
  | 'api/tensor'
  /** an option that this model or this server does not have */
  | 'api/unsupported'
  /** an answer that has no form on this route */
  | 'api/answer'

/** Everything that a caller can meet on these routes, and the HTTP status that says it. */
export const statusOf: Readonly<Record<ApiCode | EngineCode | AudioCode | PipelineCode, number>> = {
  'api/route': 404,
  'api/method': 405,
  'api/model': 404,
  'api/request': 400,
  'api/tensor': 400,
  'api/unsupported': 400,
  'api/answer': 500,
  'engine/input': 400,
  'engine/run': 422,
  'engine/output': 500,
  'engine/pipeline': 400,
  'engine/busy': 429,
  'engine/deadline': 504,
  'engine/crashed': 503,
  'engine/not-loaded': 503,
  'engine/protocol': 502,
  'audio/format': 400,
  'audio/unsupported': 400,
  'audio/truncated': 400,
  'audio/too-long': 400,
  'audio/too-short': 400,
  'pipeline/config': 500,
  'pipeline/tokenizer': 500,
  'pipeline/graph': 500,
}

/** The status of a failure; undefined for one that is not of these routes, which is a bug. */
export function statusOfFailure(failure: Failure): number | undefined {
  return Object.hasOwn(statusOf, failure.code) ? statusOf[failure.code as keyof typeof statusOf] : undefined
}

/** An answer of JSON text. */
export function jsonAnswer(status: number, json: string): ApiResponse {
  return { status, headers: [['content-type', 'application/json']], body: utf8(json) }
}

/** A header that occurs at most once. @throws api/request */
export function headerOf(request: ApiRequest, name: string): string | undefined {
  const found = request.headers.filter(([one]) => one === name)
  if (found.length > 1) throw new Failure<ApiCode>('api/request', `header ${name} occurs ${found.length} times`)
  return found[0]?.[1]
}

/** The segments of a path, percent-decoded; empty when one does not decode. */
export function segmentsOf(path: string): readonly string[] {
  try {
    return path.split('/').slice(1).map(decodeURIComponent)
  } catch {
    return []
  }
}
