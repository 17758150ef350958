/** What an owner is told of a machine that turns out to be broken: all that was ever released to it (TRUST 21). */
import { describe, expect, test } from 'vitest'
import { type OwnerQuery, type ReleasedAnswer, releasedAnswerShape, signOwnerQuery } from '#core/wire/owner-query.js'
import { answerOwner } from '#keybroker/queries.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { ask, granted, type Registered, registered, testNode, testOwner } from './fixtures.js'
import { guest, pathOf } from './kbs/fixtures.js'

const both = { registration: { delivery: ['v1', 'kbs'] as const } }

async function query({ test: made, owner }: Registered, part: Partial<OwnerQuery>): Promise<unknown> {
  const of = { broker: made.broker.signer.id, tenant: owner.id, entry: null, at: made.clock.now }
  const asked = { type: 'claviger/owner-query/v1', ask: 'released', ...of, ...part } as const
  return answerOwner(made.broker, await signOwnerQuery(asked, owner.key))
}
const releasedTo = async (chain: Registered, platform: string): Promise<ReleasedAnswer['released']> =>
  releasedAnswerShape((await query(chain, { platform })) as never, 'answer').released
async function platformOf({ test: made, owner }: Registered): Promise<string> {
  const rows = await brokerStore(made.database).read((reader) => reader.listLeases(owner.id, null, 1))
  return rows[0]!.platform
}

describe.each(databasesUnderTest())('on $name an owner is told of a machine', ({ open }) => {
  test('each version that went there, also when its lease is long over, and nothing that went elsewhere', async () => {
    const chain = await registered(await open())
    const first = chain.test.clock.now
    granted(await ask(chain, await testNode(chain)))
    const platform = await platformOf(chain)
    expect(platform).toMatch(/^[0-9a-f]{128}$/)
    chain.test.clock.now += 40
    granted(await ask(chain, await testNode(chain)))
    const one = { model: chain.owner.model, version: 1, firstAt: first, lastAt: first + 40, hidden: false }
    expect(await releasedTo(chain, platform)).toEqual([one])
    expect(await releasedTo(chain, '00'.repeat(64))).toEqual([])
    chain.test.clock.now += 100_000
    expect(await releasedTo(chain, platform)).toEqual([one])
    await chain.test.close()
  })

  test('what left by the KBS route, where nobody has a lease', async () => {
    const chain = await registered(await open(), both)
    granted(await ask(chain, await testNode(chain)))
    const platform = await platformOf(chain)
    const { get } = await guest(chain)
    expect((await get(pathOf(chain))).status).toBe(200)
    expect((await get(pathOf(chain))).status).toBe(200)
    const rows = await releasedTo(chain, platform)
    expect(rows.map(({ model, version }) => [model, version])).toEqual(Array(2).fill([chain.owner.model, 1]))
    await chain.test.close()
  })

  test('what went to machines that name none, as what may have gone there', async () => {
    const chain = await registered(await open())
    const at = chain.test.clock.now
    const tenant = chain.owner.id
    const row = { tenant, platform: '', model: chain.owner.model, version: 3 }
    await chain.test.broker.store.transaction((tx) => tx.storeKbsReleased(row, at))
    await chain.test.broker.store.transaction((tx) => tx.storeKbsReleased(row, at - 10))
    const hidden = { model: chain.owner.model, version: 3, firstAt: at, lastAt: at, hidden: true }
    expect(await releasedTo(chain, '5a'.repeat(64))).toEqual([hidden])
    await chain.test.close()
  })

  test('only when it names one, and only of its own', async () => {
    const chain = await registered(await open())
    granted(await ask(chain, await testNode(chain)))
    expect(await codeOfPromise(query(chain, {}))).toBe('query/ask')
    expect(await codeOfPromise(query(chain, { platform: '' }))).toBe('query/ask')
    const stranger = await testOwner()
    const asked = query(
      { ...chain, owner: { ...chain.owner, key: stranger.key } },
      { platform: await platformOf(chain) },
    )
    expect(await codeOfPromise(asked)).toBe('dsse/signer')
    await chain.test.close()
  })
})
