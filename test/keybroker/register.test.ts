import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { toBase64 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import type { RegisterRequest } from '#core/wire/broker-document.js'
import { registerInfo } from '#core/wire/release.js'
import { ownerKeysDigest } from '#core/wire/statements.js'
import { openDatabase } from '#host/database.js'
import { acceptStatement, createTenant } from '#keybroker/changes.js'
import { modelKeyAad } from '#keybroker/model-key.js'
import { registerModel } from '#keybroker/register.js'
import { openBroker } from '#keybroker/service/open.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import {
  ask,
  change,
  gist,
  granted,
  nextVersion,
  openKey,
  permitAll,
  type Registered,
  registered,
  registration,
  registrationBody,
  sealTiny,
  sign,
  startTime,
  tenantStatement,
  testBroker,
  testNode,
  testOwner,
  trustBody,
} from './fixtures.js'

const databases = databasesUnderTest()
const [{ open }] = databases as [(typeof databases)[number]]

describe('a tenant', () => {
  test('is made once, and the same statement again changes nothing', async () => {
    const made = await testBroker(await open())
    const owner = await testOwner()
    const statement = await tenantStatement(owner, 'production')
    const first = await createTenant(made.broker, statement)
    expect(first).toMatchObject([{ kind: 'tenant', sequence: 1, entry: 0 }])
    expect(await createTenant(made.broker, statement)).toEqual(first)
    owner.heads.clear()
    const other = await tenantStatement(owner, 'development')
    expect(await codeOfPromise(createTenant(made.broker, other))).toBe('broker/tenant-exists')
    expect(await codeOfPromise(acceptStatement(made.broker, 'tenant', other))).toBe('broker/tenant-statement')
    await made.close()
  })

  test('of class production is taken in only where a commit survives a power failure', async () => {
    const made = await testBroker(await open(), { store: (store) => store })
    const owner = await testOwner()
    const production = await tenantStatement(owner, 'production')
    expect(await codeOfPromise(createTenant(made.broker, production))).toBe('database/not-durable')
    owner.heads.clear()
    expect(await createTenant(made.broker, await tenantStatement(owner, 'development'))).toHaveLength(1)
    await made.close()
  })

  test.skipIf(databases.length === 1)(
    'of class production is taken in by Postgres, unless its commits are lax',
    async () => {
      const { database, url } = await databases[1]!.openWithUrl!()
      const made = await testBroker(database, { store: (store) => store })
      const [owner, late] = [await testOwner(), await testOwner()]
      expect(await createTenant(made.broker, await tenantStatement(owner, 'production'))).toHaveLength(1)
      await database.db.execute(
        sql`do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$`,
      )
      const lax = await openDatabase({ url })
      const broker = { ...made.broker, store: brokerStore(lax) }
      expect(await codeOfPromise(createTenant(broker, await tenantStatement(late, 'production')))).toBe(
        'database/not-durable',
      )
      // Nor does a broker with production tenants open there any more.
      const keys = { ...made.broker, adminTokenDigest: new Uint8Array(32), close: () => undefined } as never
      const { log, appraise, clock } = made.broker
      const none = { logs: [], witnessPolicy: '', verifiers: async () => [] }
      const opening = openBroker({ database: lax, keys, log, record: made.log, appraise, clock, ...none })
      expect(await codeOfPromise(opening)).toBe('database/not-durable')
      await lax.close()
      await made.close()
    },
  )

  test('is the first of its chain, or none', async () => {
    const made = await testBroker(await open())
    const owner = await testOwner()
    owner.heads.set('tenant', {
      sequence: 1,
      digest: 'ab'.repeat(32),
      envelope: await tenantStatement(owner, 'development'),
    })
    const second = await tenantStatement(owner, 'development')
    expect(await codeOfPromise(createTenant(made.broker, second))).toBe('broker/tenant-statement')
    await made.close()
  })

  test('is named after the key that made it', async () => {
    const made = await testBroker(await open())
    const [owner, stranger] = [await testOwner(), await testOwner()]
    const keys = [stranger.key.publicKey]
    const taken = await sign(owner, 'tenant', { name: 'acme', class: 'development', keys })
    expect(await codeOfPromise(createTenant(made.broker, taken))).toBe('statement/tenant')
    const forged = await sign(
      owner,
      'tenant',
      { name: 'acme', class: 'development', keys: [owner.key.publicKey] },
      { key: stranger.key },
    )
    expect(await codeOfPromise(createTenant(made.broker, forged))).toBe('dsse/signer')
    await made.close()
  })
})

describe('a registration', () => {
  test('is refused when any of its parts is another than the owner signed', async () => {
    const made = await testBroker(await open())
    const platform = await testPlatform({ at: startTime })
    const [owner, other] = [await testOwner(), await testOwner()]
    await createTenant(made.broker, await tenantStatement(owner, 'development'))
    await createTenant(made.broker, await tenantStatement(other, 'development'))
    const good = await registration(made, owner, platform)
    const foreign = await registration(made, other, platform)
    const next = await registration(made, await nextVersion(owner, 2), platform, { registration: { version: 2 } })
    const second = await registration(made, await sealTiny(owner.key, 'second', 1, owner.heads), platform)
    const info = registerInfo(owner.manifestDigest)
    const wrapped = async (dek: Uint8Array, under = info) =>
      toBase64(await hpkeSeal(made.broker.wrappingHybrid.publicKey, under, new Uint8Array(0), dek))
    const wrong: readonly (readonly [string, Partial<RegisterRequest>])[] = [
      ['judge/statement-false', { trust: foreign.trust }],
      ['judge/statement-false', { policy: foreign.policy }],
      ['judge/statement-false', { referenceValues: good.policy }],
      ['broker/registration', { manifest: foreign.manifest }],
      ['broker/registration', { manifest: next.manifest, manifestSignature: next.manifestSignature }],
      ['crypto/signature', { manifestSignature: await tampered(good.manifestSignature) }],
      ['dsse/signer', { manifestSignature: foreign.manifestSignature }],
      ['sealed/statement', { manifestSignature: next.manifestSignature }],
      ['sealed/manifest-secret', { wrapped: await wrapped(randomBytes(32)) }],
      ['broker/model-key', { wrapped: await wrapped(randomBytes(16)) }],
      ['crypto/hpke-open', { wrapped: await wrapped(owner.dek, registerInfo('0'.repeat(64))) }],
      ['crypto/hpke-open', { wrappedTo: undefined }],
      ['crypto/hpke-open', { wrappedTo: thumbprint(made.broker.wrapping.publicKey) }],
      ['broker/wrapping-key', { wrappedTo: owner.id }],
      ['broker/version', { wrapped: null }],
      ['statement/chain', { policy: next.policy }],
      ['broker/registration', { policy: second.policy }],
      ['broker/registration', { referenceValues: second.referenceValues }],
    ]
    for (const [code, part] of wrong)
      expect(
        await codeOfPromise(registerModel(made.broker, { ...good, ...part })),
        `${code} ${Object.keys(part)}`,
      ).toBe(code)
    // None of them left anything behind.
    const read = brokerStore(made.database)
    expect(await read.read((reader) => reader.listStatements(owner.id))).toHaveLength(1)
    expect(await read.read((reader) => reader.listModelKeys(owner.id))).toHaveLength(0)
    const accepted = await registerModel(made.broker, good)
    expect(accepted.map((one) => one.kind)).toEqual(['trust', 'registration', 'policy', 'reference-values'])
    expect(await registerModel(made.broker, { ...good, wrapped: null })).toEqual(accepted)
    await made.close()
  })

  test('needs a trust statement that names this broker, and a policy that can be read', async () => {
    const made = await testBroker(await open())
    const platform = await testPlatform({ at: startTime })
    const owner = await testOwner()
    await createTenant(made.broker, await tenantStatement(owner, 'development'))
    const { key } = await generateSigningKey('Ed25519')
    const elsewhere = { ...trustBody(made, platform), brokers: [key.publicKey as never] }
    const trust = await sign(owner, 'trust', elsewhere, { keepHead: true })
    const good = await registration(made, owner, platform)
    expect(await codeOfPromise(registerModel(made.broker, { ...good, trust }))).toBe('judge/broker-not-trusted')
    owner.heads.delete(`policy ${owner.model}`)
    for (const [text, code] of [
      ['permit (principal, action, resource)', 'policy/syntax'],
      ['permit (principal, action, resource);', 'policy/invalid'],
    ] as const) {
      const policy = await sign(owner, 'policy', { name: 'test', language: 'cedar', text }, { keepHead: true })
      expect(await codeOfPromise(registerModel(made.broker, { ...good, policy }))).toBe(code)
    }
    await made.close()
  })

  test('of a version that is there, with another manifest, takes no key’s place', async () => {
    const chain = await registered(await open())
    const { test: made, owner, platform } = chain
    const again = await sealTiny(owner.key, owner.model.slice(44), 1, owner.heads)
    expect(again.manifestDigest).not.toBe(owner.manifestDigest)
    const request = await registration(made, again, platform)
    expect(await codeOfPromise(registerModel(made.broker, request))).toBe('broker/version')
    const [key] = await made.broker.store.read((reader) => reader.listModelKeys(owner.id))
    expect(key?.manifestDigest).toBe(owner.manifestDigest)
    await made.close()
  })

  test('of an earlier version, or of a lower floor, is refused: versions only rise', async () => {
    const chain = await registered(await open())
    const { test: made, owner, platform } = chain
    const third = await nextVersion(owner, 3)
    const upgraded = { ...chain, owner: third }
    const terms = { version: 3, versionFloor: 2 }
    await registerModel(made.broker, await registration(made, third, platform, { registration: terms }))
    for (const [what, lower] of [
      ['the version before, whose key is here', { version: 1, manifestDigest: owner.manifestDigest }],
      ['a lower floor', { version: 3, versionFloor: 1 }],
    ] as const) {
      const body = registrationBody(third, { ...terms, ...lower })
      const statement = await sign(third, 'registration', body, { keepHead: true })
      expect([what, await codeOfPromise(acceptStatement(made.broker, 'registration', statement))]).toEqual([
        what,
        'broker/version',
      ])
    }
    // Nothing of it stands: the same version under a higher floor is taken.
    await change(upgraded, 'registration', registrationBody(third, { version: 3, versionFloor: 3 }))
    const second = await nextVersion(third, 2)
    const request = await registration(made, second, platform, { registration: { version: 2, versionFloor: 3 } })
    expect(await codeOfPromise(registerModel(made.broker, request))).toBe('broker/version')
    expect(await made.broker.store.read((reader) => reader.listModelKeys(owner.id))).toHaveLength(2)
    await made.close()
  })

  test('of a next version brings its key, and the version before is not released any more', async () => {
    const chain = await registered(await open())
    const { test: made, owner, platform } = chain
    const second = await nextVersion(owner, 2)
    const named = await sign(second, 'registration', registrationBody(second, { version: 2 }), { keepHead: true })
    expect(await codeOfPromise(acceptStatement(made.broker, 'registration', named))).toBe('broker/version')
    await registerModel(made.broker, await registration(made, second, platform, { registration: { version: 2 } }))
    const node = await testNode(chain)
    expect(gist(await ask(chain, node))).toBe('judge/version judge/manifest')
    const upgraded = { ...chain, owner: second }
    const answer = granted(await ask(upgraded, node, { change: (one) => ({ ...one, modelVersion: 2 }) }))
    expect(await openKey(second, node, answer)).toEqual(second.dek)
    // A new trust statement binds both stored keys anew.
    await change(upgraded, 'trust', { ...trustBody(made, platform), independentWitnesses: ['w'] })
    const rows = await brokerStore(made.database).read((reader) => reader.listModelKeys(owner.id))
    expect(new Set(rows.map((row) => row.trustDigest))).toEqual(new Set([owner.heads.get('trust')!.digest]))
    const later = granted(
      await ask(upgraded, await testNode(chain), { change: (one) => ({ ...one, modelVersion: 2 }) }),
    )
    expect(later.wrapped).not.toBeNull()
    await made.close()
  })

  test('has no statement taken in that does not follow the one before', async () => {
    const chain = await registered(await open())
    const { owner, test: made } = chain
    const body = { name: 'test', language: 'cedar', text: permitAll } as const
    const fork = await sign(owner, 'policy', body, { keepHead: true })
    await change(chain, 'policy', body)
    const accept = (envelope: typeof fork) => codeOfPromise(acceptStatement(made.broker, 'policy', envelope))
    const changed = await sign(owner, 'policy', { ...body, name: 'other' })
    expect(await accept(changed)).toBe('ok')
    expect(await accept(changed)).toBe('ok')
    expect(await accept(fork)).toBe('statement/chain')
    const { key } = await generateSigningKey('ES256')
    expect(await accept(await sign(owner, 'policy', body, { key, keepHead: true }))).toBe('judge/statement-false')
    const values = await sign(owner, 'reference-values', { values: testReferenceValues() }, { keepHead: true })
    expect(await accept(values)).toBe('judge/statement-false')
    await made.close()
  })
})

/** The bundle with one character of its signature changed. */
async function tampered(base64: string): Promise<string> {
  const bundle = JSON.parse(atob(base64)) as { dsseEnvelope: { signatures: { sig: string }[] } }
  const [signature] = bundle.dsseEnvelope.signatures
  const bytes = Buffer.from(signature!.sig, 'base64')
  bytes[bytes.length - 1]! ^= 1
  signature!.sig = bytes.toString('base64')
  return btoa(JSON.stringify(bundle))
}

describe('a key-encryption key that is slow', () => {
  test('is asked while nobody waits for the tenant: before each transaction, never in one', async () => {
    const chain = await registered(await open())
    const { broker, database } = chain.test
    const calls: string[] = []
    // Reaching for the database inside a transaction asserts: a provider that is asked there would fail here.
    const watched = <T extends unknown[], R>(name: string, call: (...given: T) => Promise<R>) => {
      return async (...given: T) => {
        await database.db.execute(sql`select 1`)
        calls.push(name)
        return call(...given)
      }
    }
    const { kek } = broker
    const slow = { ...kek, wrapDek: watched('wrap', kek.wrapDek), unwrapDek: watched('unwrap', kek.unwrapDek) }
    const made = { ...chain.test, broker: { ...broker, kek: slow } }
    await change({ ...chain, test: made }, 'trust', { ...trustBody(made, chain.platform), independentWitnesses: ['w'] })
    expect(calls).toEqual(['unwrap', 'wrap'])
    await registerModel(
      made.broker,
      await registration(made, await nextVersion(chain.owner, 2), chain.platform, {
        registration: { version: 2 },
      }),
    )
    expect(calls).toEqual(['unwrap', 'wrap', 'wrap'])
    await chain.test.close()
  })

  test('finds the keys changed that it wrapped for a trust statement, and wraps them again', async () => {
    const chain = await registered(await open())
    const { broker } = chain.test
    let isFirst = true
    const wrapDek: typeof broker.kek.wrapDek = async (dek, aad) => {
      if (isFirst) {
        isFirst = false
        // Meanwhile somebody wraps the stored key anew, as a rotation does.
        const [row] = await broker.store.read((reader) => reader.listModelKeys(chain.owner.id))
        const again = await broker.kek.wrapDek(
          await broker.kek.unwrapDek(row!.wrapped, aadOf(chain, row!.trustDigest), row!.keyId),
          aadOf(chain, row!.trustDigest),
        )
        await broker.store.transaction((tx) => tx.storeModelKey({ ...row!, wrapped: again }, startTime))
      }
      return broker.kek.wrapDek(dek, aad)
    }
    const made = { ...chain.test, broker: { ...broker, kek: { ...broker.kek, wrapDek } } }
    await change({ ...chain, test: made }, 'trust', { ...trustBody(made, chain.platform), independentWitnesses: ['w'] })
    expect(isFirst).toBe(false)
    expect(gist(await ask(chain, await testNode(chain)))).toBe('granted')
    await chain.test.close()
  })
})

function aadOf({ owner }: Registered, trustDigest: string) {
  return modelKeyAad({
    tenant: owner.id,
    tenantClass: 'development',
    model: owner.model,
    version: 1,
    manifestDigest: owner.manifestDigest,
    ownerKeysDigest: ownerKeysDigest([owner.key.publicKey]),
    trustDigest,
    share: null,
  })
}
