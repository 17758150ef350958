import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { toBase64 } from '#core/bytes/bytes.js'
import { canonicalJson } from '#core/encoding/json.js'
import { MiB } from '#core/limits.js'
import { verifyAccessList } from '#core/wire/access-list.js'
import { parseEntry } from '#core/wire/entries.js'
import { countRefusal, summariseRefusals } from '#keybroker/refusals.js'
import { openAccess } from '#keybroker/service/access.js'
import { openIssuers } from '#keybroker/service/issuers.js'
import { codeOf } from '#test/fakes/code-of.js'
import { certified } from '#test/fakes/machine-certificates.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { startTime } from '../fixtures.js'
import { bearer } from '../served.js'
import { forgedList, identity, later, list, newKey, twoTenants } from './fixtures.js'

const databases = databasesUnderTest()

describe.each(databases)('an API key, on $name', ({ open }) => {
  test('reads what its role may, until it is revoked', async () => {
    const { owner, say, get } = await twoTenants(await open())
    const [own, audit, host] = [newKey(), newKey(), newKey()]
    const all = [
      identity('me', 'owner', own.proof),
      identity('audit', 'auditor', audit.proof),
      identity('dc-1', 'host', host.proof),
    ]
    expect((await say(owner, list(all))).status).toBe(200)
    expect((await get(owner, 'access', host.key)).body).toMatchObject({ id: 'dc-1', role: 'host', expiresAt: later })
    for (const { key } of [own, audit]) {
      expect((await get(owner, 'leases', key)).body).toMatchObject({ leases: [] })
      const { heads } = (await get(owner, 'statements', key)).body as { heads: { kind: string }[] }
      expect(heads.map(({ kind }) => kind)).toContain('access')
      expect((await get(owner, 'usage', key)).status).toBe(200)
      expect((await get(owner, 'bundles/0', key)).body).toMatchObject({ type: 'claviger/state-bundle/v1' })
    }
    for (const what of ['leases', 'statements', 'usage', 'bundles/0'])
      expect(await get(owner, what, host.key)).toMatchObject({ status: 403, code: 'access/role' })

    expect((await say(owner, list([all[0]!]))).status).toBe(200)
    expect(await get(owner, 'leases', audit.key)).toMatchObject({ status: 404, code: 'broker/unknown-tenant' })
    expect((await get(owner, 'leases', own.key)).status).toBe(200)
  })

  test('is of one tenant: at another it is answered as at one that does not exist', async () => {
    const { chain, owner, other, say, get, call } = await twoTenants(await open())
    const { key, proof } = newKey()
    await say(owner, list([identity('me', 'owner', proof)]))
    await say(other, list([identity('me', 'owner', newKey().proof)]))
    const nobody = { id: 'A'.repeat(43) }
    const strange = { id: '%00' }
    const answers = await Promise.all([other, nobody, strange].map((one) => get(one, 'leases', key)))
    expect(answers[0]).toMatchObject({ status: 404, code: 'broker/unknown-tenant' })
    expect(answers[1]).toEqual(answers[0])
    expect(answers[2]).toEqual(answers[0])
    // Entry 1 was made by another owner than entry 0, or by the same: of it only its own sees anything.
    const mine: number[] = []
    for (let entry = 0; entry < 8; entry++)
      if ((await get(owner, `bundles/${entry}`, key)).status === 200) mine.push(entry)
    const all = []
    for (let entry = 0; entry < 8; entry++)
      if ((await call('GET', `/v1/bundles/${entry}`, undefined, bearer)).status === 200) all.push(entry)
    expect(mine.length).toBeGreaterThan(3)
    expect(all.length).toBeGreaterThan(mine.length)
    const foreign = all.find((entry) => !mine.includes(entry))!
    const unknown = await get(owner, 'bundles/999', key)
    const hidden = await get(owner, `bundles/${foreign}`, key)
    expect({ ...hidden, body: null }).toEqual({ ...unknown, body: null })
    expect(hidden.code).toBe('broker/unknown-entry')
    expect(chain.owner.id).not.toBe(other.id)
  })

  test('counts within its time alone', async () => {
    const { chain, owner, say, get } = await twoTenants(await open())
    const [past, future] = [newKey(), newKey()]
    const over = identity('past', 'owner', past.proof, { notBefore: startTime - 100, expiresAt: startTime + 100 })
    await say(owner, list([over, identity('future', 'owner', future.proof, { notBefore: startTime + 5000 })]))
    expect((await get(owner, 'leases', past.key)).status).toBe(200)
    expect(await get(owner, 'leases', future.key)).toMatchObject({ status: 401, code: 'access/expired' })
    chain.test.clock.now = startTime + 100
    expect((await get(owner, 'leases', past.key)).code).toBe('access/expired')
  })

  test('is neither the admin token nor an owner’s signature', async () => {
    const { owner, say, get, call } = await twoTenants(await open())
    const { key, proof } = newKey()
    await say(owner, list([identity('me', 'owner', proof)]))
    const headers = { authorization: `Bearer ${key}` }
    expect((await call('GET', '/v1/bundles/0', undefined, headers)).code).toBe('broker/admin-token')
    const forged = await forgedList(owner, list([]))
    const body = { version: 'claviger/v1', kind: 'access', statement: forged.envelope }
    expect((await call('POST', '/v1/statements', body, headers)).status).toBeGreaterThanOrEqual(400)
    expect((await get(owner, 'leases', key)).status).toBe(200)
    for (const wrong of ['', 'Basic eHg6eHg=', 'Bearer', `Bearer ${key} x`])
      expect((await call('GET', `/v1/tenants/${owner.id}/leases`, undefined, { authorization: wrong })).status).toBe(
        401,
      )
    expect(await get(owner, 'leases')).toMatchObject({ status: 401, code: 'access/credential' })
  })

  test('stands nowhere in the database', async () => {
    const { chain, owner, say } = await twoTenants(await open())
    const { key, proof } = newKey()
    await say(owner, list([identity('me', 'owner', proof)]))
    const { rows } = (await chain.test.database.db.execute(
      sql`select encode(envelope, 'escape') as envelope from keybroker.statements where kind = 'access'`,
    )) as unknown as { rows: { envelope: string }[] }
    const text = rows.map(({ envelope }) => envelope + atob(JSON.parse(envelope).payload)).join()
    expect(text).toContain(proof.hash)
    expect(text).not.toContain(key)
  })
})

describe.each(databases)('the list is the owner’s, on $name', ({ open }) => {
  test('a forged row, a row of another tenant, and the list before the last let nobody in', async () => {
    const { chain, owner, other, say, get } = await twoTenants(await open())
    const [first, forged] = [newKey(), newKey()]
    await say(owner, list([identity('first', 'owner', first.proof)]))
    const write = (statement: ReturnType<typeof sql>) => chain.test.database.db.execute(statement).then(() => undefined)
    const made = await forgedList(owner, list([identity('mallory', 'owner', forged.proof)]))
    const bytes = Buffer.from(canonicalJson(made.envelope))
    await write(sql`update keybroker.statements set envelope = ${bytes}, digest = ${made.digest}
      where kind = 'access' and tenant = ${owner.id}`)
    for (const { key } of [first, forged])
      expect(await get(owner, 'leases', key)).toMatchObject({ status: 503, code: 'judge/statement-false' })
    // Another owner's list, signed as it should be, in this owner's place.
    const foreign = newKey()
    await say(other, list([identity('other', 'owner', foreign.proof)]))
    await write(sql`update keybroker.statements set (envelope, digest) =
      (select envelope, digest || 'x' from keybroker.statements where kind = 'access' and tenant = ${other.id})
      where kind = 'access' and tenant = ${owner.id}`)
    expect((await get(owner, 'leases', foreign.key)).code).toBe('broker/record')
  })

  test('a revoked key does not come back with an older row', async () => {
    const { chain, owner, say, get } = await twoTenants(await open())
    const revoked = newKey()
    await say(owner, list([identity('old', 'owner', revoked.proof)]))
    await say(owner, list([]))
    expect((await get(owner, 'leases', revoked.key)).status).toBe(404)
    await chain.test.database.db.execute(
      sql`delete from keybroker.statements where kind = 'access' and tenant = ${owner.id} and sequence = 2`,
    )
    expect(await get(owner, 'leases', revoked.key)).toMatchObject({ status: 503, code: 'broker/record' })
  })

  test('names nobody as everybody, and nothing twice', async () => {
    const { owner, say } = await twoTenants(await open())
    const oidc = { kind: 'oidc', issuer: 'https://id.example', audience: 'broker', subject: 'x', claims: [] } as const
    const cert = { kind: 'certificate', authority: 'ca', name: { type: 'dns', value: 'a.example' } } as const
    const root = await certified('root', { isCa: true, notBefore: startTime - 9, notAfter: later })
    const leaf = await certified('leaf', { by: root, notBefore: startTime - 9, notAfter: later })
    const authorities = [{ name: 'ca', certificate: toBase64(root.der) }]
    const code = (body: Parameters<typeof verifyAccessList>[0]) => codeOf(() => verifyAccessList(body))
    const one = (proof: Parameters<typeof identity>[2]) => list([identity('a', 'owner', proof)], { authorities })
    expect(code(one(oidc))).toBe('ok')
    expect(code(one(cert))).toBe('ok')
    expect(code(one({ ...oidc, subject: null }))).toBe('access/wildcard')
    for (const subject of ['*', 'repo:acme/*']) expect(code(one({ ...oidc, subject }))).toBe('access/wildcard')
    expect(code(one({ ...oidc, subject: null, claims: [{ name: 'groups', value: '*' }] }))).toBe('access/wildcard')
    expect(code(one({ ...oidc, audience: '*' }))).toBe('access/wildcard')
    expect(code(one({ ...cert, name: { type: 'dns', value: '*.example' } }))).toBe('access/wildcard')
    expect(code(one({ ...cert, authority: 'other' }))).toBe('access/list')
    for (const issuer of ['https://u:p@id.example', 'https://ID.example', 'https://id.example/../x', 'https://'])
      expect(code(one({ ...oidc, issuer }))).toBe('access/list')
    expect(code(list([identity('a', 'owner', oidc), identity('a', 'host', oidc)]))).toBe('access/list')
    const { proof } = newKey()
    expect(code(list([identity('a', 'owner', proof), identity('b', 'host', proof)]))).toBe('access/list')
    expect(code(list([identity('a', 'owner', proof, { expiresAt: startTime - 60 })]))).toBe('access/list')
    expect((await say(owner, one({ ...oidc, subject: '*' }))).code).toBe('access/wildcard')
    const notRoot = [{ name: 'ca', certificate: toBase64(leaf.der) }]
    expect(await say({ ...owner, heads: new Map() }, list([], { authorities: notRoot }))).toMatchObject({
      status: 422,
      code: 'access/list',
    })
  })
})

/** Bytes that are in use, without what is waiting to be collected. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}

describe.each(databases)('bounds, on $name', ({ open }) => {
  test('of the tenant’s owner hold for its identities, not for those of others, and say when to ask again', async () => {
    const { owner, other, say, get } = await twoTenants(await open())
    const [mine, theirs] = [newKey(), newKey()]
    await say(owner, list([identity('me', 'owner', mine.proof)], { requestsPerMinute: 2 }))
    await say(other, list([identity('me', 'owner', theirs.proof)], { requestsPerMinute: 2 }))
    // Whoever is not listed uses up nothing of it.
    for (let i = 0; i < 5; i++) await get(owner, 'leases', theirs.key)
    const answers = []
    do answers.push(await get(owner, 'leases', mine.key))
    while (answers.at(-1)!.status === 200 && answers.length < 5)
    // The minute is the database's, and may end in between: then there are two more.
    expect([3, 5]).toContain(answers.length)
    expect(answers.at(-1)).toMatchObject({ status: 429, code: 'access/rate' })
    expect(answers.at(-1)!.retryAfter).toMatch(/^([1-9]|[1-5][0-9]|60)$/)
    expect((await get(other, 'leases', theirs.key)).status).toBe(200)
  })

  test('are counted, by code alone, and stand in the log as counts', async () => {
    const access = openAccess(openIssuers())
    const { chain, owner, get } = await twoTenants(await open(), undefined, access)
    const { broker, clock } = chain.test
    for (let i = 0; i < 3; i++) await get(owner, 'leases')
    await get(owner, 'leases', 'x.y.z')
    const taken = access.takeRefused()
    expect([...taken]).toEqual([
      ['access/credential', 3],
      ['access/token-form', 1],
    ])
    expect(access.takeRefused().size).toBe(0)
    for (const [code, count] of taken) await countRefusal(broker, code, count)
    await countRefusal(broker, 'access/credential')
    clock.now += 120
    const index = await summariseRefusals(broker)
    const { leaf } = (await broker.store.read((reader) => reader.loadEntryAt(index!)))!
    expect(parseEntry(leaf)).toMatchObject({
      counts: [
        { code: 'access/credential', count: 4 },
        { code: 'access/token-form', count: 1 },
      ],
    })
  })
})

describe('bounds of one process', () => {
  test('of one address hold before anything is looked up, and remember a bounded number of addresses', () => {
    let nowMs = 0
    const { admitAttempt } = openAccess(openIssuers(), () => nowMs)
    for (let i = 0; i < 300; i++) expect(admitAttempt('198.51.100.9')).toBe(true)
    expect(admitAttempt('198.51.100.9')).toBe(false)
    const before = heapUsed()
    for (let i = 0; i < 1_000_000; i++) admitAttempt(`2001:db8:${i.toString(16)}::/64`)
    expect(heapUsed() - before).toBeLessThan(64 * MiB)
    // Whoever used all of theirs up is not washed away by many who did not.
    expect(admitAttempt('198.51.100.9')).toBe(false)
    nowMs += 60_000
    expect(admitAttempt('198.51.100.9')).toBe(true)
  })
})
