import { beforeAll, describe, expect, test } from 'vitest'
import { generateSigningKey } from '#core/crypto/sign.js'
import { type EstablishInput, establish } from '#policies/credentials/establish.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { signRegistry } from '#policies/registry/signed.js'
import { at, company, listToken } from './fixtures.js'
import { audience, inputOf, makeSources, model, nonce, presentAll, type Shown, type SourcesWorld } from './presented.js'

let world: SourcesWorld
beforeAll(async () => {
  world = await makeSources()
})

const operator: Shown = { kind: 'operator-control' }
const placement: Shown = { kind: 'platform-placement' }
const facility: Shown = { kind: 'facility' }
const french: Shown = {
  kind: 'operator-control',
  change: {
    controllers: [
      { country: 'FR', shareBp: 6000, veto: true },
      { country: 'DE', shareBp: 4000, veto: false },
    ],
  },
}

async function found(shown: readonly Shown[], change: Partial<EstablishInput> = {}, lists?: readonly string[]) {
  const presented = await presentAll(world, { audience, nonce }, shown, lists)
  return establish(inputOf(world, { presented, ...change }))
}

describe('what credentials establish', () => {
  test('a company, its seat, who controls it, and where the platform was seen', async () => {
    const { facts, until } = await found([operator, placement, facility])
    expect(facts.credentials).toEqual({ presented: 3, refused: [] })
    expect(facts.company).toMatchObject({
      ...{ proven: true, name: 'Exemple SA', ids: [company], seat: 'FR', controllers: ['FR', 'US'] },
      ...{ controlledWithin: [], outsideMaxBp: 2400, outsideSumBp: 2400, outsideVeto: false, ual: 3 },
      ...{ certifications: ['secnumcloud:3.2'], lists: [], clearances: [], basis: 'credential', grade: 3 },
      ...{ issuers: ['french-auditor'], ageSeconds: 1000 },
    })
    expect(facts.company.proven && facts.company.jurisdictions).toEqual(['EEA', 'EEA_OR_ADEQUATE', 'EU', 'FR'])
    expect(facts.site).toMatchObject({
      ...{ proven: true, facility: 'par-1', area: 'FR', country: 'FR', operated: true, contradicted: false },
      ...{ basis: 'auditor', grade: 3, issuers: ['french-auditor'], ageSeconds: 500 },
    })
    expect(facts.staff).toEqual({ proven: false })
    expect(until).toBe(at + 600)
  })

  test('all controllers within the Union, and none where a share is undisclosed', async () => {
    const whole = await found([french])
    expect(whole.facts.company.proven && whole.facts.company.controlledWithin).toEqual(['EEA', 'EEA_OR_ADEQUATE', 'EU'])
    const change = { controllers: [{ country: 'FR', shareBp: 9000, veto: false }] }
    const part = await found([{ kind: 'operator-control', change }])
    expect(part.facts.company).toMatchObject({ controlledWithin: [], outsideMaxBp: 1000, outsideSumBp: 1000 })
  })

  test('what its holder keeps back is absent', async () => {
    const { facts } = await found([{ ...operator, show: [] }])
    expect(facts.company).toMatchObject({ proven: true, seat: 'FR' })
    for (const name of [
      'controllers',
      'controlledWithin',
      'outsideMaxBp',
      'outsideSumBp',
      'outsideVeto',
      'certifications',
      'ual',
    ])
      expect((facts.company as unknown as Record<string, unknown>)[name]).toBeUndefined()
  })

  test('of staff, what was proven of everybody who was shown', async () => {
    const second = { person: 'ef'.repeat(32), predicates: ['union-citizen'] }
    const { facts } = await found([
      operator,
      { kind: 'staff-eligibility' },
      { kind: 'staff-eligibility', change: second, show: ['union-citizen'] },
    ])
    expect(facts.staff).toMatchObject({ proven: true, persons: 2, predicates: ['union-citizen'] })
    const kept = await found([operator, { kind: 'staff-eligibility', show: [] }])
    expect(kept.facts.staff).toMatchObject({ proven: true, persons: 1, predicates: [] })
  })

  test('a clearance counts for its company, where the node is', async () => {
    const clearance: Shown = { kind: 'export-clearance' }
    const here = await found([operator, placement, clearance])
    expect(here.facts.company).toMatchObject({ clearances: ['IN:frontier'] })
    const elsewhere = await found([operator, placement, { ...clearance, change: { destinations: ['JP'] } }])
    expect(elsewhere.facts.company).toMatchObject({ clearances: [] })
    expect(elsewhere.facts.credentials.refused).toEqual(['established/elsewhere'])
    const others = await found([operator, placement, { ...clearance, change: { operators: ['LEI:OTHER'] } }])
    expect(others.facts.credentials.refused).toEqual(['established/other-company'])
    const nobody = await found([placement, clearance])
    expect(nobody.facts.credentials.refused).toContain('established/no-company')
  })

  const grant = (change: NonNullable<Shown['change']> = {}): Shown => ({
    kind: 'usage-grant',
    change: { model, ...change },
  })
  test('a grant counts for its company, for this model, where the node is, as long as it holds', async () => {
    const { facts, until } = await found([operator, placement, grant()])
    expect(facts.licence).toEqual({
      ...{ proven: true, purposes: ['care'], quota: 100, leftSeconds: 3600 },
      ...{ basis: 'credential', grade: 3, issuers: ['indian-authority'], ageSeconds: 1000 },
    })
    expect(facts.credentials.refused).toEqual([])
    expect(until).toBe(at + 600)
    const soon = await found([operator, grant({ exp: at + 1, quota: undefined })])
    expect(soon.facts.licence).toMatchObject({ proven: true, leftSeconds: 1 })
    expect('quota' in JSON.parse(JSON.stringify(soon.facts.licence))).toBe(false)
    expect(soon.until).toBe(at + 1)
  })

  test.each<[string, string, readonly Shown[]]>([
    ['of another model', 'established/other-model', [operator, grant({ model: `${'o'.repeat(43)}/other` })]],
    ['to another licensee', 'established/other-company', [operator, grant({ licensees: ['LEI:OTHER'] })]],
    ['to nobody who is shown', 'established/no-company', [grant()]],
    ['that is over', 'credential/expired', [operator, grant({ exp: at - 1 })]],
    ['that has not begun', 'credential/not-yet-valid', [operator, grant({ nbf: at + 100 })]],
    ['of a country in which the node is not', 'established/elsewhere', [operator, placement, grant({ country: 'IN' })]],
    ['of a country, where nobody saw the node', 'established/elsewhere', [operator, grant({ country: 'IN' })]],
    ['beside another', 'established/licences', [operator, grant(), grant({ purposes: ['research'] })]],
    ['of no inferences at all', 'shape/range', [operator, grant({ quota: 0 })]],
  ])('a grant %s is none: %s', async (_, code, shown) => {
    const { facts } = await found(shown)
    expect(facts.licence).toEqual({ proven: false })
    expect(facts.credentials.refused).toContain(code)
  })

  test('a grant that was revoked is none, and one of an issuer who may not give it neither', async () => {
    const lists = [
      await listToken(world.auditor),
      await listToken(world.indian, { uri: 'https://authority.example/status/1' }, [[7, 1]]),
    ]
    const revoked = await found([operator, grant()], {}, lists)
    expect(revoked.facts.licence).toEqual({ proven: false })
    expect(revoked.facts.credentials.refused).toContain('credential/revoked')
    const by = await found([operator, grant({ country: 'FR' })])
    expect(by.facts.licence).toEqual({ proven: false })
    expect(by.facts.credentials.refused).toContain('credential/scope')
  })

  test('whoever controls itself the issuer is no independent witness', async () => {
    const own = await makeSources({
      directory: (one) => ({ ...one, issuers: one.issuers.map((issuer) => ({ ...issuer, controlledBy: company })) }),
    })
    const presented = await presentAll(own, { audience, nonce }, [operator, placement])
    const { facts } = await establish(inputOf(own, { presented }))
    expect(facts.company).toMatchObject({ grade: 2 })
    expect(facts.site).toMatchObject({ grade: 2, basis: 'operator' })
    // And nobody is independent of a company that nobody established.
    const alone = await establish(
      inputOf(world, { presented: await presentAll(world, { audience, nonce }, [placement]) }),
    )
    expect(alone.facts.site).toMatchObject({ proven: true, grade: 2 })
  })
})

describe('what establishes nothing', () => {
  const silent = {
    company: { proven: false },
    site: { proven: false, contradicted: false },
    staff: { proven: false },
    licence: { proven: false },
  }

  test('nothing presented', async () => {
    expect(await establish(inputOf(world))).toEqual({
      facts: { credentials: { presented: 0, refused: [] }, ...silent },
      until: null,
      contradiction: null,
    })
  })

  interface Case {
    readonly name: string
    readonly code: string
    readonly shown: readonly Shown[]
    readonly change?: Partial<EstablishInput>
    readonly lists?: (world: SourcesWorld) => Promise<readonly string[]>
  }
  const one = (
    name: string,
    code: string,
    shown: readonly Shown[],
    change?: Partial<EstablishInput>,
    lists?: Case['lists'],
  ): Case => ({ name, code, shown, ...(change && { change }), ...(lists && { lists }) })
  const cases: readonly Case[] = [
    one('a key binding for another request', 'sd-jwt/binding', [operator], { nonce: 'another' }),
    one('a key binding for another broker', 'sd-jwt/binding', [operator], { audience: 'another' }),
    one('an expired credential', 'credential/expired', [{ kind: 'operator-control', change: { exp: at - 1 } }]),
    one('an issuer outside of its scope', 'credential/scope', [{ kind: 'operator-control', change: { seat: 'US' } }]),
    one('no status list', 'credential/status-unknown', [operator], undefined, async () => []),
    one('a status list older than the owner takes', 'credential/status-unknown', [operator], undefined, async (w) => [
      await listToken(w.auditor, { issuedAt: at - 3600, expiresAt: at + 600 }),
    ]),
    one('a revoked credential', 'credential/revoked', [operator], undefined, async (w) => [
      await listToken(w.auditor, {}, [[7, 1]]),
    ]),
    one('a status list that is none', 'status-list/form', [operator], undefined, async () => ['x']),
    one('two companies', 'established/companies', [operator, { kind: 'operator-control', change: { ids: ['LEI:B'] } }]),
    one('shares that cannot be', 'credential/shares', [
      {
        kind: 'operator-control',
        change: {
          controllers: [
            { country: 'FR', shareBp: 9000, veto: false },
            { country: 'DE', shareBp: 9000, veto: false },
          ],
        },
      },
    ]),
    one('another platform', 'location/other-platform', [placement], { platformId: '34'.repeat(64) }),
    one('a platform id of zeros', 'location/masked-platform', [placement], { platformId: '00'.repeat(64) }),
    one('no platform id', 'location/masked-platform', [placement], { platformId: null }),
    one('a placement seen too long ago', 'location/expired', [
      operator,
      { kind: 'platform-placement', change: { seenAt: at - 91 * 86_400 } },
    ]),
    one('staff without a company', 'established/no-company', [{ kind: 'staff-eligibility' }]),
    one('staff of another employer', 'established/other-company', [
      operator,
      { kind: 'staff-eligibility', change: { employer: 'LEI:OTHER' } },
    ]),
  ]
  test.each(cases)('$name: $code', async ({ name, code, shown, change, lists }) => {
    const { facts } = await found(shown, change, await lists?.(world))
    expect(facts.credentials.refused).toContain(code)
    const proven = [facts.company, facts.site, facts.staff, facts.licence].filter((one) => one.proven)
    // Of those with a company beside, the company holds.
    expect(proven.length, name).toBe(shown.length > 1 && code !== 'established/companies' ? 1 : 0)
  })

  test('a registry that is over, or that its keepers did not sign', async () => {
    const presented = await presentAll(world, { audience, nonce, now: at + 86_400 }, [operator])
    const over = await establish(inputOf(world, { presented, at: at + 86_400 }))
    expect(over).toEqual({
      facts: { credentials: { presented: 1, refused: ['registry/expired'] }, ...silent },
      until: null,
      contradiction: null,
    })
    const { key: stranger } = await generateSigningKey('ES256')
    const header = { version: 1, issuedAt: at, validUntil: at + 60, previousDigest: null, name: 'law' }
    const document = await signRegistry({ ...shippedContent(), ...header, type: 'claviger/jurisdiction-registry/v1' }, [
      stranger,
    ])
    const forged = { ...inputOf(world).sources, registry: { ...world.body.registry, document } }
    const { facts } = await establish(
      inputOf(world, { sources: forged, presented: await presentAll(world, { audience, nonce }, [operator]) }),
    )
    expect(facts).toMatchObject({ credentials: { refused: ['dsse/signer'] }, ...silent })
  })

  test('an adequacy that has ended takes the seat out of the group (Brazil before its decision)', async () => {
    const brazilian = await makeSources({
      directory: (one) => ({
        ...one,
        issuers: one.issuers.map((issuer) => ({
          ...issuer,
          roles: [{ kind: 'operator-control' as const, areas: ['BR'] }],
        })),
      }),
    })
    const content = shippedContent()
    const adequate = (memberships: typeof content.memberships) => ({ ...content, memberships })
    const now = at
    const jurisdictions = async (rows: typeof content.memberships) => {
      const { body } = await makeSources({ content: adequate(rows) })
      const registry = { ...inputOf(brazilian).sources, registry: body.registry }
      const presented = await presentAll(brazilian, { audience, nonce, now }, [
        { kind: 'operator-control', change: { seat: 'BR' }, show: [] },
      ])
      const { facts } = await establish(inputOf(brazilian, { presented, sources: registry }))
      return facts.company.proven && facts.company.jurisdictions
    }
    expect(await jurisdictions(content.memberships)).toContain('EEA_OR_ADEQUATE')
    const ended = content.memberships.map((row) => (row.member === 'BR' ? { ...row, to: '2026-05-01T00:00:00Z' } : row))
    expect(await jurisdictions(ended)).toEqual(['BR'])
  })
})

describe('a contradiction takes the place away', () => {
  test('two facilities, two areas, or the host itself says another country', async () => {
    const cases = [
      await found([operator, placement, { kind: 'platform-placement', change: { facility: 'ams-2', area: 'NL' } }]),
      await found([operator, placement, { kind: 'platform-placement', change: { facility: 'par-2' } }]),
      await found([operator, placement, { kind: 'platform-placement', change: { area: 'DE' } }]),
      await found([operator, placement], { declared: { country: 'DE' } }),
    ]
    for (const { facts } of cases) {
      expect(facts.site).toEqual({ proven: false, contradicted: true })
      expect(facts.credentials.refused).toContain('location/claims-differ')
    }
    const agreeing = await found([operator, placement], { declared: { country: 'FR' } })
    expect(agreeing.facts.site).toMatchObject({ proven: true })
  })
})
