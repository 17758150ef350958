import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import type { ApiResponse } from '#runtime/api/answer.js'
import type { InferenceEngine, ServedModel } from '#runtime/api/engine.js'
import { parseMultipart } from '#runtime/api/multipart.js'
import { answerOpenAi } from '#runtime/api/openai.js'
import { codeOf } from '#test/fakes/code-of.js'

const wav = new Uint8Array(readFileSync('cli/assets/ask-not.wav'))
const metadata = {
  pipeline: 'moonshine',
  inputs: [],
  outputs: [],
  runtime: 'r 1',
  provider: 'cpu',
  threads: 1,
  knownAnswers: 0,
  wrongShares: [],
} as const
const model: ServedModel = { name: 'speech', version: '1', owner: 'o'.repeat(43), loadedAt: 1_700_000_000, metadata }

/** Says how many samples it was given: what the route does with sound and text, not what a model hears. */
const counting: InferenceEngine = {
  ready: () => true,
  infer: () => Promise.reject(new Failure('engine/pipeline', 'no tensors')),
  transcribe: async (samples) => ({ text: `${samples.length} samples`, tokens: 2 }),
}

type Field = string | Uint8Array
/** The form as a standard client writes it. */
async function form(fields: readonly (readonly [string, Field])[]) {
  const data = new FormData()
  for (const [name, value] of fields) {
    if (typeof value === 'string') data.append(name, value)
    else data.append(name, new Blob([value.slice()], { type: 'audio/wav' }), 'a.wav')
  }
  const request = new Request('http://node.invalid/', { method: 'POST', body: data })
  return {
    contentType: request.headers.get('content-type') ?? '',
    body: new Uint8Array(await request.arrayBuffer()),
  }
}
async function transcribe(fields: readonly (readonly [string, Field])[], engine = counting, served = model) {
  const { contentType, body } = await form(fields)
  const headers = [['content-type', contentType]] as const
  return answerOpenAi({ method: 'POST', path: '/v1/audio/transcriptions', headers, body }, engine, served)
}
const jsonOf = (response: ApiResponse) => JSON.parse(fromUtf8(response.body)) as Record<string, unknown>
const whole = [
  ['file', wav],
  ['model', 'speech'],
] as const
const samples = Math.floor(((wav.length - 44) / 2) * (16_000 / 22_050))

describe('POST /v1/audio/transcriptions', () => {
  test('answers in the three forms, with sound at 16 kHz', async () => {
    const json = await transcribe(whole)
    expect(json.status).toBe(200)
    expect(jsonOf(json)).toEqual({ text: `${samples} samples`, usage: { type: 'duration', seconds: 6 } })
    const text = await transcribe([...whole, ['response_format', 'text']])
    expect(fromUtf8(text.body)).toBe(`${samples} samples\n`)
    const verbose = await transcribe([...whole, ['response_format', 'verbose_json'], ['temperature', '0.0']])
    expect(jsonOf(verbose)).toMatchObject({ task: 'transcribe', language: 'english', text: `${samples} samples` })
  })

  const refused: readonly [string, readonly (readonly [string, Field])[], string, string | null][] = [
    ['no file', [['model', 'speech']], 'api/request', 'file'],
    [
      'a file that is a field',
      [
        ['file', 'a'],
        ['model', 'speech'],
      ],
      'api/request',
      'file',
    ],
    ['no model', [['file', wav]], 'api/model', 'model'],
    [
      'another model',
      [
        ['file', wav],
        ['model', 'whisper-1'],
      ],
      'api/model',
      'model',
    ],
    ['a form it does not write', [...whole, ['response_format', 'srt']], 'api/unsupported', 'response_format'],
    ['another language', [...whole, ['language', 'de']], 'api/unsupported', 'language'],
    ['sampling', [...whole, ['temperature', '0.4']], 'api/unsupported', 'temperature'],
    ['streaming', [...whole, ['stream', 'true']], 'api/unsupported', 'stream'],
    ['a prompt', [...whole, ['prompt', 'hint']], 'api/unsupported', 'prompt'],
    ['a field twice', [...whole, ['model', 'speech']], 'api/request', null],
    [
      'sound that is none',
      [
        ['file', utf8('no sound')],
        ['model', 'speech'],
      ],
      'audio/format',
      null,
    ],
  ]
  test.each(refused)('refuses %s', async (_, fields, code, param) => {
    const response = await transcribe(fields)
    expect(jsonOf(response)).toMatchObject({ error: { code, param, type: 'invalid_request_error' } })
  })
  test('a model of tensors does not transcribe', async () => {
    const served = { ...model, metadata: { ...metadata, pipeline: 'tensors' } } as const
    expect(jsonOf(await transcribe(whole, counting, served))).toMatchObject({ error: { code: 'api/unsupported' } })
  })
  test('a busy engine is a rate limit', async () => {
    const busy = { ...counting, transcribe: () => Promise.reject(new Failure('engine/busy', 'full')) }
    const response = await transcribe(whole, busy)
    expect(response.status).toBe(429)
    expect(jsonOf(response)).toMatchObject({ error: { type: 'rate_limit_error', code: 'engine/busy' } })
  })
})

describe('GET /v1/models', () => {
  const get = (path: string, method = 'GET') =>
    answerOpenAi({ method, path, headers: [], body: new Uint8Array(0) }, counting, model)
  test('lists the one model', async () => {
    const one = { id: 'speech', object: 'model', created: 1_700_000_000, owned_by: 'o'.repeat(43) }
    expect(jsonOf(await get('/v1/models'))).toEqual({ object: 'list', data: [one] })
    expect(jsonOf(await get('/v1/models/speech'))).toEqual(one)
  })
  test.each([
    ['/v1/models/other', 'GET', 404],
    ['/v1/models', 'POST', 405],
    ['/v1/chat/completions', 'POST', 404],
  ])('%s by %s is %i', async (path, method, status) => {
    expect((await get(path, method)).status).toBe(status)
  })
})

describe('multipart', () => {
  const type = 'multipart/form-data; boundary=b'
  const parse = (text: string) => parseMultipart(type, utf8(text))
  const part = 'content-disposition: form-data; name="a"\r\n\r\nx'
  test('reads what a standard client writes, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 5 }), async (blobs) => {
        const { contentType, body } = await form(blobs.map((bytes, i) => [`f${i}`, bytes]))
        const parts = parseMultipart(contentType, body)
        expect(parts.map((one) => [...one.bytes])).toEqual(blobs.map((bytes) => [...bytes]))
        expect(parts.map((one) => one.name)).toEqual(blobs.map((_, i) => `f${i}`))
      }),
      { numRuns: 30 },
    )
  })
  test.each([
    ['an empty body', ''],
    ['text before the first boundary', `preamble\r\n--b\r\n${part}\r\n--b--`],
    ['no end', `--b\r\n${part}`],
    ['bytes after the end', `--b\r\n${part}\r\n--b--more`],
    ['a part without name', '--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--'],
    ['a part of two names', '--b\r\ncontent-disposition: form-data; name="a"; name="b"\r\n\r\nx\r\n--b--'],
    ['a part without head', '--b\r\nx\r\n--b--'],
    ['a boundary that goes on', `--b\r\n${part}\r\n--bx\r\n--b--`],
    ['a head without end', `--b\r\n${'a'.repeat(5000)}`],
    ['too many parts', `--b\r\n${`${part}\r\n--b\r\n`.repeat(40)}${part}\r\n--b--`],
  ])('refuses %s', (_, text) => {
    expect(codeOf(() => parse(text))).toBe('api/request')
  })
  test('refuses another content type', () => {
    expect(codeOf(() => parseMultipart('application/json', utf8('{}')))).toBe('api/request')
  })
  test('any bytes: parts or a Failure', () => {
    const pieces = fc.constantFrom(
      '--b',
      '\r\n',
      '--',
      part,
      'content-disposition: form-data; name="',
      '"',
      'x',
      '\r\n\r\n',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), fc.uint8Array({ maxLength: 10 }), (list, tail) => {
        try {
          parseMultipart(type, concat(utf8(list.join('')), tail))
        } catch (error) {
          expect(isFailure(error)).toBe(true)
        }
      }),
    )
  })
})
