import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { createTenant } from '#keybroker/changes.js'
import { registerModel } from '#keybroker/register.js'
import { DevelopmentRoots } from '#keybroker/service/development-roots.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { change, registered, registration, tenantStatement, testOwner, trustBody } from '../fixtures.js'

const { open } = anyDatabase()

/** Two development tenants at one broker: the second names another root. */
async function twoTenants() {
  const chain = await registered(await open())
  const { broker, database } = chain.test
  const second = await testOwner('other')
  await createTenant(broker, await tenantStatement(second, 'development'))
  await registerModel(broker, await registration(chain.test, second, chain.platform))
  const other = 'ab'.repeat(32)
  await change({ ...chain, owner: second }, 'trust', {
    ...trustBody(chain.test, chain.platform),
    simulatedRoots: [other],
  })
  let reads = 0
  const reported: string[] = []
  const counting = {
    ...broker,
    store: {
      ...broker.store,
      read: ((work) => {
        reads++
        return broker.store.read(work)
      }) as typeof broker.store.read,
    },
  }
  const roots = new DevelopmentRoots(counting, database, (tenant, failure) =>
    reported.push(`${tenant} ${failure.code}`),
  )
  return { chain, second, other, roots, reported, database, readsOf: () => reads }
}

test('one tenant with false records takes no other tenant’s roots, is told of once, and counts again once it is mended', async () => {
  const { chain, second, other, roots, reported, database } = await twoTenants()
  const mine = chain.platform.rootDigest
  expect([...(await roots.read())].sort()).toEqual([mine, other].sort())
  const damaged = sql`update keybroker.statements set digest = 'x' || digest where tenant = ${second.id} and kind = 'trust'`
  await database.db.execute(damaged)
  expect(await roots.read()).toEqual([mine])
  expect(await roots.read()).toEqual([mine])
  expect(reported).toEqual([`${second.id} broker/record`])
  await database.db.execute(
    sql`update keybroker.statements set digest = substr(digest, 2) where tenant = ${second.id} and kind = 'trust'`,
  )
  expect([...(await roots.read())].sort()).toEqual([mine, other].sort())
  await chain.test.close()
})

test('what was verified is not verified again until the owner changes it', async () => {
  const { chain, second, other, roots, readsOf } = await twoTenants()
  await roots.read()
  const before = readsOf()
  await roots.read()
  expect(readsOf()).toBe(before)
  await change({ ...chain, owner: second }, 'trust', { ...trustBody(chain.test, chain.platform), simulatedRoots: [] })
  expect(await roots.read()).toEqual([chain.platform.rootDigest])
  expect(readsOf()).toBe(before + 1)
  expect(other).not.toBe(chain.platform.rootDigest)
  await chain.test.close()
})
