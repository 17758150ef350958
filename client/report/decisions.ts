import type { VerifiedAnyBundle } from '#client/any-bundle.js'
import type { ReportedDecision, Tally } from '#client/report/model.js'
import type { Signed, Statement } from '#core/wire/statements.js'
import type { Facts } from '#policies/index.js'
import { parseDecisionRecord } from '#policies/record.js'

/** A decision with what its counts are made of. */
export interface Decided {
  readonly reported: ReportedDecision
  /** null where no facts could be made */
  readonly facts: Facts | null
}

interface DecidedAbout extends Decided {
  readonly about: { readonly model: string; readonly policy: Signed<Statement<'policy'>> }
}

/** What a bundle that was judged good says of its decision; null for a change, or a decision about nobody's model. */
export function decisionIn(found: VerifiedAnyBundle): DecidedAbout | null {
  if (found.kind === 'state' || found.kind === 'proposal' || found.verdict === null) return null
  const { entry, inclusion, bundle, verdict } = found
  const { allow, policyDigest, reasons, facts } = parseDecisionRecord(bundle.decision)
  const { registration, policy } = verdict.statements
  const reported = {
    entry: inclusion.index,
    at: bundle.at,
    act: entry.kind,
    allow,
    platform: entry.platform,
    policyDigest,
    reasons,
    isBroken: allow && reasons[0]?.id === 'claviger/break-glass',
    where: whereOf(facts),
    whom: whomOf(facts),
  }
  return { reported, facts, about: { policy, model: registration.value.model } }
}

interface Founded {
  readonly basis: string
  readonly grade: number
}
const by = ({ basis, grade }: Founded, issuers: readonly string[] = []) =>
  `${basis}, L${grade}${issuers.length === 0 ? '' : `, by ${issuers.join(', ')}`}`
const unmade = 'no facts could be made'

/** Where the node stood: as somebody saw it there, else as its host says; never a country without its basis (I13). */
function whereOf(facts: Facts | null): string {
  if (facts === null) return unmade
  const { site, place } = facts
  if (site?.proven) return `${site.area} (${by(site, site.issuers)})`
  if (site?.contradicted) return 'contradicted'
  return place.stated ? `${place.country} (${by(place)})` : 'not stated'
}

/** Who ran it: as a credential shows, else as the host says. */
function whomOf(facts: Facts | null): string {
  if (facts === null) return unmade
  const { company, operator } = facts
  if (company?.proven) return `${company.name}, seat ${company.seat} (${by(company, company.issuers)})`
  return operator.stated ? `${operator.name}, seat ${operator.country} (${by(operator)})` : 'not stated'
}

const noSources = 'not known: the owner signed nothing of whom it believes'

/** What one decision rested on, a line for each group of facts. */
function evidenceOf(facts: Facts): readonly (readonly [group: string, says: string])[] {
  const { evidence, place, operator, purpose, credentials, company, site, staff, licence } = facts
  const shown = (one: ({ proven: true; issuers: readonly string[] } & Founded) | { proven: false } | undefined) =>
    one === undefined ? noSources : one.proven ? by(one, one.issuers) : 'not proven'
  const what = evidence.platform === 'hardware' ? 'genuine hardware' : 'SIMULATED: NOT HARDWARE'
  const warned = evidence.warnings.length === 0 ? '' : ` (${evidence.warnings.join(', ')})`
  return [
    ['evidence', `${evidence.kind}, ${what}, ${evidence.tier}${warned}`],
    ['place', place.stated ? `${by(place)}, by key ${place.issuer}` : 'not stated'],
    ['operator', operator.stated ? `${by(operator)}, by key ${operator.issuer}` : 'not stated'],
    ['purpose', purpose.stated ? `declared: ${purpose.name}` : 'not stated'],
    [
      'credentials',
      credentials === undefined
        ? noSources
        : `${credentials.presented} presented${credentials.refused.length === 0 ? '' : `, some refused: ${credentials.refused.join(', ')}`}`,
    ],
    ['company', shown(company)],
    ['site', site?.proven === false && site.contradicted ? 'contradicted' : shown(site)],
    ['staff', shown(staff)],
    ['licence', shown(licence)],
  ]
}

/** How often each of these was so: the most frequent first, those of one group together. */
function tallied(all: readonly (readonly [group: string, says: string, allow: boolean])[]): readonly Tally[] {
  const rows = new Map<string, Tally>()
  for (const [group, says, allow] of all) {
    const key = JSON.stringify([group, says])
    const { allowed, denied } = rows.get(key) ?? { allowed: 0, denied: 0 }
    rows.set(key, { group, says, allowed: allowed + (allow ? 1 : 0), denied: denied + (allow ? 0 : 1) })
  }
  const groups = [...new Set(all.map(([group]) => group))]
  const sum = (one: Tally) => one.allowed + one.denied
  const before = (a: Tally, b: Tally) =>
    groups.indexOf(a.group) - groups.indexOf(b.group) || sum(b) - sum(a) || (a.says < b.says ? -1 : 1)
  return [...rows.values()].sort(before)
}

/** What decisions rested on. */
export function tallyEvidence(decided: readonly Decided[]): readonly Tally[] {
  return tallied(
    decided.flatMap(({ facts, reported: { allow } }) =>
      facts === null ? [] : evidenceOf(facts).map(([group, says]) => [group, says, allow] as const),
    ),
  )
}

/** Places that decisions were about, as credentials show them: where nodes stood, and seats of companies. */
export function placesIn(decided: readonly Decided[]): readonly string[] {
  return decided.flatMap(({ facts }) => [
    ...(facts?.site?.proven ? [facts.site.area] : []),
    ...(facts?.company?.proven ? [facts.company.seat] : []),
  ])
}

/** By what decisions were refused, where, and whom they were about. */
export function tallyOutcomes(decisions: readonly ReportedDecision[]) {
  const of = (group: string, say: (one: ReportedDecision) => readonly string[]) =>
    tallied(decisions.flatMap((one) => say(one).map((says) => [group, says, one.allow] as const)))
  return {
    codes: of('code', ({ reasons }) => [
      ...new Set(reasons.filter(({ effect }) => effect === 'code').map(({ id }) => id)),
    ]),
    places: of('place', ({ where }) => [where]),
    companies: of('company', ({ whom }) => [whom]),
  }
}
