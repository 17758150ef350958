import { beforeEach, describe, expect, test } from 'vitest'
import type { BrokerProof } from '#core/wire/broker-proof.js'
import { BrokerDouble, budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { NodeDouble } from '#test/fakes/node-double.js'
import { testPlatform, testReferenceValues, testTime } from '#test/fakes/platform.js'

let broker: BrokerDouble
let node: NodeDouble
beforeEach(async () => {
  broker = await BrokerDouble.create(() => testTime)
  const platform = await testPlatform()
  broker.attester = { platform: 'simulated', attest: platform.attest }
  const demand = { values: testReferenceValues(), allowOperatorKek: true, keks: undefined }
  broker.trust = await broker.signTrust({ attestedBrokers: [{ broker: broker.id, demand }] })
  node = new NodeDouble(broker)
})

/** The start is refused with this code before the broker was sent anything of the node's. */
async function refuses(code: string | RegExp): Promise<void> {
  expect(await codeOfPromise(node.start())).toMatch(code)
  expect(broker.calls.filter((one) => one !== 'prove')).toEqual([])
  expect(broker.requests).toEqual([])
  expect(node.engines.every(({ dek }) => dek === undefined)).toBe(true)
}

describe('a node whose owner demands evidence of the broker', () => {
  test('gets its key from a broker that proves itself, shows how, and says so in its receipts', async () => {
    const session = await node.start()
    expect(broker.calls.slice(0, 2)).toEqual(['prove', 'challenge'])
    expect(session.grant.asked.proven.standing).toBe('SIMULATED BROKER (NOT HARDWARE)')
    expect(session.document(null).broker?.proof.binding.broker).toBe(broker.id)
  })

  test('sends nothing to a broker that was started outside its TEE', async () => {
    broker.attester = null
    await refuses('broker-proof/absent')
  })

  test('sends nothing to one that replays evidence, of itself or of another', async () => {
    let kept: BrokerProof | undefined
    broker.tampering.proof = (proof) => (kept ??= proof)
    await node.start()
    broker.calls.length = 0
    broker.requests.length = 0
    node = new NodeDouble(broker)
    await refuses('broker-proof/nonce')
  })

  test('sends nothing to one that runs something else', async () => {
    const elsewhere = await testPlatform({ measurement: 'cd'.repeat(48) })
    broker.attester = { platform: 'simulated', attest: elsewhere.attest }
    await refuses('broker-proof/values')
  })

  test('takes no lease that says another standing than was proven', async () => {
    broker.tampering.lease = (lease) => ({ ...lease, standing: 'UNATTESTED BROKER' })
    expect(await codeOfPromise(node.start())).toBe('grant/lease-standing')
    expect(node.holdsKey).toBe(false)
  })

  test('has it proven anew for each renewal: one that left its TEE renews nothing, and the key ends with the lease', async () => {
    broker.lease = { seconds: 100, budget: budgetOf(100) }
    broker.beatSeconds = 600
    const session = await node.start()
    const proven = () => broker.calls.filter((one) => one === 'prove').length
    node.pass(70)
    await session.tick()
    expect(proven()).toBe(2)
    const { expiresAt } = session.grant.lease
    broker.attester = null
    node.pass(70)
    await session.tick()
    const troubles = node.events.flatMap((event) => (event.kind === 'trouble' ? [event.failure.code] : []))
    expect(troubles).toContain('broker-proof/absent')
    expect(session.grant.lease.expiresAt).toBe(expiresAt)
    node.pass(40)
    await session.tick()
    await session.ended
    expect(node.holdsKey).toBe(false)
  })
})

test('a node whose owner demands nothing asks for nothing, and its receipts say UNATTESTED BROKER', async () => {
  broker.trust = await broker.signTrust({})
  const session = await node.start()
  expect(broker.calls).not.toContain('prove')
  expect(session.grant.asked.proven).toEqual({ standing: 'UNATTESTED BROKER', shown: null })
  expect(session.document(null).broker).toBe(undefined)
})
