import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Broker } from '#keybroker/broker.js'
import { challenge } from '#keybroker/challenge.js'
import { Ledger } from '#keybroker/ledger.js'
import type { Store } from '#keybroker/ports.js'
import { release } from '#keybroker/release.js'
import type { NewEntry, StoredLease, StoredPlaces } from '#keybroker/stored.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { change, gist, granted, permitAll, type Registered, registered, request, testNode } from './fixtures.js'

const lease = { seconds: 300, budget: budgetOf(10), nodes: 100 }
const gists = async (asked: readonly Promise<Awaited<ReturnType<typeof release>>>[]) =>
  Promise.all(asked.map(async (one) => ((await codeOfPromise(one)) === 'ok' ? gist(await one) : codeOfPromise(one))))

const countLeases = async ({ test: { broker, clock }, owner }: Registered) =>
  (await broker.store.read((reader) => reader.listLiveLeases(owner.id, owner.model, clock.now))).length

/** A broker whose transactions are counted; the first of them waits until so many requests were appraised. */
function counted(chain: Registered, asked: number, random = chain.test.broker.random) {
  let transactions = 0
  let appraised = 0
  const { broker } = chain.test
  const store: Store = {
    ...broker.store,
    async transaction(work, queue) {
      if (transactions++ === 0) {
        while (appraised < asked) await pause(5)
        await pause(200) // what is left of judging them
      }
      return broker.store.transaction(work, queue)
    },
  }
  const appraise: Broker['appraise'] = async (...given) => {
    const result = await broker.appraise(...given)
    appraised++
    return result
  }
  return { broker: { ...broker, store, appraise, random }, transactions: () => transactions }
}

describe.each(databasesUnderTest())('decisions that share a transaction on $name', ({ open }) => {
  test('are fewer transactions than decisions, and each has its own entry and lease', async () => {
    const chain = await registered(await open(), { registration: { lease } })
    const nodes = await Promise.all(Array.from({ length: 12 }, () => testNode(chain)))
    const asked = await Promise.all(nodes.map((node) => request(chain, node)))
    const { broker, transactions } = counted(chain, 12)
    const answers = (await Promise.all(asked.map((one) => release(broker, one)))).map(granted)
    expect(transactions()).toBeLessThan(12)
    expect(new Set(answers.map((one) => one.leaf)).size).toBe(12)
    expect(await countLeases(chain)).toBe(12)
    await chain.test.close()
  })

  test('one nonce presented by many at the same moment is one decision (I12)', async () => {
    const chain = await registered(await open(), { registration: { lease } })
    const { nonce } = await challenge(chain.test.broker, chain.owner.model, null)
    const asked = await Promise.all(
      Array.from({ length: 6 }, async () => request(chain, await testNode(chain), { nonce })),
    )
    const outcomes = await gists(asked.map((one) => release(chain.test.broker, one)))
    expect(outcomes.toSorted()).toEqual(['granted', ...Array(5).fill('store/nonce-unknown')])
    await chain.test.close()
  })

  test('a request and its retries at the same moment are one lease; another under its id is refused alone', async () => {
    const chain = await registered(await open(), { registration: { lease } })
    const [node, other] = [await testNode(chain), await testNode(chain)]
    const requestId = toHex(randomBytes(16))
    const asked = [
      await request(chain, node, { requestId }),
      await request(chain, await testNode(chain)),
      await request(chain, node, { requestId }),
      await request(chain, node, { requestId }),
    ]
    const outcomes = await gists(asked.map((one) => release(chain.test.broker, one)))
    expect(outcomes).toEqual(['granted', 'granted', 'granted', 'granted'])
    expect(await countLeases(chain)).toBe(2)
    const late = [await request(chain, other, { requestId }), await request(chain, await testNode(chain))]
    const after = await gists(late.map((one) => release(chain.test.broker, one)))
    expect(after).toEqual(['store/request-reused', 'granted'])
    await chain.test.close()
  })

  test('what the database refuses of one is not the trouble of the others', async () => {
    const chain = await registered(await open(), { registration: { lease } })
    const asked = await Promise.all(Array.from({ length: 8 }, async () => request(chain, await testNode(chain))))
    // Two leases of one id: the database lets one of them in.
    let ids = 0
    const random = (size: number) => (size === 16 && ids++ < 4 ? new Uint8Array(16) : randomBytes(size))
    const { broker } = counted(chain, 8, random)
    const outcomes = await gists(asked.map((one) => release(broker, one)))
    expect(outcomes.filter((one) => one === 'granted').length).toBeGreaterThanOrEqual(5)
    for (const one of outcomes) expect(['granted', 'database/duplicate']).toContain(one)
    const stored = outcomes.filter((one) => one === 'granted').length
    expect(await countLeases(chain)).toBe(stored)
    await chain.test.close()
  })

  test('a change of the owner in the midst of them: each is decided by what is true then (I5)', async () => {
    const chain = await registered(await open(), { registration: { lease } })
    const asked = await Promise.all(Array.from({ length: 8 }, async () => request(chain, await testNode(chain))))
    const closed = '@id("closed") forbid (principal, action, resource);'
    const text = `${permitAll}\n${closed}`
    const [outcomes] = await Promise.all([
      gists(asked.map((one) => release(chain.test.broker, one))),
      change(chain, 'policy', { name: 'closed', language: 'cedar', text }),
    ])
    for (const one of outcomes) expect(['granted', 'closed']).toContain(one)
    const node = await testNode(chain)
    expect(gist(await release(chain.test.broker, await request(chain, node)))).toBe('closed')
    await chain.test.close()
  })
})

const at = 1000
const leaseArbitrary = fc.record({
  id: fc.integer({ min: 0, max: 9 }).map(String),
  grantedAt: fc.integer({ min: 990, max: 1000 }),
  expiresAt: fc.integer({ min: 995, max: 1010 }),
  endedAt: fc.constantFrom(null, null, null, 999),
})
const rowOf = (one: Pick<StoredLease, 'id' | 'grantedAt' | 'expiresAt' | 'endedAt'>): StoredLease => ({
  ...one,
  tenant: 't',
  model: 'm',
  version: 1,
  platform: '',
  keysetDigest: '',
  entry: '',
  terms: new Uint8Array(0),
})
const lives = (one: StoredLease) => one.endedAt === null && one.expiresAt > at
const isEarlier = (one: StoredLease, other: StoredLease) =>
  one.grantedAt < other.grantedAt || (one.grantedAt === other.grantedAt && one.id < other.id)

describe('a ledger', () => {
  test('counts as the database would after each decision', () => {
    const changes = fc.array(fc.record({ lease: leaseArbitrary, device: fc.constantFrom('a', 'b', 'c') }), {
      maxLength: 8,
    })
    const devices = fc.array(fc.constantFrom('a', 'b', 'c', undefined), { minLength: 10, maxLength: 10 })
    fc.assert(
      fc.property(fc.uniqueArray(leaseArbitrary, { selector: (one) => one.id }), devices, changes, (some, of, acts) => {
        const table = new Map(some.map((one) => [one.id, rowOf(one)]))
        const inLease = new Map(some.flatMap((one) => (of[Number(one.id)] ? [[one.id, of[Number(one.id)]!]] : [])))
        const countBefore = (held: StoredLease) =>
          [...table.values()].filter((one) => lives(one) && isEarlier(one, held)).length
        const places: StoredPlaces = {
          live: [...table.values()].filter(lives).length,
          granted: new Map(),
          leases: new Map([...table].map(([id, one]) => [id, { ...one, before: countBefore(one) }])),
          devices: [...inLease].flatMap(([id, device]) => (lives(table.get(id)!) ? [{ lease: id, device }] : [])),
          contradicted: new Map(),
          account: { state: null, entry: null },
        }
        const ledger = new Ledger(places, null, at)
        for (const { lease: next, device } of acts) {
          const known = table.get(next.id)
          // A renewal keeps when its lease was granted.
          const row = rowOf({ ...next, grantedAt: known?.grantedAt ?? next.grantedAt })
          const entry = { id: next.id } as NewEntry
          const grant = { entry, lease: row, isNew: known === undefined, devices: [device], account: null }
          ledger.grant({ ...grant, request: { id: next.id, digest: '' } }, at)
          table.set(next.id, row)
          inLease.set(next.id, device)
          expect(ledger.countLive()).toBe([...table.values()].filter(lives).length)
          for (const held of places.leases.values()) expect(ledger.countLive(held)).toBe(countBefore(held))
          for (const one of ['a', 'b', 'c']) {
            const taken = [...inLease].some(([id, own]) => own === one && id !== next.id && lives(table.get(id)!))
            expect(ledger.isElsewhere([one], next.id)).toBe(taken)
          }
        }
        const writes = ledger.writes(new Uint8Array(32))
        const changed = new Set(acts.map((one) => one.lease.id))
        const written = [...(writes?.granted ?? []), ...(writes?.renewed ?? [])].map((one) => one.id)
        expect(written.toSorted()).toEqual([...changed].toSorted())
        expect((writes?.granted ?? []).every((one) => !places.leases.has(one.id))).toBe(true)
      }),
    )
  })
})
