import { expect, test } from 'vitest'
import type { Bundle } from '#core/wire/bundle.js'
import { bundleAt } from '#keybroker/queries.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { ask, gist, registered, testNode } from './fixtures.js'

const { open } = anyDatabase()

test('what the host says that the key is for is a fact, stands in its evidence, and is absent where it says nothing', async () => {
  const policy = '@id("research") permit (principal, action, resource) when { context.purpose.name == "research" };'
  const chain = await registered(await open(), { policy })
  const asked = async (purpose: string | undefined) =>
    gist(await ask(chain, await testNode(chain, { config: { purpose } })))
  expect(await asked('research')).toBe('granted')
  expect(await asked('marketing')).toBe('research')
  expect(await asked(undefined)).toBe('research')
  const rows = await chain.test.broker.store.read((reader) => reader.listDecisions(chain.owner.id, null, 9))
  const bundles = await Promise.all(rows.map(({ index }) => bundleAt(chain.test.broker, index!, chain.owner.id)))
  const said = (bundles as Bundle[]).map((one) => [
    one.request.config.purpose,
    (one.decision as unknown as { facts: { purpose: object } }).facts.purpose,
  ])
  expect(said).toEqual([
    [undefined, { stated: false }],
    ['marketing', { stated: true, name: 'marketing' }],
    ['research', { stated: true, name: 'research' }],
  ])
  // Whoever carries the request cannot say something else: the evidence binds the settings.
  const moved = ask(chain, await testNode(chain, { config: { purpose: 'marketing' } }), {
    change: (one) => ({ ...one, config: { ...one.config, purpose: 'research' } }),
  })
  await expect(moved).rejects.toMatchObject({ code: 'judge/config-digest' })
  await chain.test.close()
})
