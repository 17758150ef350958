import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '#core/encoding/json.js'
import { presentedShape } from '#core/wire/sources.js'
import { statementShapes } from '#core/wire/statements.js'
import { isTightening } from '#policies/approvals/tighter.js'
import { type EstablishInput, establish } from '#policies/credentials/establish.js'

import { buildFacts, decide, explainFor, validatePolicy } from '#policies/index.js'
import { heldBorders } from '#policies/location/atlas/read.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { at, company, listToken } from '#test/policies/credentials/fixtures.js'
import { audience, inputOf, makeSources, nonce, presentAll, type Shown } from '#test/policies/credentials/presented.js'
import { companies, makeTimed, paris, strasbourg, type TimedBy, timedBy } from '#test/policies/credentials/timing.js'
import { germanInput } from '#test/policies/worlds.js'

type Given = Omit<EstablishInput, 'sources' | 'borders'>
interface Case {
  readonly name: string
  readonly input: Json
  readonly facts: Json
  readonly until: number | null
  readonly contradiction: string | null
}
interface File {
  readonly sources: Json
  readonly cases: readonly Case[]
}

/** A small registry with all that the cases ask for. */
const content: RegistryContent = {
  countries: ['DE', 'FR', 'IN', 'NL', 'US'],
  areas: [],
  groups: ['EU', 'EEA', 'EEA_OR_ADEQUATE'].map((code) => ({ code, title: code })),
  conditions: [{ name: 'dpf', title: 'certified' }],
  memberships: [
    ...['DE', 'FR', 'NL'].map((member) => row(member, 'EU', null)),
    row('EU', 'EEA', null),
    row('EEA', 'EEA_OR_ADEQUATE', null),
    row('US', 'EEA_OR_ADEQUATE', 'dpf'),
  ],
  ignoredEnclaves: [],
  lists: [{ name: 'own', title: 'companies that we do not deal with', entries: [{ id: 'LEI:LISTED', note: '' }] }],
}
const path = 'test/vectors/sources/cases.json'
// With CLAVIGER_MINT_VECTORS naming them, cases made in this run take the place of the ones in the repository.
if ((process.env.CLAVIGER_MINT_VECTORS ?? '').split(',').includes('sources')) {
  mkdirSync('test/vectors/sources', { recursive: true })
  writeFileSync(path, `${JSON.stringify(await mint(), null, 1)}\n`)
}
const file = JSON.parse(readFileSync(path, 'utf8')) as File
const sources = statementShapes.sources(file.sources, 'sources') as EstablishInput['sources']

function inputFrom(value: Json): EstablishInput {
  const { presented, ...rest } = value as unknown as Given
  const given = presented === undefined ? undefined : presentedShape(presented as unknown as Json, 'presented')
  return { ...rest, presented: given, sources, borders: heldBorders }
}

function row(member: string, group: string, condition: string | null) {
  return {
    member,
    group,
    condition,
    from: '2000-01-01T00:00:00Z',
    to: null,
    act: 'an act',
    checked: 'secondary',
  } as const
}

async function mint(): Promise<File> {
  const world = await makeSources({
    content,
    directory: (one) => ({
      ...one,
      issuers: one.issuers.map((issuer) => ({
        ...issuer,
        roles: issuer.roles.map((role) =>
          role.kind === 'operator-control' ? { ...role, areas: ['EEA', 'US'] } : role,
        ),
      })),
    }),
  })
  const timed = await makeTimed(world, at, {
    marks: [paris, strasbourg].flatMap((place) => companies.map((operator) => [operator, place] as const)),
  })
  const { sources, borders: _, ...base } = inputOf(world, { timeable: timed.node })
  const statement = { ...sources, landmarks: timed.kept }
  const operator: Shown = { kind: 'operator-control' }
  const placement: Shown = { kind: 'platform-placement' }
  const made: Case[] = []
  const add = async (name: string, shown: readonly Shown[], change: Partial<Given> = {}, lists?: readonly string[]) => {
    const presented = shown.length === 0 ? undefined : await presentAll(world, { audience, nonce }, shown, lists)
    await addGiven(name, { ...base, presented, ...change })
  }
  const addGiven = async (name: string, given: Given) => {
    const { facts, until, contradiction } = await establish({ ...given, sources: statement, borders: heldBorders })
    made.push(JSON.parse(JSON.stringify({ name, input: given, facts, until, contradiction })) as Case)
  }
  const addTimed = async (name: string, by: TimedBy, change: Partial<Given> = {}) => {
    const shown = await presentAll(world, { audience, nonce }, [operator, placement])
    const near = { rttNs: [200_000, 200_000, 200_000], ...by }
    await addGiven(name, { ...base, presented: { ...shown, timed: await timedBy(timed, at, near) }, ...change })
  }
  await add('nothing is presented', [])
  await add('a company, where its platform was seen, and who runs what stands there', [
    operator,
    placement,
    { kind: 'facility' },
  ])
  await add('what may be kept back is kept back', [{ ...operator, show: [] }])
  const shares = (...controllers: readonly (readonly [string, number])[]) => ({
    controllers: controllers.map(([country, shareBp]) => ({ country, shareBp, veto: false })),
  })
  await add('every controller inside', [{ kind: 'operator-control', change: shares(['FR', 6000], ['DE', 4000]) }])
  await add('every controller inside, and the platform too', [
    { kind: 'operator-control', change: shares(['FR', 6000], ['NL', 4000]) },
    placement,
  ])
  await add('a share that nobody is named for', [{ kind: 'operator-control', change: shares(['FR', 9999]) }])
  const certified = { certifications: [{ scheme: 'dpf', level: 'self', id: '1', exp: at + 500 }], seat: 'US' }
  await add('a condition of the registry, shown by a certification', [{ kind: 'operator-control', change: certified }])
  await add('the same, kept back', [{ kind: 'operator-control', change: certified, show: [] }])
  await add('a company on a list', [{ kind: 'operator-control', change: { ids: [company, 'LEI:LISTED'] } }])
  await add('staff and a clearance', [operator, placement, { kind: 'staff-eligibility' }, { kind: 'export-clearance' }])
  const grant: Shown = { kind: 'usage-grant', change: { model: base.model } }
  await add('a grant of this model', [operator, placement, grant])
  await add('a grant of another', [operator, { kind: 'usage-grant' }])
  await add('two companies', [operator, { kind: 'operator-control', change: { ids: ['LEI:B'] } }])
  await add('a presentation for another request', [operator, placement], { nonce: 'another' })
  await add('a revoked credential', [operator], {}, [await listToken(world.auditor, {}, [[7, 1]])])
  await add('no status list', [operator], {}, [])
  await add('a platform id of zeros', [operator, placement], { platformId: '00'.repeat(64) })
  await add('one platform in two facilities', [
    operator,
    placement,
    { kind: 'platform-placement', change: { facility: 'par-2' } },
  ])
  await add('the host says another country', [operator, placement], { declared: { country: 'DE' } })
  await addTimed('round trips that prove the country, and with it the groups that it belongs to', {})
  await addTimed('round trips that prove a group and not the country', {
    rttNs: [null, null, null, 200_000, 200_000, 200_000],
  })
  await addTimed('40 ms of added delay: nothing is proved', { rttNs: [40_000_000, 40_000_000, 40_000_000] })
  await addTimed('landmarks of two companies are too few', { rttNs: [200_000, 200_000, null] })
  await addTimed('one landmark is quick and two are slow: the quick one alone would decide', {
    rttNs: [200_000, 40_000_000, 40_000_000],
  })
  await addTimed('a ticket of another challenge', { ticket: { session: '00'.repeat(16) } })
  await addTimed('a ticket of another keyset', { ticket: { keyset: 'cd'.repeat(32) } })
  await addTimed('a ticket of another lease', { ticket: { lease: '11'.repeat(16) } })
  await addTimed('receipts that are old', {
    receipt: { time: at - 700 },
    ticket: { issuedAt: at - 710, notAfter: at - 690 },
  })
  await addTimed('a key that is none of the node', { key: (await makeTimed(world, at)).nodeKey })
  await addTimed('a node without a landmark key', {}, { timeable: { ...timed.node, landmarkKey: null } })
  await add('registry and directory are over', [operator], { at: at + 86_400 })
  return { sources: JSON.parse(JSON.stringify(statement)) as Json, cases: made }
}

describe('vectors of what credentials establish', () => {
  test.each(file.cases.map((one) => [one.name, one] as const))('%s', async (_, { name: __, input, ...outcome }) => {
    expect(JSON.parse(JSON.stringify(await establish(inputFrom(input))))).toEqual(outcome)
  })

  test('their facts are facts, and a policy that asks for more than they say denies', async () => {
    const asks = validatePolicy(`@id("union") permit (principal, action, resource)
      when { context.company.controlledWithin.contains("EU") && context.site.jurisdictions.contains("EU") };`)
    const outcomes = await Promise.all(
      file.cases.map(async ({ name, input }) => {
        const { facts: established } = await establish(inputFrom(input))
        const declared = { ...germanInput.declared!, place: null }
        const decision = decide({
          policy: asks,
          facts: buildFacts({ ...germanInput, declared, established }),
          action: 'release',
        })
        const { reasons } = explainFor('host', decision)
        if (!decision.allow)
          expect(reasons[0], name).toMatchObject({ remedy: expect.any(String), actual: expect.any(String) })
        return decision.allow
      }),
    )
    expect(file.cases.filter((_, i) => outcomes[i]).map(({ name }) => name)).toEqual([
      'every controller inside, and the platform too',
    ])
  })
})

describe('a host sends what it likes', () => {
  test('any text is a credential, a list, or a code', async () => {
    const [, whole] = file.cases
    const { credentials, statusLists } = (
      whole!.input as unknown as { presented: { credentials: string[]; statusLists: string[] } }
    ).presented
    const cut = fc
      .tuple(fc.constantFrom(...credentials, ...statusLists), fc.nat(), fc.string({ maxLength: 3 }))
      .map(([text, at_, piece]) => text.slice(0, at_ % text.length) + piece + text.slice((at_ % text.length) + 1))
    const text = fc.oneof(fc.string(), cut)
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { minLength: 1, maxLength: 2 }),
        fc.array(text, { maxLength: 2 }),
        async (given, lists) => {
          const presented = { credentials: given, statusLists: lists, timed: undefined }
          const { facts } = await establish({ ...inputFrom(whole!.input), presented })
          const declared = null
          expect(buildFacts({ ...germanInput, declared, established: facts })).toMatchObject({
            credentials: facts.credentials,
          })
        },
      ),
      { numRuns: 60 },
    )
  })
})

test('no change of whom an owner believes is known to only tighten', () => {
  expect(isTightening('sources', sources, sources)).toBe(false)
})
