/** Inferences of an owner who counts them over all nodes: paid before they are used (I15, TRUST 16). */
import { sql } from 'drizzle-orm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { type Counter, signCounter, verifyCounter } from '#core/wire/counter.js'
import { keysetDigest } from '#core/wire/keyset.js'
import { verifyLease } from '#core/wire/lease.js'
import { apiVersion } from '#core/wire/release.js'
import { beat } from '#keybroker/beat.js'
import { challenge } from '#keybroker/challenge.js'
import { acceptFinal } from '#keybroker/final.js'
import { HeadMemory } from '#keybroker/heads.js'
import { leases } from '#keybroker/queries.js'
import { noUsage, sliceOf } from '#keybroker/usage.js'
import { usageOf } from '#keybroker/usage-query.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { fakeGpu, fakeMachines } from '#test/fakes/machines.js'
import { anyDatabase, databasesUnderTest } from '#test/fakes/postgres.js'
import {
  type Ask,
  ask,
  change,
  countOf,
  gist,
  granted,
  type Registered,
  registered,
  registrationBody,
  request,
  type TestNode,
  testNode,
} from './fixtures.js'
import { chainFor } from './served.js'

const allowance = (inferences: number | null, expiresAt: number | null = null) => ({ inferences, expiresAt })
const terms = (requests: number, nodes = 9) => ({ seconds: 300, budget: budgetOf(requests), nodes })

async function counted(open: () => Promise<Parameters<typeof registered>[0]>, allowed: number, requests: number) {
  return registered(await open(), { registration: { lease: terms(requests), allowance: allowance(allowed) } })
}
/** The same where the witness has the clock of the test, which can then be set. */
const later = async (
  open: () => Promise<Parameters<typeof registered>[0]>,
  allowed: number,
  requests: number,
  nodes = 9,
) => {
  const { snp } = fakeMachines
  const registration = { lease: terms(requests, nodes), allowance: allowance(allowed) }
  const chain = await chainFor(await open(), snp, { registration })
  return { ...chain, platform: snp as never }
}
const leaseIn = (chain: Registered, answer: Parameters<typeof granted>[0] | { lease: never }) =>
  verifyLease(granted(answer as never).lease, [chain.test.broker.signer.publicKey as Ed25519Jwk])
const slice = async (chain: Registered, node: TestNode, options: Ask = {}) => {
  const { id, budget } = await leaseIn(chain, await ask(chain, node, options))
  return { id, requests: budget.requests }
}
const say = async ({ test: made }: Registered, node: TestNode, lease: string, inferences: number) =>
  acceptFinal(made.broker, {
    version: apiVersion,
    keyset: node.keyset,
    counter: await countOf(node, made.broker.signer.id, lease, inferences, null),
  })
async function usage({ test: made, owner }: Registered) {
  const [one] = (await usageOf(made.broker, owner.id)).usage
  return one!
}
/** A broker that starts over the same database. */
const restarted = (chain: Registered): Registered => ({
  ...chain,
  test: { ...chain.test, broker: { ...chain.test.broker, heads: new HeadMemory() } },
})

describe.each(databasesUnderTest())('an allowance on $name', ({ open }) => {
  test('gives out slices until nothing is left: the owner reads the numbers, a host that there is nothing', async () => {
    const chain = await counted(open, 25, 10)
    const nodes = [await testNode(chain), await testNode(chain), await testNode(chain), await testNode(chain)]
    const given = []
    for (const node of nodes.slice(0, 3)) given.push((await slice(chain, node)).requests)
    expect(given).toEqual([10, 10, 5])
    const outcome = await ask(chain, nodes[3]!)
    expect(gist(outcome)).toBe('broker/allowance-spent')
    expect(JSON.stringify(outcome)).not.toMatch(/25|debited/)
    expect(await usage(chain)).toMatchObject({ counted: 25, used: 0, outstanding: 25, silent: 0 })
    // More, by the owner's signature: what was given out stays given out.
    await change(chain, 'registration', registrationBody(chain.owner, { lease: terms(10), allowance: allowance(28) }))
    expect((await slice(chain, nodes[3]!)).requests).toBe(3)
    await chain.test.close()
  })

  test('a renewal pays for what was used, and for nothing twice; a retry pays once', async () => {
    const chain = await counted(open, 25, 10)
    const node = await testNode(chain)
    const { id } = await slice(chain, node)
    expect(await slice(chain, node, { lease: id, inferences: 4 })).toEqual({ id, requests: 10 })
    expect((await usage(chain)).counted).toBe(14)
    const requestId = toHex(randomBytes(16))
    for (let i = 0; i < 3; i++)
      expect(await slice(chain, node, { lease: id, inferences: 9, requestId })).toEqual({ id, requests: 10 })
    expect(await usage(chain)).toMatchObject({ counted: 19, used: 9, outstanding: 10 })
    const again = { lease: id, inferences: 10, requestId }
    expect(await codeOfPromise(ask(chain, node, again))).toBe('store/request-reused')
    // The last of it: no more than the allowance, and then nothing.
    expect((await slice(chain, node, { lease: id, inferences: 19 })).requests).toBe(6)
    expect((await slice(chain, node, { lease: id, inferences: 24 })).requests).toBe(1)
    expect(gist(await ask(chain, node, { lease: id, inferences: 25 }))).toBe('broker/allowance-spent')
    await chain.test.close()
  })

  test('silence counts as used, and only a last word of the TEE brings anything back, once', async () => {
    const chain = await later(open, 20, 10)
    const [node, silent] = [await testNode(chain), await testNode(chain)]
    const { id } = await slice(chain, node)
    await slice(chain, silent)
    chain.test.clock.now += 301
    expect(gist(await ask(chain, await testNode(chain)))).toBe('broker/allowance-spent')
    expect(await usage(chain)).toMatchObject({ counted: 20, outstanding: 0, silent: 20 })
    expect(await say(chain, node, id, 3)).toMatchObject({ used: 3, returned: 7 })
    expect(await say(chain, node, id, 3)).toMatchObject({ used: 3, returned: 7 })
    expect(await codeOfPromise(say(chain, node, id, 2))).toBe('broker/lease-closed')
    expect(await usage(chain)).toMatchObject({ counted: 13, used: 3, silent: 10 })
    expect((await slice(chain, await testNode(chain))).requests).toBe(7)
    // It ended the lease: no renewal, no sign of life.
    expect(gist(await ask(chain, node, { lease: id, inferences: 3 }))).toBe('broker/lease-ended')
    await chain.test.close()
  })

  test('a last word frees the place of the node at once, and one that comes too late brings nothing', async () => {
    const chain = await later(open, 1000, 10, 1)
    const [node, other] = [await testNode(chain), await testNode(chain)]
    const { id } = await slice(chain, node)
    expect(gist(await ask(chain, other))).toBe('broker/node-limit')
    await say(chain, node, id, 10)
    const late = await slice(chain, other)
    const nonce = 'A'.repeat(43)
    expect(await codeOfPromise(beat(chain.test.broker, { lease: id, nonce }))).toBe('broker/lease-over')
    chain.test.clock.now += 300 + 3600
    await slice(chain, node)
    expect(await codeOfPromise(say(chain, other, late.id, 0))).toBe('broker/lease-closed')
    expect((await usage(chain)).counted).toBe(30)
    await chain.test.close()
  })

  test('a licence that ends: no lease outlives it, none is granted after it, and an earlier end reaches nodes by the beat', async () => {
    const chain = await registered(await open(), { registration: { lease: terms(10) } })
    const node = await testNode(chain)
    const ends = chain.test.clock.now + 100
    const { id } = await slice(chain, node)
    const sign = () => codeOfPromise(beat(chain.test.broker, { lease: id, nonce: 'A'.repeat(43) }))
    expect(await sign()).toBe('ok')
    const body = registrationBody(chain.owner, { lease: terms(10), allowance: allowance(null, ends) })
    await change(chain, 'registration', body)
    expect(await sign()).toBe('broker/lease-stale')
    const renewed = await leaseIn(chain, await ask(chain, node, { lease: id }))
    expect(renewed.expiresAt).toBe(ends)
    expect(await sign()).toBe('ok')
    chain.test.clock.now = ends
    expect(gist(await ask(chain, node))).toBe('judge/licence-ended')
    expect(await usage(chain)).toMatchObject({ allowance: { inferences: null, expiresAt: ends } })
    await chain.test.close()
  })

  test('an owner who begins to count debits what leases were granted before', async () => {
    const chain = await registered(await open(), { registration: { lease: terms(10) } })
    const [node, gone] = [await testNode(chain), await testNode(chain)]
    const { id } = await slice(chain, node)
    await say(chain, gone, (await slice(chain, gone)).id, 2)
    await change(chain, 'registration', registrationBody(chain.owner, { lease: terms(10), allowance: allowance(20) }))
    expect((await usage(chain)).counted).toBe(12)
    expect((await slice(chain, await testNode(chain))).requests).toBe(8)
    expect((await slice(chain, node, { lease: id, inferences: 1 })).requests).toBe(9)
    expect(await say(chain, node, id, 1)).toMatchObject({ returned: 9 })
    await chain.test.close()
  })

  test('what was granted and never left is not debited', async () => {
    const chain = await counted(open, 10, 10)
    const [node, other] = [await testNode(chain), await testNode(chain)]
    const [witness] = chain.test.testLog.witnesses
    witness!.away = true
    expect(await codeOfPromise(ask(chain, node))).toBe('log/witness-unavailable')
    witness!.away = false
    const { id } = await slice(chain, other)
    witness!.away = true
    expect(await codeOfPromise(ask(chain, other, { lease: id, inferences: 0 }))).toBe('log/witness-unavailable')
    witness!.away = false
    expect((await usage(chain)).counted).toBe(10)
    await chain.test.close()
  })

  test('rows that somebody changed, took away or took back make no allowance (I18)', async () => {
    const chain = await counted(open, 20, 10)
    const { db } = chain.test.database
    const node = await testNode(chain)
    const { id } = await slice(chain, node)
    await db.execute(sql`create table kept as select * from keybroker.accounts`)
    await db.execute(sql`create table kept_leases as select * from keybroker.leases`)
    await slice(chain, await testNode(chain))
    expect(gist(await ask(chain, node, { lease: id, inferences: 10 }))).toBe('broker/allowance-spent')
    const asks = async (from: Registered) => codeOfPromise(ask(from, await testNode(from)).then(gist))
    const outcomes = async () => [await asks(chain), await asks(restarted(chain))]
    await db.execute(sql`create table now as select * from keybroker.accounts`)
    const back = () => db.execute(sql`update keybroker.accounts a set state = n.state from now n where n.id = a.id`)
    // 1 the account of an earlier day
    await db.execute(sql`update keybroker.accounts a set state = k.state from kept k where k.id = a.id`)
    expect(await outcomes()).toEqual(['broker/record', 'broker/record'])
    // 2 one bit of it
    await back()
    await db.execute(sql`update keybroker.accounts set state = set_byte(state, 60, (get_byte(state, 60) + 1) % 128)`)
    expect(await outcomes()).toEqual(['broker/record', 'broker/record'])
    // 3 none at all
    await db.execute(sql`delete from keybroker.accounts`)
    expect(await outcomes()).toEqual(['broker/record', 'broker/record'])
    // 4 a last word twice: the row of the lease as it was before it
    await db.execute(sql`insert into keybroker.accounts select * from now`)
    expect(await say(chain, node, id, 0)).toMatchObject({ returned: 10 })
    await db.execute(
      sql`update keybroker.leases l set terms = k.terms, ended_at = null from kept_leases k where k.id = l.id`,
    )
    expect(await codeOfPromise(say(chain, node, id, 0))).toBe('broker/lease-closed')
    expect(await codeOfPromise(say(restarted(chain), node, id, 0))).toBe('broker/lease-closed')
    // 5 the account and its entries' names: a broker that runs has seen more
    await db.execute(sql`update keybroker.entries set account = null`)
    await db.execute(sql`delete from keybroker.accounts`)
    expect(await asks(chain)).toBe('broker/record')
    for (const table of ['kept', 'kept_leases', 'now']) await db.execute(sql.raw(`drop table ${table}`))
    await chain.test.close()
  })
})

async function honest(chain: Registered, node: TestNode, lease: string, nonce: string): Promise<Counter> {
  const envelope = await countOf(node, chain.test.broker.signer.id, lease, 0, nonce)
  return verifyCounter(envelope, node.keyset, { broker: chain.test.broker.signer.id, lease, nonce })
}

const { open } = anyDatabase()

describe('a count', () => {
  test.each<[string, string, (counter: Counter) => Partial<Counter>]>([
    ['of another challenge', 'counter/replayed', () => ({ nonce: toBase64Url(randomBytes(32)) })],
    ['that is a last word', 'counter/replayed', () => ({ nonce: null })],
    ['of another lease', 'counter/lease', () => ({ lease: 'ab'.repeat(16) })],
    ['for another broker', 'counter/broker', () => ({ broker: 'C'.repeat(43) })],
    ['of another keyset', 'counter/keyset', () => ({ keysetDigest: '99'.repeat(32) })],
  ])('a renewal with a count %s is denied: %s', async (_, code, changed) => {
    const chain = await counted(open, 100, 10)
    const node = await testNode(chain)
    const { id } = await slice(chain, node)
    const counterOf = async (nonce: string, by = node) => {
      const counter = { ...(await honest(chain, node, id, nonce)), ...changed(await honest(chain, node, id, nonce)) }
      return signCounter(counter, by.receiptKey)
    }
    const fresh = (await challenge(chain.test.broker, chain.owner.model, null)).nonce
    const counter = await counterOf(fresh)
    const outcome = await ask(chain, node, { lease: id, nonce: fresh, change: (one) => ({ ...one, counter }) })
    expect(gist(outcome)).toBe(code)
    expect((await usage(chain)).counted).toBe(10)
    await chain.test.close()
  })

  test('a renewal without a count, with one by another key, a lower one, and one beyond what was given out is denied', async () => {
    const chain = await counted(open, 100, 10)
    const [node, other] = [await testNode(chain), await testNode(chain)]
    const { id } = await slice(chain, node)
    await slice(chain, node, { lease: id, inferences: 5 })
    const without = { lease: id, change: (one: object) => ({ ...one, counter: undefined }) as never }
    expect(gist(await ask(chain, node, without))).toBe('judge/counter-missing')
    expect(gist(await ask(chain, node, { lease: id, inferences: 4 }))).toBe('broker/counter-lowered')
    expect(gist(await ask(chain, node, { lease: id, inferences: 16 }))).toBe('broker/counter-beyond')
    const forged = { ...node, receiptKey: other.receiptKey }
    expect(gist(await ask(chain, forged, { lease: id, inferences: 9 }))).toBe('counter/signature')
    expect(await codeOfPromise(say(chain, forged, id, 0))).toBe('counter/signature')
    expect(await codeOfPromise(say(chain, other, id, 0))).toBe('counter/keyset')
    expect(await codeOfPromise(say(chain, node, id, 4))).toBe('broker/counter-lowered')
    expect(await codeOfPromise(say(chain, node, id, 16))).toBe('broker/counter-beyond')
    expect(await codeOfPromise(say(chain, node, 'ab'.repeat(16), 0))).toBe('broker/unknown-lease')
    // The host has a counter of a renewal: no last word, while its node goes on.
    const { broker } = chain.test
    const counter = await countOf(node, broker.signer.id, id, 5, 'A'.repeat(43))
    const early = acceptFinal(broker, { version: apiVersion, keyset: node.keyset, counter })
    expect(await codeOfPromise(early)).toBe('counter/not-final')
    expect((await usage(chain)).counted).toBe(15)
    await chain.test.close()
  })
})

describe('a device', () => {
  test('in two leases is denied to the second, of whatever model or owner, until the first is over', async () => {
    const { tdx } = fakeMachines
    const chain = await chainFor(await open(), tdx, { values: { ...tdx.values, ...fakeGpu.values } })
    const platform = { attest: tdx.attest, devices: fakeGpu.devices }
    const node = await testNode(chain, { platform })
    const first = await slice(chain, node)
    const other = await testNode(chain, { platform })
    const denied = await chain.call('POST', '/v1/releases', await request(chain, other))
    expect(denied).toMatchObject({ status: 403, body: { reasons: [{ id: 'broker/device-leased' }] } })
    const { entry } = denied.body as { readonly entry: number }
    const line =
      'alarm: a node was denied: evidence of one device was presented by two nodes: it is in another lease that runs'
    expect(chain.warned).toEqual([`${line} ${JSON.stringify({ reason: 'broker/device-leased', entry })}`])
    // Its own renewal, and a retry, are not two.
    await slice(chain, node, { lease: first.id })
    await say(chain, node, first.id, 0)
    const { id } = await slice(chain, other)
    expect((await leases(chain.test.broker, chain.owner.id)).leases.map((one) => one.id)).toEqual([id])
    // A denial of another kind is no alarm.
    const bare = await request(chain, await testNode(chain, { platform }), { devices: async () => [] })
    expect(await chain.call('POST', '/v1/releases', bare)).toMatchObject({ status: 403, code: 'broker/denied' })
    expect(chain.warned).toHaveLength(1)
    await chain.test.close()
  })
})

describe('the slice of a term', () => {
  const usages = fc
    .record({ debited: fc.nat(100), share: fc.double({ min: 0, max: 1, noNaN: true }) })
    .map(({ debited, share }) => ({ debited, used: Math.floor(debited * share), returned: null }))

  test('never takes more than remains, never gives more than was debited, never gives a lease back what it had', () => {
    fc.assert(
      fc.property(
        usages,
        fc.integer({ min: 1, max: 50 }),
        fc.option(fc.integer({ min: -50, max: 50 })),
        (had, wanted, remaining) => {
          const { inferences, debited } = sliceOf(had, had.used, wanted, remaining)
          expect(debited - had.debited).toBeLessThanOrEqual(Math.max(0, remaining ?? Number.MAX_SAFE_INTEGER))
          expect(debited).toBeGreaterThanOrEqual(had.debited)
          expect(had.used + inferences).toBeLessThanOrEqual(debited)
          expect(inferences).toBeLessThanOrEqual(wanted)
        },
      ),
    )
    expect(sliceOf(noUsage, 0, 10, null)).toEqual({ inferences: 10, debited: 10 })
    expect(sliceOf(noUsage, 0, 10, 0)).toEqual({ inferences: 0, debited: 0 })
  })
})

test('a keyset that is not the counter’s own digest is none', async () => {
  const chain = await counted(open, 5, 5)
  const [node, other] = [await testNode(chain), await testNode(chain)]
  const counter = await countOf({ ...node, keyset: other.keyset }, 'D'.repeat(43), 'ab'.repeat(16), 0, null)
  const expected = { broker: 'D'.repeat(43), lease: 'ab'.repeat(16), nonce: null }
  expect(await codeOfPromise(verifyCounter(counter, node.keyset, expected))).toBe('counter/keyset')
  expect(keysetDigest(node.keyset)).not.toBe(keysetDigest(other.keyset))
  await chain.test.close()
})
