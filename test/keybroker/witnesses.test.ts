import { expect, test } from 'vitest'
import { generateSigningKey } from '#core/crypto/sign.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  asHardware,
  ask,
  change,
  gist,
  productionConfig,
  type Registered,
  registered,
  testNode,
  trustBody,
} from './fixtures.js'

const { open } = anyDatabase()

async function outcome(chain: Registered): Promise<string> {
  const asked = ask(asHardware(chain), await testNode(chain, { config: productionConfig }))
  const code = await codeOfPromise(asked)
  return code === 'ok' ? gist(await asked) : code
}

test('a key of a production tenant leaves only with the cosignature of an independent witness', async () => {
  const chain = await registered(await open(), {
    class: 'production',
    registration: { lease: { seconds: 300, budget: budgetOf(10), nodes: 9 } },
  })
  expect(await outcome(chain)).toBe('granted')
  const body = trustBody(chain.test, chain.platform, 'production')
  const absent = makeNoteSigner('witness.example/absent', 'cosigner', (await generateSigningKey('Ed25519')).key)
  const witnessPolicy = `witness absent ${encodeVkey(absent.verifier)}\n${body.witnessPolicy}`
  // The quorum is reached by the witness of the log's operator; the one who is independent saw nothing.
  await change(chain, 'trust', { ...body, witnessPolicy, independentWitnesses: ['absent'] })
  const leases = () =>
    brokerStore(chain.test.database).read((reader) => reader.listLiveLeases(chain.owner.id, null, chain.test.clock.now))
  const before = await leases()
  expect(await outcome(chain)).toBe('broker/witnesses')
  expect(await leases()).toEqual(before) // the place is free again at once
  await change(chain, 'trust', { ...body, witnessPolicy, independentWitnesses: ['absent', 'w0'] })
  expect(await outcome(chain)).toBe('granted')
  await chain.test.close()
})

test('a production tenant that names nobody independent is told at once', async () => {
  const chain = await registered(await open(), { class: 'production' })
  const body = trustBody(chain.test, chain.platform, 'production')
  for (const independentWitnesses of [[], ['nobody']]) {
    expect(await codeOfPromise(change(chain, 'trust', { ...body, independentWitnesses }))).toBe('broker/witnesses')
  }
  await chain.test.close()
})

test('a trust statement says the class of its tenant, which is fixed for ever', async () => {
  for (const [made, said] of [
    ['production', 'development'],
    ['development', 'production'],
  ] as const) {
    const chain = await registered(await open(), { class: made })
    const statement = { ...trustBody(chain.test, chain.platform, 'production'), class: said }
    expect(await codeOfPromise(change(chain, 'trust', statement))).toBe('judge/statement-false')
    await chain.test.close()
  }
})
