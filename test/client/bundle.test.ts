import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { judged } from '#client/steps.js'
import { bundleSteps, verifyBundle } from '#client/verify-bundle.js'
import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { type Bundle, bundleShape, type StateBundle } from '#core/wire/bundle.js'
import { commit } from '#core/wire/commitment.js'
import { type DenialEntry, encodeEntry, parseEntry, type ReleaseEntry } from '#core/wire/entries.js'
import type { Trust } from '#core/wire/trust-file.js'
import { bundleAt } from '#keybroker/queries.js'
import { another, memberAt, replaced, scalars } from '#test/fakes/members.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { ask, change, granted, type Registered, registered, startTime, testNode } from '#test/keybroker/fixtures.js'

const { open } = anyDatabase()
const country = (code: string) =>
  `@id("place") permit (principal, action, resource) when { context.place.country == "${code}" };`

let chain: Registered
let trust: Trust
let bundles: { readonly [name in 'release' | 'renewal' | 'denial']: Bundle }

function trustIn({ test: { broker, testLog }, owner, platform }: Registered): Trust {
  return {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: startTime,
    expiresAt: startTime + 1000,
    owners: [{ alias: 'acme', key: owner.key.publicKey }],
    brokers: [{ alias: 'broker', key: broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [],
    logs: [testLog.vkey],
    witnessPolicy: testLog.quorumPolicy,
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [platform.rootDigest],
  }
}

/** A release, its renewal, and a denial of the same broker; entries 5, 6 and 7 of its log. */
async function decisions(from: Registered) {
  const node = await testNode(from, { host: { country: 'DE' } })
  const { lease } = granted(await ask(from, node))
  const { id } = JSON.parse(Buffer.from(lease.payload, 'base64').toString()) as { id: string }
  granted(await ask(from, node, { lease: id }))
  const denied = await ask(from, await testNode(from, { host: { country: 'FR' } }))
  expect(denied.kind).toBe('denied')
  const at = async (entry: number) => parsed((await bundleAt(from.test.broker, entry, null)) as Bundle)
  return { release: await at(5), renewal: await at(6), denial: await at(7) }
}
const parsed = (bundle: Bundle) => bundleShape(asJson(bundle), 'bundle')
const asJson = (value: unknown): Json => parseJson(canonicalJson(value))

beforeAll(async () => {
  chain = await registered(await open(), { policy: country('DE') })
  trust = trustIn(chain)
  bundles = await decisions(chain)
})
afterAll(() => chain.test.log.close()) // forged entries stand in it

async function judge(bundle: unknown, given = trust): Promise<string> {
  const verdict = await judged(bundleSteps, (steps) => verifyBundle(asJson(bundle), given, steps))
  return verdict.ok ? 'ok' : verdict.failure.code
}

test('release, renewal and denial are decided again with the same verdict (I7)', async () => {
  for (const [name, bundle] of Object.entries(bundles)) {
    const verdict = await judged(bundleSteps, (steps) => verifyBundle(asJson(bundle), trust, steps))
    if (!verdict.ok) throw verdict.failure
    expect(verdict.value.entry.kind).toBe(name)
    expect(verdict.value.verdict.allow).toBe(name !== 'denial')
    expect(new Set(verdict.steps.map((step) => step.status))).toEqual(new Set(['ok']))
  }
})

describe('one changed member, anywhere', () => {
  test.each(['release', 'renewal', 'denial'] as const)('of a %s', async (name) => {
    const bundle = asJson(bundles[name])
    const passed: string[] = []
    for (const path of scalars(bundle)) {
      const code = await judge(replaced(bundle, path, another(memberAt(bundle, path))))
      if (code === 'ok') passed.push(path.join('.'))
    }
    expect(passed).toEqual([])
  })
})

describe('what belongs to another decision', () => {
  test('any member of another valid bundle', async () => {
    const { release, renewal, denial } = bundles
    for (const [one, other] of [
      [release, renewal],
      [release, denial],
      [denial, release],
      [renewal, release],
    ] as const) {
      for (const name of ['at', 'request', 'decision', 'ear', 'openings', 'leaf', 'proof'] as const) {
        // Two decisions of one second have the same time, and so have two denials no attestation result.
        if (canonicalJson(one[name]).join() === canonicalJson(other[name]).join()) continue
        expect(await judge({ ...one, [name]: other[name] }), name).not.toBe('ok')
      }
    }
  })

  test('policy or reference values of another time', async () => {
    const { release } = bundles
    await change(chain, 'policy', { name: 'later', language: 'cedar', text: country('FR') })
    await change(chain, 'reference-values', { values: testReferenceValues({ guestSvnMin: 1 }) })
    const head = (kind: string) => chain.owner.heads.get(`${kind} ${chain.owner.model}`)!.envelope
    const withStatement = (part: object) => judge({ ...release, statements: { ...release.statements, ...part } })
    expect(await withStatement({ policy: head('policy') })).toBe('client/bundle-verdict')
    expect(await withStatement({ referenceValues: head('reference-values') })).not.toBe('ok')
    expect(await withStatement({ policy: null })).toBe('judge/statement-missing')
    expect(await withStatement({ referenceValues: null })).toBe('judge/statement-missing')
  })

  test('a policy of the same verdict, in other words', async () => {
    const { denial } = bundles
    await change(chain, 'policy', { name: 'same', language: 'cedar', text: `${country('DE')} // the same` })
    const policy = chain.owner.heads.get(`policy ${chain.owner.model}`)!.envelope
    expect(await judge({ ...denial, statements: { ...denial.statements, policy } })).toBe('client/bundle-verdict')
  })
})

/** The same decision as a broker that lies would log it: recorded, committed to and logged with whatever reasons it likes. */
async function relogged(bundle: Bundle, record: object, entry: object = {}): Promise<unknown> {
  const decision = { ...(bundle.decision as object), ...record }
  const logged = {
    ...parseEntry(fromBase64(bundle.leaf)),
    decision: commit('decision', decision, bundle.openings.decision),
  }
  const leaf = canonicalJson({ ...logged, ...entry })
  const { proof } = await chain.test.broker.log.append(leaf)
  return { ...bundle, decision, leaf: toBase64(leaf), proof }
}

describe('a denial logged for another reason than its own', () => {
  const refused = (id: string, effect = 'no-permit') => ({ id, effect })

  test('as it was, it is verified', async () => {
    expect(await judge(await relogged(bundles.denial, {}))).toBe('ok')
  })

  test.each([
    ['another rule', [refused('other')]],
    ['another effect of the same rule', [refused('place', 'forbid')]],
    ['one reason more', [refused('place'), refused('other')]],
    ['a failure code in place of the rule', [refused('snp/signature', 'code')]],
    ['the broker’s count in place of the rule', [refused('broker/node-limit', 'code')]],
  ])('%s', async (_, reasons) => {
    const bundle = await relogged(bundles.denial, { reasons }, { reasons: reasons.map(({ id }) => id) })
    expect(await judge(bundle)).toBe('client/bundle-verdict')
  })

  test('another reason in the entry alone, or fewer than were recorded', async () => {
    expect(await judge(await relogged(bundles.denial, {}, { reasons: ['other'] }))).toBe('client/bundle-splice')
    const { test } = chain
    const text = `@id("place") forbid (principal, action, resource) unless { context.place.country == "DE" };
@id("name") forbid (principal, action, resource) unless { context.operator.name == "nobody" };`
    await change(chain, 'policy', { name: 'two', language: 'cedar', text })
    const denied = await ask(chain, await testNode(chain, { host: { country: 'FR' } }))
    if (denied.kind !== 'denied') throw new Error('expected a denial')
    const two = parsed((await bundleAt(test.broker, denied.entry, null)) as Bundle)
    const { reasons } = parseEntry(fromBase64(two.leaf)) as DenialEntry
    expect(reasons.length).toBeGreaterThan(1)
    expect(await judge(two)).toBe('ok')
    expect(await judge(await relogged(two, {}, { reasons: reasons.slice(0, 1) }))).toBe('client/bundle-splice')
    expect(await judge(await relogged(two, {}, { reasons: reasons.toReversed() }))).toBe('client/bundle-splice')
  })

  test('the broker’s own count is a refusal by code, and stands in for nothing else', async () => {
    const facts = (bundles.release.decision as { facts: object }).facts
    const { at, platform, ...head } = parseEntry(fromBase64(bundles.release.leaf)) as ReleaseEntry
    const { type, broker, tenant, model, evidence, state_index, nonce_digest, policy_digest } = head
    const kept = { type, at, broker, tenant, model, evidence, state_index, nonce_digest, platform, policy_digest }
    const counted = async (effect: string) => {
      const decision = {
        ...(bundles.release.decision as object),
        facts,
        allow: false,
        reasons: [refused('broker/node-limit', effect)],
      }
      const commitment = commit('decision', decision, bundles.release.openings.decision)
      const leaf = canonicalJson({ ...kept, kind: 'denial', decision: commitment, reasons: ['broker/node-limit'] })
      const { proof } = await chain.test.broker.log.append(leaf)
      return { ...bundles.release, decision, ear: null, leaf: toBase64(leaf), proof }
    }
    expect(await judge(await counted('code'))).toBe('ok')
    expect(await judge(await counted('permit'))).toBe('client/bundle-verdict')
  })
})

describe('anchors that came with the bundle (I19)', () => {
  test.each<[string, () => Partial<Trust>, string]>([
    ['owner', () => ({ owners: [] }), 'client/owner-unknown'],
    ['broker', () => ({ brokers: [] }), 'client/broker-unknown'],
    ['log', () => ({ logs: [] }), 'tlog/unknown-log'],
    ['root', () => ({ simulatedRoots: [] }), 'client/bundle-verdict'],
  ])('another %s', async (_, changes, code) => {
    expect(await judge(bundles.release, { ...trust, ...changes() })).toBe(code)
  })

  test('a bundle that somebody minted with an owner, broker and log of their own', async () => {
    await chain.test.log.close()
    chain = await registered(await open(), { policy: country('DE') })
    const { release } = await decisions(chain)
    expect(await judge(release, trustIn(chain))).toBe('ok')
    expect(await judge(release)).toBe('client/owner-unknown')
  })

  test('a lease that is longer than its owner allows, or over before it began', async () => {
    const release = parsed((await bundleAt(chain.test.broker, 5, null)) as Bundle)
    const entry = parseEntry(fromBase64(release.leaf)) as ReleaseEntry
    const granting = async (seconds: number) => {
      const leaf = encodeEntry({ ...entry, lease_expires_at: entry.at + seconds })
      const { proof } = await chain.test.broker.log.append(leaf)
      return judge({ ...release, leaf: toBase64(leaf), proof }, trustIn(chain))
    }
    expect(await granting(300)).toBe('ok')
    expect(await granting(299)).toBe('ok') // a retry
    expect(await granting(301)).toBe('client/bundle-splice')
    expect(await granting(0)).toBe('client/bundle-splice')
  })

  test('an entry of another challenge, or with other reasons than those that refused', async () => {
    const logged = async (name: 5 | 7, changes: object) => {
      const bundle = parsed((await bundleAt(chain.test.broker, name, null)) as Bundle)
      const leaf = encodeEntry({ ...parseEntry(fromBase64(bundle.leaf)), ...changes } as ReleaseEntry)
      const { proof } = await chain.test.broker.log.append(leaf)
      return judge({ ...bundle, leaf: toBase64(leaf), proof }, trustIn(chain))
    }
    expect(await logged(5, { nonce_digest: 'ab'.repeat(32) })).toBe('client/bundle-splice')
    expect(await logged(7, { reasons: ['something-else'] })).toBe('client/bundle-splice')
    expect(await logged(7, { policy_digest: 'ab'.repeat(32) })).toBe('client/bundle-splice')
    for (const entry of [5, 7] as const) expect(await logged(entry, { platform: 'hardware' })).toBe('client/platform')
    expect(await logged(7, {})).toBe('ok')
  })

  test('a list of revoked certificates that was older than the reader’s floor', async () => {
    const floor = { kind: 'crl', issuer: chain.platform.rootDigest, issuedAtMin: bundles.release.at } as const
    const release = parsed((await bundleAt(chain.test.broker, 5, null)) as Bundle)
    expect(await judge(release, { ...trustIn(chain), collateralFloors: [floor] })).toBe('client/bundle-verdict')
  })

  test('an entry that is no decision', async () => {
    const state = (await bundleAt(chain.test.broker, 3, null)) as StateBundle
    const { leaf, proof } = state
    const bundle = { ...bundles.release, leaf, proof }
    const readers = { ...trustIn(chain), owners: trust.owners, brokers: trust.brokers }
    expect(await judge(bundle, readers)).toBe('client/bundle-splice')
  })
})

test('any byte of the file changed: never verified, never anything but a Failure', async () => {
  const bytes = canonicalJson(bundles.release)
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (index, xor) => {
      const copy = bytes.slice()
      copy[index] = copy[index]! ^ xor
      const verdict = await judged(bundleSteps, async (steps) => verifyBundle(parseJson(copy), trust, steps))
      expect(verdict.ok).toBe(false)
    }),
    { numRuns: 400 },
  )
})
