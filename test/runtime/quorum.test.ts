import { beforeEach, describe, expect, test, vi } from 'vitest'
import { concat } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { splitSecret } from '#core/crypto/shamir.js'
import { Failure } from '#core/failure.js'
import { type Quorum, shareCommitment } from '#core/sealed/quorum.js'
import { encodeVkey } from '#core/tlog/vkey.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import type { BrokerCode, SessionPorts } from '#runtime/ports.js'
import type { Session } from '#runtime/session.js'
import { startSession } from '#runtime/start-session.js'
import { BrokerDouble, budgetOf } from '../fakes/broker-double.js'
import { codeOf, codeOfPromise } from '../fakes/code-of.js'
import { EngineDouble, NodeDouble } from '../fakes/node-double.js'
import { testTime } from '../fakes/platform.js'

/** A node before three brokers, any two of which have to agree, with a clock that the test moves. */
class Three {
  readonly brokers: readonly BrokerDouble[]
  readonly quorum: Quorum
  readonly dek: Uint8Array
  readonly node: NodeDouble

  private constructor(brokers: readonly BrokerDouble[], quorum: Quorum, dek: Uint8Array) {
    this.brokers = brokers
    this.quorum = quorum
    this.dek = dek
    this.node = new NodeDouble(brokers[0]!)
    for (const one of brokers) one.now = () => this.node.wall
  }

  static async create(): Promise<Three> {
    const first = await BrokerDouble.create(() => testTime)
    const more = [1, 2].map(() => BrokerDouble.create(() => testTime, first.owner))
    const brokers = [first, ...(await Promise.all(more))]
    const dek = randomBytes(32)
    const model = { id: first.model, version: 3 }
    const shares = splitSecret(dek, { threshold: 2, count: 3 }, randomBytes(32))
    const names = ['berlin', 'paris', 'helsinki']
    const records = shares.map(({ value }) => concat(randomBytes(32), value))
    const quorum = {
      threshold: 2,
      shares: brokers.map((one, at) => {
        const commitment = shareCommitment({ model, threshold: 2, index: at + 1 }, records[at]!)
        return { broker: one.id, name: names[at]!, controller: null, commitment }
      }),
    }
    const all = {
      brokers: brokers.map((one) => one.key.publicKey as Ed25519Jwk),
      verifiers: brokers.map((one) => one.verifier.publicKey),
      logs: brokers.map(({ log }) => encodeVkey(log.signer.verifier)),
      witnessPolicy: [
        ...brokers.map(({ log }, at) => `witness w-${at} ${encodeVkey(log.witness.verifier)}`),
        'group any-broker any w-0 w-1 w-2',
        'quorum any-broker',
        '',
      ].join('\n'),
    }
    for (const [at, one] of brokers.entries()) {
      one.quorum = quorum
      one.dek = records[at]!
      // Each keeps a statement of its own chain.
      one.trust = await one.signTrust({ ...all, sequence: at + 1, previous: at === 0 ? null : 'ab'.repeat(32) })
    }
    return new Three(brokers, quorum, dek)
  }

  /** brokers that do not answer at all, and how often somebody looked for them */
  readonly away = new Set<number>()
  searches = 0

  ports(): SessionPorts {
    const { node } = this
    const answering = () => this.brokers.filter((_, at) => !this.away.has(at))
    const callable = answering()
    return {
      ...node.ports(),
      findBrokers: async () => {
        this.searches++
        return answering().map((one) => ({ id: one.id, broker: one.port(), trust: one.trust }))
      },
      brokers: new Map(callable.map((one) => [one.id, one.port()])),
      startEngine: async () => {
        const engine = await EngineDouble.start()
        engine.split = { model: { id: this.brokers[0]!.model, version: 3 }, quorum: this.quorum }
        node.engines.push(engine)
        return engine
      },
    }
  }

  /** away: brokers that nobody can call at the start */
  start(away: readonly number[] = []): Promise<Session> {
    for (const at of away) this.away.add(at)
    const answering = this.brokers.filter((_, at) => !this.away.has(at))
    const trust = new Map(answering.map((one) => [one.id, one.trust]))
    this.node.settings = { quorum: { quorum: this.quorum, trust }, ...this.node.settings }
    return startSession(this.node.options(), this.ports())
  }

  get said(): readonly string[] {
    return this.node.events.flatMap((one) =>
      one.kind === 'trouble' ? [`${one.failure.code} ${one.failure.message}`] : [],
    )
  }
  fail(at: number, code: BrokerCode = 'broker/unreachable'): void {
    this.brokers[at]!.tampering = { fails: new Failure<BrokerCode>(code, 'no answer') }
  }
}

/** Seconds pass, and what is due is done. */
async function pass(three: Three, session: Session, seconds: number): Promise<void> {
  for (let left = seconds; left > 0; left -= 5) {
    three.node.pass(Math.min(5, left))
    await session.tick()
    // Work that no tick waits for: crypto and the doubles' answers.
    await vi.waitFor(() => expect(three.brokers.filter((one) => one.calls.length > 0).length).toBeGreaterThan(1))
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
}

let three: Three
beforeEach(async () => {
  three = await Three.create()
})

describe('two of three brokers', () => {
  test('give the key to one keyset, with evidence of its own for each', async () => {
    const session = await three.start()
    expect(three.node.engine.dek).toEqual(three.dek)
    expect(session.grants.length).toBe(3)
    const asked = three.brokers.map(({ requests }) => requests[0]!)
    expect(new Set(asked.map(({ binding }) => binding.keyset_digest)).size).toBe(1)
    expect(new Set(asked.map(({ binding }) => binding.config_digest)).size).toBe(1)
    expect(asked.map(({ binding }) => binding.audience)).toEqual(three.brokers.map(({ id }) => id))
    expect(new Set(asked.map(({ binding }) => binding.nonce)).size).toBe(3)
    expect(new Set(asked.map(({ binding }) => binding.trust_digest)).size).toBe(3)
    const document = nodeDocumentShape(JSON.parse(JSON.stringify(session.document(null))), 'node')
    expect(document.others?.length).toBe(2)
    expect([document.config.broker, ...document.config.otherBrokers!]).toEqual(three.brokers.map(({ id }) => id))
  })

  test.each([0, 1, 2])('are enough when broker %i gives no answer: it is missing, and said to be', async (down) => {
    three.fail(down)
    const session = await three.start()
    expect(three.node.engine.dek).toEqual(three.dek)
    expect(session.grants.length).toBe(2)
    expect(three.said).toEqual([`broker/unreachable ${three.quorum.shares[down]!.name}: no answer`])
  })

  test('are needed: with one there is no key', async () => {
    three.fail(1)
    expect(await codeOfPromise(three.start([2]))).toBe('session/quorum')
    expect(three.node.engine.dek).toBe(undefined)
    expect(three.node.engine.unloads).toBe(1)
  })

  test('do not outvote a third that denies: its owner may have taken the node back there', async () => {
    three.fail(2, 'broker/denied')
    expect(await codeOfPromise(three.start())).toBe('broker/denied')
    expect(three.node.engine.dek).toBe(undefined)
  })
})

describe('a broker that lies', () => {
  test('about its share is named, and its lease counts for nothing', async () => {
    three.brokers[1]!.dek = randomBytes(64)
    const session = await three.start()
    expect(three.node.engine.dek).toEqual(three.dek)
    expect(session.grants.map(({ grant }) => grant.lease.broker)).toEqual([three.brokers[0]!.id, three.brokers[2]!.id])
    expect(three.said[0]).toMatch(/^session\/share .*paris/)
  })

  test('and one that is away leave too few right shares', async () => {
    three.brokers[1]!.dek = randomBytes(64)
    three.fail(2)
    expect(await codeOfPromise(three.start())).toBe('engine/share')
    expect(three.node.engine.unloads).toBe(1)
  })

  test.each([
    ['that it holds the whole key', () => undefined],
    ['about the threshold', () => ({ ...three.quorum, threshold: 3 })],
  ])('%s is done without', async (_, quorum) => {
    three.brokers[0]!.quorum = quorum()
    const session = await three.start()
    expect(three.said[0]).toMatch(/^grant\/lease-quorum berlin/)
    expect(session.grants.length).toBe(2)
  })

  test('by another’s answer is done without', async () => {
    const [first, second] = three.brokers as [BrokerDouble, BrokerDouble]
    second.tampering = { answer: () => stapled! }
    let stapled: Awaited<ReturnType<BrokerDouble['answer']>> | undefined
    first.tampering = { answer: (answer) => (stapled = answer) }
    const release = second.port().release
    const ports = three.ports()
    const waiting = {
      ...second.port(),
      release: async (request: Parameters<typeof release>[0]) => {
        await vi.waitFor(() => expect(stapled).toBeDefined())
        return release(request)
      },
    }
    three.node.settings = {
      quorum: { quorum: three.quorum, trust: new Map(three.brokers.map((one) => [one.id, one.trust])) },
    }
    const brokers = new Map([...ports.brokers!, [second.id, waiting]])
    const session = await startSession(three.node.options(), { ...ports, brokers })
    expect(three.said).toEqual([expect.stringMatching(/^dsse\/signer paris/)])
    expect(session.grants.length).toBe(2)
  })

  test('a trust statement that does not name all of them starts nothing', async () => {
    const [first] = three.brokers as [BrokerDouble]
    first.trust = await first.signTrust({})
    expect(await codeOfPromise(three.start())).toBe('own/broker')
    expect(three.node.engine.dek).toBe(undefined)
  })
})

describe('the key is used while two leases live', () => {
  test('renewals go to each, and one that falls silent is lost alone', async () => {
    for (const one of three.brokers) one.lease = { seconds: 60, budget: budgetOf(100) }
    const session = await three.start()
    three.fail(2)
    await pass(three, session, 90)
    expect(session.isServing).toBe(true)
    expect(three.brokers[0]!.calls).toContain('renew')
    expect(three.brokers[1]!.calls).toContain('renew')
    expect(session.grants.map(({ grant }) => grant.lease.broker)).toEqual([three.brokers[0]!.id, three.brokers[1]!.id])
    expect(three.said.join('\n')).toContain('no lease of helsinki lives')
  })

  test('a second one that falls silent ends it, with the engine', async () => {
    for (const one of three.brokers) one.lease = { seconds: 60, budget: budgetOf(100) }
    const session = await three.start()
    three.fail(1)
    three.fail(2)
    await pass(three, session, 65)
    expect((await session.ended).code).toBe('session/quorum')
    expect(three.node.engine.dek).toBe(undefined)
    expect(codeOf(() => session.debit(1))).toBe('session/quorum')
  })

  test('one that comes back is asked for a new lease', async () => {
    for (const one of three.brokers) one.lease = { seconds: 60, budget: budgetOf(100) }
    const session = await three.start()
    three.fail(2)
    await pass(three, session, 80)
    expect(session.grants.length).toBe(2)
    three.brokers[2]!.tampering = {}
    await pass(three, session, 30)
    expect(session.grants.length).toBe(3)
  })

  test('a denial by any of them ends it at once', async () => {
    const session = await three.start()
    three.fail(1, 'broker/denied')
    await pass(three, session, 30)
    expect((await session.ended).code).toBe('broker/denied')
    expect(three.node.engine.dek).toBe(undefined)
  })
})

describe('a broker that nobody could call when the node started', () => {
  test('is asked once it answers, and then another may be lost', async () => {
    for (const one of three.brokers) one.lease = { seconds: 120, budget: budgetOf(100) }
    const session = await three.start([0])
    expect(session.grants.length).toBe(2)
    three.away.clear()
    three.node.pass(30)
    await session.tick()
    await vi.waitFor(() => expect(three.searches).toBe(1))
    await pass(three, session, 30)
    expect(session.grants.map(({ grant }) => grant.lease.broker)).toEqual(three.brokers.map(({ id }) => id))
    three.fail(2)
    await pass(three, session, 120)
    expect(session.isServing).toBe(true)
    expect(session.grants.map(({ grant }) => grant.lease.broker)).toEqual([three.brokers[0]!.id, three.brokers[1]!.id])
    expect(three.brokers[0]!.calls).toContain('renew')
    // Nobody is missing: nobody is looked for.
    expect(three.searches).toBe(1)
  })

  test('is looked for again and again, each time after twice as long, while the node goes on', async () => {
    for (const one of three.brokers) one.lease = { seconds: 3600, budget: budgetOf(100) }
    const session = await three.start([1])
    const from = three.node.elapsed
    const at: number[] = []
    for (let found = 0; three.node.elapsed < from + 1_300_000; ) {
      await session.tick()
      await new Promise((resolve) => setImmediate(resolve))
      if (three.searches > found) at.push((three.node.elapsed - from) / 1000)
      found = three.searches
      three.node.pass(5)
    }
    expect(at).toEqual([15, 45, 105, 225, 465, 705, 945, 1185])
  })

  test('counts for nothing while its trust statement does not name all brokers, and is taken once it does', async () => {
    const session = await three.start([2])
    const last = three.brokers[2]!
    const right = last.trust
    last.trust = await last.signTrust({})
    three.away.clear()
    three.node.pass(15)
    await session.tick()
    await vi.waitFor(() => expect(three.said.at(-1)).toMatch(/^session\/quorum broker .* is done without: the owner/))
    expect(last.calls).toEqual([])
    last.trust = right
    await pass(three, session, 35)
    await vi.waitFor(() => expect(three.searches).toBe(2))
    await pass(three, session, 20)
    expect(session.grants.length).toBe(3)
  })

  test('ends the use when it denies: its owner may have taken the node back there', async () => {
    const session = await three.start([2])
    three.away.clear()
    three.fail(2, 'broker/denied')
    three.node.pass(15)
    await session.tick()
    await vi.waitFor(() => expect(three.searches).toBe(1))
    await pass(three, session, 20)
    expect((await session.ended).code).toBe('broker/denied')
    expect(three.node.engine.dek).toBe(undefined)
  })
})

describe('what is paid', () => {
  test('each request at two brokers, and no more in all than they granted', async () => {
    for (const one of three.brokers) one.lease = { seconds: 600, budget: budgetOf(66) }
    const session = await three.start()
    let answered = 0
    while (codeOf(() => session.debit(1)) === 'ok') answered++
    // 3 leases of 66, each request paid for at 2 of them.
    expect(answered).toBe(99)
    expect(session.inferences).toBe(99)
    expect(codeOf(() => session.debit(1))).toBe('lease/budget')
    expect(session.inferences).toBe(99)
  })

  test('units of work likewise', async () => {
    for (const one of three.brokers) one.lease = { seconds: 600, budget: { ...budgetOf(1000), workUnits: 4 } }
    const session = await three.start()
    const samples = (ms: number) => new Float32Array(ms * 16)
    await session.meter().transcribe(samples(1)) // 1 before, 3 tokens after, at two brokers
    // Of 12 units in three leases 8 are paid; what two can still pay each is 1.
    expect(session.left.workUnits).toBe(1)
    await session.meter().transcribe(samples(1))
    expect(session.left.workUnits).toBe(0)
    expect(await codeOfPromise(session.meter().transcribe(samples(1)))).toBe('lease/budget')
  })

  test('the last word is said to each', async () => {
    const session = await three.start()
    session.debit(1)
    await session.end(new Failure('session/stopped', 'stopped'))
    await session.finished
    expect(three.brokers.map(({ finals }) => finals[0]).sort()).toEqual([0, 1, 1])
  })
})
