import fc from 'fast-check'
import type { Json } from '#core/encoding/json.js'
import { type Facts, parseFacts } from '#policies/facts.js'
import { factsWith, germanInput, placed } from '#test/policies/worlds.js'

/* Facts as evidence and credentials lead to them, at random: what a broker may see. */

const country = fc.constantFrom('DE', 'FR', 'US', 'CH', 'AQ')
const groups = fc.subarray(['EEA', 'EU', 'NATO'])
const sorted = (list: readonly string[]) => [...new Set(list)].sort()
const documentary = { issuers: ['somebody'], ageSeconds: 10 }

const control = fc.option(
  fc
    .record({ one: fc.integer({ max: 5000, min: 0 }), more: fc.integer({ max: 5000, min: 0 }), veto: fc.boolean() })
    .map(({ one, more, veto }) => ({
      ...{ controllers: ['DE', 'US'], controlledWithin: ['DE'], outsideMaxBp: one, outsideSumBp: one + more },
      outsideVeto: veto,
    })),
  { nil: {} },
)
const company = fc.option(
  fc.record({ seat: country, groups, control, ual: fc.constantFrom(undefined, 1, 3), grade: fc.constantFrom(2, 3) }),
)
const timed = fc.option(fc.record({ within: groups, country: fc.boolean(), radiusKm: fc.nat(300) }), { nil: undefined })
const site = fc.option(fc.record({ country, groups, grade: fc.constantFrom(2, 3), ageSeconds: fc.nat(200), timed }))

/** Round trips prove some of the groups that the place belongs to, or its country and so all of them. */
function timedOf(of: string, grade: number, by: { within: readonly string[]; country: boolean; radiusKm: number }) {
  const measuredWithin = sorted(by.country ? [of, ...by.within] : by.within.length === 0 ? ['EEA'] : by.within)
  return {
    ...{ measuredWithin, radiusKm: by.radiusKm, landmarks: ['a', 'b', 'c'] },
    ...(by.country && grade === 3 ? { grade: 4 } : {}),
  }
}

const licence = fc.option(
  fc.record({
    purposes: fc.subarray(['care', 'research', 'statistics'], { minLength: 1 }),
    quota: fc.constantFrom(undefined, 1, 100),
    leftSeconds: fc.integer({ min: 1, max: 100 }),
  }),
)

const given = fc.record({ company, site, licence, presented: fc.nat(3) })
const established = given.map(({ company: of, site: at, licence: granted, presented }) => ({
  credentials: { presented, refused: [] },
  staff: { proven: false },
  licence:
    granted === null
      ? { proven: false }
      : {
          ...{ ...documentary, proven: true, purposes: granted.purposes, leftSeconds: granted.leftSeconds },
          ...{ ...(granted.quota === undefined ? {} : { quota: granted.quota }), basis: 'credential', grade: 3 },
        },
  company:
    of === null
      ? { proven: false }
      : {
          ...{ ...documentary, proven: true, name: 'Some AG', ids: ['LEI:X'], seat: of.seat, grade: of.grade },
          ...{ jurisdictions: sorted([of.seat, ...of.groups]), lists: [], clearances: [], basis: 'credential' },
          ...{ ...of.control, certifications: ['iso27001:1'], ...(of.ual === undefined ? {} : { ual: of.ual }) },
        },
  site:
    at === null
      ? { proven: false, contradicted: false }
      : {
          ...{ ...documentary, proven: true, facility: 'hall', area: at.country, country: at.country },
          ...{ jurisdictions: sorted([at.country, ...at.groups]), operated: true, contradicted: false },
          ...{ basis: 'auditor', grade: at.grade, ageSeconds: at.ageSeconds },
          ...(at.timed === undefined ? {} : timedOf(at.country, at.grade, at.timed)),
        },
}))

/** A node of which something, everything or nothing is known. */
export const anyFacts: fc.Arbitrary<Facts> = fc
  .record({
    place: fc.option(country),
    operator: fc.option(country),
    tier: fc.constantFrom('affirming', 'warning' as const),
    warnings: fc.subarray(['snp/milan', 'snp/smt', 'tdx/old']),
    snp: fc.constantFrom(undefined, 19, 20, 21),
    version: fc.integer({ min: 1, max: 4 }),
    name: fc.constantFrom('whisper', 'llama', 'bert'),
    seconds: fc.integer({ min: -3, max: 3 }),
    established: fc.option(established),
  })
  .map(({ place, operator, tier, warnings, snp, version, name, seconds, established: by }) => {
    const id = germanInput.model.id.replace('whisper', name)
    const of = { model: { ...germanInput.model, id, version }, at: germanInput.at + seconds }
    return parseFacts({
      ...factsWith(of, { tier, warnings, svns: snp === undefined ? {} : { snp } }),
      ...{ place: placed(place).place, operator: placed('DE', operator).operator, ...by },
    } as unknown as Json)
  })

const owner = germanInput.model.id.slice(0, 43)

/** Conditions of every form that the language has, about every group of facts. */
export const conditions: readonly string[] = [
  'context.place.stated',
  'context.place.country == "DE"',
  'context.place.country == context.operator.country',
  '["FR", "US"].contains(context.operator.country)',
  'context.evidence.tier == "affirming"',
  '["snp/milan", "snp/smt"].containsAll(context.evidence.warnings)',
  'context.evidence.warnings.containsAny(["tdx/old", "snp/smt"])',
  'context.evidence.warnings.isEmpty()',
  'context.evidence.tcb.snp >= 20',
  'context.model.version < 2',
  '3 != context.model.version',
  `resource == Claviger::Model::"${owner}/whisper"`,
  `context.model.owner == "${owner}"`,
  'context.model.name == "llama"',
  `context.time > ${germanInput.at}`,
  'context.company.proven',
  'context.company.seat == "DE"',
  'context.company.jurisdictions.contains("EEA")',
  'context.company.jurisdictions.contains(context.site.country)',
  'context.company.outsideMaxBp <= 2400',
  'context.company.outsideSumBp <= 3900 && !context.company.outsideVeto',
  'context.company.ual >= 2',
  'context.site.proven',
  'context.site.country == context.company.seat',
  'context.site.jurisdictions == ["DE", "EU"]',
  'context.site.measuredWithin.contains("EEA")',
  'context.site.measuredWithin.contains(context.site.country) && context.site.radiusKm < 100',
  'context.site.grade >= 4',
  'context.site.area == "DE" && context.site.measuredWithin.contains(context.site.country)',
  'context.site.grade >= 3 && context.site.ageSeconds < 100',
  'if context.site.proven then context.site.area == "DE" else context.credentials.presented > 0',
  'action == Claviger::Action::"renew"',
]
