import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { signQuorum } from '#convert/seal/split.js'
import { concat, fromBase64, toBase64, toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { hpkeOpen, hpkeSeal } from '#core/crypto/hpke.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { splitSecret } from '#core/crypto/shamir.js'
import { canonicalJson } from '#core/encoding/json.js'
import { manifestDigest, parseManifest, verifyManifestDigest } from '#core/sealed/manifest.js'
import { type Quorum, shareCommitment } from '#core/sealed/quorum.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { verifyLease } from '#core/wire/lease.js'
import { registerInfo, registerShareInfo, releaseAad, releaseInfo } from '#core/wire/release.js'
import { rowsOf } from '#host/database.js'
import { createTenant } from '#keybroker/changes.js'
import { registerModel } from '#keybroker/register.js'
import { release } from '#keybroker/release.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import {
  change,
  type Registered,
  registration,
  registrationBody,
  request,
  startTime,
  type TestOwner,
  tenantStatement,
  testBroker,
  testNode,
  testOwner,
  trustBody,
} from './fixtures.js'

/** An owner whose key is split among this broker and two others, two of which have to agree. */
interface Split {
  readonly owner: TestOwner
  readonly quorum: Quorum
  readonly records: readonly Uint8Array[]
}

async function splitOwner(broker: string, whole: TestOwner): Promise<Split> {
  const { model } = parseManifest(whole.manifest)
  const shares = splitSecret(whole.dek, { threshold: 2, count: 3 }, randomBytes(32))
  const records = shares.map(({ value }) => concat(randomBytes(32), value))
  const brokers = [broker, `${'B'.repeat(42)}A`, `${'C'.repeat(42)}A`]
  const quorum: Quorum = {
    threshold: 2,
    shares: brokers.map((one, at) => ({
      broker: one,
      name: `broker-${at}`,
      controller: null,
      commitment: shareCommitment({ model, threshold: 2, index: at + 1 }, records[at]!),
    })),
  }
  return { owner: await signedWith(whole, quorum), quorum, records }
}

/** The same owner's model with another quorum in its manifest. */
async function signedWith(whole: TestOwner, quorum: Quorum): Promise<TestOwner> {
  const before = verifyManifestDigest(whole.manifest, whole.manifestDigest)
  const { manifest, signature } = await signQuorum(before, whole.manifestSignature, quorum, whole.key)
  return { ...whole, manifest, manifestSignature: signature, manifestDigest: manifestDigest(manifest) }
}

describe.each(databasesUnderTest())('a share at a broker: $name', ({ open }) => {
  let test1: Awaited<ReturnType<typeof testBroker>>
  let platform: Awaited<ReturnType<typeof testPlatform>>
  let split: Split
  let chain: Registered
  const wrap = async (info: Uint8Array, plain: Uint8Array) =>
    toBase64(await hpkeSeal(test1.broker.wrappingHybrid.publicKey, info, new Uint8Array(0), plain))
  const lease = { seconds: 300, budget: { requests: 100, inputBytes: 1000, workUnits: 1000 }, nodes: 3 }
  const made = async (given: Split, changes: Parameters<typeof registrationBody>[1] = {}) => ({
    ...(await registration(test1, given.owner, platform, {
      registration: { quorum: given.quorum, lease, ...changes },
    })),
    wrapped: await wrap(registerShareInfo(given.owner.manifestDigest), given.records[0]!),
  })
  /** A registration that is refused takes no place in the owner's chains. */
  const refused = async (given: Split, changes: Parameters<typeof made>[1], over: object = {}) => {
    const heads = new Map(given.owner.heads)
    const code = await codeOfPromise(registerModel(test1.broker, { ...(await made(given, changes)), ...over }))
    given.owner.heads.clear()
    for (const [name, head] of heads) given.owner.heads.set(name, head)
    return code
  }

  /** Databases live as long as their test. */
  const prepare = async (isRegistered: boolean) => {
    test1 = await testBroker(await open())
    platform = await testPlatform({ at: startTime })
    const whole = await testOwner()
    await createTenant(test1.broker, await tenantStatement(whole, 'development'))
    split = await splitOwner(test1.broker.signer.id, whole)
    chain = { test: test1, owner: split.owner, platform }
    if (isRegistered) await registerModel(test1.broker, await made(split))
  }

  test('is refused when it is not this broker’s, or no share at all', async () => {
    await prepare(false)
    const { owner, records } = split
    const info = registerShareInfo(owner.manifestDigest)
    expect(await refused(split, {}, { wrapped: await wrap(info, records[1]!) })).toBe('sealed/share')
    expect(await refused(split, {}, { wrapped: await wrap(info, owner.dek) })).toBe('sealed/share')
    // A whole key under the label of a whole key is none, either.
    expect(await refused(split, {}, { wrapped: await wrap(registerInfo(owner.manifestDigest), owner.dek) })).toBe(
      'crypto/hpke-open',
    )
  })

  test('is refused where registration and manifest disagree, or one broker could grant nothing', async () => {
    await prepare(false)
    expect(await refused(split, { quorum: undefined })).toBe('broker/registration')
    expect(await refused(split, { quorum: { ...split.quorum, threshold: 3 } })).toBe('broker/registration')
    expect(await refused(split, { delivery: ['v1', 'kbs'] })).toBe('broker/registration')
    expect(await refused(split, { lease: { ...lease, nodes: 1 } })).toBe('broker/registration')
    const [first, ...others] = split.quorum.shares
    const elsewhere = { ...split.quorum, shares: [{ ...first!, broker: `${'D'.repeat(42)}A` }, ...others] }
    const owner = await signedWith(split.owner, elsewhere)
    expect(await refused({ ...split, owner, quorum: elsewhere }, {})).toBe('sealed/quorum')
  })

  test('leaves with its opening, under a lease that says so, for its part of the limits', async () => {
    await prepare(true)
    const node = await testNode(chain)
    const asked = await request(chain, node)
    const outcome = await release(test1.broker, asked)
    if (outcome.kind !== 'granted') throw new Error(JSON.stringify(outcome))
    const { answer } = outcome
    const info = releaseInfo(hashLeaf(fromBase64(answer.leaf)))
    const record = await hpkeOpen(node.releaseKey, info, releaseAad(asked.manifestDigest), fromBase64(answer.wrapped!))
    expect(toHex(record)).toBe(toHex(split.records[0]!))
    const granted = await verifyLease(answer.lease, [test1.broker.signer.publicKey as Ed25519Jwk])
    expect(granted.quorum).toEqual(split.quorum)
    expect(granted.budget).toEqual({ requests: 66, inputBytes: 666, workUnits: 666 })
    // floor(3 * 2 / 3) nodes
    expect((await release(test1.broker, await request(chain, await testNode(chain)))).kind).toBe('granted')
    const third = await release(test1.broker, await request(chain, await testNode(chain)))
    expect(third).toMatchObject({ kind: 'denied', reasons: [expect.objectContaining({ id: 'broker/node-limit' })] })
  })

  test('is not registered anew by a statement alone, and its owner’s new trust statement takes it along', async () => {
    await prepare(true)
    const body = registrationBody(split.owner, { lease })
    const before = new Map(split.owner.heads)
    for (const quorum of [undefined, { ...split.quorum, threshold: 3 }])
      expect(await codeOfPromise(change(chain, 'registration', { ...body, quorum }))).toBe('broker/version')
    split.owner.heads.clear()
    for (const [name, head] of before) split.owner.heads.set(name, head)

    await change(chain, 'trust', { ...trustBody(test1, platform), independentWitnesses: ['w9'] })
    await change(chain, 'registration', { ...body, quorum: split.quorum, lease: { ...lease, nodes: 30 } })
    expect((await release(test1.broker, await request(chain, await testNode(chain)))).kind).toBe('granted')
  })

  test.each([
    ['the opening', (share: Record<string, unknown>) => ({ ...share, opening: toBase64Url(randomBytes(32)) })],
    ['the index', (share: Record<string, unknown>) => ({ ...share, index: 2 })],
    ['nothing that can be read', () => ({ index: 0 })],
  ])('yields nothing once somebody wrote into its row: %s', async (what, changed) => {
    await prepare(true)
    const rows = await test1.database.read(async (db) => {
      return rowsOf(db, sql`select share from keybroker.model_keys`)
    })
    const before = rows[0]!.share as Uint8Array
    const put = (bytes: Uint8Array) =>
      test1.database.db.execute(sql`update keybroker.model_keys set share = ${Buffer.from(bytes)}`)
    await put(canonicalJson(changed(JSON.parse(Buffer.from(before).toString('utf8')))))
    const outcome = codeOfPromise(request(chain, await testNode(chain)).then((asked) => release(test1.broker, asked)))
    // What is bound to is made of the owner's statements and not of the row; the opening is compared with the commitment.
    expect(await outcome).toBe(what === 'the index' ? 'ok' : 'broker/key')
    await put(before)
    expect(
      await codeOfPromise(request(chain, await testNode(chain)).then((asked) => release(test1.broker, asked))),
    ).toBe('ok')
  })
})
