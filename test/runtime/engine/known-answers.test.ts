import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Failure, isFailure } from '#core/failure.js'
import { type KnownAnswer, knownAnswersPath } from '#core/wire/known-answers.js'
import type { Tensor } from '#core/wire/tensor.js'
import { knownAnswersBudgetMs, verifyKnownAnswers } from '#runtime/engine/known-answers.js'
import { type Engine, startEngine } from '#runtime/engine/start.js'
import { sampleRate } from '#runtime/pipelines/moonshine.js'
import { resample } from '#runtime/pipelines/resample.js'
import { parseWav } from '#runtime/pipelines/wav.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { outside } from '#test/fakes/outside.js'
import { sealFixture } from '#test/fakes/sealed-model.js'

const work = mkdtempSync(join(tmpdir(), 'known-answers-'))
const engines: Engine[] = []
afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.unload()))
  rmSync(work, { recursive: true })
})

const secretName = 'secret-prompt-of-the-owner'
const tensor = (name: string, values: readonly number[]) => ({
  name,
  datatype: 'FP32',
  shape: [1, values.length],
  data: values,
})
const answerOf = (input: object, output: object, tolerance = { absolute: 1e-5, relative: 1e-4 }) => {
  return { inputs: [input], outputs: [output], tolerance }
}
const fileOf = (...answers: readonly object[]) => JSON.stringify({ format: 'claviger/known-answers/v1', answers })

let count = 0
/** What an engine says of a model with these files beside its graph. */
async function loaded(plain: string, files: Readonly<Record<string, string>>) {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(plain, path)), { recursive: true })
    writeFileSync(join(plain, path), text)
  }
  const { folder, manifestBytes, wrapFor } = await sealFixture(plain, join(work, `sealed-${++count}`))
  const engine = await startEngine()
  engines.push(engine)
  const load = async () => engine.load({ folder, manifestBytes, threads: 1, ...(await wrapFor(engine.releaseKey)) })
  return { engine, answer: await load().catch((error: unknown) => error as Failure) }
}

/** A graph that multiplies by its weights, and what comes out for one row. */
function model() {
  const plain = join(work, `plain-${++count}`)
  const { weights, width } = writeModelFolder(plain, 'matmul')
  const row = Array.from({ length: width }, (_, i) => (i === 3 ? 2 : 0))
  const out = Array.from(weights.subarray(3 * width, 4 * width), (one) => one * 2)
  return { plain, x: tensor('x', row), y: tensor('y', out), out }
}

describe('an engine with known answers', () => {
  test('says how many were given, and serves', async () => {
    const { plain, x, y, out } = model()
    const half = tensor(
      'x',
      x.data.map((one) => one / 2),
    )
    const also = answerOf(
      half,
      tensor(
        'y',
        out.map((one) => one / 2),
      ),
    )
    const { engine, answer } = await loaded(plain, { [knownAnswersPath]: fileOf(answerOf(x, y), also) })
    expect(answer).toMatchObject({ knownAnswers: 2 })
    expect(engine.ready()).toBe(true)
  })

  test('a model without any is loaded, and that is said', async () => {
    const { plain } = model()
    expect((await loaded(plain, {})).answer).toMatchObject({ knownAnswers: 0 })
  })

  const wrong = (out: readonly number[]) =>
    tensor(
      'y',
      out.map((one, i) => (i === 200 ? one + 0.01 : one)),
    )
  test.each<[string, (of: ReturnType<typeof model>) => Record<string, string>]>([
    ['one value differs', ({ x, out }) => ({ [knownAnswersPath]: fileOf(answerOf(x, wrong(out))) })],
    [
      'the last of two differs',
      ({ x, y, out }) => ({ [knownAnswersPath]: fileOf(answerOf(x, y), answerOf(x, wrong(out))) }),
    ],
    [
      'an output that the model has not',
      ({ x, y }) => ({ [knownAnswersPath]: fileOf(answerOf(x, { ...y, name: secretName })) }),
    ],
    [
      'an input that the model has not',
      ({ x, y }) => ({ [knownAnswersPath]: fileOf(answerOf({ ...x, name: secretName }, y)) }),
    ],
    ['an input of another shape', ({ y }) => ({ [knownAnswersPath]: fileOf(answerOf(tensor('x', [1, 2]), y)) })],
    ['no JSON', () => ({ [knownAnswersPath]: secretName })],
    ['no tolerance', ({ x, y }) => ({ [knownAnswersPath]: fileOf({ inputs: [x], outputs: [y] }) })],
    ['no answer', () => ({ [knownAnswersPath]: fileOf() })],
    ['a file elsewhere', ({ x, y }) => ({ [`more/${knownAnswersPath}`]: fileOf(answerOf(x, y)) })],
    [
      'two files',
      ({ x, y }) => ({
        [knownAnswersPath]: fileOf(answerOf(x, y)),
        [`more/${knownAnswersPath}`]: fileOf(answerOf(x, y)),
      }),
    ],
  ])('%s: the model is not served, and the message has nothing of the file', async (_, files) => {
    const one = model()
    const { engine, answer } = await loaded(one.plain, files(one))
    expect(isFailure(answer) && answer.code).toBe('engine/known-answers')
    expect((answer as Failure).message).not.toContain(secretName)
    expect((answer as Failure).message).not.toMatch(/\d\.\d/)
    expect(engine.ready()).toBe(false)
    const asked = { ...one.x, data: Float32Array.from(one.x.data) } as Tensor
    expect(await codeOfPromise(engine.infer([asked], []))).toBe('engine/not-loaded')
  })

  const models = outside('model')
  test.skipIf(models === undefined)(
    'a model of speech understands the recording that it was sealed with',
    async () => {
      const sound = resample(parseWav(new Uint8Array(readFileSync('cli/assets/ask-not.wav'))), sampleRate)
      const audio = { name: 'audio', datatype: 'FP32', shape: [sound.length], data: Array.from(sound) }
      const text = (said: string) => ({ name: 'text', datatype: 'BYTES', shape: [1], data: [said] })
      const spoken = 'Ask not what your country can do for you. Ask what you can do for your country.'
      const at = join(models!, 'moonshine-tiny')
      const plain = join(work, 'speech')
      mkdirSync(plain)
      for (const name of ['config.json', 'tokenizer.json', 'encoder_model.onnx', 'decoder_model_merged.onnx'])
        writeFileSync(join(plain, name), readFileSync(join(at, name)))
      const none = { absolute: 0, relative: 0 }
      const good = await loaded(plain, { [knownAnswersPath]: fileOf(answerOf(audio, text(spoken), none)) })
      expect(good.answer).toMatchObject({ pipeline: 'moonshine', knownAnswers: 1 })
      const bad = await loaded(plain, { [knownAnswersPath]: fileOf(answerOf(audio, text('Ask.'), none)) })
      expect(isFailure(bad.answer) && bad.answer.code).toBe('engine/known-answers')
    },
    60_000,
  )
})

describe('trying them', () => {
  const one = (): KnownAnswer => ({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: Float32Array.of(1) }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1], data: Float32Array.of(2) }],
    tolerance: { absolute: 0, relative: 0 },
  })
  const y: Tensor = { name: 'y', datatype: 'FP32', shape: [1], data: Float32Array.of(2) }
  const never = async () => Promise.reject(new Error('not asked for'))

  test('what does not come to its end in time is a refusal', async () => {
    let clock = 0
    const infer = async () => {
      clock += knownAnswersBudgetMs / 2
      return [{ ...y, data: Float32Array.of(2) }]
    }
    const tried = (answers: number) =>
      codeOfPromise(
        verifyKnownAnswers(Array.from({ length: answers }, one), { infer, transcribe: never }, false, () => clock),
      )
    expect(await tried(2)).toBe('ok')
    clock = 0
    expect(await tried(3)).toBe('engine/known-answers')
  })

  test('inputs, expected and given outputs are overwritten', async () => {
    const answer = one()
    const given = Float32Array.of(2)
    const infer = async () => [{ ...y, data: given }]
    expect(await verifyKnownAnswers([answer], { infer, transcribe: never }, false, () => 0)).toBe(1)
    expect([answer.inputs[0]!.data[0], answer.outputs[0]!.data[0], given[0]]).toEqual([0, 0, 0])
  })

  test('a bug stays a bug', async () => {
    const infer = async () => Promise.reject(new TypeError('bug'))
    await expect(verifyKnownAnswers([one()], { infer, transcribe: never }, false, () => 0)).rejects.toThrow(TypeError)
    const refusing = async () => Promise.reject(new Failure('engine/run', 'no'))
    const run = verifyKnownAnswers([one()], { infer: refusing, transcribe: never }, false, () => 0)
    await expect(run).rejects.toMatchObject({
      code: 'engine/known-answers',
      message: expect.stringContaining('engine/run'),
    })
  })

  test.each<[string, Partial<Tensor>]>([
    ['another name', { name: 'x' }],
    ['another rank', { shape: [1, 1] }],
    ['another type', { datatype: 'FP64', data: Float64Array.of(1) }],
  ])('a model of speech is asked with audio, and with nothing else: %s', async (_, part) => {
    const answer = { ...one(), inputs: [{ ...one().inputs[0]!, name: 'audio', ...part }] }
    const run = verifyKnownAnswers([answer], { infer: never, transcribe: never }, true, () => 0)
    expect(await codeOfPromise(run)).toBe('engine/known-answers')
  })
})
