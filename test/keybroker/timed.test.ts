import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { judged } from '#client/steps.js'
import { bundleSteps, verifyBundle } from '#client/verify-bundle.js'
import { toHex } from '#core/bytes/bytes.js'
import { signEnvelope } from '#core/dsse.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { documentDigest } from '#core/wire/binding.js'
import type { Bundle } from '#core/wire/bundle.js'
import { keysetDigest } from '#core/wire/keyset.js'
import type { Presented } from '#core/wire/sources.js'
import type { Trust } from '#core/wire/trust-file.js'
import { challenge } from '#keybroker/challenge.js'
import { bundleAt } from '#keybroker/queries.js'
import { release } from '#keybroker/release.js'
import { platformName } from '#policies/credentials/platform.js'
import { heldBorders } from '#policies/location/atlas/read.js'
import { type Landmark, landmarksPayloadType } from '#policies/location/landmarks.js'
import { parseDecisionRecord } from '#policies/record.js'
import { openTiming } from '#runtime/landmark/timing.js'
import type { Timing } from '#runtime/ports.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { makeSources, presentAll, type Shown, type SourcesWorld, salt } from '#test/policies/credentials/presented.js'
import { landmarks, type Running } from '../landmark/fixtures.js'
import { relayTo, type Way } from '../landmark/relay.js'
import {
  change,
  granted,
  type Registered,
  readersTrust,
  registered,
  request,
  startTime,
  type TestNode,
  testNode,
} from './fixtures.js'

/*
 * The whole way: a broker's challenge with its ticket, landmarks that time a node over UDP, and the decision that rests on it. They
 * stand in Madrid by their rows, where the Union ends after 483 km: 3 ms of light. What is asserted are verdicts, and no time.
 */
const { open } = anyDatabase()
const madrid = { latitude: 40.417, longitude: -3.704 }
const text = `
@id("in-the-union") permit (principal, action, resource) when {
  context.company.proven && context.site.proven && context.site.measuredWithin.contains("EU")
};`
const operator: Shown = { kind: 'operator-control' }
const placedIn = (area: string): Shown => ({ kind: 'platform-placement', change: { area } })

interface World {
  readonly chain: Registered
  readonly sources: SourcesWorld
  readonly running: readonly Running[]
  close(): Promise<void>
}

let world: World
beforeAll(async () => {
  const chain = await registered(await open(), {
    policy: text,
    registration: { lease: { seconds: 3600, budget: budgetOf(10), nodes: 9 } },
  })
  const sources = await makeSources({ now: startTime })
  const set = await landmarks()
  const { signer } = chain.test.broker
  const running = await Promise.all(
    ['mad-1', 'mad-2', 'mad-3'].map((name) =>
      set.start(name, { brokers: [signer.publicKey as never], now: () => chain.test.clock.now }, madrid),
    ),
  )
  const rows = running.map(({ row }) => ({ ...row, country: 'ES' }))
  await change(chain, 'sources', { ...sources.body, landmarks: await directoryOf(sources, rows) })
  world = {
    ...{ chain, sources, running },
    async close() {
      await set.close()
      await chain.test.close()
    },
  }
})
afterAll(() => world.close())

async function directoryOf({ keeper }: SourcesWorld, rows: readonly Landmark[], version = 1) {
  const header = { type: 'claviger/landmarks/v1', name: 'marks', version, previousDigest: null }
  const time = { issuedAt: startTime - 60, validUntil: startTime + 86_400 }
  const document = await signEnvelope(landmarksPayloadType, canonicalJson({ ...header, ...time, landmarks: rows }), [
    keeper,
  ])
  return { keepers: [keeper.publicKey], threshold: 1, document }
}

interface AskedBy {
  readonly timing?: Timing
  /** of a challenge before, with its ticket */
  readonly timed?: Presented['timed']
  readonly area?: string
  readonly node?: TestNode
}

const timingOf = (ports = world.running.map(({ row }) => row.port)) =>
  openTiming({
    names: world.running.map(({ row }) => row.name),
    addresses: async () => world.running.map(({ row }, i) => ({ ...row, port: ports[i]! })),
    timeoutMs: 15_000,
    onTrouble: (failure) => {
      throw failure
    },
  })

/** A request of a node that landmarks time, or that presents what it was given. */
async function ask({ timing, timed, area = 'ES', node: given }: AskedBy) {
  const { chain, sources } = world
  const { broker } = chain.test
  const node = given ?? (await testNode(chain, timing === undefined ? {} : { landmark: timing.key }))
  const wanted = timing && { key: timing.key, keyset: keysetDigest(node.keyset), landmarks: timing.landmarks }
  const { nonce, ticket } = await challenge(broker, chain.owner.model, null, wanted)
  const own = timing && ticket && { ticket, receipts: await timing.beTimed(ticket) }
  const made = await request(chain, node, { nonce })
  const platformId = toHex(chain.platform.chipId)
  const to = { audience: broker.signer.id, nonce: documentDigest(made.binding), now: startTime, platformId }
  const presented = await presentAll(sources, to, [operator, placedIn(area)])
  const outcome = await release(broker, { ...made, presented: { ...presented, timed: timed ?? own } })
  return { outcome, node, timed: own }
}

async function deniedOf(asked: Awaited<ReturnType<typeof ask>>) {
  const { outcome } = asked
  if (outcome.kind !== 'denied') throw new Error(`it was ${outcome.kind}`)
  const { chain } = world
  const bundle = (await bundleAt(chain.test.broker, outcome.entry, chain.owner.id)) as Bundle
  const { facts } = parseDecisionRecord(bundle.decision)
  return { ids: outcome.reasons.map(({ id }) => id), bundle, refused: facts?.credentials?.refused, site: facts?.site }
}

async function judgedCode(bundle: Bundle, withMap = true): Promise<string> {
  const keeper = { alias: 'keeper', key: world.sources.keeper.publicKey }
  const trust: Trust = { ...readersTrust(world.chain), registries: [keeper], issuers: [keeper] }
  const file = parseJson(canonicalJson(bundle)) as Json
  const borders = withMap ? heldBorders : undefined
  const verdict = await judged(bundleSteps, (steps) => verifyBundle(file, trust, steps, borders))
  return verdict.ok ? 'ok' : verdict.failure.code
}

const behind = async (ways: { readonly there: Way; readonly back: Way }) => {
  const relays = await Promise.all(world.running.map(({ row }) => relayTo(row.port, ways)))
  try {
    return await ask({ timing: await timingOf(relays.map(({ port }) => port)) })
  } finally {
    for (const one of relays) one.close()
  }
}

describe('a key goes where round trips prove the node to be', () => {
  test('beside the landmarks it is released, for ten minutes at most, and anybody with the map decides alike', async () => {
    const { chain } = world
    const answer = granted((await ask({ timing: await timingOf() })).outcome)
    const { facts } = parseDecisionRecord(answer.decision)
    const site = facts?.site
    if (site?.proven !== true) throw new Error('no site')
    expect(site.measuredWithin).toContain('EU')
    expect(site.landmarks).toEqual(['mad-1', 'mad-2', 'mad-3'])
    const lease = JSON.parse(Buffer.from(answer.lease.payload, 'base64').toString()) as { expiresAt: number }
    expect(lease.expiresAt).toBeLessThanOrEqual(chain.test.clock.now + 600)
    const entry = (await chain.test.broker.store.read((reader) => reader.listDecisions(chain.owner.id, null, 1)))[0]!
    const bundle = (await bundleAt(chain.test.broker, entry.index!, chain.owner.id)) as Bundle
    expect(await judgedCode(bundle)).toBe('ok')
    expect(await judgedCode(bundle, false)).toBe('location/map')
    const { timed: _, ...shown } = bundle.request.presented!
    const without = { ...bundle, request: { ...bundle.request, presented: { ...shown, timed: undefined } } }
    expect(await judgedCode(without)).not.toBe('ok')
  })

  test('without round trips it is denied: the fact is absent, and absence is no success', async () => {
    const { ids, site } = await deniedOf(await ask({}))
    expect(ids).toEqual(['in-the-union'])
    expect(site).toMatchObject({ proven: true, grade: 3 })
    expect(site).not.toHaveProperty('measuredWithin')
  })

  test.each([
    ['half each way', { there: { delayMs: 20 }, back: { delayMs: 20 } }],
    ['on the way to the node alone', { there: { delayMs: 0 }, back: { delayMs: 40 } }],
  ])('behind 40 ms of added delay, %s, it is denied and not contradicted', async (_, ways) => {
    const { ids, refused, site } = await deniedOf(await behind(ways))
    expect(ids).toEqual(['in-the-union'])
    expect(refused).toEqual(['location/not-proved'])
    expect(site).toMatchObject({ proven: true, contradicted: false, grade: 3 })
  })

  test('round trips of a request before, or of another node, are of no use', async () => {
    const timing = await timingOf()
    const first = await ask({ timing })
    granted(first.outcome)
    const again = await deniedOf(await ask({ timed: first.timed, node: first.node }))
    expect(again.refused).toEqual(['established/other-ticket'])
    // A node far away, whose host has a second one beside the landmarks.
    const far = await testNode(world.chain, { landmark: (await timingOf()).key })
    const forwarded = await deniedOf(await ask({ timed: first.timed, node: far }))
    expect(forwarded.refused).toEqual(['established/other-ticket'])
    expect(await judgedCode(forwarded.bundle)).toBe('ok')
  })
})

describe('a place that round trips refute', () => {
  test('stays refuted, whatever is shown after, until its owner looked into it', async () => {
    const { chain, sources, running } = world
    const { clock } = chain.test
    // The auditor says Paris; the node answers from Madrid.
    const refuted = await deniedOf(await ask({ timing: await timingOf(), area: 'FR' }))
    expect(refuted.ids).toContain('claviger/place-contradicted')
    expect(refuted.site).toEqual({ proven: false, contradicted: true })
    expect(await judgedCode(refuted.bundle)).toBe('ok')
    // From where it is, with a right placement, all would be well.
    clock.now += 1
    const after = await deniedOf(await ask({ timing: await timingOf() }))
    expect(after.ids).toEqual(['broker/place-contradicted'])
    expect(after.site).toMatchObject({ proven: true })
    expect(await judgedCode(after.bundle)).toBe('ok')
    clock.now += 1
    const rows = running.map(({ row }) => ({ ...row, country: 'ES' }))
    const cleared = [{ platform: platformName(toHex(chain.platform.chipId), salt)!, before: clock.now }]
    const body = { ...sources.body, landmarks: await directoryOf(sources, rows) }
    const other = [{ platform: 'ab'.repeat(32), before: clock.now }]
    await change(chain, 'sources', { ...body, cleared: other })
    expect((await deniedOf(await ask({ timing: await timingOf() }))).ids).toEqual(['broker/place-contradicted'])
    await change(chain, 'sources', { ...body, cleared })
    granted((await ask({ timing: await timingOf() })).outcome)
    // Cleared is what was seen before: what is seen after stands again.
    clock.now += 1
    await deniedOf(await ask({ timing: await timingOf(), area: 'FR' }))
    expect((await deniedOf(await ask({ timing: await timingOf() }))).ids).toEqual(['broker/place-contradicted'])
  })
})
