import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { generateSigningKey } from '#core/crypto/sign.js'
import { apiKeyHash } from '#core/wire/access-list.js'
import { signOwnerQuery } from '#core/wire/owner-query.js'
import { apiVersion, type ReleaseRequest } from '#core/wire/release.js'
import { rowsOf } from '#host/database.js'
import { acceptStatement, createTenant } from '#keybroker/changes.js'
import { registerModel } from '#keybroker/register.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  ask,
  change,
  permitAll,
  registration,
  request,
  sign,
  startTime,
  tenantStatement,
  testNode,
} from './fixtures.js'
import { served } from './served.js'

const { open } = anyDatabase()
const apiKey = `claviger_key_${'A'.repeat(43)}`

async function world(policy = permitAll) {
  const { chain, call } = await served(await open())
  const { test: made, owner } = chain
  const platform = await testPlatform({ at: startTime })
  await createTenant(made.broker, await tenantStatement(owner, 'development'))
  await registerModel(made.broker, await registration(made, owner, platform, { policy }))
  const question = async (asked: 'qualify' | 'heads' = 'qualify', key = owner.key) =>
    signOwnerQuery(
      {
        type: 'claviger/owner-query/v1',
        broker: made.broker.signer.id,
        tenant: owner.id,
        ask: asked,
        entry: null,
        at: made.clock.now,
      },
      key,
    )
  const node = await testNode(chain)
  const asking = (change: (one: ReleaseRequest) => ReleaseRequest = (one) => one) =>
    request(chain, node, { binding: { purpose: 'claviger.qualify.v1' }, change })
  const post = (body: object, headers = {}) => call('POST', '/v1/qualify', { version: apiVersion, ...body }, headers)
  const entries = async () =>
    made.database.read((db) => rowsOf(db, sql`select count(*)::int as n from keybroker.entries`))
  return { chain, node, question, asking, post, entries, made, owner }
}

describe('would this node get this model', () => {
  test('yes, with nothing released, granted or logged; a release is another question', async () => {
    const { chain, node, question, asking, post, entries } = await world()
    const before = await entries()
    const asked = await asking()
    const answer = await post({ request: asked, query: await question() })
    expect(answer).toMatchObject({ status: 200, body: { qualifies: true, reasons: [], platform: 'simulated' } })
    expect(await entries()).toEqual(before)
    // The nonce is spent, and evidence for this question is none for a release.
    expect((await post({ request: asked, query: await question() })).code).toBe('store/nonce-unknown')
    const other = await ask(chain, node, { binding: { purpose: 'claviger.qualify.v1' } }).catch((error) => error)
    expect(other).toMatchObject({ code: 'judge/purpose' })
    const plain = await request(chain, node)
    expect((await post({ request: plain, query: await question() })).code).toBe('judge/purpose')
  })

  test('no, and why: the owner reads the values that it accepts, a host does not', async () => {
    const { chain, question, asking, post, owner, made } = await world()
    const values = testReferenceValues()
    const secret = 'cd'.repeat(48)
    await acceptStatement(
      made.broker,
      'reference-values',
      await sign(owner, 'reference-values', { values: { ...values, snp: { ...values.snp!, measurements: [secret] } } }),
    )
    const told = await post({ request: await asking(), query: await question() })
    expect(told).toMatchObject({ status: 200, body: { qualifies: false } })
    expect(JSON.stringify(told.body)).toContain(secret)
    const identities = (['host', 'auditor'] as const).map((role) => ({
      id: role,
      role,
      notBefore: startTime - 60,
      expiresAt: startTime + 3600,
      proof: { kind: 'api-key' as const, hash: apiKeyHash(apiKey.replace('A', role[0]!)) },
    }))
    await change(chain, 'access', { identities, authorities: [], requestsPerMinute: 100 })
    const as = (role: 'host' | 'auditor') => ({ authorization: `Bearer ${apiKey.replace('A', role[0]!)}` })
    const host = await post({ request: await asking(), query: null }, as('host'))
    expect(host).toMatchObject({ status: 200, body: { qualifies: false, policyDigest: null } })
    expect((host.body as { reasons: { id: string }[] }).reasons.map(({ id }) => id)).toContain('attest/measurement')
    expect(JSON.stringify(host.body)).not.toContain(secret)
    expect((await post({ request: await asking(), query: null }, as('auditor'))).code).toBe('access/role')
  })

  test('nobody is answered without a credential, by another key, or beside another question', async () => {
    const { question, asking, post } = await world()
    const { key } = await generateSigningKey('ES256')
    expect((await post({ request: await asking(), query: null })).code).toBe('access/credential')
    const bearer = { authorization: `Bearer ${apiKey}` }
    expect((await post({ request: await asking(), query: null }, bearer)).status).toBeGreaterThanOrEqual(400)
    expect((await post({ request: await asking(), query: await question('qualify', key) })).code).toBe('dsse/signer')
    expect((await post({ request: await asking(), query: await question('heads') })).code).toBe('query/ask')
  })

  test('a quota of its own: releases go on when it is used up', async () => {
    const { chain, node, question, asking, post } = await world()
    const asked = await asking()
    const codes: (string | undefined)[] = []
    // The minute is the database's, and may end in between.
    while (codes.at(-1) !== 'broker/rate' && codes.length < 62)
      codes.push((await post({ request: asked, query: await question() })).code)
    expect(codes.length).toBeGreaterThan(30)
    expect(codes.at(-1)).toBe('broker/rate')
    expect((await ask(chain, node)).kind).toBe('granted')
  })
})
