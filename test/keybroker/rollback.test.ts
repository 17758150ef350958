import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { parseEntry } from '#core/wire/entries.js'
import { verifyLease } from '#core/wire/lease.js'
import { beat } from '#keybroker/beat.js'
import { acceptStatement } from '#keybroker/changes.js'
import { HeadMemory } from '#keybroker/heads.js'
import { publishPending } from '#keybroker/outbox.js'
import { acknowledgeRollback, verifyNotBehind } from '#keybroker/rollback.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { ask, change, gist, granted, permitAll, type Registered, registered, sign, testNode } from './fixtures.js'

const closed = { name: 'none', language: 'cedar', text: '@id("never") forbid (principal, action, resource);' } as const
const open_ = { name: 'all', language: 'cedar', text: permitAll } as const

/** A broker that starts over the database as it is now, and has seen nothing. */
async function restarted(chain: Registered): Promise<Registered> {
  const broker = { ...chain.test.broker, heads: new HeadMemory() }
  await publishPending(broker, null)
  return { ...chain, test: { ...chain.test, broker } }
}
const compare = (chain: Registered) => codeOfPromise(verifyNotBehind(chain.test.broker, chain.test.log))

/** The broker's tables as they are now, to be put back later: a backup of this schema. */
async function backup({ test: { database } }: Registered): Promise<() => Promise<void>> {
  const [, ...names] = ['', 'requests', 'leases', 'statements', 'entries']
  for (const name of names)
    await database.db.execute(
      sql`create table ${sql.identifier(`kept_${name}`)} as table ${sql.identifier('keybroker')}.${sql.identifier(name)}`,
    )
  return async () => {
    for (const name of names)
      await database.db.execute(sql`delete from ${sql.identifier('keybroker')}.${sql.identifier(name)}`)
    for (const name of names.toReversed()) {
      const override = name === 'entries' ? sql`overriding system value` : sql``
      await database.db.execute(
        sql`insert into ${sql.identifier('keybroker')}.${sql.identifier(name)} ${override} select * from ${sql.identifier(`kept_${name}`)}`,
      )
      await database.db.execute(sql`drop table ${sql.identifier(`kept_${name}`)}`)
    }
  }
}

describe.each(databasesUnderTest())('a database that went back, on $name', ({ open }) => {
  test('at rest: nothing is decided until an operator says so in the log, and lost changes are sent again', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    granted(await ask(chain, node))
    const restore = await backup(chain)
    const envelope = await sign(chain.owner, 'policy', closed)
    await acceptStatement(chain.test.broker, 'policy', envelope)
    expect(gist(await ask(chain, node))).toContain('never')
    await restore()

    // The owner's refusal is gone from the database. What is left would release.
    const again = await restarted(chain)
    expect(await compare(again)).toBe('broker/rollback')
    expect(await codeOfPromise(ask(again, node))).toBe('broker/rollback')
    const made = await acknowledgeRollback(again.test.broker, again.test.log)
    expect(made?.lost).toMatchObject({ indexes: { length: 2 }, changes: { length: 1 } })
    // Said, and not logged yet.
    expect(await compare(again)).toBe('broker/rollback')

    const acknowledged = await restarted(again)
    expect(await compare(acknowledged)).toBe('ok')
    expect(parseEntry(await chain.test.log.entry(chain.test.log.size() - 1))).toMatchObject({
      kind: 'rollback',
      lost: 2,
      changes_lost: 1,
    })
    // The owner's newest word here is not the newest that was given: only the owner can say it again.
    expect(await codeOfPromise(ask(acknowledged, node))).toBe('broker/rollback')
    await acceptStatement(acknowledged.test.broker, 'policy', envelope)
    expect(await compare(acknowledged)).toBe('ok')
    expect(gist(await ask(acknowledged, node))).toContain('never')
    await change(acknowledged, 'policy', open_)
    expect(gist(await ask(acknowledged, node))).toBe('granted')
    await chain.test.close()
  })

  test('live, one row taken away: releases and signs of life stop', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const first = granted(await ask(chain, node))
    const closing = { ...closed, text: '@id("later") forbid (principal, action, resource);' }
    await change(chain, 'policy', closing)
    await ask(chain, node)
    expect(await compare(chain)).toBe('ok')
    // A denial that somebody would rather not have made.
    await chain.test.database.db.execute(sql`delete from keybroker.entries where kind = 'denial'`)
    expect(await compare(chain)).toBe('broker/rollback')
    expect(await codeOfPromise(ask(chain, node))).toBe('broker/rollback')
    const { id } = await verifyLease(first.lease, [chain.test.broker.signer.publicKey as Ed25519Jwk])
    expect(await codeOfPromise(beat(chain.test.broker, { lease: id, nonce: '' }))).toBe('broker/rollback')
    await chain.test.close()
  })

  test('an acknowledgement that nobody here made, or that the log does not have, is none', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    await change(chain, 'policy', closed)
    await ask(chain, node)
    await chain.test.database.db.execute(sql`delete from keybroker.entries where kind = 'denial'`)
    const forger = { ...chain.test.broker, callerSecret: randomBytes(32) }
    const made = await acknowledgeRollback(forger, chain.test.log)
    const at = (index: number) =>
      chain.test.database.db.execute(
        sql`update keybroker.entries set entry_index = ${index} where id = ${made!.entry.id}`,
      )
    await at(made!.lost.indexes[0]!)
    expect(await compare(chain)).toBe('broker/record')
    expect(await codeOfPromise(ask(chain, node))).toBe('broker/record')
    await chain.test.database.db.execute(sql`delete from keybroker.entries where id = ${made!.entry.id}`)
    const own = await acknowledgeRollback(chain.test.broker, chain.test.log)
    await chain.test.database.db.execute(
      sql`update keybroker.entries set entry_index = ${own!.lost.indexes[0]!} where id = ${own!.entry.id}`,
    )
    expect(await compare(chain)).toBe('broker/record')
    await chain.test.close()
  })
})
