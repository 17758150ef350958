import { expect, test } from 'vitest'
import { BrokerDouble } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { NodeDouble } from '#test/fakes/node-double.js'
import { testTime } from '#test/fakes/platform.js'

/** What a node with this trust statement makes of an honest broker's release, cosigned by w1. */
async function startUnder(trust: Parameters<BrokerDouble['signTrust']>[0]) {
  const broker = await BrokerDouble.create(() => testTime)
  broker.trust = await broker.signTrust(trust)
  const node = new NodeDouble(broker)
  node.platform = broker.platform = 'hardware' // as far as the node can tell
  const code = await codeOfPromise(node.start())
  return { code, key: node.engine.dek }
}

test('a production node uses no key that no independent witness saw leave', async () => {
  for (const independentWitnesses of [[], ['w2'], ['witness.example/1']]) {
    expect(await startUnder({ class: 'production', independentWitnesses })).toEqual({
      code: 'grant/witnesses',
      key: undefined,
    })
  }
  expect((await startUnder({ class: 'production', independentWitnesses: ['w2', 'w1'] })).code).toBe('ok')
})

test('a development node needs the quorum alone', async () => {
  expect((await startUnder({ class: 'development', independentWitnesses: [] })).code).toBe('ok')
})
