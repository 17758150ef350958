import { beforeEach, describe, expect, test } from 'vitest'
import { fromBase64, toBase64, toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { encodeVkey } from '#core/tlog/vkey.js'
import type { ReleaseEntry } from '#core/wire/entries.js'
import type { Lease } from '#core/wire/lease.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import type { ReleaseAnswer } from '#core/wire/release.js'
import { signHostStatement } from '#core/wire/statements.js'
import type { Session } from '#runtime/session.js'
import { BrokerDouble, budgetOf, LogDouble, type Tampering } from '../fakes/broker-double.js'
import { codeOf, codeOfPromise } from '../fakes/code-of.js'
import { NodeDouble } from '../fakes/node-double.js'
import { testTime } from '../fakes/platform.js'

let broker: BrokerDouble
let node: NodeDouble
beforeEach(async () => {
  broker = await BrokerDouble.create(() => testTime)
  node = new NodeDouble(broker)
})

async function ed25519() {
  return (await generateSigningKey('Ed25519')).key
}

/** The start is refused with this code, and no key is left anywhere. */
async function refuses(code: string): Promise<void> {
  const before = node.engines.length
  expect(await codeOfPromise(node.start())).toBe(code)
  for (const engine of node.engines.slice(before)) {
    expect(engine.dek).toBe(undefined)
    expect(engine.unloads).toBe(1)
  }
}

describe('a session that an honest broker grants', () => {
  test('ends with the key in the engine and nowhere else', async () => {
    const session = await node.start()
    expect(node.holdsKey).toBe(true)
    expect(node.steps).toEqual(['engine', 'keyset', 'evidence', 'release', 'verify', 'load'])
    expect(session.isServing).toBe(true)
    expect(session.left.requests).toBe(100)
  })

  test('shows a node document that has its form', async () => {
    const session = await node.start()
    const nonce = toBase64Url(randomBytes(32))
    const document = session.document(await session.attestFor(nonce))
    const again = nodeDocumentShape(parseJson(new TextEncoder().encode(JSON.stringify(document))), 'node')
    expect(again.fresh?.binding).toMatchObject({ purpose: 'claviger.node.v1', audience: 'client', nonce })
    expect(again.weakenings).toEqual(['simulated evidence is accepted', 'engine: unconfined'])
  })

  test('states place and operator as its host signed them', async () => {
    const host = await ed25519()
    const value = { type: 'claviger/statement/host/v1', host: 'node-1', place: { country: 'DE' } } as const
    const statement = await signHostStatement({ ...value, operator: null, issuedAt: testTime }, host)
    node.settings = { host: { statement, key: host.publicKey } }
    const session = await node.start()
    expect(session.grant.lease.declared?.place).toEqual({ country: 'DE' })
  })
})

describe('what a node refuses by itself', () => {
  test('simulated evidence that nobody allowed: not even a process is started', async () => {
    node.settings = { dangerousAllowSimulated: false }
    await refuses('own/simulated')
    expect(node.engines.length).toBe(0)
    expect(broker.calls).toEqual([])
  })

  test('simulated evidence for an owner who signed that the class is production, whatever flag stands', async () => {
    broker.trust = await broker.signTrust({ class: 'production', independentWitnesses: ['w1'] })
    node.settings = { dangerousAllowSimulated: true }
    await refuses('own/class')
    expect(node.engines.length).toBe(0)
    expect(broker.calls).toEqual([])
    expect(node.steps).toEqual([])
  })

  test('a trust statement of another owner', async () => {
    const other = await BrokerDouble.create(() => testTime)
    node.settings = { trust: other.trust }
    await refuses('dsse/signer')
  })

  test('a trust statement that the owner made for another', async () => {
    broker.trust = await broker.signTrust({ tenant: (await ed25519()).id })
    await refuses('own/owner')
  })

  test('a lease and beats of the broker that it does not obey, though the owner trusts both', async () => {
    const other = await ed25519()
    const brokers = [broker.key.publicKey as Ed25519Jwk, other.publicKey as Ed25519Jwk]
    broker.trust = await broker.signTrust({ brokers })
    node.settings = { broker: broker.id }
    broker.tampering = { leaseKey: other }
    await refuses('dsse/signer')
    broker.tampering = { beatKey: other }
    await refuses('dsse/signer')
  })

  test('an attestation result that calls its machine something else', async () => {
    broker.platform = 'hardware'
    broker.tampering = {
      lease: (lease) => ({ ...lease, platform: 'simulated' }),
      entry: (entry) => ({ ...entry, platform: 'simulated' }),
    }
    await refuses('grant/platform')
  })

  test('a trust statement that another key signed', async () => {
    node.settings = { trust: await broker.signTrust({}, await ed25519()) }
    await refuses('dsse/signer')
  })

  test('an owner key that the model is not named after', async () => {
    const other = await ed25519()
    node.settings = { ownerKey: other.publicKey, trust: await broker.signTrust({}, other) }
    await refuses('own/owner')
  })

  test('a broker that the owner does not trust', async () => {
    node.settings = { broker: (await ed25519()).id }
    await refuses('own/broker')
  })

  test('a choice between two brokers that nobody made', async () => {
    const brokers = [broker.key.publicKey as Ed25519Jwk, (await ed25519()).publicKey as Ed25519Jwk]
    broker.trust = await broker.signTrust({ brokers })
    await refuses('own/broker')
    node.settings = { broker: broker.id }
    await node.start()
    expect(node.holdsKey).toBe(true)
  })

  test('a challenge that names another broker: its nonce was relayed', async () => {
    broker.tampering = { challengeBroker: (await ed25519()).id }
    await refuses('session/broker')
    expect(broker.calls).toEqual(['challenge'])
  })

  test('a challenge that is over', async () => {
    broker.tampering = { challengeExpiresAt: testTime - 61 }
    await refuses('session/challenge-expired')
  })

  test('a release without a key', async () => {
    broker.tampering = { answer: (answer) => ({ ...answer, wrapped: null }) }
    await refuses('session/key')
  })

  test('a release that the broker denies', async () => {
    broker.tampering = { fails: new Failure('broker/denied', 'policy says no') }
    await refuses('broker/denied')
  })
})

const other = 'ab'.repeat(32)
const leaseCases: readonly (readonly [string, Partial<Lease>])[] = [
  ['grant/lease-broker', { broker: 'A'.repeat(43) }],
  ['grant/lease-tenant', { tenant: 'A'.repeat(43) }],
  ['grant/lease-model', { model: `${'A'.repeat(43)}/whisper` }],
  ['grant/lease-version', { version: 4 }],
  ['grant/lease-manifest', { manifestDigest: other }],
  ['grant/lease-keyset', { keysetDigest: other }],
  ['grant/lease-trust', { trustDigest: other }],
  ['grant/lease-platform', { platform: 'hardware' }],
  ['grant/lease-time', { time: 'attested-counter' }],
  ['grant/lease-time', { issuedAt: testTime + 61 }],
  ['grant/lease-time', { expiresAt: testTime }],
  ['grant/lease-time', { expiresAt: testTime + 100_000 }],
]
const entryCases: readonly (readonly [string, Partial<ReleaseEntry>])[] = [
  ['leaf/tenant', { tenant: other }],
  ['leaf/model', { model: other }],
  ['leaf/nonce', { nonce_digest: other }],
  ['leaf/evidence', { evidence: other }],
  ['leaf/decision', { decision: other }],
  ['leaf/version', { version: 4 }],
  ['leaf/manifest', { manifest_digest: other }],
  ['leaf/keyset', { keyset_digest: other }],
  ['leaf/config', { config_digest: other }],
  ['leaf/trust', { trust_digest: other }],
  ['leaf/policy', { policy_digest: other }],
  ['leaf/ear', { ear_digest: other }],
  ['leaf/lease', { lease_id: 'ab'.repeat(16) }],
  ['leaf/lease', { lease_expires_at: testTime + 601 }],
  ['leaf/platform', { platform: 'hardware' }],
  ['leaf/route', { route: 'kbs' }],
  ['leaf/route', { kind: 'renewal' }],
]

describe('a release in which one thing is wrong', () => {
  test.each(leaseCases)('%s: lease with %o', async (code, change) => {
    broker.tampering = { lease: (lease) => ({ ...lease, ...change }) }
    await refuses(code)
  })

  test.each(entryCases)('%s: log entry with %o', async (code, change) => {
    broker.tampering = { entry: (entry) => ({ ...entry, ...change }) as ReleaseEntry }
    await refuses(code)
  })

  test('lease and entry that agree on a place that the host did not sign', async () => {
    const declared = {
      place: { country: 'DE' },
      operator: null,
      host: 'node-1',
      basis: 'declared',
      grade: 'L0',
      issuer: 'A'.repeat(43),
      issuedAt: testTime,
      statementDigest: other,
    } as const
    broker.tampering = { lease: (lease) => ({ ...lease, declared }) }
    await refuses('grant/lease-declared')
  })

  test('a place that the host signed and the lease changes', async () => {
    const host = await ed25519()
    const value = { type: 'claviger/statement/host/v1', host: 'node-1', place: { country: 'DE' } } as const
    const statement = await signHostStatement({ ...value, operator: null, issuedAt: testTime }, host)
    node.settings = { host: { statement, key: host.publicKey } }
    broker.tampering = {
      lease: (lease) => ({ ...lease, declared: { ...lease.declared!, place: { country: 'FR' } } }),
    }
    await refuses('grant/lease-declared')
  })

  const keyCases: readonly (readonly [string, (key: Awaited<ReturnType<typeof ed25519>>) => Tampering])[] = [
    ['dsse/signer', (key) => ({ leaseKey: key })],
    ['dsse/signer', (key) => ({ beatKey: key })],
    ['ear/key', (key) => ({ earKey: key })],
  ]
  test.each(keyCases)('%s: a signature by a stranger (%#)', async (code, tamper) => {
    broker.tampering = tamper(await ed25519())
    await refuses(code)
  })

  test('a beat that answers no nonce of ours', async () => {
    broker.tampering = { beat: (beat) => ({ ...beat, nonce: 'A'.repeat(43) }) }
    await refuses('grant/beat-nonce')
  })

  test('a beat for another lease, and one that is over', async () => {
    broker.tampering = { beat: (beat) => ({ ...beat, lease: 'ab'.repeat(16) }) }
    await refuses('grant/beat')
    broker.tampering = { beat: (beat) => ({ ...beat, at: testTime - 100, expiresAt: testTime - 40 }) }
    await refuses('grant/beat')
  })

  test('an attestation result that is over, or answers another nonce', async () => {
    broker.tampering = { earAt: testTime - 400 }
    await refuses('ear/expired')
    broker.tampering = { earNonce: 'A'.repeat(43) }
    await refuses('grant/ear-nonce')
  })

  test('evidence that does not bind what the node is: the result is contraindicated', async () => {
    node.attest = async () => {
      const { testPlatform } = await import('../fakes/platform.js')
      return (await testPlatform()).attest(new Uint8Array(64))
    }
    await refuses('grant/ear-status')
  })

  test('a log that the owner does not trust', async () => {
    broker.tampering = { log: await LogDouble.create('log.example/1') }
    await refuses('tlog/unknown-log')
    broker.tampering = { log: await LogDouble.create('log.example/2') }
    await refuses('tlog/unknown-log')
  })

  test('an entry that no witness saw', async () => {
    broker.tampering = { isWitnessed: false }
    await refuses('tlog/quorum')
  })

  test('a witness that has the key of the log counts for nothing', async () => {
    const { log } = broker
    const twin = new LogDouble(log.signer, { verifier: { ...log.signer.verifier }, key: log.signer.key })
    broker.trust = await broker.signTrust({
      witnessPolicy: `witness w1 ${encodeVkey(twin.witness.verifier)}\nquorum w1\n`,
    })
    await refuses('tlog/policy')
  })

  test('a valid proof of another release', async () => {
    let first: ReleaseAnswer | undefined
    broker.tampering = {
      answer: (answer) => {
        first = answer
        return answer
      },
    }
    await node.start()
    broker.tampering = { answer: (answer) => ({ ...answer, proof: first!.proof }) }
    await refuses('tlog/root-mismatch')
    // With its leaf beside it the old proof verifies; it is still not the proof of this release.
    broker.tampering = { answer: (answer) => ({ ...answer, proof: first!.proof, leaf: first!.leaf }) }
    expect(await codeOfPromise(node.start())).toMatch(/^leaf\//)
  })

  test('a leaf that is spelled in another way', async () => {
    broker.tampering = { leaf: (leaf) => new Uint8Array([...leaf.subarray(0, -1), 0x20, 0x7d]) }
    await refuses('json/canonical')
  })

  test('a key that was wrapped for another entry does not open', async () => {
    let first: ReleaseAnswer | undefined
    broker.tampering = { answer: (answer) => (first = answer) }
    await node.start()
    broker.tampering = { answer: (answer) => ({ ...answer, wrapped: first!.wrapped }) }
    await refuses('crypto/hpke-open')
  })

  test('any flipped bit of leaf, lease, proof or attestation result', async () => {
    const flip = (text: string) => {
      const bytes = fromBase64(text)
      bytes[bytes.length >> 1] = bytes[bytes.length >> 1]! ^ 1
      return toBase64(bytes)
    }
    const changes: readonly ((answer: ReleaseAnswer) => ReleaseAnswer)[] = [
      (answer) => ({ ...answer, leaf: flip(answer.leaf) }),
      (answer) => ({ ...answer, lease: { ...answer.lease, payload: flip(answer.lease.payload) } }),
      (answer) => ({ ...answer, beat: { ...answer.beat, payload: flip(answer.beat.payload) } }),
      (answer) => ({ ...answer, ear: answer.ear.replace(/\.(.)/, (_, one) => `.${one === 'e' ? 'f' : 'e'}`) }),
      (answer) => ({ ...answer, openings: { ...answer.openings, model: 'A'.repeat(43) } }),
      (answer) => ({ ...answer, decision: { effect: 'deny' } }),
      (answer) => ({ ...answer, wrapped: flip(answer.wrapped!) }),
    ]
    for (const change of changes) {
      broker.tampering = { answer: change }
      expect(await codeOfPromise(node.start())).not.toBe('ok')
      expect(node.engine.dek).toBe(undefined)
    }
  })
})

describe('parts of two valid nodes put together', () => {
  let second: NodeDouble
  let mine: ReleaseAnswer
  let theirs: ReleaseAnswer
  beforeEach(async () => {
    second = new NodeDouble(broker)
    await second.start()
    theirs = await broker.answer(broker.requests.at(-1)!)
  })
  const parts: readonly (readonly [string, (a: ReleaseAnswer, b: ReleaseAnswer) => ReleaseAnswer])[] = [
    ['grant/lease-keyset', (a, b) => ({ ...a, lease: b.lease })],
    ['grant/beat', (a, b) => ({ ...a, beat: b.beat })],
    ['grant/ear-keyset', (a, b) => ({ ...a, ear: b.ear })],
    ['leaf/tenant', (a, b) => ({ ...a, leaf: b.leaf, openings: { ...a.openings, tenant: 'A'.repeat(43) } })],
    ['leaf/model', (a, b) => ({ ...a, leaf: b.leaf })],
    ['leaf/nonce', (a, b) => ({ ...a, leaf: b.leaf, openings: b.openings, proof: b.proof })],
    ['tlog/root-mismatch', (a, b) => ({ ...a, proof: b.proof })],
    ['crypto/hpke-open', (a, b) => ({ ...a, wrapped: b.wrapped })],
  ]
  test.each(parts)('%s (%#)', async (code, splice) => {
    broker.tampering = {
      answer: (answer) => {
        mine = answer
        return splice(answer, theirs)
      },
    }
    await refuses(code)
    expect(mine.lease).not.toEqual(theirs.lease)
  })

  test('evidence of the other node in a request of ours', async () => {
    const evidence = broker.requests.at(-1)!.evidence
    broker.tampering = { request: (request) => ({ ...request, evidence }) }
    // The broker finds that it binds something else; were it to release all the same, the node refuses.
    await refuses('grant/ear-evidence')
  })

  test('keyset of the other node in a request of ours', async () => {
    const { keyset } = broker.requests.at(-1)!
    broker.tampering = { request: (request) => ({ ...request, keyset }) }
    await refuses('grant/ear-key')
  })
})

describe('a first release whose answer does not come', () => {
  const lose = (times: number) => {
    let lost = 0
    broker.tampering = {
      answer: (answer) => {
        if (lost++ < times) throw new Failure('broker/unreachable', 'answer lost')
        return answer
      },
    }
  }

  test('is asked for under the same id with fresh evidence, and its time counts from the first asking', async () => {
    lose(2)
    const session = await node.start()
    const ids = broker.requests.map(({ requestId }) => requestId)
    expect(ids).toHaveLength(3)
    expect(new Set(ids).size).toBe(1)
    expect(new Set(broker.requests.map(({ binding }) => binding.nonce)).size).toBe(3)
    expect(node.troubles).toEqual(['broker/unreachable', 'broker/unreachable'])
    expect(node.engines).toHaveLength(1)
    node.elapsed += broker.lease.seconds * 1000 - 4000
    expect(codeOf(() => session.debit(1))).toBe('lease/expired')
  })

  test('is given up in the end, and nothing is left of the engine', async () => {
    lose(1000)
    expect(await codeOfPromise(node.start())).toBe('broker/unreachable')
    expect(broker.requests).toHaveLength(15)
    expect(node.engine.unloads).toBe(1)
  })

  test.each(['broker/denied', 'broker/refused', 'broker/answer'] as const)(
    'is not asked again after %s',
    async (code) => {
      broker.tampering = {
        answer: () => {
          throw new Failure(code, 'no')
        },
      }
      expect(await codeOfPromise(node.start())).toBe(code)
      expect(broker.requests).toHaveLength(1)
    },
  )

  test('is not waited for where nobody was asked yet', async () => {
    broker.tampering = { fails: new Failure('broker/unreachable', 'away') }
    expect(await codeOfPromise(node.start())).toBe('broker/unreachable')
    expect(node.troubles).toEqual([])
  })
})

describe('the end of key use', () => {
  let session: Session
  /** One tick, and whether the engine is gone after it. */
  const isOverAfterTick = async () => {
    await session.tick()
    return node.engine.unloads === 1 && !node.holdsKey
  }
  const away = () => {
    broker.tampering = { fails: new Failure('broker/unreachable', 'away') }
  }

  test('both clocks run: the lease ends, a moment before nobody asked', async () => {
    broker.beatSeconds = 10_000
    session = await node.start()
    away()
    node.pass(599)
    expect(await isOverAfterTick()).toBe(false)
    session.debit(1)
    node.pass(1)
    // Refused at once, before any tick has noticed.
    expect(codeOf(() => session.debit(1))).toBe('lease/expired')
    expect(await isOverAfterTick()).toBe(true)
    expect((await session.ended).code).toBe('lease/expired')
    expect(codeOf(() => session.debit(1))).toBe('lease/expired')
  })

  test('the wall clock is stopped: time that passed ends the lease', async () => {
    broker.beatSeconds = 10_000
    session = await node.start()
    away()
    node.elapsed += 600_000
    expect(await isOverAfterTick()).toBe(true)
    expect((await session.ended).code).toBe('lease/expired')
  })

  test('the wall clock is set back: time that passed ends the lease', async () => {
    broker.beatSeconds = 10_000
    session = await node.start()
    away()
    node.wall -= 100_000
    node.elapsed += 600_000
    expect(await isOverAfterTick()).toBe(true)
  })

  test('the monotonic clock is stopped: the wall clock ends the lease', async () => {
    broker.beatSeconds = 10_000
    session = await node.start()
    away()
    node.wall += 600
    expect(await isOverAfterTick()).toBe(true)
    expect((await session.ended).code).toBe('lease/expired')
  })

  test('both clocks are stopped: the budget ends the work', async () => {
    broker.lease = { seconds: 600, budget: budgetOf(3) }
    session = await node.start()
    away()
    for (let i = 0; i < 3; i++) session.debit(1)
    expect(codeOf(() => session.debit(1))).toBe('lease/budget')
    expect(await isOverAfterTick()).toBe(true)
    expect((await session.ended).code).toBe('lease/budget')
  })

  test('each part of the budget ends the work by itself', async () => {
    broker.lease = { seconds: 600, budget: { requests: 100, inputBytes: 10, workUnits: 10 } }
    session = await node.start()
    session.debit(10)
    expect(codeOf(() => session.debit(1))).toBe('lease/budget')
    expect(session.left).toEqual({ requests: 99, inputBytes: 0, workUnits: 10 })
    const second = async () => codeOfPromise(session.meter().transcribe(new Float32Array(16 * 7))) // 7 units, 3 tokens
    expect(await second()).toBe('ok')
    expect(session.left.workUnits).toBe(0)
    expect(await second()).toBe('lease/budget')
    // Work of no size is none that is free.
    expect(await codeOfPromise(session.meter().transcribe(new Float32Array(0)))).toBe('lease/budget')
  })

  test('a beat that does not come ends it before the lease does', async () => {
    session = await node.start()
    away()
    node.pass(59)
    expect(await isOverAfterTick()).toBe(false)
    node.pass(1)
    expect(codeOf(() => session.debit(1))).toBe('lease/beat-missed')
    expect(await isOverAfterTick()).toBe(true)
  })

  test('a beat that was recorded before does not help', async () => {
    session = await node.start()
    node.pass(30)
    broker.tampering = { beat: (beat) => ({ ...beat, nonce: session.grant.beat.nonce }) }
    await session.tick()
    expect(node.troubles).toEqual(['grant/beat-nonce'])
    node.pass(30)
    expect(await isOverAfterTick()).toBe(true)
    expect((await session.ended).code).toBe('lease/beat-missed')
  })

  test('a denied beat ends it at once', async () => {
    session = await node.start()
    node.pass(30)
    broker.tampering = { fails: new Failure('broker/denied', 'lease was revoked') }
    expect(await isOverAfterTick()).toBe(true)
    expect((await session.ended).code).toBe('broker/denied')
  })

  test('the engine that crashes ends it', async () => {
    session = await node.start()
    node.engine.crash()
    expect((await session.ended).code).toBe('session/engine')
    expect(codeOf(() => session.debit(1))).toBe('session/engine')
  })

  test('the keyset ends it, whatever the lease says', async () => {
    broker.lease.seconds = 600
    node.keysetSeconds = 900
    session = await node.start()
    for (let i = 0; i < 29; i++) {
      node.pass(30)
      await session.tick()
    }
    // The last renewals would have outlived the keyset and were refused; beats went on.
    expect(node.troubles.every((code) => code === 'grant/lease-time')).toBe(true)
    node.pass(30)
    expect(await isOverAfterTick()).toBe(true)
    expect((await session.ended).code).toBe('session/keyset-expired')
  })

  test('whoever started it can end it, once', async () => {
    session = await node.start()
    const stop = new Failure('session/stopped', 'stopped')
    await Promise.all([session.end(stop), session.end(new Failure('session/engine', 'later'))])
    expect(await session.ended).toBe(stop)
    expect(node.engine.unloads).toBe(1)
    await session.tick()
    expect(broker.calls).toEqual(['challenge', 'release'])
  })
})

describe('renewal', () => {
  test('happens in time, with fresh evidence for a fresh nonce, and pays a new budget', async () => {
    broker.beatSeconds = 10_000
    const session = await node.start()
    const first = session.grant
    for (let i = 0; i < 10; i++) session.debit(1)
    node.pass(360)
    await session.tick()
    expect(session.grant.lease.id).toBe(first.lease.id)
    expect(session.grant.lease.expiresAt).toBe(first.lease.expiresAt + 360)
    expect(session.grant.asked.binding).toMatchObject({ purpose: 'claviger.renew.v1' })
    expect(session.grant.asked.binding.nonce).not.toBe(first.asked.binding.nonce)
    expect(session.grant.asked.evidence).not.toEqual(first.asked.evidence)
    expect(session.grant.entry.kind).toBe('renewal')
    expect(session.left.requests).toBe(100)
    node.pass(500)
    expect(session.isServing).toBe(true)
  })

  test('happens when the budget runs low', async () => {
    broker.lease = { seconds: 600, budget: budgetOf(10) }
    const session = await node.start()
    for (let i = 0; i < 8; i++) session.debit(1)
    await session.tick()
    expect(session.left.requests).toBe(10)
    expect(broker.requests.length).toBe(2)
  })

  test('that does not verify changes nothing, and is asked for again', async () => {
    broker.beatSeconds = 10_000
    const session = await node.start()
    const first = session.grant
    broker.tampering = { isWitnessed: false }
    node.pass(400)
    await session.tick()
    expect(session.grant).toBe(first)
    expect(node.troubles).toEqual(['tlog/quorum'])
    await session.tick() // not yet: a broker in trouble is not hammered
    expect(broker.requests.length).toBe(2)
    broker.tampering = {}
    node.pass(3)
    await session.tick()
    expect(session.grant.lease.expiresAt).toBe(testTime + 403 + 600)
  })

  test('with a key in it, or for another lease, is refused', async () => {
    broker.beatSeconds = 10_000
    const session = await node.start()
    broker.tampering = { answer: (answer) => ({ ...answer, wrapped: 'AAAA' }) }
    node.pass(400)
    await session.tick()
    broker.tampering = { lease: (lease) => ({ ...lease, id: 'ab'.repeat(16) }) }
    node.pass(3)
    await session.tick()
    expect(node.troubles).toEqual(['session/key', 'grant/lease-id'])
    expect(session.grant.lease.expiresAt).toBe(testTime + 600)
  })

  test('that is denied ends key use now, not at the end of the lease', async () => {
    broker.beatSeconds = 10_000
    const session = await node.start()
    broker.tampering = { fails: new Failure('broker/denied', 'policy changed') }
    node.pass(400)
    await session.tick()
    expect((await session.ended).code).toBe('broker/denied')
    expect(node.engine.dek).toBe(undefined)
    expect(session.isServing).toBe(false)
  })

  test('whose answer was lost is asked for under the same id, and its time counts from the first asking', async () => {
    broker.beatSeconds = 10_000
    const session = await node.start()
    node.pass(400)
    broker.tampering = {
      answer: () => {
        throw new Failure('broker/unreachable', 'answer lost')
      },
    }
    await session.tick()
    broker.tampering = {}
    node.pass(10)
    await session.tick()
    const [, lost, again] = broker.requests
    expect(again!.requestId).toBe(lost!.requestId)
    expect(again!.binding.nonce).not.toBe(lost!.binding.nonce)
    broker.tampering = { fails: new Failure('broker/unreachable', 'away') }
    node.elapsed += 590_000
    expect(codeOf(() => session.debit(1))).toBe('lease/expired')
  })

  test('by a broker whose challenge names another is refused', async () => {
    broker.beatSeconds = 10_000
    const session = await node.start()
    broker.tampering = { challengeBroker: (await ed25519()).id }
    node.pass(400)
    await session.tick()
    expect(node.troubles).toEqual(['session/broker'])
    expect(session.grant.lease.expiresAt).toBe(testTime + 600)
  })
})
