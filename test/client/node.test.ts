import { beforeAll, describe, expect, test } from 'vitest'
import { judged } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { type Lease, signBeat, signLease } from '#core/wire/lease.js'
import type { NodeDocument } from '#core/wire/node-document.js'
import type { Trust } from '#core/wire/trust-file.js'
import { type BrokerDouble, LogDouble, type Tampering } from '#test/fakes/broker-double.js'
import { testPlatform, testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import {
  asJson,
  codeOfNode,
  freshEvidence,
  hostDeclaration,
  type MintedNode,
  type MintOptions,
  mintNode,
  newBroker,
  payloadOf,
  policyFor,
  trustIn,
} from './fixtures.js'

let broker: BrokerDouble
let stranger: BrokerDouble
let one: MintedNode
let other: MintedNode
let trust: Trust
const nonce = toBase64Url(new Uint8Array(32).fill(7))

beforeAll(async () => {
  broker = await newBroker()
  stranger = await newBroker()
  one = await mintNode(broker)
  other = await mintNode(broker, { host: await hostDeclaration('FR') })
  trust = trustIn(broker)
})

const judge = (document: unknown, changes: Parameters<typeof policyFor>[1] = {}, given: object = {}) =>
  codeOfNode(document, { trust, policy: policyFor(broker.model, changes), ...given })

/** A node that was released while the broker did something else than an honest one. */
async function tampered(tampering: Tampering, options: MintOptions = {}): Promise<NodeDocument> {
  broker.tampering = tampering
  try {
    return (await mintNode(broker, options)).document
  } finally {
    broker.tampering = {}
  }
}

test('a valid document passes every step, on its own and with fresh evidence', async () => {
  for (const { document } of [one, other]) expect(await judge(document)).toBe('ok')
  const document = { ...one.document, fresh: await freshEvidence(one, nonce) }
  const input = { trust, policy: policyFor(broker.model), nonce, at: testTime }
  const verdict = await judged(nodeSteps, (steps) => verifyNode(asJson(document), input, steps))
  if (!verdict.ok) throw verdict.failure
  expect(verdict.steps.map((step) => step.status)).toEqual(nodeSteps.map(() => 'ok'))
  expect(verdict.value).toMatchObject({
    platform: 'simulated',
    runtime: 'the test runtime',
    independentWitnesses: ['w1'],
    declared: { place: { country: 'DE' }, operator: { legalName: 'Example GmbH' } },
  })
})

test('the first step that fails ends the work, and what comes after it is not checked', async () => {
  const input = { trust, policy: policyFor(broker.model), nonce: null, at: testTime + 86_401 }
  const verdict = await judged(nodeSteps, (steps) => verifyNode(asJson(one.document), input, steps))
  expect(verdict.ok).toBe(false)
  const states = verdict.steps.map((step) => step.status)
  expect(states.slice(0, 3)).toEqual(['ok', 'ok', 'failed'])
  expect(new Set(states.slice(3))).toEqual(new Set(['not checked']))
})

describe('two valid nodes of one broker spliced into one document (I20)', () => {
  const members: readonly (readonly [keyof NodeDocument, string])[] = [
    ['keyset', 'client/keyset-splice'],
    ['config', 'client/config-splice'],
    ['release', 'client/keyset-splice'],
    ['ear', 'client/ear-splice'],
    ['leaf', 'leaf/model'],
    ['openings', 'leaf/model'],
    ['proof', 'tlog/root-mismatch'],
    ['lease', 'client/lease-splice'],
    ['beat', 'client/beat-splice'],
    ['host', 'client/host-splice'],
  ]
  test.each(members)('%s of the other', async (member, code) => {
    expect(await judge({ ...one.document, [member]: other.document[member] })).toBe(code)
    expect(await judge({ ...other.document, [member]: one.document[member] })).toBe(code)
  })

  test('any two of them together', async () => {
    const names = members.map(([member]) => member)
    for (const [i, first] of names.entries()) {
      for (const second of names.slice(i + 1)) {
        const spliced = { ...one.document, [first]: other.document[first], [second]: other.document[second] }
        expect(await judge(spliced), `${first} and ${second}`).not.toBe('ok')
      }
    }
  })

  test('evidence under the other’s binding, and the reverse', async () => {
    const { binding, evidence } = one.document.release
    const strange = other.document.release
    expect(await judge({ ...one.document, release: { binding, evidence: strange.evidence } })).toBe('client/evidence')
    expect(await judge({ ...one.document, release: { binding: strange.binding, evidence } })).toBe(
      'client/keyset-splice',
    )
  })

  test('each opening, alone', async () => {
    for (const name of ['model', 'evidence', 'decision'] as const) {
      const openings = { ...one.document.openings, [name]: other.document.openings[name] }
      expect(await judge({ ...one.document, openings }), name).toBe(`leaf/${name}`)
    }
    const openings = { ...one.document.openings, tenant: other.document.openings.model }
    expect(await judge({ ...one.document, openings })).toBe('leaf/tenant')
  })

  test('another trust statement of the same owner', async () => {
    const trusted = await broker.signTrust({ sequence: 2 })
    expect(await judge({ ...one.document, trust: trusted })).toBe('client/trust-splice')
  })

  test('another decision', async () => {
    expect(await judge({ ...one.document, decision: { effect: 'deny' } })).toBe('leaf/decision')
  })
})

describe('fresh evidence', () => {
  const withFresh = async (given: Parameters<typeof freshEvidence>[2], node = one) =>
    judge({ ...one.document, fresh: await freshEvidence(node, nonce, given) }, {}, { nonce })

  test.each([
    ['a nonce that was answered before', { nonce: toBase64Url(new Uint8Array(32)) }, 'client/nonce'],
    ['evidence that was made for a release', { purpose: 'claviger.release.v1' as const }, 'client/purpose'],
    ['evidence that was made for a broker', { audience: 'A'.repeat(43) }, 'client/purpose'],
    ['another keyset', { keyset_digest: 'ab'.repeat(32) }, 'client/keyset-splice'],
    ['other settings', { config_digest: 'ab'.repeat(32) }, 'client/config-splice'],
    ['another trust statement', { trust_digest: 'ab'.repeat(32) }, 'client/trust-splice'],
    ['devices that nobody showed', { devices_digest: 'ab'.repeat(32) }, 'client/devices'],
    ['another model', { model: `${'A'.repeat(43)}/whisper` }, 'client/model'],
  ])('refuses %s', async (_, changes, code) => {
    expect(await withFresh(changes)).toBe(code)
  })
  test('refuses none', async () => {
    expect(await judge(one.document, {}, { nonce })).toBe('client/fresh-missing')
  })
  test('refuses that of another node', async () => {
    expect(await withFresh({}, other)).toBe('client/keyset-splice')
  })
  test('refuses that of a machine with another measurement', async () => {
    const platform = await testPlatform({ measurement: 'cd'.repeat(48) })
    expect(await withFresh({}, { ...one, platform })).toBe('client/measurement')
  })
})

describe('what is in the trust file is believed, and nothing else (I19)', () => {
  test.each<[string, () => Partial<Trust>, string]>([
    ['owner', () => ({ owners: trustIn(stranger).owners }), 'client/owner-unknown'],
    ['broker', () => ({ brokers: trustIn(stranger).brokers }), 'client/broker-unknown'],
    ['verifier', () => ({ verifiers: trustIn(stranger).verifiers }), 'ear/key'],
    ['log', () => ({ logs: trustIn(stranger).logs }), 'tlog/unknown-log'],
    ['witness', () => ({ witnessPolicy: trustIn(stranger).witnessPolicy }), 'tlog/quorum'],
    ['root', () => ({ simulatedRoots: [] }), 'client/evidence'],
    ['runtime', () => ({ runtimes: [] }), 'client/evidence'],
    [
      'runtime of another measurement',
      () => ({ runtimes: [{ title: 'x', values: testReferenceValues({ measurements: ['cd'.repeat(48)] }) }] }),
      'client/measurement',
    ],
  ])('another %s', async (_, changes, code) => {
    expect(await judge(one.document, {}, { trust: { ...trust, ...changes() } })).toBe(code)
  })

  test('a document that was minted with anchors of its own is consistent in itself and refused', async () => {
    const { document } = await mintNode(stranger)
    const policy = policyFor(stranger.model)
    expect(await codeOfNode(document, { trust: trustIn(stranger), policy })).toBe('ok')
    expect(await codeOfNode(document, { trust, policy })).toBe('client/owner-unknown')
    expect(await codeOfNode(document, { trust: { ...trust, owners: trustIn(stranger).owners }, policy })).toBe(
      'client/broker-unknown',
    )
  })

  test('a broker that the reader trusts cannot speak for the one that the node obeys', async () => {
    const both = { ...trust, brokers: [...trust.brokers, ...trustIn(stranger).brokers] }
    const lease = await signLease(payloadOf(one.document.lease), stranger.key)
    expect(await judge({ ...one.document, lease }, {}, { trust: both })).toBe('dsse/signer')
    const beat = await signBeat(payloadOf(one.document.beat), stranger.key)
    expect(await judge({ ...one.document, beat }, {}, { trust: both })).toBe('dsse/signer')
  })

  test('a broker that the reader trusts and the owner does not name', async () => {
    const document = await tampered({}, { config: { broker: stranger.id }, binding: { audience: stranger.id } })
    const both = { ...trust, brokers: [...trust.brokers, ...trustIn(stranger).brokers] }
    expect(await judge(document, {}, { trust: both })).toBe('client/audience')
  })
})

describe('what binds the parts together', () => {
  test('evidence that was not made for a release', async () => {
    const document = await tampered({}, { binding: { purpose: 'claviger.node.v1' } })
    expect(await judge(document)).toBe('client/purpose')
  })
  test('evidence for another broker than the node obeys', async () => {
    expect(await judge(await tampered({}, { binding: { audience: stranger.id } }))).toBe('client/audience')
  })
  test('evidence of devices that the document lacks', async () => {
    expect(await judge(await tampered({}, { binding: { devices_digest: 'ab'.repeat(32) } }))).toBe('client/devices')
  })
  test('settings of another model than is asked for', async () => {
    expect(await codeOfNode(one.document, { trust, policy: policyFor(`${broker.owner.id}/other`) })).toBe(
      'client/model',
    )
  })
  test('weakening settings that the document hides', async () => {
    expect(await judge({ ...one.document, weakenings: [] })).toBe('client/weakenings')
  })
  test('a trust statement that its owner made for another', async () => {
    const trusted = await broker.signTrust({ tenant: stranger.owner.id })
    expect(await judge({ ...one.document, trust: trusted })).toBe('client/trust-splice')
  })
  test('one key in two roles', async () => {
    const { keyset } = one.document
    expect(
      await judge({ ...one.document, keyset: { ...keyset, receipt: { ...keyset.receipt, x: keyset.request.x } } }),
    ).toBe('keyset/role')
  })
  test('a document without its host statement', async () => {
    expect(await judge({ ...one.document, host: null })).toBe('client/host-splice')
  })
  test('a place that the broker upgraded in the lease', async () => {
    const lease = (lease: Lease): Lease => ({ ...lease, declared: { ...lease.declared!, place: { country: 'FR' } } })
    expect(await judge(await tampered({ lease }))).toBe('client/host-splice')
  })
  test('an entry that says another platform than the evidence', async () => {
    const hardware = { lease: (lease: Lease): Lease => ({ ...lease, platform: 'hardware' }) }
    const document = await tampered({ ...hardware, entry: (entry) => ({ ...entry, platform: 'hardware' }) })
    expect(await judge(document)).toBe('client/platform')
  })
  test('an entry that nobody witnessed', async () => {
    expect(await judge(await tampered({ isWitnessed: false }))).toBe('tlog/quorum')
  })
  test('an entry in a log of the same name by another key', async () => {
    expect(await judge(await tampered({ log: await LogDouble.create() }))).toBe('tlog/unknown-log')
  })
  test('a proof of an entry that is not this release', async () => {
    const entry = (entry: Parameters<NonNullable<Tampering['entry']>>[0]) => ({
      ...entry,
      manifest_digest: 'ee'.repeat(32),
    })
    expect(await judge(await tampered({ entry }))).toBe('leaf/manifest')
  })
})

describe('one lie of a broker, a verifier or a host that all sign with their own keys, and the rest true', () => {
  const splice = 'client/lease-splice'
  test.each<[string, (lease: Lease) => Lease, string]>([
    ['a lease in the name of another broker', (lease) => ({ ...lease, broker: stranger.id }), splice],
    ['of another tenant', (lease) => ({ ...lease, tenant: stranger.owner.id }), splice],
    ['for another model', (lease) => ({ ...lease, model: `${broker.owner.id}/other` }), splice],
    ['under another trust statement', (lease) => ({ ...lease, trustDigest: 'ab'.repeat(32) }), splice],
    ...(
      [
        ['of another host', { host: 'rack-8' }],
        ['signed by another host', { issuer: 'A'.repeat(43) }],
        ['of another time', { issuedAt: testTime - 1 }],
        ['by another statement', { statementDigest: 'ab'.repeat(32) }],
      ] as const
    ).map(([name, part]): [string, (lease: Lease) => Lease, string] => [
      `a place ${name}`,
      (lease) => ({ ...lease, declared: { ...lease.declared!, ...part } }),
      'client/host-splice',
    ]),
  ])('%s', async (_, lease, code) => {
    expect(await judge(await tampered({ lease }))).toBe(code)
  })

  test.each<[string, NonNullable<Tampering['earOf']>]>([
    ['keyset', (asked) => ({ ...asked, binding: { ...asked.binding, keyset_digest: 'ab'.repeat(32) } })],
    ['release key', (asked) => ({ ...asked, keyset: { ...asked.keyset, release: asked.keyset.request } })],
    ['evidence', (asked) => ({ ...asked, evidence: other.document.release.evidence })],
  ])('an attestation result about another %s', async (_, earOf) => {
    expect(await judge(await tampered({ earOf }))).toBe('client/ear-splice')
  })
  test('an attestation result for another challenge', async () => {
    expect(await judge(await tampered({ earNonce: nonce }))).toBe('client/ear-splice')
  })
  test('an attestation result that refuses the node', async () => {
    broker.referenceValues = testReferenceValues({ measurements: ['cd'.repeat(48)] })
    try {
      expect(await judge(await tampered({}))).toBe('client/ear-splice')
    } finally {
      broker.referenceValues = testReferenceValues()
    }
  })
  test('an attestation result of hardware, beside evidence of none', async () => {
    broker.platform = 'hardware'
    const lease = (lease: Lease): Lease => ({ ...lease, platform: 'simulated' })
    try {
      const document = await tampered({ lease, entry: (entry) => ({ ...entry, platform: 'simulated' }) })
      expect(await judge(document)).toBe('client/ear-splice')
    } finally {
      broker.platform = 'simulated'
    }
  })

  test('settings of another model than the evidence names, and a host statement that they do not name', async () => {
    expect(await judge(await tampered({}, { config: { model: `${broker.owner.id}/other` } }))).toBe('client/model')
    expect(await judge(await tampered({}, { config: { hostStatement: 'ab'.repeat(32) } }))).toBe('client/host-splice')
  })
  test('a trust statement for another owner, of which everything else speaks', async () => {
    const made = await newBroker()
    made.trust = await made.signTrust({ tenant: stranger.owner.id })
    const { document } = await mintNode(made)
    expect(await codeOfNode(document, { trust: trustIn(made), policy: policyFor(made.model) })).toBe(
      'client/trust-splice',
    )
  })
  test('evidence for one broker and settings of another, both of whom owner and reader trust', async () => {
    const made = await newBroker()
    const brokers = [made, stranger].map(({ key }) => key.publicKey as Ed25519Jwk)
    made.trust = await made.signTrust({ brokers })
    const { document } = await mintNode(made, { binding: { audience: stranger.id } })
    const readers = trustIn(made, { brokers: brokers.map((key, i) => ({ alias: `b${i}`, key })) })
    expect(await codeOfNode(document, { trust: readers, policy: policyFor(made.model) })).toBe('client/audience')
  })
  test('a cosignature from the future', async () => {
    const append = (ahead: number) => (leaf: Uint8Array, at: number) => broker.log.append(leaf, at + ahead)
    const signed = (ahead: number) => tampered({ log: { append: append(ahead) } as unknown as LogDouble })
    expect(await judge(await signed(60))).toBe('ok')
    expect(await judge(await signed(61))).toBe('tlog/quorum')
  })
  test('a list of revoked certificates that is older than the reader’s floor', async () => {
    const floor = (issuedAtMin: number) => ({ kind: 'crl', issuer: testRootDigest, issuedAtMin }) as const
    const under = (at: number) => judge(one.document, {}, { trust: { ...trust, collateralFloors: [floor(at)] } })
    expect(await under(0)).toBe('ok')
    expect(await under(testTime)).toBe('client/evidence')
  })
  test('a beat that is older than a lease may be', async () => {
    const lease = (lease: Lease): Lease => ({ ...lease, expiresAt: lease.issuedAt + 20 })
    const aged = (age: number) =>
      tampered({ lease, beat: (beat) => ({ ...beat, at: testTime - age, expiresAt: testTime + 20 }) })
    expect(await judge(await aged(20))).toBe('ok')
    expect(await judge(await aged(21))).toBe('client/beat-stale')
  })
})

describe('time, by the reader’s own clock', () => {
  const later = (seconds: number) => ({ at: testTime + seconds })
  test('a beat that is older than the client accepts', async () => {
    expect(await judge(one.document, {}, later(60))).toBe('ok')
    expect(await judge(one.document, {}, later(61))).toBe('client/beat-stale')
  })
  test('a beat from the future', async () => {
    expect(await judge(one.document, {}, later(-200))).toMatch(/^(ear|tlog|client)\//)
    const beat = await signBeat(
      { ...payloadOf(one.document.beat), at: testTime + 200, expiresAt: testTime + 260 },
      broker.key,
    )
    expect(await judge({ ...one.document, beat })).toBe('client/beat-stale')
  })
  test('a beat that the broker let lapse', async () => {
    expect(await judge(one.document, { beatAgeSecondsMax: 3600 }, later(300))).toBe('client/beat-stale')
  })
  test('a lease past its end', async () => {
    expect(await judge(one.document, { beatAgeSecondsMax: 3600 }, later(601))).toBe('client/lease-expired')
  })
  test('a keyset past its end', async () => {
    expect(await judge(one.document, { beatAgeSecondsMax: 3600 }, later(86_401))).toBe('client/keyset-expired')
  })
})

describe('the client’s own policy', () => {
  test.each([
    ['another country', { countries: ['FR'] }, 'client/place'],
    ['one of two countries', { countries: ['FR', 'DE'] }, 'ok'],
    ['another manifest', { manifests: ['ab'.repeat(32)] }, 'client/manifest'],
    ['this manifest', { manifests: ['cd'.repeat(32)] }, 'ok'],
    ['a later version', { versionMin: 2 }, 'client/version'],
    ['one independent witness', { witnessesMin: 1 }, 'ok'],
    ['two independent witnesses', { witnessesMin: 2 }, 'client/witnesses'],
    ['hardware', { dangerousAllowSimulated: false }, 'client/simulated'],
  ])('%s', async (_, changes, code) => {
    expect(await judge(one.document, changes)).toBe(code)
  })
  test('any country, of a node that states no place', async () => {
    for (const host of [null, await hostDeclaration(null)]) {
      const { document } = await mintNode(broker, { host })
      expect(await judge(document, { countries: ['DE'] })).toBe('client/place')
      expect(await judge(document)).toBe('ok')
    }
  })
  test('a witness of the same operator does not count as independent', async () => {
    const lonely = { ...trust, independentWitnesses: [] }
    expect(await judge(one.document, { witnessesMin: 1 }, { trust: lonely })).toBe('client/witnesses')
  })
})

describe('simulated evidence is never hardware (I6)', () => {
  test('for an owner who signed that the class is production the flag allows nothing', async () => {
    const production = await newBroker()
    production.trust = await production.signTrust({ class: 'production', independentWitnesses: ['w1'] })
    const { document } = await mintNode(production)
    const policy = policyFor(production.model, { dangerousAllowSimulated: true })
    expect(await codeOfNode(document, { trust: trustIn(production), policy })).toBe('client/evidence')
  })
  test('whatever broker, lease, entry and document call it', async () => {
    const names = { lease: (lease: Lease): Lease => ({ ...lease, platform: 'hardware' }) }
    const document = await tampered({ ...names, entry: (entry) => ({ ...entry, platform: 'hardware' }) })
    for (const dangerousAllowSimulated of [true, false])
      expect(await judge(document, { dangerousAllowSimulated })).toBe('client/platform')
    const strict = { dangerousAllowSimulated: false }
    expect(await judge(one.document, strict)).toBe('client/simulated')
  })
  test('whatever the trust file calls the runtime', async () => {
    const titled = { ...trust, runtimes: [{ title: 'AMD SEV-SNP Genoa, hardware', values: testReferenceValues() }] }
    expect(await judge(one.document, { dangerousAllowSimulated: false }, { trust: titled })).toBe('client/simulated')
  })
  test('under a vendor that nobody named, though its certificates say what a vendor’s say', async () => {
    expect(await judge(one.document, {}, { trust: { ...trust, simulatedRoots: ['ab'.repeat(32)] } })).toBe(
      'client/evidence',
    )
  })
})

describe('absent and downgraded members', () => {
  test('each member of the document, alone', async () => {
    for (const name of Object.keys(one.document)) {
      const { [name as keyof NodeDocument]: _, ...rest } = one.document
      expect(await judge(rest), name).toMatch(/^shape\//)
    }
  })
  test('each member emptied', async () => {
    for (const name of ['trust', 'lease', 'beat'] as const) {
      const envelope = { ...one.document[name], signatures: [] }
      expect(await judge({ ...one.document, [name]: envelope }), name).not.toBe('ok')
    }
    for (const name of ['ear', 'leaf', 'proof'] as const)
      expect(await judge({ ...one.document, [name]: '' }), name).not.toBe('ok')
  })
  test('an unknown member', async () => {
    expect(await judge({ ...one.document, verified: true })).toMatch(/^shape\//)
  })
  test('another suite', async () => {
    const keyset = { ...one.document.keyset, suite: 'NONE' }
    expect(await judge({ ...one.document, keyset })).toMatch(/^shape\//)
  })
})

test('a signature by any other key is refused wherever one stands', async () => {
  const { key } = await generateSigningKey('Ed25519')
  const lease = await signLease(payloadOf(one.document.lease), key)
  expect(await judge({ ...one.document, lease })).toBe('dsse/signer')
  expect(await judge(await tampered({ earKey: key }))).toBe('ear/key')
  expect(await judge(await tampered({ beatKey: key }))).toBe('dsse/signer')
  const trusted = await broker.signTrust({}, stranger.owner)
  expect(await judge({ ...one.document, trust: trusted })).toBe('dsse/signer')
  const vkey = encodeVkey(makeNoteSigner('log.example/1', 'log', key).verifier)
  expect(await judge(one.document, {}, { trust: { ...trust, logs: [vkey] } })).toBe('tlog/unknown-log')
})
