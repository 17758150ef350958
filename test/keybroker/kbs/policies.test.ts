import { createHash } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { verifyCommitment } from '#core/wire/commitment.js'
import { parseEntry } from '#core/wire/entries.js'
import { rowsOf } from '#host/database.js'
import { decideOperatorResource } from '#keybroker/kbs/decide.js'
import type { PassportToken } from '#keybroker/kbs/passport.js'
import {
  type KbsClass,
  noPolicies,
  type OperatorPolicies,
  withAttestationPolicy,
  withResourcePolicy,
} from '#keybroker/kbs/policies.js'
import { parseResourcePath } from '#keybroker/kbs/resource.js'
import type { KbsToken } from '#keybroker/kbs/token.js'
import type { GuestEvidence } from '#policies/guest/facts.js'
import { policyDigest } from '#policies/language/validate.js'
import { openJwe } from '#test/fakes/kbs-client.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import type { LogCode } from '#transparency/failures.js'
import { registered } from '../fixtures.js'
import { adminToken, errorOf, guest, route } from './fixtures.js'

/**
 * The texts of the reference project that are recognised, as its command sends them.
 * Source: confidential-containers/trustee, kbs/sample_policies, v0.21.0 and v0.9.0; Apache-2.0.
 */
const allowAll =
  'package policy\n\ndefault allow = false\n\nplugin = data.plugin\n\nallow if {\n\tplugin == "resource"\n}\n\n'
const olderAllowAll = '\npackage policy\n\ndefault allow = true\n\n'
const olderDenyAll = '\npackage policy\n\ndefault allow = false\n'
const base64Url = (text: string) => Buffer.from(text).toString('base64url')

const permit = (head = 'principal, action, resource', when = '') =>
  `@id("rule") permit (${head})${when === '' ? '' : ` when { ${when} }`};`

describe('policies of the operator', () => {
  const uploaded = (text: string, type = 'cedar', id = 'resource-policy', kbsClass: KbsClass = 'production') =>
    withResourcePolicy(noPolicies, { type, id, bytes: utf8(text) }, kbsClass)

  test('take Cedar in their own words, and nothing else', () => {
    expect(uploaded(permit()).resource).toMatchObject([{ id: 'resource-policy', kind: 'cedar' }])
    for (const [text, type, id] of [
      [permit('principal, action, resource', 'context.place.stated'), 'cedar', 'resource-policy'],
      [permit('principal, action == Claviger::Action::"release", resource'), 'cedar', 'resource-policy'],
      ['permit (principal, action, resource);', 'cedar', 'resource-policy'],
      [permit('principal, action, resource', 'context.evidence.tee == "abacus"'), 'cedar', 'resource-policy'],
      ['', 'cedar', 'resource-policy'],
      [permit(), 'wasm', 'resource-policy'],
      [permit(), 'rego', 'resource-policy'],
      [permit(), 'cedar', 'default/..'],
      [permit(), 'cedar', 'default/.x/*'],
      [permit(), 'cedar', '*'],
      [permit(), 'cedar', '../../x'],
    ] as const) {
      expect(() => uploaded(text, type, id), `${text} ${type} ${id}`).toThrow(
        expect.objectContaining({ code: 'kbs/policy-language' }),
      )
    }
    expect(() => uploaded(permit(), 'cedar', `${'A'.repeat(43)}/whisper/*`)).toThrow(
      expect.objectContaining({ code: 'kbs/policy-deny' }),
    )
  })

  test('recognise two texts in Rego by their exact bytes', () => {
    for (const text of [allowAll, olderAllowAll]) {
      expect(uploaded(text, 'rego', 'resource-policy', 'development').resource[0]).toMatchObject({ kind: 'allow-all' })
      expect(() => uploaded(text, 'rego')).toThrow(expect.objectContaining({ code: 'kbs/policy-language' }))
      for (const other of [`${text} `, text.replace('policy', 'Policy'), text.trim()])
        expect(() => uploaded(other, 'rego', 'resource-policy', 'development')).toThrow(/Cedar/)
    }
    expect(uploaded(olderDenyAll, 'rego').resource[0]).toMatchObject({ kind: 'deny-all', text: null })
    // The newest text to deny is two pages of comments; it is known by its digest alone.
    expect(createHash('sha256').update(allowAll).digest('hex')).toMatch(/^65e44d6e/)
  })

  const path = parseResourcePath('default/key/one')
  const evidence: GuestEvidence = { tee: 'snp', platform: 'hardware', measurement: 'ab'.repeat(48), tcb: {} }
  const own = (status: string, hardware = 'hardware', tee: object = { snp: { measurement: 'ab'.repeat(48) } }) =>
    ({
      kind: 'own',
      claims: {
        iat: 1000,
        claviger_hardware: hardware,
        submods: { cpu0: { 'ear.status': status, 'ear.veraison.annotated-evidence': { init_data: null, ...tee } } },
      },
    }) as unknown as KbsToken
  const verifier = 'V'.repeat(43)
  const passport = (tier: PassportToken['tier'], platform: GuestEvidence['platform'] = 'vouched') =>
    ({ kind: 'passport', verifier, issuedAt: 1000, tier, evidence: { ...evidence, platform } }) as PassportToken
  const decide = (
    token: KbsToken | PassportToken,
    policies: OperatorPolicies,
    kbsClass: KbsClass = 'production',
    tiers: readonly ('affirming' | 'simulated')[] = ['affirming'],
  ) => decideOperatorResource({ path, token, policies, tiers, kbsClass, at: 1060 })

  test('decide for the most specific of them', () => {
    const put = (now: OperatorPolicies, id: string, text: string) =>
      withResourcePolicy(now, { type: 'cedar', id, bytes: utf8(text) }, 'production')
    let policies = put(noPolicies, 'resource-policy', permit())
    expect(decide(own('warning'), policies)).toMatchObject({ allow: true, policy: { id: 'resource-policy' } })
    const no = permit('principal, action, resource', 'context.path.tag == "two"')
    for (const id of ['default/*', 'default/key/*', 'default/key/one']) {
      policies = put(policies, id, no)
      expect(decide(own('warning'), policies)).toMatchObject({ allow: false, reasons: ['no-permit'], policy: { id } })
      policies = put(policies, id, permit())
      expect(decide(own('warning'), policies)).toMatchObject({ allow: true, policy: { id } })
    }
  })

  test('deny where a fact that they read is absent, a forbid’s too', () => {
    const forbid = `${permit()} @id("not-old") forbid (principal, action, resource) when { context.evidence.tcbStatus == "OutOfDate" };`
    expect(decide(own('affirming'), uploaded(forbid))).toMatchObject({
      allow: false,
      reasons: ['policy-error/not-old'],
    })
    const named = permit('principal, action, resource', `context.evidence.measurement == "${'ab'.repeat(48)}"`)
    expect(decide(own('warning'), uploaded(named)).allow).toBe(true)
    expect(decide(own('warning', 'hardware', { snp: {} }), uploaded(named)).allow).toBe(false)
    expect(decide(own('warning', 'hardware', {}), uploaded(permit())).allow).toBe(false)
  })

  test('never give to simulated guests in production, nor to what is contraindicated', () => {
    const all = uploaded(permit())
    const simulated = own('contraindicated', 'NOT HARDWARE')
    expect(decide(simulated, all)).toMatchObject({ allow: false, reasons: ['evidence-simulated/development-only'] })
    expect(decide(simulated, all, 'development').allow).toBe(true)
    expect(decide(own('contraindicated'), all, 'development')).toMatchObject({
      allow: false,
      reasons: ['evidence-tier/contraindicated'],
    })
    // A row that stands in the database although it could not have been uploaded.
    const planted: OperatorPolicies = {
      ...noPolicies,
      resource: [{ id: 'resource-policy', kind: 'allow-all', text: null }],
    }
    expect(decide(own('affirming'), planted)).toMatchObject({
      allow: false,
      reasons: ['allow-all/development-only'],
    })
    expect(decide(own('affirming'), planted, 'development').allow).toBe(true)
  })

  test('take another verifier’s word only where a permit names that verifier', () => {
    const named = (who: string) => uploaded(permit(`principal == Claviger::Verifier::"${who}", action, resource`))
    expect(decide(passport('affirming'), named(verifier)).allow).toBe(true)
    expect(decide(passport('affirming'), named('W'.repeat(43)))).toMatchObject({ allow: false, reasons: ['no-permit'] })
    expect(decide(passport('affirming'), uploaded(permit()))).toMatchObject({ reasons: ['verifier-not-named'] })
    const inside = permit('principal, action, resource', `principal == Claviger::Verifier::"${verifier}"`)
    expect(decide(passport('affirming'), uploaded(inside)).allow).toBe(false)
    for (const [tier, platform] of [['none'], ['contraindicated'], ['affirming', 'simulated']] as const)
      expect(decide(passport(tier, platform), named(verifier)).allow).toBe(false)
    // Nor does the rule that is built in, nor the text that allows everybody.
    expect(decide(passport('affirming'), noPolicies)).toMatchObject({ reasons: ['verifier-not-named'] })
    const everybody = uploaded(allowAll, 'rego', 'resource-policy', 'development')
    expect(decide(passport('affirming'), everybody, 'development').allow).toBe(false)
    const hardware = permit(
      `principal == Claviger::Verifier::"${verifier}", action, resource`,
      'context.evidence.platform == "hardware"',
    )
    expect(decide(passport('affirming'), uploaded(hardware)).allow).toBe(false)
  })

  test('judge only the class of evidence that is verified here', () => {
    const sent = { type: 'cedar', id: 'default_gpu', bytes: utf8(permit()) }
    expect(() => withAttestationPolicy(noPolicies, sent, 'production')).toThrow(/default_cpu/)
    const words = permit('principal, action, resource', 'context.evidence.tier == "affirming"')
    expect(() =>
      withAttestationPolicy(noPolicies, { type: 'cedar', id: 'default_cpu', bytes: utf8(words) }, 'production'),
    ).toThrow(expect.objectContaining({ code: 'kbs/policy-language' }))
  })
})

const headers = { authorization: `Bearer ${adminToken}` }

describe.each(databasesUnderTest())('policies of the operator on $name', ({ open }) => {
  test('stand in the log before anything is decided by them, each with the one that it replaces', async () => {
    const chain = await registered(await open(), {})
    const { broker, database, faults } = chain.test
    const kbs = route(chain, [], undefined, undefined, { kbsClass: 'development' })
    const resource = '/kbs/v0/resource/default/key/one'
    await kbs.ask('POST', resource, { body: 'the secret', headers })
    const { get } = await guest(chain, kbs)
    const upload = async (text: string, to = 'resource-policy', more: object = { type: 'cedar' }) => {
      const body = JSON.stringify({ policy: base64Url(text), ...more })
      return (await kbs.ask('POST', `/kbs/v0/${to}`, { body, headers })).status
    }
    const logged = async () => {
      const rows = await rowsOf(
        database.db,
        sql`select leaf, bundle, entry_index from keybroker.entries where kind in ('kbs-policy', 'kbs') order by entry_index`,
      )
      return rows.map(({ leaf, bundle, entry_index: index }) => ({
        entry: parseEntry(new Uint8Array(leaf as Uint8Array)),
        beside: JSON.parse(Buffer.from(bundle as Uint8Array).toString()) as never,
        index: index === null ? null : Number(index),
      }))
    }
    const first = permit('principal, action, resource', 'context.path.tag == "other"')
    expect(await upload(first)).toBe(200)
    expect(await upload(first)).toBe(200) // says what stands already
    expect(await upload(permit())).toBe(200)
    const affirm = permit('principal, action == Claviger::Action::"affirm", resource')
    expect(await upload(affirm, 'attestation-policy', { type: 'cedar', policy_id: 'default_cpu' })).toBe(200)
    const policies = await logged()
    const digests = [first, permit(), affirm].map((text) => policyDigest(text))
    const common = { kind: 'kbs-policy', class: 'development', broker: 'UNATTESTED BROKER' }
    expect(policies.map(({ entry }) => entry)).toMatchObject([
      { ...common, decides: 'resource', policy_digest: digests[0], previous_digest: null },
      { ...common, decides: 'resource', policy_digest: digests[1], previous_digest: digests[0] },
      { ...common, decides: 'attestation', policy_digest: digests[2], previous_digest: null },
    ])
    for (const { entry, beside } of policies) {
      const { policy, openings } = beside as { policy: object; openings: { policy: string } }
      if (entry.kind === 'kbs-policy') verifyCommitment(entry.policy, 'policy', policy, openings.policy)
    }
    for (const { index } of policies) expect(index).not.toBe(null)

    // The log is away: the policy is stored with its entry, and nothing is decided by it until the log has that.
    faults.before = (step) => {
      if (step === 'log.append') throw new Failure<LogCode>('log/witness-unavailable', 'no quorum')
    }
    expect(await upload(permit('principal, action, resource', 'context.path.tag == "one"'))).toBeGreaterThanOrEqual(500)
    expect((await get(resource)).status).toBeGreaterThanOrEqual(500)
    const waiting = await logged()
    expect(waiting.map(({ index }) => index === null)).toEqual([false, false, false, true])
    faults.before = () => undefined
    expect((await get(resource)).status).toBe(200)
    const kinds = (await logged()).map(({ entry }) => entry.kind)
    expect(kinds).toEqual(['kbs-policy', 'kbs-policy', 'kbs-policy', 'kbs-policy', 'kbs'])

    // An entry that whoever writes the database put among those that wait reaches no log.
    await database.db.execute(sql`insert into keybroker.entries (id, kind, is_state, leaf, bundle, recorded_at)
      select repeat('0', 32), kind, is_state, leaf, bundle, recorded_at from keybroker.entries where kind = 'kbs-policy' limit 1`)
    expect((await get(resource)).status).toBeGreaterThanOrEqual(500)
    expect(await broker.log.proof(policies[0]!.index!)).toContain('tlog-proof')
    await chain.test.close()
  })

  test('are uploaded, hold for every replica, and cannot be changed, taken away or moved in the database', async () => {
    const chain = await registered(await open(), {})
    const kbs = route(chain, [], undefined, undefined, { kbsClass: 'development' })
    const other = route(chain, [], undefined, undefined, { kbsClass: 'development' })
    const production = route(chain, [])
    const resource = '/kbs/v0/resource/default/key/one'
    await kbs.ask('POST', resource, { body: 'the secret', headers })
    const { get, key } = await guest(chain, kbs)
    expect((await get(resource)).status).toBe(403)
    const upload = (text: string, more: object, to = kbs) =>
      to.ask('POST', '/kbs/v0/resource-policy', { body: JSON.stringify({ policy: base64Url(text), ...more }), headers })
    const stranger = await kbs.ask('POST', '/kbs/v0/resource-policy', { body: '{}' })
    expect(await errorOf(stranger)).toMatchObject({ code: 'kbs/admin', status: 401 })

    // The command of the reference project sends no type: that is Rego.
    expect((await upload(allowAll, {}, production)).status).toBe(422)
    const done = await upload(allowAll, {}, other)
    expect([done.status, await done.text(), done.headers.get('content-type')]).toEqual([200, '', 'text/xml'])
    const answer = await get(resource)
    expect(openJwe(key, await answer.text()).toString()).toBe('the secret')

    const byPath = permit('principal, action, resource == Claviger::Resource::"default/key/one"')
    const none = permit('principal, action, resource', 'context.path.tag == "other"')
    const [one, two] = await Promise.all([
      upload(byPath, { type: 'cedar', policy_id: 'default/key/*' }, other),
      upload(none, { type: 'cedar', policy_id: 'default/*' }),
    ])
    expect([one.status, two.status]).toEqual([200, 200])
    const ids = await kbs.ask('GET', '/kbs/v0/resource-policy', { headers })
    expect(await ids.json()).toEqual(['default/*', 'default/key/*', 'resource-policy'])
    expect((await get(resource)).status).toBe(200)

    const { db } = chain.test.database
    // Another's row in its place, and one policy of development in production, do not open; none at all allows nobody.
    const rows = () => db.execute(sql`select path from keybroker.resources`)
    expect(JSON.stringify(await rows())).toContain('.policies/development')
    await db.execute(sql`update keybroker.resources set path = '.policies/production' where path like '.policies/%'`)
    expect((await upload(none, { type: 'cedar' }, production)).status).toBeGreaterThanOrEqual(500)
    await db.execute(sql`update keybroker.resources set path = '.policies/development',
      sealed = (select sealed from keybroker.resources where path = 'default/key/one'),
      wrapped_key = (select wrapped_key from keybroker.resources where path = 'default/key/one')
      where path like '.policies/%'`)
    expect((await get(resource)).status).toBeGreaterThanOrEqual(500)
    await db.execute(sql`delete from keybroker.resources where path like '.policies/%'`)
    expect((await get(resource)).status).toBe(403)
    await chain.test.close()
  })
})
