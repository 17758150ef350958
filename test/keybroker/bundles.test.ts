import { describe, expect, test } from 'vitest'
import { judged } from '#client/steps.js'
import { bundleSteps, verifyBundle } from '#client/verify-bundle.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import type { Bundle, StateBundle } from '#core/wire/bundle.js'
import { verifyCommitment } from '#core/wire/commitment.js'
import { parseEntry } from '#core/wire/entries.js'
import { signOwnerQuery } from '#core/wire/owner-query.js'
import { payloadDigest } from '#core/wire/statements.js'
import { answerOwner, bundleAt } from '#keybroker/queries.js'
import { countRefusal, summariseRefusals } from '#keybroker/refusals.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { ask, change, granted, type Registered, readersTrust, registered, testNode, testOwner } from './fixtures.js'

const { open } = anyDatabase()

/** As it is read from a file. */
const asFile = (bundle: unknown) => parseJson(canonicalJson(bundle))

async function codeOfBundle(chain: Registered, bundle: unknown): Promise<string> {
  const verdict = await judged(bundleSteps, (steps) => verifyBundle(asFile(bundle) as Json, readersTrust(chain), steps))
  return verdict.ok ? 'ok' : verdict.failure.code
}

const country = '@id("eu") permit (principal, action, resource) when { context.place.country == "DE" };'

describe('every decision can be made again from its bundle (I7)', () => {
  test('a release, a renewal, and denials by policy, by code and by count', async () => {
    const chain = await registered(await open(), {
      policy: country,
      registration: { lease: { seconds: 300, budget: budgetOf(5), nodes: 1 } },
    })
    const { broker } = chain.test
    const node = await testNode(chain, { host: { country: 'DE' } })
    const answer = granted(await ask(chain, node))
    const { index } = await verifyTlogProof(answer.proof, fromBase64(answer.leaf), chain.test.testLog.trust)
    const { id } = JSON.parse(atob(answer.lease.payload)) as { id: string }
    granted(await ask(chain, node, { lease: id }))
    const denied = [
      await ask(chain, await testNode(chain, { host: { country: 'FR' } })),
      await ask(chain, node, { change: (one) => ({ ...one, modelVersion: 3 }) }),
      await ask(chain, await testNode(chain, { host: { country: 'DE' } })),
    ]
    expect(denied.map((one) => one.kind === 'denied' && one.reasons.map((reason) => reason.id).join())).toEqual([
      'eu',
      'judge/version',
      'broker/node-limit',
    ])
    for (let entry = index; entry < index + 5; entry++) {
      const bundle = (await bundleAt(broker, entry, chain.owner.id)) as Bundle
      expect(await codeOfBundle(chain, bundle), `entry ${entry}`).toBe('ok')
    }
    const release = (await bundleAt(broker, index, null)) as Bundle
    expect(await codeOfBundle(chain, { ...release, at: release.at + 1 })).toBe('client/bundle-splice')
    const { policy, ...statements } = release.statements
    expect(await codeOfBundle(chain, { ...release, statements: { ...statements, policy: null } })).toBe(
      'judge/statement-missing',
    )
    expect(policy).not.toBeNull()
    await change(chain, 'policy', { name: 'x', language: 'cedar', text: country.replace('DE', 'FR') })
    const later = chain.owner.heads.get(`policy ${chain.owner.model}`)!.envelope
    expect(await codeOfBundle(chain, { ...release, statements: { ...release.statements, policy: later } })).toBe(
      'client/bundle-verdict',
    )
    await chain.test.close()
  })

  test('a change shows itself to its owner', async () => {
    const chain = await registered(await open())
    const { broker, testLog } = chain.test
    for (const [entry, kind] of ['tenant', 'trust', 'registration', 'policy', 'reference-values'].entries()) {
      const bundle = (await bundleAt(broker, entry, chain.owner.id)) as StateBundle
      const leaf = fromBase64(bundle.leaf)
      const logged = parseEntry(leaf)
      if (logged.kind !== 'state') throw new Error(`entry ${entry} is a ${logged.kind}`)
      expect([logged.change, bundle.change]).toEqual([kind, kind])
      verifyCommitment(logged.statement, 'statement', payloadDigest(bundle.statement), bundle.openings.statement)
      verifyCommitment(logged.tenant, 'tenant', chain.owner.id, bundle.openings.tenant)
      await verifyTlogProof(bundle.proof, leaf, testLog.trust)
    }
    await chain.test.close()
  })
})

describe('what the log says to strangers', () => {
  test('no name, chip, statement or decision can be found by trying (I10)', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain, { host: { country: 'DE' } })
    granted(await ask(chain, node))
    await ask(chain, node, { change: (one) => ({ ...one, modelVersion: 3 }) })
    const store = brokerStore(chain.test.database)
    const chip = toHex(chain.platform.chipId)
    const guesses = [chain.owner.id, chain.owner.model, 'whisper', 'acme', 'rack-7', 'Example GmbH', '"DE"', chip]
    for (let index = 0; ; index++) {
      const entry = await store.read((reader) => reader.loadEntryAt(index))
      if (entry === null) {
        expect(index).toBe(7)
        break
      }
      const text = Buffer.from(entry.leaf).toString()
      for (const guess of guesses) expect(text.includes(guess), `${guess} in ${text}`).toBe(false)
    }
    await chain.test.close()
  })

  test('refusals as counts of their codes, once', async () => {
    const chain = await registered(await open())
    const { broker, clock } = chain.test
    expect(await summariseRefusals(broker)).toBeNull()
    for (const code of ['judge/nonce', 'snp/signature', 'judge/nonce']) await countRefusal(broker, code)
    expect(await summariseRefusals(broker)).toBeNull()
    clock.now += 61
    const index = await summariseRefusals(broker)
    expect(await summariseRefusals(broker)).toBeNull()
    const entry = await brokerStore(chain.test.database).read((reader) => reader.loadEntryAt(index!))
    expect(parseEntry(entry!.leaf)).toMatchObject({
      kind: 'refusals',
      counts: [
        { code: 'judge/nonce', count: 2 },
        { code: 'snp/signature', count: 1 },
      ],
    })
    await chain.test.close()
  })
})

describe('an owner asks', () => {
  test('for heads, leases and bundles of its own, and gets no other', async () => {
    const chain = await registered(await open())
    const { broker, clock } = chain.test
    granted(await ask(chain, await testNode(chain)))
    const query = (part: object = {}, key = chain.owner.key) =>
      signOwnerQuery(
        {
          type: 'claviger/owner-query/v1',
          broker: broker.signer.id,
          tenant: chain.owner.id,
          ask: 'heads',
          entry: null,
          at: clock.now,
          ...part,
        },
        key,
      )
    const { heads } = (await answerOwner(broker, await query())) as { heads: { kind: string; digest: string }[] }
    expect(heads.map((one) => one.kind).toSorted()).toEqual([
      'policy',
      'reference-values',
      'registration',
      'tenant',
      'trust',
    ])
    expect(await answerOwner(broker, await query({ ask: 'leases' }))).toMatchObject({
      leases: [{ model: chain.owner.model, version: 1 }],
    })
    expect(await answerOwner(broker, await query({ ask: 'bundle', entry: 5 }))).toMatchObject({
      type: 'claviger/bundle/v1',
    })
    const code = async (envelope: Promise<Parameters<typeof answerOwner>[1]>) =>
      codeOfPromise(answerOwner(broker, await envelope))
    expect(await code(query({ at: clock.now - 61 }))).toBe('query/time')
    expect(await code(query({ broker: 'B'.repeat(43) }))).toBe('query/broker')
    expect(await code(query({ ask: 'bundle', entry: 77 }))).toBe('broker/unknown-entry')
    expect(await code(query({}, (await testOwner()).key))).toBe('dsse/signer')
    expect(await codeOfPromise(bundleAt(broker, 5, 'another tenant'))).toBe('broker/unknown-entry')
    await chain.test.close()
  })
})
