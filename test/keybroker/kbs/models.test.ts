import { describe, expect, test } from 'vitest'
import { fromBase64 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import type { KbsBundle } from '#core/wire/bundle.js'
import { verifyCommitment } from '#core/wire/commitment.js'
import { parseEntry } from '#core/wire/entries.js'
import { bundleAt } from '#keybroker/queries.js'
import { DevelopmentRoots } from '#keybroker/service/development-roots.js'
import { openJwe } from '#test/fakes/kbs-client.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { vkeyOf } from '#test/transparency/fixtures.js'
import { change, type Registered, registered, registrationBody, trustBody } from '../fixtures.js'
import { adminToken, errorOf, guest, pathOf, route } from './fixtures.js'

const both = { registration: { delivery: ['v1', 'kbs'] as const } }

/** The newest entries of the log that are decisions of this route. */
async function decisions(chain: Registered) {
  const { broker, database } = chain.test
  const { loadPendingEntries } = await import('#keybroker/store/entries.js')
  expect(await loadPendingEntries(database.db, 10)).toEqual([])
  const out = []
  for (let index = 0; ; index++) {
    const stored = await broker.store.read((reader) => reader.loadEntryAt(index))
    if (stored === null) return out
    const entry = parseEntry(stored.leaf)
    if (entry.kind === 'kbs') out.push({ index, entry })
  }
}

const databases = databasesUnderTest()

describe.each(databases)('model keys on the KBS route, on $name', ({ open }) => {
  test('do not leave under a log that the owner does not name, nor by a clock that the witnesses contradict', async () => {
    const chain = await registered(await open(), both)
    const other = await generateSigningKey('Ed25519')
    const body = trustBody(chain.test, chain.platform)
    await change(chain, 'trust', { ...body, logs: [vkeyOf('log.example/other', other.key)] })
    const strange = await guest(chain)
    expect((await strange.get(pathOf(chain))).status).not.toBe(200)
    await change(chain, 'trust', body)
    const { get } = await guest(chain)
    chain.test.clock.now -= 90
    expect((await get(pathOf(chain))).status).not.toBe(200)
    chain.test.clock.now += 90
    expect((await get(pathOf(chain))).status).toBe(200)
    await chain.test.close()
  })
  test('leave when their owner lists it, behind an entry of the log', async () => {
    const chain = await registered(await open(), both)
    const { key, get } = await guest(chain)
    const answer = await get(pathOf(chain))
    expect(answer.status).toBe(200)
    expect(openJwe(key, await answer.text()).equals(chain.owner.dek)).toBe(true)
    const [decision, ...more] = await decisions(chain)
    expect(more).toEqual([])
    expect(decision!.entry).toMatchObject({
      allow: true,
      reasons: [],
      client: 'unleased, unproven client',
      platform: 'simulated',
      manifest_digest: chain.owner.manifestDigest,
    })
    const bundle = (await bundleAt(chain.test.broker, decision!.index, chain.owner.id)) as KbsBundle
    expect(parseEntry(fromBase64(bundle.leaf))).toEqual(decision!.entry)
    verifyCommitment(decision!.entry.resource, 'resource', bundle.resource, bundle.openings.resource)
    verifyCommitment(decision!.entry.decision, 'decision', bundle.decision, bundle.openings.decision)
    verifyCommitment(decision!.entry.tenant!, 'tenant', chain.owner.id, bundle.openings.tenant!)
    const live = await chain.test.broker.store.read((reader) =>
      reader.listLiveLeases(chain.owner.id, null, chain.test.clock.now),
    )
    expect(live).toEqual([])
    await chain.test.close()
  })

  test('stay when the owner’s policy forbids, and the denial stands in the log', async () => {
    const chain = await registered(await open(), {
      ...both,
      policy: '@id("none") forbid (principal, action, resource);',
    })
    const { get } = await guest(chain)
    const answer = await get(pathOf(chain))
    expect(await errorOf(answer)).toMatchObject({ code: 'kbs/policy-deny', status: 403 })
    expect((await decisions(chain)).map(({ entry }) => [entry.allow, entry.reasons])).toEqual([
      [false, ['claviger/no-permit', 'none']],
    ])
    await chain.test.close()
  })

  test('stay when the log does not take the entry', async () => {
    const chain = await registered(await open(), both)
    const { get } = await guest(chain)
    chain.test.faults.before = (step) => {
      if (step === 'log.append') throw new Error('the log is away')
    }
    const answer = await get(pathOf(chain))
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('ciphertext')
    await chain.test.close()
  })
})

describe.each(databases.slice(0, 1))('model keys on the KBS route', ({ open }) => {
  test('stay when their owner does not list it: no entry, no difference to a model that is not there', async () => {
    const chain = await registered(await open(), { registration: { delivery: ['v1'] } })
    const { get } = await guest(chain)
    const listed = await errorOf(await get(pathOf(chain)))
    const absent = await errorOf(await get(`/kbs/v0/resource/${'A'.repeat(43)}/nothing/1`))
    expect(listed).toMatchObject({ code: 'kbs/policy-deny' })
    expect(listed).toEqual(absent)
    expect(await decisions(chain)).toEqual([])
    await chain.test.close()
  })

  test('follow the owner: a route taken back, a measurement revoked, reference values changed after attestation (I5)', async () => {
    const chain = await registered(await open(), both)
    const { get } = await guest(chain)
    expect((await get(pathOf(chain))).status).toBe(200)
    await change(chain, 'reference-values', { values: testReferenceValues({ measurements: ['cd'.repeat(48)] }) })
    expect((await get(pathOf(chain))).status).toBe(403)
    await change(chain, 'reference-values', { values: testReferenceValues() })
    expect((await get(pathOf(chain))).status).toBe(200)
    const measurement = 'ab'.repeat(48)
    await change(chain, 'revocation', { revoked: [{ kind: 'measurement', value: measurement }], reason: 'broken' })
    expect((await get(pathOf(chain))).status).toBe(403)
    await change(chain, 'revocation', { revoked: [], reason: 'mended' })
    await change(chain, 'registration', registrationBody(chain.owner, { delivery: ['v1'] }))
    expect((await get(pathOf(chain))).status).toBe(403)
    const reasons = (await decisions(chain)).map(({ entry }) => entry.reasons)
    expect(reasons.map(([first]) => first)).toEqual([
      undefined,
      'attest/measurement',
      undefined,
      'judge/revoked-measurement',
    ])
    await chain.test.close()
  })

  test('of a production tenant never go to simulated evidence, whatever the route accepts (I6)', async () => {
    const chain = await registered(await open(), { ...both, class: 'production' })
    const { broker, database } = chain.test
    expect(await new DevelopmentRoots(broker, database, () => undefined).read()).toEqual([])
    const { get } = await guest(chain, route(chain, [], [chain.platform.rootDigest]))
    expect((await get(pathOf(chain))).status).toBe(403)
    expect(await decisions(chain)).toEqual([])
    await chain.test.close()
  })

  test('need the evidence itself: a token outlives it by nothing', async () => {
    const chain = await registered(await open(), both)
    const { kbs, token } = await guest(chain)
    const headers = { authorization: `Bearer ${token}` }
    expect((await kbs.ask('GET', pathOf(chain), { headers })).status).toBe(200)
    const { sql } = await import('drizzle-orm')
    await chain.test.database.db.execute(sql`delete from keybroker.kbs_evidence`)
    const answer = await kbs.ask('GET', pathOf(chain), { headers })
    expect(await errorOf(answer)).toMatchObject({ code: 'kbs/token', status: 401 })
    expect((await kbs.ask('GET', pathOf(chain, 2), { headers })).status).toBe(403)
    await chain.test.close()
  })

  test('have no say in resources of the operator, whose decisions stand in the log too', async () => {
    const chain = await registered(await open(), both)
    const kbs = route(chain, [])
    const admin = { authorization: `Bearer ${adminToken}` }
    await kbs.ask('POST', '/kbs/v0/resource/a/b/c', { body: 'x', headers: admin })
    const denied = await guest(chain, kbs)
    expect((await denied.get('/kbs/v0/resource/a/b/c')).status).toBe(403)
    // Whatever status an operator lets in: what is simulated is listed by that name alone.
    const listed = await guest(chain, route(chain, ['affirming', 'warning', 'contraindicated']))
    expect((await listed.get('/kbs/v0/resource/a/b/c')).status).toBe(403)
    const allowed = await guest(chain, route(chain, ['simulated']))
    const answer = await allowed.get('/kbs/v0/resource/a/b/c')
    expect(openJwe(allowed.key, await answer.text()).toString()).toBe('x')
    const made = await decisions(chain)
    expect(made.map(({ entry }) => [entry.allow, entry.tenant, entry.reasons])).toEqual([
      [false, null, ['resource-tier/simulated']],
      [false, null, ['resource-tier/simulated']],
      [true, null, []],
    ])
    expect(await bundleAt(chain.test.broker, made[0]!.index, null)).toMatchObject({ resource: 'a/b/c' })
    await expect(bundleAt(chain.test.broker, made[0]!.index, chain.owner.id)).rejects.toMatchObject({
      code: 'broker/unknown-entry',
    })
    await chain.test.close()
  })
})
