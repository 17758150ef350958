import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { wrappingKeyOf } from '#cli/register-broker.js'
import { equal, fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { generateHybridKey, generateRecipientKey, hpkeOpen, hpkeSeal } from '#core/crypto/hpke.js'
import { curvePoint, type RecipientJwk, thumbprint, type X25519Jwk } from '#core/crypto/jwk.js'
import { canonicalJson } from '#core/encoding/json.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { verifyBrokerDocument } from '#core/wire/broker-document.js'
import { type Keyset, keysetDigest } from '#core/wire/keyset.js'
import { type ReleaseRequest, registerInfo, releaseAad, releaseInfo } from '#core/wire/release.js'
import { payloadDigest } from '#core/wire/statements.js'
import { createTenant } from '#keybroker/changes.js'
import { HeadMemory } from '#keybroker/heads.js'
import { registerModel } from '#keybroker/register.js'
import { BrokerDouble } from '#test/fakes/broker-double.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  ask,
  change,
  gist,
  granted,
  openKey,
  type Registered,
  registered,
  registration,
  registrationBody,
  startTime,
  type TestNode,
  tenantStatement,
  testBroker,
  testNode,
  testOwner,
} from './fixtures.js'

const { open } = anyDatabase()
const hybridOnly = { registration: { keyExchange: 'hybrid' } } as const
const oldNode = async (chain: Registered) => testNode(chain, { releaseKey: await generateRecipientKey() })
const leaseOf = (answer: { lease: { payload: string } }) =>
  (JSON.parse(atob(answer.lease.payload)) as { id: string }).id

/** The keyset with the lattice half of its release key taken off. */
function stripped(keyset: Keyset): Keyset {
  const release: X25519Jwk = { kty: 'OKP', crv: 'X25519', x: curvePoint(keyset.release) }
  return { ...keyset, release }
}
const stripIn = (change: (request: ReleaseRequest, keyset: Keyset) => ReleaseRequest) => ({
  change: (one: ReleaseRequest) => change(one, stripped(one.keyset)),
})

describe('under what a key leaves', () => {
  test('X-Wing for a node that has a key of it, X25519 for one that has none', async () => {
    const chain = await registered(await open())
    const nodes: readonly [TestNode, number][] = [
      [await testNode(chain), 1120 + 32 + 16],
      [await oldNode(chain), 32 + 32 + 16],
    ]
    for (const [node, size] of nodes) {
      const answer = granted(await ask(chain, node))
      expect(fromBase64(answer.wrapped!)).toHaveLength(size)
      expect(equal(await openKey(chain.owner, node, answer), chain.owner.dek)).toBe(true)
    }
    await chain.test.close()
  })

  test('an owner who asks for a hybrid is not served with less, at a release and at a renewal', async () => {
    const chain = await registered(await open())
    const [node, old] = [await testNode(chain), await oldNode(chain)]
    const lease = leaseOf(granted(await ask(chain, old)))
    await change(chain, 'registration', registrationBody(chain.owner, hybridOnly.registration))
    expect(gist(await ask(chain, node))).toBe('granted')
    const outcome = await ask(chain, old)
    expect(outcome).toMatchObject({ kind: 'denied', entry: expect.any(Number) })
    expect(gist(outcome)).toBe('judge/key-exchange')
    expect(gist(await ask(chain, old, { lease }))).toContain('judge/key-exchange')
    await chain.test.close()
  })

  test('a key of X-Wing that is none: nobody seals to it, and it holds no place', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const { publicKey } = await generateHybridKey()
    const bent = { ...publicKey, pub: `____${publicKey.pub.slice(4)}` }
    const outcome = codeOfPromise(ask(chain, { ...node, keyset: { ...node.keyset, release: bent } }))
    // The route's shape refuses it (test/core/wire/keyset.test.ts); past that it is sealed to by nobody, and holds no place.
    expect(await outcome).toBe('crypto/key')
    for (let i = 0; i < 2; i++) expect(gist(await ask(chain, await testNode(chain)))).toBe('granted')
    await chain.test.close()
  })
})

describe('who would have it leave under less', () => {
  test('a relay that takes the lattice half off the release key', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const other = stripIn((one, keyset) => ({ ...one, keyset }))
    expect(await codeOfPromise(ask(chain, node, other))).toBe('judge/keyset-digest')
    const rebound = stripIn((one, keyset) => {
      return { ...one, keyset, binding: { ...one.binding, keyset_digest: keysetDigest(keyset) } }
    })
    expect(gist(await ask(chain, node, rebound))).toBe('judge/report-data')
    expect(gist(await ask(chain, node))).toBe('granted')
    await chain.test.close()
  })

  test('a relay that gives one node what was sealed to another, of the same suite or of the other', async () => {
    const chain = await registered(await open(), {
      registration: {
        lease: { seconds: 300, budget: { requests: 100, inputBytes: 1_000_000, workUnits: 1_000_000 }, nodes: 9 },
      },
    })
    const [one, two, old] = [await testNode(chain), await testNode(chain), await oldNode(chain)]
    const answers = await Promise.all([one, two, old].map(async (node) => granted(await ask(chain, node))))
    const nodes = [one, two, old]
    for (const [i, node] of nodes.entries()) {
      for (const [j, answer] of answers.entries()) {
        const opened = await codeOfPromise(openKey(chain.owner, node, answer))
        expect([i, j, opened]).toEqual([i, j, i === j ? 'ok' : 'crypto/hpke-open'])
      }
    }
    // The curve halves of an answer, under the leaf of the other: neither the key nor the entry fits.
    const half = fromBase64(answers[0]!.wrapped!).subarray(1088)
    const mixed = { leaf: answers[2]!.leaf, wrapped: toBase64(half) }
    expect(await codeOfPromise(openKey(chain.owner, old, mixed))).toBe('crypto/hpke-open')
    await chain.test.close()
  })

  test('an answer of before, to the same node and key: it opens with its own entry alone', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const first = granted(await ask(chain, node))
    const second = granted(await ask(chain, node))
    expect(await codeOfPromise(openKey(chain.owner, node, { leaf: second.leaf, wrapped: first.wrapped }))).toBe(
      'crypto/hpke-open',
    )
    const info = releaseInfo(hashLeaf(fromBase64(first.leaf)))
    const other = releaseAad('0'.repeat(64))
    expect(await codeOfPromise(hpkeOpen(node.releaseKey, info, other, fromBase64(first.wrapped!)))).toBe(
      'crypto/hpke-open',
    )
    await chain.test.close()
  })

  test('a database that forgets what the owner asked for', async () => {
    const chain = await registered(await open(), hybridOnly)
    const old = await oldNode(chain)
    const { envelope } = chain.owner.heads.get(`registration ${chain.owner.model}`)!
    const { keyExchange, ...rest } = JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload)))
    expect(keyExchange).toBe('hybrid')
    const loose = { ...envelope, payload: toBase64(canonicalJson(rest)) }
    await chain.test.database.db.execute(
      sql`update keybroker.statements set envelope = ${Buffer.from(canonicalJson(loose))}, digest = ${payloadDigest(loose)} where kind = 'registration'`,
    )
    const restarted = { ...chain, test: { ...chain.test, broker: { ...chain.test.broker, heads: new HeadMemory() } } }
    expect(await codeOfPromise(ask(restarted, old))).toBe('judge/statement-false')
    expect(await codeOfPromise(ask(chain, old))).toMatch(/^(broker\/record|judge\/statement-false)$/)
    await chain.test.close()
  })
})

describe('under what a key comes to the broker', () => {
  const none = new Uint8Array(0)

  test('X-Wing, or X25519 from an owner who asks for nothing more', async () => {
    const made = await testBroker(await open())
    const platform = await testPlatform({ at: startTime })
    const { wrapping, wrappingHybrid } = made.broker
    const register = async (floor: 'hybrid' | undefined, key: RecipientJwk) => {
      const owner = await testOwner()
      await createTenant(made.broker, await tenantStatement(owner, 'development'))
      const request = await registration(made, owner, platform, { registration: { keyExchange: floor } })
      const wrapped = toBase64(await hpkeSeal(key, registerInfo(owner.manifestDigest), none, owner.dek))
      const wrappedTo = key.kty === 'AKP' ? thumbprint(key) : undefined
      return codeOfPromise(registerModel(made.broker, { ...request, wrapped, wrappedTo }))
    }
    expect(await register('hybrid', wrappingHybrid.publicKey)).toBe('ok')
    expect(await register(undefined, wrappingHybrid.publicKey)).toBe('ok')
    expect(await register(undefined, wrapping.publicKey)).toBe('ok')
    expect(await register('hybrid', wrapping.publicKey)).toBe('broker/key-exchange')
    // A relay that names a key of its own, or one of this broker that it was not sealed to.
    expect(await register('hybrid', (await generateHybridKey()).publicKey)).toBe('broker/wrapping-key')
    await made.close()
  })

  test('the owner seals to the better key that the signed document has, and to none below the floor', async () => {
    const double = await BrokerDouble.create(() => startTime)
    const { document } = await double.document()
    const hybrid = document.wrappingHybrid!
    expect(wrappingKeyOf(document, 'hybrid')).toEqual({ key: hybrid, wrappedTo: thumbprint(hybrid) })
    expect(wrappingKeyOf(document, undefined)).toEqual({ key: hybrid, wrappedTo: thumbprint(hybrid) })
    // A document of the same broker from before it had such a key, which a relay kept and serves again.
    const { document: old, envelope } = await double.document({ wrappingHybrid: undefined })
    expect(await verifyBrokerDocument(envelope, double.key.id)).toEqual(old)
    expect(codeOf(() => wrappingKeyOf(old, 'hybrid'))).toBe('register/key-exchange')
    expect(wrappingKeyOf(old, undefined)).toEqual({ key: old.wrapping, wrappedTo: undefined })
    // One from which somebody took the key is not signed.
    const stripped = { ...(await double.document()).envelope, payload: envelope.payload }
    expect(await codeOfPromise(verifyBrokerDocument(stripped, double.key.id))).toBe('crypto/signature')
  })
})
