import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { MiB } from '#core/limits.js'
import { verifyBrokerDocument } from '#core/wire/broker-document.js'
import { parseEntry } from '#core/wire/entries.js'
import { acceptedShape, signOwnerQuery } from '#core/wire/owner-query.js'
import { apiVersion, denialShape, releaseAnswerShape } from '#core/wire/release.js'
import { createLog } from '#host/log.js'
import { startHousekeeping } from '#keybroker/service/housekeeping.js'
import { createBroker, openBrokerKeys } from '#keybroker/service/keys.js'
import { addHybridKey } from '#keybroker/service/own-keys.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { openKey, registration, request, sign, startTime, tenantStatement, testNode } from './fixtures.js'
import { bearer, served } from './served.js'

const { open } = anyDatabase()
describe('the broker over HTTP', () => {
  test('takes an owner in, registers a model, releases its key and says why it does not', async () => {
    const { chain, call } = await served(await open())
    const { owner, test: made, platform } = chain
    const said = await verifyBrokerDocument((await call('GET', '/v1/broker')).body, made.broker.signer.id)
    expect(said).toMatchObject({ standing: 'UNATTESTED BROKER', wrapping: made.broker.wrapping.publicKey })

    const tenant = { version: apiVersion, tenant: await tenantStatement(owner, 'development') }
    expect((await call('POST', '/v1/tenants', tenant)).code).toBe('broker/admin-token')
    expect((await call('POST', '/v1/tenants', tenant, { authorization: `Bearer ${'B'.repeat(43)}` })).status).toBe(401)
    expect((await call('POST', '/v1/tenants', tenant, bearer)).status).toBe(200)
    expect((await call('GET', `/v1/owners/${owner.id}/trust`)).code).toBe('broker/unknown-tenant')
    expect((await call('GET', '/v1/owners/%00/trust')).code).toBe('broker/unknown-tenant')
    const registered = await call('POST', '/v1/models', await registration(made, owner, platform))
    expect(acceptedShape(registered.body, '').accepted).toHaveLength(4)
    const trust = await call('GET', `/v1/owners/${owner.id}/trust`)
    expect(trust.body).toEqual(owner.heads.get('trust')!.envelope)

    const node = await testNode(chain)
    const challenged = await call('POST', '/v1/challenges', { version: apiVersion, model: owner.model, renewal: null })
    const { nonce } = challenged.body as { nonce: string }
    const answer = await call('POST', '/v1/releases', await request(chain, node, { nonce }))
    const release = releaseAnswerShape(answer.body, '')
    expect(await openKey(owner, node, release)).toEqual(owner.dek)
    const { id } = JSON.parse(atob(release.lease.payload)) as { id: string }
    const beat = await call('POST', '/v1/beats', { version: apiVersion, lease: id, nonce })
    expect(beat.status).toBe(200)

    const closed = {
      name: 'none',
      language: 'cedar',
      text: '@id("never") @explain("Nobody.") forbid (principal, action, resource);',
    } as const
    const policy = { version: apiVersion, kind: 'policy', statement: await sign(owner, 'policy', closed) }
    expect((await call('POST', '/v1/statements', policy)).status).toBe(200)
    const denied = await call('POST', '/v1/renewals', await request(chain, node, { lease: id }))
    expect(denied).toMatchObject({ status: 403, code: 'broker/denied' })
    const { reasons, entry, simulated } = denied.body as { reasons: unknown; entry: number; simulated: boolean }
    const shown = denialShape({ reasons, entry, simulated } as never, '')
    expect(shown.simulated).toBe(true)
    expect(shown.reasons.map((one) => [one.id, one.explain])).toContainEqual(['never', 'Nobody.'])
    expect((await call('GET', `/v1/bundles/${entry}`)).status).toBe(401)
    expect((await call('GET', `/v1/bundles/${entry}`, undefined, bearer)).body).toMatchObject({
      type: 'claviger/bundle/v1',
    })
    expect((await call('GET', `/v1/tenants/${owner.id}/leases`, undefined, bearer)).body).toMatchObject({
      leases: [{ id }],
    })

    const query = await signOwnerQuery(
      {
        type: 'claviger/owner-query/v1',
        broker: made.broker.signer.id,
        tenant: owner.id,
        ask: 'heads',
        entry: null,
        at: startTime,
      },
      owner.key,
    )
    expect((await call('POST', '/v1/queries', { version: apiVersion, query })).status).toBe(200)
    await made.close()
  })

  test('refuses what is no request, and counts what was refused', async () => {
    const { chain, call } = await served(await open())
    const { owner, test: made } = chain
    const asked = { version: apiVersion, model: owner.model, renewal: null }
    expect(await call('POST', '/v1/challenges', { ...asked, version: 'claviger/v2' })).toMatchObject({
      status: 400,
      code: 'api/version',
      body: { info: { supported: ['claviger/v1'] } },
    })
    expect((await call('POST', '/v1/challenges', { ...asked, more: 1 })).code).toBe('shape/unknown')
    expect((await call('POST', '/v1/challenges', asked, { 'content-type': 'text/plain' })).status).toBe(415)
    expect((await call('POST', '/v1/challenges', { ...asked, model: 'x'.repeat(MiB) })).code).toBe('http/body-size')
    owner.heads.set('trust', { sequence: 1, digest: '0'.repeat(64), envelope: {} as never })
    const node = await testNode(chain)
    const unknown = await request(chain, node)
    expect(await call('POST', '/v1/renewals', unknown)).toMatchObject({ status: 400, code: 'shape/form' })
    expect(await call('POST', '/v1/releases', unknown)).toMatchObject({ status: 404, code: 'broker/unknown-model' })
    expect(await call('POST', '/v1/releases', unknown)).toMatchObject({ status: 422, code: 'store/nonce-unknown' })
    made.clock.now += 120
    const counts = await made.database.db.execute('select code, count from keybroker.refusals order by code')
    expect((counts as unknown as { rows: unknown[] }).rows).toHaveLength(2)
    expect((await call('GET', '/v1/bundles/x', undefined, bearer)).code).toBe('broker/unknown-entry')
    // Housekeeping puts them into the log and forgets the challenges that nobody answered.
    const log = createLog('test', 'silent')
    const end = startHousekeeping({ broker: made.broker, database: made.database, log, record: made.log, everyMs: 5 })
    const left = async () =>
      (await made.database.db.execute(
        'select code from keybroker.refusals union all select purpose from keybroker.nonces',
      )) as unknown as { rows: unknown[] }
    while ((await left()).rows.length > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    await end()
    expect((await call('GET', '/v1/bundles/0', undefined, bearer)).code).toBe('broker/unknown-entry')
    expect(parseEntry(await made.testLog.open(made.database).then((one) => one.entry(0)))).toMatchObject({
      kind: 'refusals',
    })
    await made.close()
  })
})

describe('the key folder of a broker', () => {
  test('is made by one explicit act, and a missing file is fatal', async () => {
    const above = await mkdtemp(join(tmpdir(), 'claviger-keys-'))
    onTestFinished(() => rm(above, { recursive: true }))
    const folder = join(above, 'broker')
    expect(await codeOfPromise(openBrokerKeys(folder))).toBe('file/absent')
    const { broker, adminToken: token } = await createBroker(folder)
    const keys = await openBrokerKeys(folder)
    expect(keys.signer.id).toBe(broker)
    expect(keys.adminTokenDigest).toEqual(sha256(utf8(token)))
    expect(await codeOfPromise(createBroker(folder))).toBe('file/exists')
    const files = await readdir(folder)
    for (const name of files) expect((await stat(join(folder, name))).mode & 0o777, name).toBe(0o600)
    await keys.close()
    for (const name of files) {
      const copy = join(above, `without ${name}`)
      await createBroker(copy)
      await rm(join(copy, name))
      expect(await codeOfPromise(openBrokerKeys(copy)), name).toBe('file/absent')
    }
  })

  test('from before there was a hybrid wrapping key: it gets one once, by an explicit act', async () => {
    const above = await mkdtemp(join(tmpdir(), 'claviger-keys-'))
    onTestFinished(() => rm(above, { recursive: true }))
    const folder = join(above, 'broker')
    await createBroker(folder)
    expect(await codeOfPromise(addHybridKey(folder))).toBe('file/exists')
    const before = await openBrokerKeys(folder)
    await before.close()
    await rm(join(folder, 'wrapping-hybrid.key'))
    await expect(openBrokerKeys(folder)).rejects.toMatchObject({
      code: 'file/absent',
      detail: { hint: expect.stringContaining('keybroker hybrid-key') },
    })
    await addHybridKey(folder)
    const after = await openBrokerKeys(folder)
    expect(after.wrapping.publicKey).toEqual(before.wrapping.publicKey)
    expect(after.wrappingHybrid.publicKey).not.toEqual(before.wrappingHybrid.publicKey)
    await after.close()
    // A file whose halves do not belong together is no key.
    const path = join(folder, 'wrapping-hybrid.key')
    const bytes = await readFile(path)
    bytes[0]! ^= 1
    await writeFile(path, bytes)
    expect(await codeOfPromise(openBrokerKeys(folder))).toBe('crypto/key')
  })
})
