import { type SQL, sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { payloadDigest } from '#core/wire/statements.js'
import { beat } from '#keybroker/beat.js'
import { createTenant } from '#keybroker/changes.js'
import { HeadMemory } from '#keybroker/heads.js'
import { publishPending } from '#keybroker/outbox.js'
import { registerModel } from '#keybroker/register.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  asHardware,
  ask,
  change,
  gist,
  granted,
  permitAll,
  productionConfig,
  type Registered,
  registered,
  registration,
  sign,
  startTime,
  tenantStatement,
  testNode,
  testOwner,
  trustBody,
} from './fixtures.js'

const { open } = anyDatabase()

/** Someone who writes to the database as they like, its triggers and keys included. */
const write = ({ test }: Registered, statement: SQL) => test.database.db.execute(statement).then(() => undefined)

/** The code that a request ends with, thrown or answered; `granted` when it got the key. */
async function outcomeOf(chain: Registered): Promise<string> {
  const asked = ask(chain, await testNode(chain))
  const code = await codeOfPromise(asked)
  return code === 'ok' ? gist(await asked) : code
}

/** A broker started anew over the same database: it remembers nothing. */
function restarted(chain: Registered): Registered {
  return { ...chain, test: { ...chain.test, broker: { ...chain.test.broker, heads: new HeadMemory() } } }
}

const closed = '@id("closed") forbid (principal, action, resource);'
const asBytes = (value: object) => Buffer.from(canonicalJson(value))
const leaseOf = (answer: { lease: Envelope }) =>
  JSON.parse(atob(answer.lease.payload)) as { id: string; [name: string]: unknown }

describe('the database is not an authority (I18)', () => {
  test('a policy that somebody else signed, in the row of the owner', async () => {
    const chain = await registered(await open(), { policy: closed })
    expect(await outcomeOf(chain)).toContain('closed')
    const { key } = await generateSigningKey('ES256')
    const body = { name: 'test', language: 'cedar', text: permitAll } as const
    chain.owner.heads.delete(`policy ${chain.owner.model}`)
    const forged = await sign(chain.owner, 'policy', body, { key, keepHead: true })
    await write(
      chain,
      sql`update keybroker.statements set envelope = ${asBytes(forged)}, digest = ${payloadDigest(forged)} where kind = 'policy'`,
    )
    expect(await outcomeOf(restarted(chain))).toBe('judge/statement-false')
    // A broker that runs has seen the true one.
    expect(await outcomeOf(chain)).toBe('broker/record')
    await chain.test.close()
  })

  test('an older policy of the owner brought back over the newest', async () => {
    const chain = await registered(await open())
    const old = chain.owner.heads.get(`policy ${chain.owner.model}`)!
    await change(chain, 'policy', { name: 'test', language: 'cedar', text: closed })
    expect(await outcomeOf(chain)).toContain('closed')
    const digest = sql`${old.digest}`
    await write(chain, sql`drop index keybroker.statements_digest`)
    await write(
      chain,
      sql`update keybroker.statements set envelope = ${asBytes(old.envelope)}, digest = ${digest} where kind = 'policy' and sequence = 2`,
    )
    expect(await outcomeOf(restarted(chain))).toBe('broker/record')
    await chain.test.close()
  })

  test('reference values added beside those of the owner', async () => {
    const chain = await registered(await open(), { values: testReferenceValues({ measurements: ['cd'.repeat(48)] }) })
    expect(await outcomeOf(chain)).toContain('attest/measurement')
    const { key } = await generateSigningKey('ES256')
    const forged = await sign(
      chain.owner,
      'reference-values',
      { values: testReferenceValues() },
      { key, keepHead: true },
    )
    const insert = (entry: string) => sql`insert into keybroker.statements
      select tenant, kind, model, 2, ${payloadDigest(forged)}, digest, ${asBytes(forged)}, ${entry}, recorded_at
      from keybroker.statements where kind = 'reference-values' and sequence = 1`
    const [{ entry } = { entry: '' }] = await rows(
      chain,
      sql`select entry from keybroker.statements where kind = 'reference-values'`,
    )
    await write(chain, insert(String(entry)))
    // One public change, two statements that name it.
    expect(await outcomeOf(restarted(chain))).toBe('broker/record')
    await write(chain, sql`delete from keybroker.statements where kind = 'reference-values' and sequence = 2`)
    await write(
      chain,
      sql`insert into keybroker.entries (id, tenant, kind, is_state, leaf, bundle, recorded_at, entry_index)
        select 'forged', tenant, kind, is_state, leaf, bundle, recorded_at, 4000 from keybroker.entries where id = ${String(entry)}`,
    )
    await write(chain, insert('forged'))
    // With an entry invented too, the signature is what is missing.
    expect(await outcomeOf(restarted(chain))).toBe('judge/statement-false')
    await chain.test.close()
  })

  test('a statement that was taken away', async () => {
    for (const kind of ['policy', 'reference-values', 'trust', 'revocation']) {
      const chain = await registered(await open())
      await change(chain, 'revocation', { revoked: [{ kind: 'measurement', value: 'ab'.repeat(48) }], reason: 'lost' })
      expect(await outcomeOf(chain)).toBe('judge/revoked-measurement')
      await write(chain, sql`delete from keybroker.statements where kind = ${kind}`)
      expect(await outcomeOf(restarted(chain))).toBe('broker/record')
      await chain.test.close()
    }
  })

  test('the newest statement taken away with its entry, under a running broker', async () => {
    const chain = await registered(await open())
    await change(chain, 'policy', { name: 'test', language: 'cedar', text: closed })
    expect(await outcomeOf(chain)).toContain('closed')
    await write(chain, sql`delete from keybroker.statements where kind = 'policy' and sequence = 2`)
    await write(
      chain,
      sql`delete from keybroker.entries e where is_state and not exists (select 1 from keybroker.statements s where s.entry = e.id)`,
    )
    expect(await outcomeOf(chain)).toBe('broker/record')
    await chain.test.close()
  })

  test('the wrapped key of another model', async () => {
    const chain = await registered(await open())
    const { test: made, platform } = chain
    const other = await testOwner('other')
    await createTenant(made.broker, await tenantStatement(other, 'development'))
    await registerModel(made.broker, await registration(made, other, platform))
    expect(await outcomeOf(chain)).toBe('granted')
    await write(
      chain,
      sql`update keybroker.model_keys set wrapped = (select wrapped from keybroker.model_keys where tenant = ${other.id}) where tenant = ${chain.owner.id}`,
    )
    expect(await outcomeOf(chain)).toBe('broker/key')
    await chain.test.close()
  })

  test('a lease that somebody wrote gets no beat under a revocation, nor with terms that are none', async () => {
    const chain = await registered(await open())
    const answer = granted(await ask(chain, await testNode(chain)))
    const { id } = JSON.parse(atob(answer.lease.payload)) as { id: string }
    const nonce = toBase64Url(randomBytes(32))
    await change(chain, 'revocation', { revoked: [{ kind: 'lease', value: id }], reason: 'lost' })
    await write(chain, sql`update keybroker.leases set ended_at = null`)
    expect(await codeOfPromise(beat(chain.test.broker, { lease: id, nonce }))).toBe('broker/lease-revoked')
    await write(chain, sql`update keybroker.leases set terms = '\\x00'`)
    expect(await codeOfPromise(beat(chain.test.broker, { lease: id, nonce }))).toBe('broker/record')
    await chain.test.close()
  })

  test('terms that somebody wrote into the row of a lease: no broker signs them, nor beats by them', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const requestId = 'ab'.repeat(16)
    const first = granted(await ask(chain, node, { requestId }))
    const lease = leaseOf(first)
    const forge = (change: object) => ({ ...lease, ...change })
    const [row] = await rows(chain, sql`select terms from keybroker.leases`)
    const terms = JSON.parse(Buffer.from(row!.terms as Uint8Array).toString()) as object
    const put = (forged: object) =>
      write(
        chain,
        sql`update keybroker.leases set expires_at = ${startTime + 80_000}, terms = ${asBytes({ ...terms, lease: forged })}`,
      )
    await put(forge({ expiresAt: startTime + 80_000, budget: { requests: 1e15, inputBytes: 1e15, workUnits: 1e15 } }))
    // A retry finds the lease of before: the term that it is given must be the one that was granted.
    expect(await codeOfPromise(ask(chain, node, { requestId }))).toBe('broker/record')
    const nonce = toBase64Url(randomBytes(32))
    expect(await codeOfPromise(beat(chain.test.broker, { lease: lease.id, nonce }))).toBe('broker/record')
    await chain.test.close()
  })

  test('a node that its owner took back, under another name in the row of its lease: no beat', async () => {
    for (const taken of ['measurement', 'platform'] as const) {
      const chain = await registered(await open())
      const answer = granted(await ask(chain, await testNode(chain)))
      const { id } = leaseOf(answer)
      const nonce = toBase64Url(randomBytes(32))
      const [row] = await rows(chain, sql`select platform, terms from keybroker.leases`)
      const terms = JSON.parse(Buffer.from(row!.terms as Uint8Array).toString()) as {
        machine: { measurements: string[] }
      }
      const value = taken === 'platform' ? String(row!.platform) : terms.machine.measurements[0]!
      await change(chain, 'revocation', { revoked: [{ kind: taken, value }], reason: 'lost' })
      const renamed =
        taken === 'platform' ? terms : { ...terms, machine: { ...terms.machine, measurements: ['ee'.repeat(48)] } }
      await write(
        chain,
        sql`update keybroker.leases set ended_at = null, platform = ${'ee'.repeat(64)}, terms = ${asBytes(renamed)}`,
      )
      expect([taken, await codeOfPromise(beat(chain.test.broker, { lease: id, nonce }))]).toEqual([
        taken,
        'broker/record',
      ])
      await chain.test.close()
    }
  })

  test('a row that somebody wrote into keeps no owner from taking back: its lease is over', async () => {
    const chain = await registered(await open())
    granted(await ask(chain, await testNode(chain)))
    await write(chain, sql`update keybroker.leases set terms = '\\x00'`)
    await change(chain, 'revocation', { revoked: [{ kind: 'measurement', value: 'ab'.repeat(48) }], reason: 'lost' })
    const [row] = await rows(chain, sql`select ended_at from keybroker.leases`)
    expect(row!.ended_at).not.toBeNull()
    await chain.test.close()
  })

  test('a decision that somebody put among those that wait for the log: never logged, and nothing is decided past it', async () => {
    const chain = await registered(await open())
    granted(await ask(chain, await testNode(chain)))
    const waiting = (leaf: string) =>
      write(
        chain,
        sql`insert into keybroker.entries (id, tenant, kind, is_state, leaf, bundle, recorded_at)
          select ${'c'.repeat(32)}, tenant, kind, is_state, ${Buffer.from(leaf)}, bundle, recorded_at
          from keybroker.entries where kind = 'release'`,
      )
    const [row] = await rows(chain, sql`select leaf from keybroker.entries where kind = 'release'`)
    const leaf = Buffer.from(row!.leaf as Uint8Array).toString()
    await waiting(leaf.replace(/"lease_id":"[0-9a-f]+"/, `"lease_id":"${'0'.repeat(32)}"`))
    const size = async () => Number((await rows(chain, sql`select max(entry_index) as n from keybroker.entries`))[0]!.n)
    const before = await size()
    expect(await codeOfPromise(publishPending(chain.test.broker, null))).toBe('broker/record')
    expect(await size()).toBe(before)
    // A true entry that lost its index is logged again, and found where it is.
    await write(chain, sql`delete from keybroker.entries where id = ${'c'.repeat(32)}`)
    await write(chain, sql`update keybroker.entries set entry_index = null where kind = 'release'`)
    expect(await publishPending(chain.test.broker, null)).toBe(1)
    expect(await size()).toBe(before)
    await chain.test.close()
  })

  test('the whole database behind a broker that its owners do not name: it decides nothing', async () => {
    const chain = await registered(await open())
    expect(await outcomeOf(chain)).toBe('granted')
    const { key: signer } = await generateSigningKey('Ed25519')
    const broker = { ...chain.test.broker, signer }
    expect(await outcomeOf({ ...chain, test: { ...chain.test, broker } })).toBe('judge/broker-not-trusted')
    await chain.test.close()
  })

  test('a row of one lease under the id of another: no beat', async () => {
    const chain = await registered(await open())
    const one = leaseOf(granted(await ask(chain, await testNode(chain))))
    const two = leaseOf(granted(await ask(chain, await testNode(chain))))
    const nonce = toBase64Url(randomBytes(32))
    await write(
      chain,
      sql`update keybroker.leases set terms = (select terms from keybroker.leases where id = ${two.id}) where id = ${one.id}`,
    )
    expect(await codeOfPromise(beat(chain.test.broker, { lease: one.id, nonce }))).toBe('broker/record')
    expect(await codeOfPromise(beat(chain.test.broker, { lease: two.id, nonce }))).toBe('ok')
    await chain.test.close()
  })
})

async function rows(chain: Registered, statement: SQL): Promise<Record<string, unknown>[]> {
  return ((await chain.test.database.db.execute(statement)) as unknown as { rows: Record<string, unknown>[] }).rows
}

describe('simulated evidence never satisfies a production tenant (I6)', () => {
  test('not with its root in the trust statement of the owner', async () => {
    const chain = await registered(await open(), { class: 'production' })
    expect(await outcomeOf(chain)).toBe('snp/unknown-root')
    await chain.test.close()
  })

  test('not with the class flipped in the database', async () => {
    const chain = await registered(await open(), { class: 'production' })
    await write(chain, sql`drop trigger tenants_class_is_fixed on keybroker.tenants`)
    await write(chain, sql`update keybroker.tenants set class = 'development'`)
    expect(await outcomeOf(restarted(chain))).toBe('snp/unknown-root')
    await chain.test.close()
  })

  test('and a class that the owner did not sign is no class', async () => {
    const chain = await registered(await open())
    await write(chain, sql`drop trigger tenants_class_is_fixed on keybroker.tenants`)
    await write(chain, sql`update keybroker.tenants set class = 'production'`)
    expect(await outcomeOf(restarted(chain))).toBe('broker/record')
    await write(chain, sql`update keybroker.tenants set class = 'development', owner_keys_digest = ''`)
    expect(await outcomeOf(restarted(chain))).toBe('broker/record')
    await chain.test.close()
  })

  test('not with a second statement of the owner that makes the same tenant a development one', async () => {
    const chain = await registered(await open(), { class: 'production' })
    const other = { ...chain.owner, heads: new Map() }
    const second = await tenantStatement(other, 'development')
    expect(await codeOfPromise(createTenant(chain.test.broker, second))).toBe('broker/tenant-exists')
    await write(chain, sql`drop trigger tenants_class_is_fixed on keybroker.tenants`)
    await write(chain, sql`update keybroker.tenants set class = 'development'`)
    await write(
      chain,
      sql`update keybroker.statements set envelope = ${asBytes(second)}, digest = ${payloadDigest(second)} where kind = 'tenant'`,
    )
    // The trust statement says the class too; and beside it, the key was wrapped for a production tenant.
    expect(await outcomeOf(restarted(chain))).toBe('judge/statement-false')
    await chain.test.close()
  })

  test('not when a weakening setting is what a production tenant is asked to accept', async () => {
    const chain = await registered(await open(), { class: 'production' })
    // What is refused now is refused by code alone.
    const trusting = asHardware(chain)
    const outcome = async (part: object) =>
      gist(await ask(trusting, await testNode(chain, { config: { ...productionConfig, ...part } })))
    expect(await outcome({})).toBe('granted')
    expect(await outcome({ dangerousAllowSimulated: true })).toBe('judge/config-simulated')
    expect(await outcome({ dangerousAllowPlain: true })).toBe('judge/config-plain')
    expect(await outcome({ dangerousAllowInspection: true })).toBe('judge/config-inspection')
    expect(await outcome({ engineConfinement: 'unconfined' })).toBe('judge/config-unconfined')
    expect(await outcome({ leaks: ['swap'] })).toBe('judge/config-leaks')
    await chain.test.close()
  })

  test('not under a root that the owner does not name any more', async () => {
    const chain = await registered(await open())
    expect(await outcomeOf(chain)).toBe('granted')
    await change(chain, 'trust', trustBody(chain.test, null))
    expect(await outcomeOf(chain)).toBe('snp/unknown-root')
    await change(chain, 'trust', trustBody(chain.test, chain.platform))
    expect(await outcomeOf(chain)).toBe('granted')
    await chain.test.close()
  })
})
