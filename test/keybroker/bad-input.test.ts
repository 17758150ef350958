import { sql } from 'drizzle-orm'
import { beforeEach, describe, expect, test } from 'vitest'
import { toBase64 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { MiB } from '#core/limits.js'
import { signOwnerQuery } from '#core/wire/owner-query.js'
import { apiVersion, type ReleaseRequest } from '#core/wire/release.js'
import { rowsOf } from '#host/database.js'
import { challenge } from '#keybroker/challenge.js'
import { createTenant } from '#keybroker/changes.js'
import { registerModel } from '#keybroker/register.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { registration, request, tenantStatement, testNode, testOwner } from './fixtures.js'
import { application, type Call, served } from './served.js'

/* What strangers send to the routes of a release, each refused by its own code, with nothing left behind. */

const { open } = anyDatabase()

let world: Awaited<ReturnType<typeof made>>
async function made() {
  const { chain, call } = await served(await open())
  await createTenant(chain.test.broker, await tenantStatement(chain.owner, 'development'))
  await registerModel(chain.test.broker, await registration(chain.test, chain.owner, chain.platform))
  const { app } = await application(chain.test)
  /** JSON as text, since a value cannot hold a member twice. */
  const post = async (path: string, body: string) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await app.hono.request(path, { method: 'POST', body, headers })
    return { status: answer.status, code: ((await answer.json()) as { code?: string }).code }
  }
  const left = async () => {
    const [row] = await chain.test.database.read((db) =>
      rowsOf(
        db,
        sql`select (select count(*) from keybroker.leases)::int as leases, (select count(*) from keybroker.entries)::int as entries`,
      ),
    )
    return row
  }
  return { chain, call, post, left }
}
beforeEach(async () => {
  world = await made()
})

const release = (call: Call, body: ReleaseRequest) => call('POST', '/v1/releases', body)
/** A release that is right, so that what is broken in it is all that is wrong. */
const right = async () => request(world.chain, await testNode(world.chain))

describe('JSON with a member twice', () => {
  const twice: readonly (readonly [string, (text: string) => string])[] = [
    ['at the top', (text) => text.replace('{"', '{"version":"claviger/v1","')],
    ['in the binding', (text) => text.replace('"binding":{', '"binding":{"purpose":"claviger.release.v1",')],
    ['with the same value', (text) => text.replace(/("requestId":"[0-9a-f]+",)/, '$1$1')],
    ['once with an escape', (text) => text.replace('"requestId":', '"requestI\\u0064":"00","requestId":')],
    ['in the evidence', (text) => text.replace('"evidence":{', '"evidence":{"kind":"snp",')],
  ]
  test.each(twice)('%s is refused, and its nonce can still be used', async (_, change) => {
    const { chain, call, post, left } = world
    const before = await left()
    const asked = await request(chain, await testNode(chain))
    const changed = change(JSON.stringify(asked))
    expect(changed).not.toBe(JSON.stringify(asked))
    expect(await post('/v1/releases', changed)).toEqual({ status: 400, code: 'json/duplicate' })
    expect(await left()).toEqual(before)
    expect((await release(call, asked)).status).toBe(200)
  })
})

describe('oversized evidence', () => {
  test.each([
    ['a report', (e: object) => ({ ...e, report: toBase64(randomBytes(100_000)) }), 400],
    ['a revocation list', (e: object) => ({ ...e, crl: toBase64(randomBytes(100_000)) }), 400],
    ['more than a body holds', (e: object) => ({ ...e, crl: 'A'.repeat(2 * MiB) }), 413],
  ] as const)('%s is refused before it is read', async (_, change, status) => {
    const { call, left } = world
    const before = await left()
    const asked = await right()
    const answer = await release(call, { ...asked, evidence: change(asked.evidence) as never })
    expect(answer.status).toBe(status)
    expect(answer.code).toBe(status === 413 ? 'http/body-size' : 'shape/range')
    expect(await left()).toEqual(before)
    expect((await release(call, asked)).status).toBe(200)
  })
})

describe('sessions', () => {
  test('a request again, whole or under another id, is refused: its nonce is spent', async () => {
    const { call, left } = world
    const asked = await right()
    expect((await release(call, asked)).status).toBe(200)
    const before = await left()
    expect((await release(call, asked)).code).toBe('store/nonce-unknown')
    expect((await release(call, { ...asked, requestId: 'ab'.repeat(16) })).code).toBe('store/nonce-unknown')
    expect(await left()).toEqual(before)
  })

  test('parts of two are none, though each is whole', async () => {
    const { chain, call } = world
    const [a, b] = [await testNode(chain), await testNode(chain)]
    const ask = (node: typeof a) => request(chain, node)
    const [one, two] = [await ask(a), await ask(b)]
    expect((await release(call, { ...one, evidence: two.evidence })).code).toBe('judge/report-data')
    expect((await release(call, { ...(await ask(a)), keyset: b.keyset })).code).toBe('judge/keyset-digest')
    const mixed = { ...(await ask(a)), binding: { ...one.binding, nonce: two.binding.nonce } }
    expect((await release(call, mixed)).code).toBe('judge/report-data')
  })

  test('one that is over is refused, and so is one of a model for another', async () => {
    const { chain, call } = world
    const asked = await right()
    const { expiresAt } = await challenge(chain.test.broker, chain.owner.model, null)
    chain.test.clock.now = expiresAt + 1
    expect((await release(call, asked)).code).toBe('store/nonce-unknown')
    const node = await testNode(chain)
    const { nonce } = await challenge(chain.test.broker, `${chain.owner.id}/other`, null)
    expect((await release(call, await request(chain, node, { nonce }))).code).toBe('store/nonce-unknown')
  })
})

describe('another tenant', () => {
  test('gets no key, no question and no bundle of this one', async () => {
    const { chain, call, left } = world
    const { broker } = chain.test
    const other = await testOwner()
    await createTenant(broker, await tenantStatement(other, 'development'))
    await registerModel(broker, await registration(chain.test, other, chain.platform))
    const before = await left()
    const node = await testNode(chain)
    // The model of the other with the challenge, the settings and the trust of this one.
    const asked = await request(chain, node)
    const crossed = { ...asked, binding: { ...asked.binding, model: other.model } }
    expect((await release(call, crossed)).code).toBe('store/nonce-unknown')
    const { nonce } = await challenge(broker, other.model, null)
    const bound = await request(chain, node, { nonce, binding: { model: other.model } })
    expect((await release(call, bound)).code).not.toBe(undefined)
    const question = async (tenant: string, ask: 'heads' | 'bundle') =>
      signOwnerQuery(
        {
          type: 'claviger/owner-query/v1',
          broker: broker.signer.id,
          tenant,
          ask,
          entry: ask === 'bundle' ? 0 : null,
          at: chain.test.clock.now,
        },
        other.key,
      )
    const query = async (tenant: string, ask: 'heads' | 'bundle') =>
      (await call('POST', '/v1/queries', { version: apiVersion, query: await question(tenant, ask) })).code
    expect(await query(chain.owner.id, 'heads')).toBe('dsse/signer')
    // An entry of this tenant is for the other as one that is not there.
    expect(await query(other.id, 'bundle')).toBe('broker/unknown-entry')
    expect((await left())?.leases).toEqual(before?.leases)
  })
})
