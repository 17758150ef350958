import { describe, expect, test } from 'vitest'
import { fromBase64 } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import { parseEntry } from '#core/wire/entries.js'
import { verifyLease } from '#core/wire/lease.js'
import type { ReleaseAnswer } from '#core/wire/release.js'
import { HeadMemory } from '#keybroker/heads.js'
import { publishPending } from '#keybroker/outbox.js'
import type { Log, Store } from '#keybroker/ports.js'
import { release } from '#keybroker/release.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import {
  ask,
  change,
  gist,
  granted,
  openKey,
  type Registered,
  registered,
  registrationBody,
  request,
  testNode,
} from './fixtures.js'

const lease = (chain: Registered, answer: ReleaseAnswer) =>
  verifyLease(answer.lease, [chain.test.broker.signer.publicKey as Ed25519Jwk])

const live = ({ test, owner }: Registered) =>
  brokerStore(test.database).read((reader) => reader.listLiveLeases(owner.id, null, test.clock.now))

/** What a broker does that starts over the same database and log. */
async function restart(chain: Registered): Promise<Registered> {
  chain.test.faults.before = chain.test.faults.after = () => undefined
  const broker = { ...chain.test.broker, heads: new HeadMemory() }
  await publishPending(broker, null)
  return { ...chain, test: { ...chain.test, broker } }
}

describe.each(databasesUnderTest())('faults on $name', ({ open, name }) => {
  const steps = ['store.consumeNonce', 'store.read', 'store.transaction', 'log.append', 'store.recordIndex']

  test.each(steps)('%s lost, and done but not reported', async (step) => {
    const chain = await registered(await open())
    for (const when of ['before', 'after'] as const) {
      const node = await testNode(chain)
      const requestId = (when === 'before' ? '0' : '1').repeat(32)
      const before = (await live(chain)).length
      const asked = await request(chain, node, { requestId })
      chain.test.faults[when] = (one) => {
        if (one === step) throw new Failure('test/fault', `${step} failed`)
      }
      // Whatever failed: no answer, and so no key (I3).
      expect(await codeOfPromise(release(chain.test.broker, asked))).toBe('test/fault')
      const again = await restart(chain)
      expect(await brokerStore(again.test.database).loadPending(null, 10)).toEqual([])
      const answer = granted(await ask(again, node, { requestId }))
      expect(await openKey(chain.owner, node, answer)).toEqual(chain.owner.dek)
      // One request, one lease, however often it was asked.
      expect((await live(chain)).length).toBe(before + 1)
    }
    await chain.test.close()
  })

  test('no release while the witness is away (I3), and no place taken: whoever asks first when it is back has it', async () => {
    const terms = { lease: { seconds: 300, budget: budgetOf(10), nodes: 1 } }
    const chain = await registered(await open(), { registration: terms })
    const [node, other] = [await testNode(chain), await testNode(chain)]
    const requestId = 'ab'.repeat(16)
    const [witness] = chain.test.testLog.witnesses
    witness!.away = true
    for (let i = 0; i < 3; i++) {
      expect(await codeOfPromise(ask(chain, node, { requestId }))).toBe('log/witness-unavailable')
      expect(await live(chain)).toEqual([])
    }
    witness!.away = false
    const answer = granted(await ask(chain, other))
    expect((await live(chain)).map(({ id }) => id)).toEqual([(await lease(chain, answer)).id])
    expect(gist(await ask(chain, node, { requestId }))).toBe('broker/node-limit')
    await chain.test.close()
  })

  test('a renewal that never left changes nothing, and a key that did keeps its place', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const requestId = 'ab'.repeat(16)
    const first = await lease(chain, granted(await ask(chain, node, { requestId })))
    const [before] = await live(chain)
    const [witness] = chain.test.testLog.witnesses
    witness!.away = true
    chain.test.clock.now += 20
    expect(await codeOfPromise(ask(chain, node, { lease: first.id }))).toBe('log/witness-unavailable')
    expect(await live(chain)).toEqual([before])
    // The same request again: its first answer left, whatever becomes of this one.
    expect(await codeOfPromise(ask(chain, node, { requestId }))).toBe('log/witness-unavailable')
    expect(await live(chain)).toEqual([before])
    witness!.away = false
    expect((await lease(chain, granted(await ask(chain, node, { requestId })))).id).toBe(first.id)
    expect((await lease(chain, granted(await ask(chain, node, { lease: first.id })))).id).toBe(first.id)
    await chain.test.close()
  })

  test('of two answers to one request the one that fails takes nothing from the one that left', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const requestId = 'ab'.repeat(16)
    const [slow, fast] = [await request(chain, node, { requestId }), await request(chain, node, { requestId })]
    let isFirst = true
    const { broker } = chain.test
    const log: Log = {
      ...broker.log,
      proof: (index) => broker.log.proof(index),
      async append(leaf) {
        if (!isFirst) return broker.log.append(leaf)
        isFirst = false
        granted(await release(broker, fast)) // while the first waits for the log
        throw new Failure('test/fault', 'the log is away')
      },
    }
    expect(await codeOfPromise(release({ ...broker, log }, slow))).toBe('test/fault')
    expect(await live(chain)).toHaveLength(1)
    await chain.test.close()
  })

  test('nothing is decided on a change that the log does not have', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const { faults } = chain.test
    faults.before = (step) => {
      if (step === 'log.append') throw new Failure('test/fault', 'the log is away')
    }
    const closed = {
      name: 'none',
      language: 'cedar',
      text: '@id("never") forbid (principal, action, resource);',
    } as const
    expect(await codeOfPromise(change(chain, 'policy', closed))).toBe('test/fault')
    expect(await codeOfPromise(ask(chain, node))).toBe('test/fault')
    faults.before = () => undefined
    const outcome = await ask(chain, node)
    expect(gist(outcome)).toContain('never')
    // The change went into the log before what was decided by it.
    expect(await brokerStore(chain.test.database).loadPending(null, 10)).toEqual([])
    const { entry } = outcome as { entry: number }
    const before = await brokerStore(chain.test.database).read((reader) => reader.loadEntryAt(entry - 1))
    expect(parseEntry(before!.leaf)).toMatchObject({ kind: 'state', change: 'policy', sequence: 2 })
    await chain.test.close()
  })

  test('a retry is decided again, wrapped afresh and debited once', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const requestId = 'cd'.repeat(16)
    const first = granted(await ask(chain, node, { requestId }))
    chain.test.clock.now += 5
    const second = granted(await ask(chain, node, { requestId }))
    const [a, b] = [await lease(chain, first), await lease(chain, second)]
    expect([b.id, b.expiresAt, b.budget]).toEqual([a.id, a.expiresAt, a.budget])
    expect(second.leaf).not.toBe(first.leaf)
    expect(await openKey(chain.owner, node, second)).toEqual(chain.owner.dek)
    // Each key opens with its own entry only (TRUST 2).
    const spliced = { leaf: first.leaf, wrapped: second.wrapped }
    expect(await codeOfPromise(openKey(chain.owner, node, spliced))).toBe('crypto/hpke-open')
    expect(await live(chain)).toHaveLength(1)
    const other = await testNode(chain)
    expect(await codeOfPromise(ask(chain, other, { requestId }))).toBe('store/request-reused')
    await chain.test.close()
  })

  test('never more leases than nodes, however many ask at once', async () => {
    const chain = await registered(await open())
    const nodes = await Promise.all(Array.from({ length: 6 }, () => testNode(chain)))
    const asked = await Promise.all(nodes.map((node) => request(chain, node)))
    const outcomes = (await Promise.all(asked.map((one) => release(chain.test.broker, one)))).map(gist)
    expect(outcomes.toSorted()).toEqual([...Array(4).fill('broker/node-limit'), 'granted', 'granted'])
    expect(await live(chain)).toHaveLength(2)
    await chain.test.close()
  })

  test('many nodes at once wait for each other, and none is refused for it', async () => {
    const chain = await registered(await open(), {
      registration: { lease: { seconds: 300, budget: budgetOf(10), nodes: 100 } },
    })
    const nodes = await Promise.all(Array.from({ length: 24 }, () => testNode(chain)))
    for (const outcome of await Promise.all(nodes.map((node) => ask(chain, node)))) granted(outcome)
    expect(await live(chain)).toHaveLength(24)
    await chain.test.close()
  })

  test('who came last goes first when the owner allows fewer nodes', async () => {
    const chain = await registered(await open())
    const [early, late] = [await testNode(chain), await testNode(chain)]
    const first = await lease(chain, granted(await ask(chain, early)))
    chain.test.clock.now += 1
    const last = await lease(chain, granted(await ask(chain, late)))
    await change(
      chain,
      'registration',
      registrationBody(chain.owner, { lease: { seconds: 300, budget: budgetOf(1), nodes: 1 } }),
    )
    expect(gist(await ask(chain, late, { lease: last.id }))).toBe('broker/node-limit')
    expect(gist(await ask(chain, early, { lease: first.id }))).toBe('granted')
    await chain.test.close()
  })

  test('no renewal stands in the log behind the revocation that forbids it', { timeout: 120_000 }, async () => {
    const chain = await registered(await open(), {
      registration: { lease: { seconds: 300, budget: budgetOf(9), nodes: 99 } },
    })
    const node = await testNode(chain)
    const { id } = await lease(chain, granted(await ask(chain, node)))
    // Three brokers over one database and one log, as replicas are.
    const replicas = Array.from({ length: 3 }, () => ({
      ...chain,
      test: { ...chain.test, broker: { ...chain.test.broker, heads: new HeadMemory() } },
    }))
    const asked = await Promise.all(
      Array.from({ length: name === 'postgres' ? 24 : 12 }, (_, i) => request(replicas[i % 3]!, node, { lease: id })),
    )
    const renewals = asked.map(async (one, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 5))
      return gist(await release(replicas[i % 3]!.test.broker, one))
    })
    const revoked = change(replicas[1]!, 'revocation', { revoked: [{ kind: 'lease', value: id }], reason: 'lost' })
    const [accepted] = await revoked
    const outcomes = await Promise.all(renewals)
    expect(outcomes.some((one) => one.includes('judge/revoked-lease'))).toBe(true)
    const store = brokerStore(chain.test.database)
    for (let index = accepted!.entry + 1; ; index++) {
      const entry = await store.read((reader) => reader.loadEntryAt(index))
      if (entry === null) break
      expect(parseEntry(entry.leaf).kind).toBe('denial')
      expect(fromBase64(String((JSON.parse(Buffer.from(entry.bundle).toString()) as { leaf: string }).leaf))).toEqual(
        entry.leaf,
      )
    }
    expect(await findOvertaken(chain)).toEqual([])
    await chain.test.close()
  })

  test('a change that comes while a decision is recorded stands behind it', async () => {
    if (name !== 'postgres') return // one connection: nothing comes while a transaction runs
    const chain = await registered(await open())
    const inner = brokerStore(chain.test.database)
    let begun: () => void = () => undefined
    let through: () => void = () => undefined
    const changed = new Promise<void>((resolve) => {
      through = resolve
    })
    const recording = new Promise<void>((resolve) => {
      begun = resolve
    })
    const store: Store = {
      ...inner,
      transaction: (work) =>
        inner.transaction((tx) =>
          work({
            ...tx,
            async holdStanding(...of) {
              const standing = await tx.holdStanding(...of)
              begun()
              // Until the change is through, or shows that it waits for this transaction.
              await Promise.race([changed, new Promise((resolve) => setTimeout(resolve, 1500))])
              return standing
            },
          }),
        ),
    }
    const asked = await request(chain, await testNode(chain))
    const slow = release({ ...chain.test.broker, store }, asked)
    await recording
    const closed = {
      name: 'none',
      language: 'cedar',
      text: '@id("never") forbid (principal, action, resource);',
    } as const
    await change(chain, 'policy', closed)
    through()
    await slow
    expect(await findOvertaken(chain)).toEqual([])
    await chain.test.close()
  })
})

/** Decisions between whose state index and whose own there is a change of the tenant: an auditor finds the same (TRUST 8). */
async function findOvertaken(chain: Registered): Promise<readonly number[]> {
  const found: number[] = []
  let lastState = -1
  for (let index = 0; ; index++) {
    const entry = await brokerStore(chain.test.database).read((reader) => reader.loadEntryAt(index))
    if (entry === null) return found
    const parsed = parseEntry(entry.leaf)
    if (parsed.kind === 'state') lastState = index
    else if ('state_index' in parsed && parsed.state_index !== lastState) found.push(index)
  }
}
