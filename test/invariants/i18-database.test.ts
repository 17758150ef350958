/**
 * I18: the database is not an authority.
 *
 * Further attacks: test/keybroker/database-tampering.test.ts (each kind of row, under a running broker and a new one),
 * test/keybroker/kek (rows swapped), test/transparency/faults.test.ts (rows of the log, rollback), i06-simulated.test.ts.
 */
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chainPlaces, openChain } from '#cli/chain.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson } from '#core/encoding/json.js'
import { payloadDigest, type Statement, signStatement } from '#core/wire/statements.js'
import { type Database, openDatabase } from '#host/database.js'
import { inferRequest, type TestChain, testChain, testClient } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { openOwner } from '#test/invariants/fixtures.js'
import { asking } from '#test/invariants/live.js'

/** A statement of a kind as another key signs it, in the words of the owner but for what is changed. */
async function forge(one: TestChain, kind: 'policy' | 'registration', part: object) {
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const head = (await owner.heads()).find((each) => each.kind === kind)!
  const said = JSON.parse(Buffer.from(head.statement.payload, 'base64').toString())
  const { key } = await generateSigningKey('ES256')
  const forged = await signStatement(kind, { ...said, ...part } as Statement<typeof kind>, key)
  return { bytes: Buffer.from(canonicalJson(forged)), digest: payloadDigest(forged) }
}

const put = (database: Database, kind: string, { bytes, digest }: { bytes: Buffer; digest: string }) =>
  database.db.execute(sql`update keybroker.statements set envelope = ${bytes}, digest = ${digest} where kind = ${kind}`)

const permit = '@id("anyone") permit (principal, action, resource);'

test('rows of a chain at rest: whoever holds its database gets no key with them', async () => {
  let one = await testChain({ databaseUrl: null })
  const folder = join(chainPlaces(one.options.folder).services, 'database')
  const forged = [['policy', await forge(one, 'policy', { text: permit })]] as const
  await one.chain.close()
  for (const [kind, statement] of forged) {
    const database = await openDatabase({ folder })
    const before = (await database.db.execute(
      sql`select envelope, digest from keybroker.statements where kind = ${kind}`,
    )) as unknown as { rows: [{ envelope: Uint8Array; digest: string }] }
    const [row] = before.rows
    await put(database, kind, statement)
    await database.close()
    expect([kind, await codeOfPromise(openChain(one.options))]).not.toEqual([kind, 'ok'])
    const again = await openDatabase({ folder })
    await put(again, kind, { bytes: Buffer.from(row.envelope), digest: row.digest })
    await again.close()
  }
  // The control: with the owner's own rows back, it opens and serves.
  one = { ...one, chain: await openChain(one.options) }
  const { client } = await testClient(one.chain)
  expect((await client.request(inferRequest(one.width))).status).toBe(200)
  await one.chain.close()
}, 120_000)

const postgres = databasesUnderTest().find((under) => under.openWithUrl !== undefined)
describe.skipIf(postgres === undefined)('rows of a chain that runs, on Postgres', () => {
  let one: TestChain
  let database: Database
  beforeAll(async () => {
    const { url } = await postgres!.openWithUrl!()
    one = await testChain({ databaseUrl: url })
    database = await openDatabase({ url })
  })
  afterAll(async () => {
    await one?.chain.close()
    await database?.close()
  })

  test('a policy that somebody else signed, a lease that somebody prolonged, a revocation that somebody deleted', async () => {
    const node = await asking(one)
    const owner = await openOwner(one.options.folder, one.chain.stack.url)
    const ask = async () => {
      const { status, body } = await node.release(await node.request(await node.challenge()))
      expect(status === 200 || body.wrapped === undefined).toBe(true)
      return status
    }
    expect(await ask()).toBe(200)
    const forged = await forge(one, 'policy', { text: permit })
    const { id, expiresAt } = one.chain.node.session.grant.lease
    const revoked = [{ kind: 'version', value: '1' }] as const
    await owner.say('revocation', { model: owner.model, revoked: [...revoked], reason: 'licence ended' })
    expect(await ask()).toBe(403)

    await database.db.execute(
      sql`update keybroker.leases set ended_at = null, expires_at = ${expiresAt + 10_000} where id = ${id}`,
    )
    expect(await ask()).toBe(403)
    await database.db.execute(sql`delete from keybroker.statements where kind = 'revocation'`)
    expect(await ask()).not.toBe(200)
    await put(database, 'policy', forged)
    expect(await ask()).not.toBe(200)
    // The node that runs learns it with its next beat or renewal, whatever the rows say.
    expect(one.chain.node.session.grant.lease.expiresAt).toBe(expiresAt)
  })
})
