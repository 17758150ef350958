import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { concat, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { ApiResponse } from '#runtime/api/answer.js'
import type { InferenceEngine, ServedModel } from '#runtime/api/engine.js'
import { answerOip } from '#runtime/api/oip.js'
import { createSession } from '#runtime/engine/ort.js'
import { type ModelFolder, type ModelKind, writeModelFolder } from '#test/fakes/graphs.js'

/** The port over a session in this process: the routes do not know where the graph runs. */
async function engineOf(kind: ModelKind) {
  const folder = mkdtempSync(join(tmpdir(), 'oip-'))
  const written = writeModelFolder(folder, kind)
  const bytes = new Uint8Array(readFileSync(join(folder, 'model.onnx')))
  const session = await createSession(bytes, [], { threads: 1, prepacking: true, inPlace: false }, false)
  const engine: InferenceEngine = {
    ready: () => true,
    infer: (inputs, outputs) => session.run(inputs, outputs),
    transcribe: () => Promise.reject(new Failure('engine/pipeline', 'no speech')),
  }
  const { inputs, outputs } = session
  const metadata = {
    pipeline: 'tensors',
    inputs,
    outputs,
    runtime: 'onnxruntime 1',
    provider: 'cpu',
    threads: 1,
    knownAnswers: 0,
    wrongShares: [],
  } as const
  const model: ServedModel = { name: 'm', version: '3', owner: 'o'.repeat(43), loadedAt: 1, metadata }
  return { engine, model, written }
}
type Served = Awaited<ReturnType<typeof engineOf>>

let matmul: Served & { written: ModelFolder }
let identity: Served
beforeAll(async () => {
  matmul = await engineOf('matmul')
  identity = await engineOf('identity')
})

const get = (served: Served, path: string) =>
  answerOip({ method: 'GET', path, headers: [], body: new Uint8Array(0) }, served.engine, served.model)
const post = (served: Served, body: unknown, headers: readonly (readonly [string, string])[] = []) =>
  answerOip(
    {
      method: 'POST',
      path: '/v2/models/m/infer',
      headers,
      body: body instanceof Uint8Array ? body : utf8(JSON.stringify(body)),
    },
    served.engine,
    served.model,
  )
const jsonOf = (response: ApiResponse) => JSON.parse(fromUtf8(response.body)) as Record<string, unknown>

function x(values: readonly number[], rows = 1) {
  return { name: 'x', datatype: 'FP32', shape: [rows, 256], data: values }
}
const ones = new Array(256).fill(1) as number[]

/** Column sums of the weights: what the graph makes of a row of ones. */
function columnSums(folder: ModelFolder): number[] {
  return Array.from({ length: folder.width }, (_, c) => {
    let sum = 0
    for (let r = 0; r < folder.width; r++) sum += folder.weights[r * folder.width + c]!
    return sum
  })
}
function close(actual: readonly number[], wanted: readonly number[]): void {
  expect(actual).toHaveLength(wanted.length)
  actual.forEach((one, i) => {
    expect(one).toBeCloseTo(wanted[i]!, 4)
  })
}

describe('Open Inference Protocol: metadata and health', () => {
  test('server, health and model', async () => {
    expect(jsonOf(await get(matmul, '/v2'))).toMatchObject({ version: 'v2' })
    expect(jsonOf(await get(matmul, '/v2/health/live'))).toEqual({ live: true })
    expect(jsonOf(await get(matmul, '/v2/health/ready'))).toEqual({ ready: true })
    expect(jsonOf(await get(matmul, '/v2/models/m/versions/3'))).toEqual({
      name: 'm',
      versions: ['3'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 256] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 256] }],
    })
  })
  test('an engine that is not ready says so', async () => {
    const served = { ...matmul, engine: { ...matmul.engine, ready: () => false } }
    expect((await get(served, '/v2/health/ready')).status).toBe(400)
    expect((await get(served, '/v2/health/live')).status).toBe(200)
    expect((await get(served, '/v2/models/m/ready')).status).toBe(400)
  })
  test.each([
    ['/v2/models/other', 404],
    ['/v2/models/m/versions/4', 404],
    ['/v2/models/m/infer', 405],
    ['/v2/nothing', 404],
    ['/v3', 404],
    ['/v2/models/%zz', 404],
  ])('GET %s is %i', async (path, status) => {
    const response = await get(matmul, path)
    expect(response.status).toBe(status)
    expect(jsonOf(response).error).toMatch(/^api\//)
  })
})

describe('Open Inference Protocol: inference', () => {
  test('computes what the weights say, from flat and from nested data', async () => {
    for (const data of [ones, [ones]]) {
      const response = await post(matmul, { id: 'a1', inputs: [{ ...x([]), data }] })
      expect(response.status).toBe(200)
      const { outputs, ...rest } = jsonOf(response) as { outputs: { data: number[] }[] }
      expect(rest).toEqual({ model_name: 'm', model_version: '3', id: 'a1' })
      expect(outputs[0]).toMatchObject({ name: 'y', datatype: 'FP32', shape: [1, 256] })
      close(outputs[0]!.data, columnSums(matmul.written))
    }
  })
  test('takes and gives tensors in binary', async () => {
    const { data: _, ...slot } = x([])
    const head = utf8(
      JSON.stringify({
        inputs: [{ ...slot, parameters: { binary_data_size: 1024 } }],
        parameters: { binary_data_output: true },
      }),
    )
    const body = concat(head, new Uint8Array(Float32Array.from(ones).buffer))
    const response = await post(matmul, body, [['inference-header-content-length', String(head.length)]])
    expect(response.status).toBe(200)
    const size = Number(response.headers.find(([name]) => name === 'inference-header-content-length')?.[1])
    expect(JSON.parse(fromUtf8(response.body.subarray(0, size)))).toMatchObject({
      outputs: [{ name: 'y', parameters: { binary_data_size: 1024 } }],
    })
    close([...new Float32Array(response.body.slice(size).buffer)], columnSums(matmul.written))
  })
  test('every served type comes back as it went, in JSON and in binary', async () => {
    const inputs = [
      { name: 'FP32', datatype: 'FP32', shape: [2], data: [0.5, -2] },
      { name: 'INT64', datatype: 'INT64', shape: [2], data: [-1, 9007199254740991] },
      { name: 'BOOL', datatype: 'BOOL', shape: [2], data: [true, false] },
      { name: 'BYTES', datatype: 'BYTES', shape: [2], data: ['a', 'é€'] },
    ]
    const { outputs } = jsonOf(await post(identity, { inputs })) as { outputs: unknown[] }
    expect(outputs).toEqual(inputs.map((input) => ({ ...input, name: `${input.name}_out` })))
    const binary = await post(identity, { inputs, parameters: { binary_data_output: true } })
    const size = Number(binary.headers.find(([name]) => name === 'inference-header-content-length')?.[1])
    // FP32 8, INT64 16, BOOL 2, strings 4 + 1 + 4 + 5
    expect(binary.body.length - size).toBe(8 + 16 + 2 + 14)
  })
  test('gives the outputs that are asked for', async () => {
    const inputs = ['FP32', 'INT64', 'BOOL', 'BYTES'].map((name) => ({ name, datatype: name, shape: [0], data: [] }))
    const { outputs } = jsonOf(await post(identity, { inputs, outputs: [{ name: 'BOOL_out' }] })) as {
      outputs: unknown[]
    }
    expect(outputs).toHaveLength(1)
  })

  const refused: readonly [string, unknown, string][] = [
    ['a body that is no JSON', utf8('{'), 'api/request'],
    ['an unknown member', { inputs: [x(ones)], extra: 1 }, 'api/request'],
    ['a missing input', { inputs: [] }, 'engine/input'],
    ['an unknown input', { inputs: [x(ones), { ...x(ones), name: 'z' }] }, 'engine/input'],
    ['an input twice', { inputs: [x(ones), x(ones)] }, 'engine/input'],
    ['too few values', { inputs: [x([1])] }, 'api/tensor'],
    ['a shape that the graph does not take', { inputs: [{ ...x(ones), shape: [256] }] }, 'engine/input'],
    ['nesting that contradicts the shape', { inputs: [{ ...x([]), data: [[1], [2]] }] }, 'api/tensor'],
    ['another type', { inputs: [{ ...x(ones), datatype: 'INT32' }] }, 'engine/input'],
    ['a type that is not served', { inputs: [{ ...x(ones), datatype: 'FP16' }] }, 'api/request'],
    ['text among numbers', { inputs: [{ ...x([]), data: [...ones.slice(1), 'a'] }] }, 'api/tensor'],
    [
      'a number beyond what JSON carries exactly',
      { inputs: [{ ...x([]), data: [...ones.slice(1), 1e300] }] },
      'api/request',
    ],
    ['an output that is not there', { inputs: [x(ones)], outputs: [{ name: 'z' }] }, 'engine/input'],
    [
      'no items, of a size that nobody could send',
      { inputs: [{ ...x([]), shape: [0, 2 ** 31 - 1], data: [] }] },
      'api/tensor',
    ],
    ['no data', { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 256] }] }, 'api/tensor'],
    [
      'binary data without its bytes',
      { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 256], parameters: { binary_data_size: 1024 } }] },
      'api/tensor',
    ],
  ]
  test.each(refused)('refuses %s', async (_, body, code) => {
    const response = await post(matmul, body)
    expect(jsonOf(response).error).toMatch(new RegExp(`^${code}: `))
    expect(response.status).toBe(400)
  })
  test('refuses binary data that no input takes', async () => {
    const head = utf8(JSON.stringify({ inputs: [x(ones)] }))
    const response = await post(matmul, concat(head, new Uint8Array(4)), [
      ['inference-header-content-length', `${head.length}`],
    ])
    expect(jsonOf(response).error).toMatch(/^api\/tensor: /)
  })
  test.each([
    ['engine/busy', 429],
    ['engine/deadline', 504],
    ['engine/crashed', 503],
    ['engine/run', 422],
  ])('an engine that fails with %s is answered with %i', async (code, status) => {
    const engine = { ...matmul.engine, infer: () => Promise.reject(new Failure(code, 'as said')) }
    expect((await post({ ...matmul, engine }, { inputs: [x(ones)] })).status).toBe(status)
  })
  test('a bug of ours is not made an answer', async () => {
    const engine = { ...matmul.engine, infer: () => Promise.reject(new TypeError('bug')) }
    await expect(post({ ...matmul, engine }, { inputs: [x(ones)] })).rejects.toThrow('bug')
  })
  test('any body is answered', async () => {
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.json().map(utf8),
      fc
        .record({
          inputs: fc.array(
            fc.record({
              name: fc.constant('x'),
              datatype: fc.constant('FP32'),
              shape: fc.array(fc.nat(300)),
              data: fc.jsonValue(),
            }),
          ),
        })
        .map((value) => utf8(JSON.stringify(value))),
    )
    const length = fc.option(fc.nat(200), { nil: undefined })
    await fc.assert(
      fc.asyncProperty(body, length, async (bytes, size) => {
        const headers = size === undefined ? [] : [['inference-header-content-length', String(size)] as const]
        expect((await post(matmul, bytes, headers)).status).toBeGreaterThanOrEqual(200)
      }),
      { numRuns: 200 },
    )
  })
})
