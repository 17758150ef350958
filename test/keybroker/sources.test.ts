import { describe, expect, test } from 'vitest'
import { judged } from '#client/steps.js'
import { bundleSteps, verifyBundle } from '#client/verify-bundle.js'
import { toHex } from '#core/bytes/bytes.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { documentDigest } from '#core/wire/binding.js'
import type { Bundle } from '#core/wire/bundle.js'
import type { Trust } from '#core/wire/trust-file.js'
import { bundleAt } from '#keybroker/queries.js'
import { release } from '#keybroker/release.js'
import { signDirectory } from '#policies/credentials/directory.js'
import { parseDecisionRecord } from '#policies/record.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { signRegistry } from '#policies/registry/signed.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { listToken } from '#test/policies/credentials/fixtures.js'
import { makeSources, presentAll, type Shown, type SourcesWorld } from '#test/policies/credentials/presented.js'
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

const { open } = anyDatabase()

const text = `
@id("within-union") @law("contract, clause 4") @explain("Only companies that Union companies control, where somebody saw the chip.")
permit (principal, action, resource) when {
  context.company.proven && context.company.jurisdictions.contains("EEA") && context.company.controlledWithin.contains("EU") &&
  context.site.proven && context.site.jurisdictions.contains("EEA") && context.site.grade >= 3
};`
const operator = (country: string): Shown => ({
  kind: 'operator-control',
  change: { controllers: [{ country, shareBp: 10_000, veto: true }] },
})
const placement: Shown = { kind: 'platform-placement' }

interface Asked {
  readonly country?: string
  readonly lease?: string
  readonly node?: TestNode
  readonly lists?: readonly string[]
  /** presented for another request */
  readonly other?: boolean
  readonly host?: string
}

async function asked(chain: Registered, world: SourcesWorld, by: Asked = {}) {
  const { broker } = chain.test
  const node = by.node ?? (await testNode(chain, by.host === undefined ? {} : { host: { country: by.host } }))
  const made = await request(chain, node, by.lease === undefined ? {} : { lease: by.lease })
  const answers = by.other ? { ...made.binding, nonce: 'A'.repeat(43) } : made.binding
  const platformId = toHex(chain.platform.chipId)
  const to = { audience: broker.signer.id, nonce: documentDigest(answers), now: startTime, platformId }
  const presented = await presentAll(world, to, [operator(by.country ?? 'FR'), placement], by.lists)
  return release(broker, { ...made, presented })
}

const entryOf = (outcome: Awaited<ReturnType<typeof asked>>) => (outcome.kind === 'denied' ? outcome.entry : -1)
const reasonsOf = (outcome: Awaited<ReturnType<typeof asked>>) => (outcome.kind === 'denied' ? outcome.reasons : [])

describe('an owner says whom it believes about places and companies', () => {
  test('one node gets the key, one that is controlled from elsewhere does not, and both can be decided again', async () => {
    const chain = await registered(await open(), { policy: text })
    const world = await makeSources({ now: startTime })
    const before = await asked(chain, world)
    expect(reasonsOf(before)).toMatchObject([{ id: 'within-union' }])
    expect(reasonsOf(before)[0]?.actual).toContain('since the owner signed nothing of whom it believes')
    await change(chain, 'sources', world.body)
    const answer = granted(await asked(chain, world))
    const { facts } = parseDecisionRecord(answer.decision)
    expect(facts).toMatchObject({ company: { seat: 'FR', controlledWithin: ['EEA', 'EEA_OR_ADEQUATE', 'EU', 'FR'] } })
    const denied = await asked(chain, world, { country: 'US' })
    expect(reasonsOf(denied)).toMatchObject([
      {
        id: 'within-union',
        law: 'contract, clause 4',
        expected: 'context.company.controlledWithin.contains("EU")',
        actual: 'context.company.controlledWithin is ["US"]',
      },
    ])
    expect(reasonsOf(denied)[0]?.remedy).toContain('claviger run --show')
    const entries = [entryOf(denied), entryOf(denied) - 1, entryOf(before)]
    const keeper = { alias: 'keeper', key: world.keeper.publicKey }
    const believing = { ...readersTrust(chain), registries: [keeper], issuers: [keeper] }
    const codeOf = async (bundle: unknown, trust: Trust = believing) => {
      const file = parseJson(canonicalJson(bundle)) as Json
      const verdict = await judged(bundleSteps, (steps) => verifyBundle(file, trust, steps))
      return verdict.ok ? 'ok' : verdict.failure.code
    }
    const bundles = await Promise.all(
      entries.map(async (entry) => (await bundleAt(chain.test.broker, entry, chain.owner.id)) as Bundle),
    )
    for (const bundle of bundles) expect(await codeOf(bundle)).toBe('ok')
    const [, allowed] = bundles as [Bundle, Bundle]
    // Whose registry it is, is the reader's to say; and a decision made of other credentials is another decision.
    expect(await codeOf(allowed, readersTrust(chain))).toBe('client/keepers')
    const another = { ...allowed, request: { ...allowed.request, presented: bundles[0]!.request.presented } }
    expect(await codeOf(another)).toBe('client/bundle-verdict')
    expect(await codeOf({ ...allowed, statements: { ...allowed.statements, sources: undefined } })).toBe(
      'client/bundle-verdict',
    )
    await chain.test.close()
  })

  test('a presentation counts for its request alone, and as long as its status lists say so', async () => {
    const chain = await registered(await open(), { policy: text })
    const world = await makeSources({ now: startTime })
    await change(chain, 'sources', world.body)
    const stolen = await asked(chain, world, { other: true })
    expect(reasonsOf(stolen)[0]?.actual).toContain('of what was presented: sd-jwt/binding')
    const ends = chain.test.clock.now + 90
    const time = { issuedAt: startTime - 60, expiresAt: ends }
    const node = await testNode(chain)
    const answer = granted(await asked(chain, world, { node, lists: [await listToken(world.auditor, time)] }))
    const lease = JSON.parse(atob(answer.lease.payload)) as { id: string; expiresAt: number }
    expect(lease.expiresAt).toBe(ends) // not the 300 s of the registration
    granted(await asked(chain, world, { node, lease: lease.id }))
    const lists = [await listToken(world.auditor, time, [[7, 1]])]
    const revoked = await asked(chain, world, { node, lease: lease.id, lists })
    expect(reasonsOf(revoked)[0]?.actual).toContain('credential/revoked')
    await chain.test.close()
  })

  test('a contradicted place is refused in code, whatever the policy permits', async () => {
    const chain = await registered(await open())
    const world = await makeSources({ now: startTime })
    await change(chain, 'sources', world.body)
    expect(reasonsOf(await asked(chain, world, { host: 'DE' }))).toMatchObject([{ id: 'claviger/place-contradicted' }])
    granted(await asked(chain, world, { host: 'FR' }))
    await chain.test.close()
  })

  test('what cannot be decided by is not taken in, and nothing older than before', async () => {
    const chain = await registered(await open())
    const world = await makeSources({ now: startTime })
    const attempt = (body: SourcesWorld['body']) => codeOfPromise(change(chain, 'sources', body))
    const with_ = async (one: Partial<SourcesWorld['body']>) => ({ ...world.body, ...one })
    const lawOf = async (version: number, validUntil = startTime + 3600, previousDigest: string | null = null) => {
      const header = { name: 'law', version, issuedAt: startTime - 60, validUntil, previousDigest }
      const registry = { ...shippedContent(), ...header, type: 'claviger/jurisdiction-registry/v1' } as const
      return { ...world.body.registry, document: await signRegistry(registry, [world.keeper]) }
    }
    const stranger = await makeSources({ now: startTime })
    for (const body of [
      await with_({ registry: { ...world.body.registry, document: stranger.body.registry.document } }),
      await with_({ registry: { ...world.body.registry, threshold: 2 } }),
      await with_({ registry: await lawOf(1, startTime - 1) }),
      await with_({ directory: { ...world.body.directory, document: world.body.registry.document } }),
      await with_({ inside: 'NOWHERE' }),
    ]) {
      expect(await attempt(body)).toBe('broker/sources')
      chain.owner.heads.delete('sources')
    }
    await change(chain, 'sources', { ...world.body, registry: await lawOf(5) })
    const before = chain.owner.heads.get('sources')!
    expect(await attempt({ ...world.body, registry: await lawOf(4) })).toBe('broker/sources')
    chain.owner.heads.set('sources', before)
    expect(await attempt({ ...world.body, registry: await lawOf(7) })).toBe('ok')
    const issuers = { ...world.directory, name: 'other', issuedAt: startTime, validUntil: startTime + 3600 }
    const document = await signDirectory(issuers, [world.keeper])
    const directory = { ...world.body.directory, document }
    expect(await attempt({ ...world.body, registry: await lawOf(9), directory })).toBe('ok') // another line is the owner's choice
    await chain.test.close()
  })
})
