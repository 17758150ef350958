import { afterEach, describe, expect, test } from 'vitest'
import { brokerAppraiser } from '#client/broker-proof.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { Failure, isFailure } from '#core/failure.js'
import type { Binding } from '#core/wire/binding.js'
import { claimedTicket, type LandmarkTicket } from '#core/wire/landmark.js'
import { denialShape } from '#core/wire/release.js'
import { presentationNonce } from '#core/wire/sources.js'
import { createApp } from '#host/http.js'
import { createLog } from '#host/log.js'
import { makeBrokerRoutes, registerBodyMax } from '#keybroker/service/routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import type { NodeSettings } from '#runtime/own-values.js'
import type { SessionEvent, SessionPorts, Timing } from '#runtime/ports.js'
import { createBrokerClient, fetchTrustStatement } from '#runtime/service/broker-client.js'
import type { Session } from '#runtime/session.js'
import { startSession } from '#runtime/start-session.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { EngineDouble } from '#test/fakes/node-double.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { convictionsOf } from '#test/keybroker/audited.js'
import { change, type Registered, registered, registrationBody } from '#test/keybroker/fixtures.js'
import { makeSources, presentAll } from '#test/policies/credentials/presented.js'
import { makeTimed, receiptsFor } from '#test/policies/credentials/timing.js'
import { logStatuses } from '#transparency/service/routes.js'

const { open } = anyDatabase()

let chain: Registered
afterEach(() => chain.test.close())

/** A node whose clocks run with the broker's, and which reaches it through its true routes, without a network. */
class Node {
  readonly engines: EngineDouble[] = []
  readonly events: SessionEvent[] = []
  readonly #options: { readonly url: string; readonly fetch: typeof fetch }
  dangerousAllowSimulated = true

  constructor() {
    const log = createLog('broker', 'silent')
    const app = createApp({
      log,
      statuses: { ...brokerStatuses, ...logStatuses },
      limits: { bodySizeMax: registerBodyMax, ratePerMinute: 0 },
    })
    const prove = async () => Promise.reject(new Error('no proof is demanded'))
    const document = async () => ({ payloadType: 'x', payload: '', signatures: [] })
    app.hono.route(
      '/',
      makeBrokerRoutes({ broker: chain.test.broker, log, document, prove, adminTokenDigest: sha256(utf8('nobody')) }),
    )
    this.#options = {
      url: 'http://broker.test',
      fetch: (async (input: URL, init: RequestInit) => app.hono.request(String(input), init)) as typeof fetch,
    }
  }

  /** how far its wall clock is ahead of the broker's */
  skewSeconds = 0
  /** what its host presents with each request */
  present: SessionPorts['present'] = undefined
  timing: Timing | undefined = undefined
  /** what the node believes of its own machine */
  platform: 'simulated' | 'hardware' = 'simulated'

  async start(): Promise<Session> {
    const { owner, platform, test: broker } = chain
    const settings: NodeSettings = {
      model: owner.model,
      modelVersion: 1,
      manifestDigest: owner.manifestDigest,
      ownerKey: owner.key.publicKey,
      trust: await fetchTrustStatement(this.#options, owner.id),
      broker: null,
      host: null,
      dangerousAllowInspection: false,
      dangerousAllowPlain: false,
      dangerousAllowSimulated: this.dangerousAllowSimulated,
      engineConfinement: 'unconfined',
      leaks: [],
    }
    return startSession(
      { settings, folder: '/nowhere', manifestBytes: owner.manifest, threads: 1 },
      {
        broker: createBrokerClient(this.#options),
        appraiseBroker: brokerAppraiser(),
        attester: { platform: this.platform, attest: (data) => platform.attest(data) },
        startEngine: async () => {
          const engine = await EngineDouble.start()
          this.engines.push(engine)
          return engine
        },
        random: randomBytes,
        now: () => broker.clock.now + this.skewSeconds,
        elapsedMs: () => broker.clock.now * 1000,
        pause: async () => undefined,
        present: this.present,
        timing: this.timing,
        report: (event) => this.events.push(event),
      },
    )
  }
  get dek() {
    return this.engines.at(-1)?.dek
  }
  get troubles() {
    return this.events.flatMap((event) => (event.kind === 'trouble' ? [event.failure.code] : []))
  }
}

/** A lease so short that several of them pass within the minute that the witnesses' own clock forgives. */
const short = { lease: { seconds: 20, budget: budgetOf(100), nodes: 2 } }

/** Seconds pass for both, with a tick of the node at every other. */
async function pass(session: Session, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i += 2) {
    chain.test.clock.now += 2
    await session.tick()
  }
}

describe('a node and the true broker', () => {
  test('release, beats and renewals go on for longer than a lease', async () => {
    chain = await registered(await open(), { registration: short })
    const node = new Node()
    const session = await node.start()
    expect(node.dek).toEqual(chain.owner.dek)
    const { lease } = session.grant
    session.debit(1)
    await pass(session, 46)
    expect(node.troubles).toEqual([])
    expect(session.grant.lease).toMatchObject({ id: lease.id })
    expect(session.grant.lease.expiresAt).toBeGreaterThan(lease.expiresAt + 20)
    expect(session.grant.entry.kind).toBe('renewal')
    expect(session.isServing).toBe(true)
  })

  test('a lease names no caller, and the same caller is the same pseudonym in its renewal', async () => {
    const callers = [{ id: 'alice', credentialHash: 'ab'.repeat(32), expiresAt: 2_000_000_000 }]
    chain = await registered(await open(), { registration: { ...short, callers } })
    const session = await new Node().start()
    const first = session.grant.lease.callers
    expect(first).toEqual([
      { pseudonym: expect.any(String), credentialHash: 'ab'.repeat(32), expiresAt: 2_000_000_000 },
    ])
    expect(JSON.stringify(session.document(null))).not.toContain('alice')
    await pass(session, 14)
    expect(session.grant.entry.kind).toBe('renewal')
    expect(session.grant.lease.callers).toEqual(first)
  })

  test('a revoked lease ends key use with the next beat', async () => {
    chain = await registered(await open())
    const node = new Node()
    const session = await node.start()
    const revoked = [{ kind: 'lease' as const, value: session.grant.lease.id }]
    await change(chain, 'revocation', { revoked, reason: 'test' })
    await pass(session, 30)
    const reason = await session.ended
    expect(reason.code).toBe('broker/denied')
    expect(reason.message).toMatch(/^broker\/lease-(over|revoked)/)
    expect(node.dek).toBe(undefined)
  })

  test('a changed list of callers is in the lease with the next sign of life, long before a renewal is due', async () => {
    const callers = [{ id: 'alice', credentialHash: 'ab'.repeat(32), expiresAt: 2_000_000_000 }]
    chain = await registered(await open(), { registration: { callers } })
    const node = new Node()
    const session = await node.start()
    await change(chain, 'registration', registrationBody(chain.owner, { callers: [] }))
    await pass(session, 30)
    expect(session.grant.entry.kind).toBe('renewal')
    expect(session.grant.lease.callers).toEqual([])
    expect(node.troubles).toEqual([])
    // The list stands: signs of life go on under it.
    const { index } = session.grant
    await pass(session, 60)
    expect(session.grant.index).toBe(index)
    expect(session.isServing).toBe(true)
  })

  test('a policy that changed ends key use with the next renewal', async () => {
    chain = await registered(await open(), { registration: short })
    const node = new Node()
    const session = await node.start()
    const text = '@id("nobody")\nforbid (principal, action, resource);'
    await change(chain, 'policy', { name: 'closed', language: 'cedar', text })
    await pass(session, 14)
    expect((await session.ended).code).toBe('broker/denied')
    expect(node.dek).toBe(undefined)
    expect(codeOf(() => session.debit(1))).toBe('broker/denied')
  })

  test('credentials go with the release and every renewal; while they cannot be read the lease runs out', async () => {
    const text = '@id("french") permit (principal, action, resource) when { context.company.seat == "FR" };'
    chain = await registered(await open(), { policy: text, registration: short })
    const { clock } = chain.test
    const world = await makeSources({ now: clock.now })
    await change(chain, 'sources', world.body)
    const silent = new Node()
    expect(await codeOfPromise(silent.start())).toBe('broker/denied')
    const node = new Node()
    let lists: (() => Promise<readonly string[]>) | undefined
    const bindings: Binding[] = []
    node.present = async (binding) => {
      bindings.push(binding)
      const to = { audience: binding.audience, nonce: presentationNonce(binding), now: clock.now }
      return presentAll(world, to, [{ kind: 'operator-control' }], await lists?.())
    }
    const session = await node.start()
    expect(node.dek).toEqual(chain.owner.dek)
    await pass(session, 30)
    expect([session.grant.entry.kind, node.troubles]).toEqual(['renewal', []])
    expect(new Set(bindings.map(({ nonce }) => nonce)).size).toBe(bindings.length)
    expect(bindings.length).toBeGreaterThan(1)
    lists = () => Promise.reject(new Failure('input/unreadable', 'gone'))
    await pass(session, 22)
    expect([session.isServing, new Set(node.troubles)]).toEqual([false, new Set(['input/unreadable'])])
    expect(node.dek).toBe(undefined)
  })

  test('landmarks time the node before the release and before every renewal, each in a session of its own', async () => {
    const text =
      '@id("timed") permit (principal, action, resource) when { context.site.measuredWithin.contains("EU") };'
    chain = await registered(await open(), { policy: text, registration: short })
    const { clock } = chain.test
    const world = await makeSources({ now: clock.now })
    const timed = await makeTimed(world, clock.now)
    await change(chain, 'sources', { ...world.body, landmarks: timed.kept })
    const node = new Node()
    const platformId = toHex(chain.platform.chipId)
    node.present = async (binding) => {
      const to = { audience: binding.audience, nonce: presentationNonce(binding), now: clock.now, platformId }
      return presentAll(world, to, [{ kind: 'operator-control' }, { kind: 'platform-placement' }])
    }
    expect(await codeOfPromise(node.start())).toBe('broker/denied')
    const tickets: LandmarkTicket[] = []
    let areSilent = false
    node.timing = {
      key: timed.nodeKey.publicKey,
      landmarks: timed.landmarks.map(({ row }) => row.name),
      beTimed: async (ticket) => {
        tickets.push(claimedTicket(ticket).ticket)
        return areSilent ? [] : receiptsFor(timed, ticket, clock.now)
      },
    }
    const session = await node.start()
    expect(session.document(null)).toMatchObject({ keyset: { landmark: timed.nodeKey.publicKey } })
    await pass(session, 30)
    expect([session.grant.entry.kind, node.troubles]).toEqual(['renewal', []])
    expect(tickets[0]).toMatchObject({ lease: null, landmarks: ['lm-1', 'lm-2', 'lm-3'] })
    expect(tickets.at(-1)).toMatchObject({ lease: session.grant.lease.id, keyset: tickets[0]!.keyset })
    expect(new Set(tickets.map((one) => one.session)).size).toBe(tickets.length)
    areSilent = true
    await pass(session, 22)
    expect([session.isServing, node.dek]).toEqual([false, undefined])
    // Nothing is timed for a host that presents nobody's word of where it is.
    const silent = new Node()
    silent.timing = node.timing
    const before = tickets.length
    expect(await codeOfPromise(silent.start())).toBe('broker/denied')
    expect(tickets.length).toBe(before)
  })

  test('a denial brings its reasons and its log entry', async () => {
    chain = await registered(await open(), { policy: '@id("nobody")\nforbid (principal, action, resource);' })
    const node = new Node()
    const denied = await node.start().catch((error: unknown) => error)
    if (!isFailure(denied)) throw denied
    expect(denied.code).toBe('broker/denied')
    const denial = denialShape(denied.detail?.denial as never, 'denial')
    expect(denial.reasons.map((one) => one.id)).toContain('nobody')
    expect(denial.entry).toBeGreaterThan(0)
    expect(node.dek).toBe(undefined)
  })

  test('a production tenant never gets a key to a simulated node, whatever both sides were told', async () => {
    chain = await registered(await open(), { class: 'production' })
    const node = new Node()
    expect(await codeOfPromise(node.start())).toBe('own/class') // the node by itself
    node.platform = 'hardware' // one whose code was changed: the broker by itself
    expect(await codeOfPromise(node.start())).toMatch(/^broker\/(denied|refused)$/)
    expect(node.dek).toBe(undefined)
    node.dangerousAllowSimulated = false
    node.platform = 'simulated'
    expect(await codeOfPromise(node.start())).toBe('own/simulated')
  })

  test('a second lease beyond those that the owner allows is denied', async () => {
    chain = await registered(await open(), {
      registration: { lease: { seconds: 300, budget: budgetOf(10), nodes: 1 } },
    })
    await new Node().start()
    expect(await codeOfPromise(new Node().start())).toBe('broker/denied')
  })

  describe('whose clocks differ', () => {
    test.each([45, -45])('by %d s: all goes on, and no lease outlives its time by either clock', async (skew) => {
      chain = await registered(await open(), { registration: short })
      const node = new Node()
      node.skewSeconds = skew
      // A lease of 20 s is over where the node's clock is 45 s ahead: refused before any key is loaded.
      if (skew > 0) {
        expect(await codeOfPromise(node.start())).toBe('grant/lease-time')
        await change(chain, 'registration', registrationBody(chain.owner, { lease: { ...short.lease, seconds: 300 } }))
      }
      const session = await node.start()
      expect(node.dek).toEqual(chain.owner.dek)
      const { expiresAt } = session.grant.lease
      await pass(session, 10)
      expect(session.isServing).toBe(true)
      // The broker is gone: whichever clock says first that it is over, is believed.
      chain.test.broker.store.consumeNonce = async () => {
        throw new Failure('database/unreachable', 'away')
      }
      chain.test.clock.now = expiresAt - Math.max(skew, 0)
      await session.tick()
      expect(node.dek).toBe(undefined)
      expect(session.isServing).toBe(false)
    })

    test.each([
      ['ahead', 700, 'session/challenge-expired'],
      ['behind', -70, 'grant/lease-time'],
    ] as const)('by more than a minute: a node that is %s takes no key', async (_, skew, code) => {
      chain = await registered(await open())
      const node = new Node()
      node.skewSeconds = skew
      expect(await codeOfPromise(node.start())).toBe(code)
      expect(node.dek).toBe(undefined)
      expect(node.engines.every((one) => one.unloads === 1)).toBe(true)
    })

    test.each([-90, 600])(
      'a broker set by %d s releases nothing and renews nothing, since witnesses contradict it',
      async (off) => {
        chain = await registered(await open(), { registration: short })
        const node = new Node()
        const session = await node.start()
        const { lease } = session.grant
        chain.test.clock.now += off
        // The node's own clocks went on as ever.
        node.skewSeconds = -off
        const other = new Node()
        other.skewSeconds = -off
        expect(await codeOfPromise(other.start())).toBe('broker/unreachable')
        expect(other.troubles).toContain('broker/unreachable')
        expect(other.dek).toBe(undefined)
        for (let i = 0; i < 10; i++) {
          node.skewSeconds += 2
          await session.tick()
        }
        expect(session.grant.lease.expiresAt).toBe(lease.expiresAt)
        chain.test.clock.now -= off
        // What it wrote meanwhile from the future convicts it before whoever reads the log with a clock that is right.
        const codes = new Set((await convictionsOf(chain.test)).map((one) => one.split(' ')[0]))
        expect([...codes]).toEqual(off > 60 ? ['audit/time'] : [])
        chain.test.clock.now += Math.max(0, off)
      },
    )
  })
})
