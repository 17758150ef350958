import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { fromBase64 } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import { verifyEar } from '#core/wire/ear.js'
import { keysetDigest } from '#core/wire/keyset.js'
import { verifyReleaseLeaf } from '#core/wire/leaf.js'
import { verifyBeat, verifyLease } from '#core/wire/lease.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { rowsOf } from '#host/database.js'
import { beat } from '#keybroker/beat.js'
import { registerModel } from '#keybroker/register.js'
import { release } from '#keybroker/release.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import {
  ask,
  change,
  gist,
  granted,
  nextVersion,
  openKey,
  registered,
  registration,
  registrationBody,
  request,
  sealTiny,
  testNode,
  trustBody,
} from '#test/keybroker/fixtures.js'
import { vkeyOf } from '#test/transparency/fixtures.js'

describe.each(databasesUnderTest())('a release on $name', ({ open }) => {
  test('gives a node everything that it verifies', async () => {
    const chain = await registered(await open())
    const { test: made, owner } = chain
    const node = await testNode(chain, { host: { country: 'DE' } })
    const asked = await request(chain, node)
    const answer = granted(await release(made.broker, asked))
    const brokers = [made.broker.signer.publicKey as Ed25519Jwk]
    const lease = await verifyLease(answer.lease, brokers)
    expect(lease).toMatchObject({ budget: budgetOf(100), declared: { place: { country: 'DE' }, grade: 'L0' } })
    expect((await verifyBeat(answer.beat, brokers)).nonce).toBe(asked.binding.nonce)
    const ear = await verifyEar(answer.ear, [made.verifier.publicKey], {
      audience: made.broker.signer.id,
      at: made.clock.now,
    })
    expect(ear.keysetDigest).toBe(keysetDigest(node.keyset))
    const leaf = fromBase64(answer.leaf)
    const { binding, evidence } = asked
    verifyReleaseLeaf(leaf, { ...answer, tenant: owner.id, binding, evidence, lease })
    const inclusion = await verifyTlogProof(answer.proof, leaf, made.testLog.trust)
    expect(inclusion.index).toBeGreaterThan(4)
    expect(await openKey(owner, node, answer)).toEqual(owner.dek)
    await made.close()
  })

  test('renews a lease under its id, without a key', async () => {
    const chain = await registered(await open(), {
      registration: { lease: { seconds: 20, budget: budgetOf(100), nodes: 2 } },
    })
    const node = await testNode(chain)
    const first = granted(await ask(chain, node))
    const brokers = [chain.test.broker.signer.publicKey as Ed25519Jwk]
    const lease = await verifyLease(first.lease, brokers)
    chain.test.clock.now += 10
    const answer = granted(await ask(chain, node, { lease: lease.id }))
    const renewed = await verifyLease(answer.lease, brokers)
    expect(answer.wrapped).toBeNull()
    expect(renewed).toMatchObject({ id: lease.id, expiresAt: lease.expiresAt + 10, budget: budgetOf(100) })
    const other = await testNode(chain)
    expect(gist(await ask(chain, other, { lease: lease.id }))).toBe('broker/lease-keyset')
    chain.test.clock.now = renewed.expiresAt
    expect(gist(await ask(chain, node, { lease: lease.id }))).toBe('broker/lease-ended')
    await chain.test.close()
  })

  test('made again under its id has the term of before, and never more than the owner allows by then', async () => {
    const terms = (seconds: number, requests: number) => ({ seconds, budget: budgetOf(requests), nodes: 1 })
    const chain = await registered(await open(), { registration: { lease: terms(300, 100) } })
    const node = await testNode(chain)
    const brokers = [chain.test.broker.signer.publicKey as Ed25519Jwk]
    const again = async () =>
      verifyLease(granted(await ask(chain, node, { requestId: 'ab'.repeat(16) })).lease, brokers)
    const first = await again()
    chain.test.clock.now += 10
    expect(await again()).toEqual(first) // one node is allowed, and no other place was taken
    await change(chain, 'registration', registrationBody(chain.owner, { lease: terms(60, 7) }))
    const now = chain.test.clock.now
    expect(await again()).toEqual({ ...first, expiresAt: now + 60, budget: budgetOf(7) })
    await change(chain, 'registration', registrationBody(chain.owner, { lease: terms(3000, 900) }))
    expect(await again()).toEqual({ ...first, expiresAt: now + 60, budget: budgetOf(7) })
    await chain.test.close()
  })

  test('says that the key-encryption key is away, and not that the stored key is wrong', async () => {
    const chain = await registered(await open())
    const { kek } = chain.test.broker
    const unwrapDek = async () => {
      throw new Failure('kek/vault-sealed', 'Vault is sealed')
    }
    const away = { ...chain, test: { ...chain.test, broker: { ...chain.test.broker, kek: { ...kek, unwrapDek } } } }
    const stored = () => rowsOf(chain.test.database.db, sql`select kind from keybroker.entries where kind = 'release'`)
    expect(await codeOfPromise(ask(away, await testNode(chain)))).toBe('kek/vault-sealed')
    // Nothing was decided: the log never says that a key left which its provider did not give out.
    expect(await stored()).toEqual([])
    expect(gist(await ask(chain, await testNode(chain)))).toBe('granted')
    await chain.test.close()
  })

  test('is not renewed for another model, though node and owner are the same', async () => {
    const chain = await registered(await open())
    const { test: made, platform } = chain
    const node = await testNode(chain)
    const brokers = [made.broker.signer.publicKey as Ed25519Jwk]
    const { id } = await verifyLease(granted(await ask(chain, node)).lease, brokers)
    const second = await sealTiny(chain.owner.key, 'second', 1, chain.owner.heads)
    await registerModel(made.broker, await registration(made, second, platform))
    const other = { ...chain, owner: second }
    const config = { ...node.config, model: second.model }
    const elsewhere = { ...node, config }
    expect(gist(await ask(other, elsewhere))).toBe('granted')
    expect(gist(await ask(other, elsewhere, { lease: id }))).toBe('broker/lease-ended')
    await made.close()
  })

  test('has no sign of life once its owner changed who may call, until it is renewed', async () => {
    const caller = { id: 'shop', credentialHash: 'ab'.repeat(32), expiresAt: 2_000_000_000 }
    const chain = await registered(await open(), { registration: { callers: [caller] } })
    const node = await testNode(chain)
    const brokers = [chain.test.broker.signer.publicKey as Ed25519Jwk]
    const { id, callers } = await verifyLease(granted(await ask(chain, node)).lease, brokers)
    expect(callers).toHaveLength(1)
    const sign = () => codeOfPromise(beat(chain.test.broker, { lease: id, nonce: 'A'.repeat(43) }))
    expect(await sign()).toBe('ok')
    await change(chain, 'registration', registrationBody(chain.owner, { callers: [] }))
    expect(await sign()).toBe('broker/lease-stale')
    const renewed = await verifyLease(granted(await ask(chain, node, { lease: id })).lease, brokers)
    expect(renewed.callers).toEqual([])
    expect(await sign()).toBe('ok')
    await change(chain, 'registration', registrationBody(chain.owner, { callers: 'any' }))
    expect(await sign()).toBe('broker/lease-stale')
    await chain.test.close()
  })

  test('is renewed for the version that it was granted for, whatever the host makes of the request on its way', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const brokers = [chain.test.broker.signer.publicKey as Ed25519Jwk]
    const { id } = await verifyLease(granted(await ask(chain, node)).lease, brokers)
    const next = await nextVersion(chain.owner, 2)
    const { test: made, platform } = chain
    await registerModel(made.broker, await registration(made, next, platform, { registration: { version: 2 } }))
    const asNext = (asked: ReleaseRequest) => ({ ...asked, modelVersion: 2, manifestDigest: next.manifestDigest })
    expect(gist(await ask(chain, node, { lease: id }))).toBe('judge/version judge/manifest')
    expect(gist(await ask(chain, node, { lease: id, change: asNext }))).toBe('broker/lease-ended')
    expect(gist(await ask(chain, node, { change: asNext }))).toBe('granted')
    await chain.test.close()
  })

  test('is not given by a broker whose clock the witnesses contradict, nor under a log that the owner does not name', async () => {
    const chain = await registered(await open(), {
      registration: { lease: { seconds: 20, budget: budgetOf(1), nodes: 9 } },
    })
    const { clock, testLog, broker } = chain.test
    const node = await testNode(chain)
    clock.now -= 90
    expect(await codeOfPromise(ask(chain, node))).toBe('broker/clock')
    clock.now += 90
    const other = await generateSigningKey('Ed25519')
    const logs = [vkeyOf('log.example/other', other.key)]
    await change(chain, 'trust', { ...trustBody(chain.test, chain.platform), logs })
    expect(await codeOfPromise(ask(chain, node))).toBe('broker/log-proof')
    await change(chain, 'trust', { ...trustBody(chain.test, chain.platform), logs: [testLog.vkey] })
    expect(gist(await ask(chain, node))).toBe('granted')
    const busy = { ...chain, test: { ...chain.test, broker: { ...broker, admit: async () => false } } }
    expect(await codeOfPromise(ask(busy, node))).toBe('broker/rate')
    await chain.test.close()
  })
})
