/** What a node counts, says and gives back of its lease (I15, TRUST 16), and how soon it hears of a revocation. */
import { beforeEach, describe, expect, test } from 'vitest'
import { Failure } from '#core/failure.js'
import { verifyCounter } from '#core/wire/counter.js'
import { BrokerDouble, budgetOf } from '../fakes/broker-double.js'
import { codeOf } from '../fakes/code-of.js'
import { NodeDouble } from '../fakes/node-double.js'
import { testTime } from '../fakes/platform.js'

let broker: BrokerDouble
let node: NodeDouble
beforeEach(async () => {
  broker = await BrokerDouble.create(() => testTime)
  node = new NodeDouble(broker)
})

const countOf = async (index: number) => {
  const { counter, keyset, binding, lease } = broker.requests[index]!
  const expected = { broker: broker.id, lease: lease!, nonce: binding.nonce }
  return (await verifyCounter(counter!, keyset, expected)).inferences
}

describe('the count of a node', () => {
  test('goes with each renewal, signed for its challenge, and grows over all of them', async () => {
    broker.lease = { seconds: 600, budget: budgetOf(10) }
    const session = await node.start()
    expect(broker.requests[0]!.counter).toBe(undefined)
    for (let i = 0; i < 8; i++) session.debit(1)
    await session.tick()
    expect(await countOf(1)).toBe(8)
    expect([session.inferences, session.left.requests]).toEqual([8, 10])
    for (let i = 0; i < 9; i++) session.debit(1)
    await session.tick()
    expect(await countOf(2)).toBe(17)
  })

  test('what is used while a renewal is under way is paid from the new budget: nothing is used twice', async () => {
    broker.lease = { seconds: 600, budget: budgetOf(10) }
    const session = await node.start()
    for (let i = 0; i < 8; i++) session.debit(1)
    broker.tampering = {
      answer: (answer) => {
        session.debit(1)
        session.debit(1)
        expect(codeOf(() => session.debit(1))).toBe('lease/budget')
        return answer
      },
    }
    await session.tick()
    expect(await countOf(1)).toBe(8)
    // 8 were told and 10 more were given: 2 of them are spent.
    expect([session.inferences, session.left.requests]).toEqual([10, 8])
  })

  test('a renewal that is asked for again says the same as before, whatever was used meanwhile', async () => {
    broker.lease = { seconds: 600, budget: budgetOf(10) }
    const session = await node.start()
    for (let i = 0; i < 8; i++) session.debit(1)
    const lost = () => {
      throw new Failure('broker/unreachable', 'answer lost')
    }
    broker.tampering = { answer: lost }
    await session.tick()
    session.debit(1)
    broker.tampering = {}
    node.pass(3)
    await session.tick()
    expect([await countOf(1), await countOf(2)]).toEqual([8, 8])
    expect(broker.requests[2]!.requestId).toBe(broker.requests[1]!.requestId)
    expect([session.inferences, session.left.requests]).toEqual([9, 9])
  })

  test('is its last word once, after the engine is gone, whatever ended it', async () => {
    const session = await node.start()
    for (let i = 0; i < 3; i++) session.debit(1)
    expect(broker.finals).toEqual([])
    await session.end(new Failure('session/stopped', 'stopped'))
    await session.end(new Failure('session/stopped', 'stopped again'))
    await session.finished
    expect(node.engine.unloads).toBe(1)
    expect(broker.finals).toEqual([3])
    expect(codeOf(() => session.debit(1))).toBe('session/stopped')
    expect(session.inferences).toBe(3)
  })

  test('nobody waits for a broker that does not hear the last word', async () => {
    const session = await node.start()
    broker.tampering = { fails: new Failure('broker/unreachable', 'away') }
    await session.end(new Failure('session/stopped', 'stopped'))
    expect((await session.ended).code).toBe('session/stopped')
    await session.finished
    expect(node.troubles).toEqual(['broker/unreachable'])
  })
})

describe('a node whose owner takes it back', () => {
  test('asks for a sign of life every 5 seconds, and ends with the first that is denied', async () => {
    const session = await node.start()
    const beats = () => broker.calls.filter((one) => one === 'beat').length
    for (let second = 1; second <= 20; second++) {
      node.pass(1)
      await session.tick()
    }
    expect(beats()).toBe(4)
    broker.tampering = { fails: new Failure('broker/denied', 'broker/lease-revoked') }
    let seconds = 0
    for (; session.isServing; seconds++) {
      node.pass(1)
      await session.tick()
    }
    expect(seconds).toBe(5)
    expect(node.engine.unloads).toBe(1)
  })

  test('that its host cuts off ends with its last sign of life, and never outlives the lease', async () => {
    const session = await node.start()
    const { expiresAt } = session.grant.lease
    broker.tampering = { fails: new Failure('broker/unreachable', 'cut off') }
    let seconds = 0
    for (; session.isServing; seconds++) {
      node.pass(1)
      await session.tick()
    }
    expect((await session.ended).code).toBe('lease/beat-missed')
    expect(seconds).toBe(60)
    expect(testTime + seconds).toBeLessThanOrEqual(expiresAt)
    expect(node.engine.unloads).toBe(1)
  })
})
