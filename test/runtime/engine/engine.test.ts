import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { Tensor } from '#core/wire/tensor.js'
import { prepareForm } from '#runtime/engine/prepare.js'
import { type Engine, type EngineOptions, startEngine } from '#runtime/engine/start.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { type ModelKind, writeModelFolder } from '#test/fakes/graphs.js'
import { type SealedFixture, sealFixture } from '#test/fakes/sealed-model.js'

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    return '' // closed meanwhile
  }
}

const work = mkdtempSync(join(tmpdir(), 'engine-'))
const engines: Engine[] = []
afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.unload()))
  rmSync(work, { recursive: true })
})

async function start(options: EngineOptions = {}): Promise<Engine> {
  const engine = await startEngine(options)
  engines.push(engine)
  return engine
}
let folders = 0
async function seal(kind: ModelKind) {
  const plain = join(work, `plain-${++folders}`)
  const written = writeModelFolder(plain, kind)
  return { written, plain, sealed: await sealFixture(plain, join(work, `sealed-${folders}`)) }
}
async function load(engine: Engine, fixture: SealedFixture) {
  const { folder, manifestBytes } = fixture
  return engine.load({ folder, manifestBytes, threads: 1, ...(await fixture.wrapFor(engine.releaseKey)) })
}
const x = (row: Float32Array): Tensor => ({ name: 'x', datatype: 'FP32', shape: [1, row.length], data: row })
const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
const rounds = (n: bigint): Tensor => ({ name: 'n', datatype: 'INT64', shape: [], data: BigInt64Array.of(n) })

describe('an engine', () => {
  test.each(['matmul', 'external'] as const)(
    'loads a sealed model (%s) and computes what its weights say',
    async (kind) => {
      const { written, sealed } = await seal(kind)
      const engine = await start()
      expect(engine.ready()).toBe(false)
      const metadata = await load(engine, sealed)
      expect(engine.ready()).toBe(true)
      expect(metadata).toEqual({
        pipeline: 'tensors',
        inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 256] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 256] }],
        runtime: 'onnxruntime 1.30.0',
        provider: 'cpu',
        threads: 1,
        knownAnswers: 0,
        wrongShares: [],
      })
      const row = new Float32Array(256)
      row[3] = 2
      const [y] = await engine.infer([x(row)], [])
      expect(y).toMatchObject({ name: 'y', datatype: 'FP32', shape: [1, 256] })
      const wanted = written.weights.subarray(3 * 256, 4 * 256)
      ;(y!.data as Float32Array).forEach((one, i) => {
        expect(one).toBeCloseTo(wanted[i]! * 2, 5)
      })
      await engine.unload()
      expect(alive(engine.pid)).toBe(false)
      expect(engine.ready()).toBe(false)
      expect(await codeOfPromise(engine.infer([x(row)], []))).toBe('engine/not-loaded')
    },
  )

  /** A prepared form of the weights, beside a graph whose own weights are zero: the answer says which of them ran. */
  async function prepared(preparedBy?: string) {
    const plain = join(work, `plain-${++folders}`)
    const written = writeModelFolder(plain, 'external')
    await prepareForm(join(plain, 'model.onnx'), join(plain, 'model.ort'))
    // The owner's plaintext is on record nowhere else: left to itself, ONNX Runtime would keep one and report it.
    const open = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`))
    expect(open.filter((path) => /mat-debug|onnxruntime\.db/.test(path))).toEqual([])
    writeFileSync(join(plain, 'weights.bin'), new Uint8Array(256 * 256 * 4))
    return { written, sealed: await sealFixture(plain, join(work, `sealed-${folders}`), null, preparedBy) }
  }
  async function firstRow(engine: Engine): Promise<readonly number[]> {
    const row = new Float32Array(256)
    row[0] = 1
    const [y] = await engine.infer([x(row)], [])
    return [...(y!.data as Float32Array)]
  }

  test.each([true, false])(
    'uses a prepared form where it lies, with prepacking %s, and opens nothing else',
    async (prepacking) => {
      const { written, sealed } = await prepared()
      for (const name of ['model.onnx', 'weights.bin']) rmSync(join(sealed.folder, `files/${name}.floe`))
      const engine = await start()
      const { folder, manifestBytes } = sealed
      await engine.load({ folder, manifestBytes, threads: 1, prepacking, ...(await sealed.wrapFor(engine.releaseKey)) })
      for (let i = 0; i < 3; i++) {
        const row = await firstRow(engine)
        row.forEach((one, i) => {
          expect(one).toBeCloseTo(written.weights[i]!, 5)
        })
      }
    },
  )
  test('leaves a prepared form of another version sealed, and loads the graph', async () => {
    const { sealed } = await prepared('onnxruntime 1.0.0')
    rmSync(join(sealed.folder, 'files/model.ort.floe'))
    const engine = await start()
    await load(engine, sealed)
    expect(await firstRow(engine)).toEqual(new Array(256).fill(0))
  })

  test('every engine has a release key of its own, and opens only what is sealed to it', async () => {
    const { sealed } = await seal('matmul')
    const [one, other] = [await start(), await start()]
    expect(one.releaseKey.pub).not.toBe(other.releaseKey.pub)
    const { folder, manifestBytes } = sealed
    const wrapped = await sealed.wrapFor(other.releaseKey)
    const request = { folder, manifestBytes, threads: 1, ...wrapped }
    expect(await codeOfPromise(one.load(request))).toBe('engine/key')
    expect(await codeOfPromise(other.load({ ...request, aad: new Uint8Array(1) }))).toBe('engine/key')
    expect(await codeOfPromise(other.load({ ...request, info: new Uint8Array(1) }))).toBe('engine/key')
    expect(await codeOfPromise(other.load(request))).toBe('ok')
    expect(await codeOfPromise(other.load(request))).toBe('engine/state')
  })

  test('a model that was altered after sealing does not load, and the engine says which step refused', async () => {
    const { sealed } = await seal('matmul')
    const path = join(sealed.folder, 'files/model.onnx.floe')
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(path, bytes)
    expect(await codeOfPromise(load(await start(), sealed))).toMatch(/^sealed\/segment-(digest|tag)$/)
  })

  test.each([
    ['external-missing', 'onnx/location'],
    ['broken', 'onnx/protobuf'],
  ] as const)('a model that is %s does not load: %s', async (kind, code) => {
    const { sealed } = await seal(kind)
    const engine = await start()
    expect(await codeOfPromise(load(engine, sealed))).toBe(code)
    expect(await codeOfPromise(engine.infer([], []))).toBe('engine/not-loaded')
  })

  test('bad input fails that request alone', async () => {
    const { sealed } = await seal('matmul')
    const engine = await start()
    await load(engine, sealed)
    expect(await codeOfPromise(engine.infer([], []))).toBe('engine/input')
    expect(await codeOfPromise(engine.infer([x(new Float32Array(7))], []))).toBe('engine/input')
    expect(await codeOfPromise(engine.transcribe(new Float32Array(16_000)))).toBe('engine/pipeline')
    expect(await codeOfPromise(engine.infer([x(new Float32Array(256))], []))).toBe('ok')
  })

  test('a process that is killed fails what runs and what waits, and the parent goes on', async () => {
    const { sealed } = await seal('slow')
    const engine = await start()
    await load(engine, sealed)
    const running = codeOfPromise(engine.infer([rounds(10n ** 12n), x(new Float32Array(256))], []))
    const waiting = codeOfPromise(engine.infer([rounds(1n), x(new Float32Array(256))], []))
    setTimeout(() => process.kill(engine.pid, 'SIGKILL'), 200)
    expect(await running).toBe('engine/crashed')
    expect(await waiting).toBe('engine/crashed')
    expect((await engine.ended).code).toBe('engine/crashed')
    expect(engine.ready()).toBe(false)
    expect(await codeOfPromise(engine.infer([], []))).toBe('engine/crashed')
    await engine.unload()
  })

  test('a graph that never ends is ended at its deadline, with its process', async () => {
    const { sealed } = await seal('slow')
    const engine = await start({ requestDeadlineMs: 500 })
    await load(engine, sealed)
    const short = await engine.infer([rounds(2n), x(new Float32Array(256))], [])
    expect(short).toHaveLength(1)
    expect(await codeOfPromise(engine.infer([rounds(10n ** 12n), x(new Float32Array(256))], []))).toBe(
      'engine/deadline',
    )
    await engine.ended
    expect(alive(engine.pid)).toBe(false)
  })

  test('the queue is bounded, and keeps its order', async () => {
    const { sealed } = await seal('slow')
    const engine = await start({ queueMax: 2 })
    await load(engine, sealed)
    const done: number[] = []
    const ask = (n: number) =>
      codeOfPromise(engine.infer([rounds(20_000n), x(new Float32Array(256))], []).then(() => done.push(n)))
    const answers = await Promise.all([ask(1), ask(2), ask(3), ask(4)])
    expect(answers).toEqual(['ok', 'ok', 'ok', 'engine/busy'])
    expect(done).toEqual([1, 2, 3])
  })

  test('unloading does not wait for a graph that never ends', async () => {
    const { sealed } = await seal('slow')
    const engine = await start({ exitDeadlineMs: 300 })
    await load(engine, sealed)
    const running = codeOfPromise(engine.infer([rounds(10n ** 12n), x(new Float32Array(256))], []))
    await engine.unload()
    expect(alive(engine.pid)).toBe(false)
    expect(await running).toBe('engine/not-loaded')
  })
})
