/**
 * I6: simulated evidence can never satisfy a production tenant, and every surface that shows it says NOT HARDWARE.
 *
 * Further attacks: test/keybroker/database-tampering.test.ts (class flipped on a live database, a second tenant statement,
 * a verifier that believes everything), test/attest (roots, kinds with vendor-like names), test/runtime/session.test.ts and
 * test/runtime/with-broker.test.ts (both sides told otherwise), test/keybroker/kbs/models.test.ts, test/e2e/chain.test.ts
 * (verify and receipt verify without the flag).
 */

import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chainPlaces, openChain } from '#cli/chain.js'
import { openDatabase } from '#host/database.js'
import { type TestChain, testChain, testClient } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { openOwner } from '#test/invariants/fixtures.js'
import { oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain({ databaseUrl: null })
})
afterAll(async () => one?.chain.close())

test('node, client and owner each refuse a simulated machine that nobody allowed', async () => {
  expect(await codeOfPromise(oneMoreNode(one, { dangerousAllowSimulated: false }))).toBe('own/simulated')
  const { client } = await testClient(one.chain, { dangerousAllowSimulated: false })
  expect(await codeOfPromise(client.node())).toBe('client/simulated')

  // The root is taken out of the owner's trust statement, nothing else changes.
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const envelope = (await owner.heads()).find((head) => head.kind === 'trust')!.statement
  const trust = JSON.parse(Buffer.from(envelope.payload, 'base64').toString())
  const { type: _t, tenant: _n, sequence: _s, previous: _p, issuedAt: _i, ...body } = trust
  expect((await owner.say('trust', { ...body, simulatedRoots: [] })).status).toBe(200)
  await expect(oneMoreNode(one)).rejects.toMatchObject({ message: expect.stringContaining('snp/unknown-root') })
  expect((await owner.say('trust', body)).status).toBe(200)
  const node = await oneMoreNode(one)
  expect(node.session.document(null).weakenings).toContain('simulated evidence is accepted')
  await node.close()
})

// A production tenant on PGlite is refused before its record is even read; test/keybroker/database-tampering.test.ts flips
// the class under a running broker, which refuses by the tenant's own statement.
test('the class of the tenant flipped in the database of a chain at rest: its broker does not open any more', async () => {
  await one.chain.close()
  const database = await openDatabase({ folder: join(chainPlaces(one.options.folder).services, 'database') })
  await database.db.execute(sql`drop trigger tenants_class_is_fixed on keybroker.tenants`)
  await database.db.execute(sql`update keybroker.tenants set class = 'production'`)
  await database.close()
  await expect(openChain(one.options)).rejects.toMatchObject({ code: 'database/not-durable' })
})
