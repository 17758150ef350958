import { describe, expect, test } from 'vitest'
import { Failure } from '#core/failure.js'
import type { Tensor } from '#core/wire/tensor.js'
import type { InferenceEngine } from '#runtime/api/engine.js'
import { createMeter } from '#runtime/meter.js'
import { BrokerDouble } from '#test/fakes/broker-double.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { NodeDouble } from '#test/fakes/node-double.js'
import { testTime } from '#test/fakes/platform.js'

const tensor = (items: number): Tensor => ({
  name: 'x',
  datatype: 'FP32',
  shape: [items],
  data: new Float32Array(items),
})

/** An engine that answers with so many items, and says how often it ran. */
function engineOf(items: number): InferenceEngine & { runs: number } {
  return {
    runs: 0,
    ready: () => true,
    async infer() {
      this.runs++
      return [tensor(items)]
    },
    async transcribe() {
      this.runs++
      return { text: 'x', tokens: items }
    },
  }
}

describe('the meter of one request', () => {
  const payer = () => {
    const paid: number[] = []
    return { paid, pay: (units: number) => void paid.push(units), owe: (units: number) => void paid.push(-units) }
  }

  test('tensors are paid by their bytes, in before the run and out after it', async () => {
    const to = payer()
    const meter = createMeter(engineOf(3), to)
    expect(meter.spent).toEqual({ inputUnits: 0, outputUnits: 0, unit: 'none' })
    await meter.infer([tensor(5), tensor(1)], [])
    expect(to.paid).toEqual([24, -12])
    expect(meter.spent).toEqual({ inputUnits: 24, outputUnits: 12, unit: 'tensor-bytes' })
  })

  test('sound is paid by its milliseconds, text by its tokens', async () => {
    const to = payer()
    const meter = createMeter(engineOf(7), to)
    await meter.transcribe(new Float32Array(16_000))
    expect(to.paid).toEqual([1000, -7])
    expect(meter.spent).toEqual({ inputUnits: 1000, outputUnits: 7, unit: 'audio-ms-and-tokens' })
  })

  test('what is not paid does not run', async () => {
    const engine = engineOf(1)
    const meter = createMeter(engine, {
      pay: () => {
        throw new Failure('lease/budget', 'nothing is left')
      },
      owe: () => {},
    })
    expect(await codeOfPromise(meter.infer([tensor(1)], []))).toBe('lease/budget')
    expect(await codeOfPromise(meter.transcribe(new Float32Array(16)))).toBe('lease/budget')
    expect(engine.runs).toBe(0)
    expect(meter.spent.inputUnits).toBe(0)
  })
})

describe('the budget of a lease', () => {
  async function start(budget: { requests: number; inputBytes: number; workUnits: number }) {
    const broker = await BrokerDouble.create(() => testTime)
    broker.lease = { seconds: 600, budget }
    const node = new NodeDouble(broker)
    return { broker, node, session: await node.start() }
  }
  const plenty = { requests: 1000, inputBytes: 1000, workUnits: 1000 }

  test('ends by the bytes of requests, and a request that is refused costs nothing', async () => {
    const { session } = await start({ ...plenty, inputBytes: 10 })
    session.debit(6)
    expect(codeOf(() => session.debit(5))).toBe('lease/budget')
    expect(session.left).toEqual({ ...plenty, requests: 999, inputBytes: 4 })
    session.debit(4)
    expect(codeOf(() => session.debit(1))).toBe('lease/budget')
  })

  test('ends by the work done: by what comes out too, which nobody knows before', async () => {
    const { session } = await start({ ...plenty, workUnits: 100 })
    await session.meter().transcribe(new Float32Array(16 * 98))
    expect(session.left.workUnits).toBe(0) // 98 ms, and of 3 tokens the 2 that were left
    session.debit(1)
    expect(await codeOfPromise(session.meter().transcribe(new Float32Array(16)))).toBe('lease/budget')
    expect(await codeOfPromise(session.meter().transcribe(new Float32Array(0)))).toBe('lease/budget')
  })

  test('is renewed when any part of it runs low, and ends key use when no renewal comes', async () => {
    const { session, broker, node } = await start({ ...plenty, workUnits: 100 })
    await session.meter().transcribe(new Float32Array(16 * 80))
    await session.tick()
    expect(session.left).toEqual({ ...plenty, workUnits: 100 })
    broker.tampering = { fails: new Failure('broker/unreachable', 'away') }
    await session.meter().transcribe(new Float32Array(16 * 100))
    node.pass(3)
    await session.tick()
    expect(await codeOfPromise(session.meter().transcribe(new Float32Array(16)))).toBe('lease/budget')
    expect((await session.ended).code).toBe('lease/budget')
    expect(node.holdsKey).toBe(false)
  })
})
