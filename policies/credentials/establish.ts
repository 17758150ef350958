import { isFailure } from '#core/failure.js'
import { presentationSecondsMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { Presented } from '#core/wire/sources.js'
import type { Statement } from '#core/wire/statements.js'
import { claimedStatusList } from '#core/wire/status-list.js'
import { certificationsOf, controlOf } from '#policies/credentials/control.js'
import type { Company, Established, Staff } from '#policies/credentials/facts.js'
import type { CredentialKind, CredentialOf } from '#policies/credentials/kinds.js'
import { type PlacedFacts, siteOf } from '#policies/credentials/site.js'
import { type VerifiedSources, verifySources } from '#policies/credentials/sources.js'
import { type VerifiedCredential, verifyCredential } from '#policies/credentials/verify.js'
import { jurisdictionsOf, listsWith } from '#policies/registry/resolve.js'

/** Why a credential that holds does not count for this node. */
export type NotCountedCode =
  /** two say who runs the node: nobody can tell which */
  | 'established/companies'
  /** nobody shows who runs the node, so that it is about nobody */
  | 'established/no-company'
  /** it is about another company */
  | 'established/other-company'
  /** what it permits, it permits elsewhere, or nobody shows where the node is */
  | 'established/elsewhere'
  /** no fact rests on a credential of this kind */
  | 'established/kind'

export interface EstablishInput {
  /** as the owner signed it */
  readonly sources: Statement<'sources'>
  /** what the host presents; undefined for nothing */
  readonly presented: Presented | undefined
  /** for whom the key bindings have to be, and what they have to answer */
  readonly audience: string
  readonly nonce: string
  /** of verified evidence, lowercase hex; null where there is none or the host hides it */
  readonly platformId: string | null
  /** names the node's keys */
  readonly keysetDigest: string
  /** where the host itself says that the node is; null where it does not */
  readonly declared: { readonly country: string } | null
  readonly at: UnixSeconds
}

export interface EstablishedFacts {
  readonly facts: Established
  /** the first instant at which something that they rest on is over; null when they rest on nothing */
  readonly until: UnixSeconds | null
}

type Verified<K extends CredentialKind> = Extract<VerifiedCredential, { kind: K }>

const none: Pick<Established, 'company' | 'site' | 'staff'> = {
  company: { proven: false },
  site: { proven: false, contradicted: false },
  staff: { proven: false },
}

/** What is known of a client that cannot present anything. */
export const nothingPresented: Established = { credentials: { presented: 0, refused: [] }, ...none }

/**
 * What others signed of who runs a node, where it stands and who works on it, as far as its owner believes them. What does not
 * verify, or is about somebody else, is no fact: its code is, so that a denial can say why the fact is absent (I4).
 *
 * trusts  that the statement was verified with its owner's key, and the evidence by the caller
 */
export async function establish(input: EstablishInput): Promise<EstablishedFacts> {
  const { presented, at } = input
  const refused = new Set<string>()
  const facts = (found: typeof none): Established => ({
    credentials: { presented: presented?.credentials.length ?? 0, refused: [...refused].sort() },
    ...found,
  })
  let sources: VerifiedSources
  try {
    sources = await verifySources(input.sources, at) // 1 whom the owner believes, in its time
  } catch (error) {
    if (!isFailure(error)) throw error
    refused.add(error.code)
    return { facts: facts(none), until: null }
  }
  if (presented === undefined) return { facts: facts(none), until: null }
  const holding = await verifyAll(input, sources, presented, refused) // 2 issuer, scope, time, status, key binding
  const of = <K extends CredentialKind>(kind: K) =>
    holding.filter((one): one is Verified<K> => one.kind === kind) as readonly Verified<K>[]
  const operators = of('operator-control')
  if (operators.length > 1) refused.add('established/companies' satisfies NotCountedCode)
  const operator = operators.length === 1 ? operators[0]! : null // 3 who runs it
  const shown = operator === null ? [] : conditionsOf(operator, sources, at)
  const placed = siteOf(
    { ...input, ...sourcesOf(sources), operator, shown },
    of('platform-placement'),
    of('facility'),
    refused,
  ) // 4 where it stands
  const company =
    operator === null ? null : companyOf(operator, of('export-clearance'), placed, shown, input, sources, refused)
  const staff = staffOf(of('staff-eligibility'), operator, at, refused) // 5 who works on it
  if (operator === null && of('export-clearance').length > 0)
    refused.add('established/no-company' satisfies NotCountedCode)
  if (of('usage-grant').length > 0) refused.add('established/kind' satisfies NotCountedCode)
  const found = {
    company: company?.facts ?? none.company,
    site: placed.facts,
    staff: staff?.facts ?? none.staff,
  }
  const used = [...(company?.used ?? []), ...placed.used, ...(staff?.used ?? [])]
  const { registry, directory } = sources
  const ends = [
    ...used.map(({ until }) => until),
    ...placed.ends,
    ...(company?.ends ?? []),
    registry.document.validUntil,
    directory.document.validUntil,
  ]
  return { facts: facts(found), until: used.length === 0 ? null : Math.min(...ends) }
}

const sourcesOf = ({ registry, directory }: VerifiedSources) => ({
  registry: registry.document,
  directory: directory.document,
})

/** The credentials that hold, each presented by the holder of its key for this request. */
async function verifyAll(
  { sources, audience, nonce, at }: EstablishInput,
  verified: VerifiedSources,
  presented: Presented,
  refused: Set<string>,
): Promise<readonly VerifiedCredential[]> {
  const statusLists = new Map<string, string>()
  for (const token of presented.statusLists)
    try {
      statusLists.set(claimedStatusList(token).uri, token)
    } catch (error) {
      if (!isFailure(error)) throw error
      refused.add(error.code)
    }
  const context = {
    ...sourcesOf(verified),
    at,
    statusLists,
    statusSecondsMax: sources.statusSeconds,
    presented: { audience, nonce, ageSecondsMax: presentationSecondsMax },
  }
  const holding: VerifiedCredential[] = []
  for (const text of new Set(presented.credentials))
    try {
      holding.push(await verifyCredential(text, context))
    } catch (error) {
      if (!isFailure(error)) throw error
      refused.add(error.code)
    }
  return holding
}

/** Conditions of the registry that the company fulfils: those that a certification of it is called after. */
function conditionsOf(
  operator: CredentialOf<'operator-control'>,
  { registry }: VerifiedSources,
  at: UnixSeconds,
): readonly string[] {
  const held = new Set((certificationsOf(operator, at) ?? []).map((one) => one.slice(0, one.indexOf(':'))))
  return registry.document.conditions.map(({ name }) => name).filter((name) => held.has(name))
}

/** 3 where whoever controls the issuer is the company itself. */
export function gradeOf({ issuer }: VerifiedCredential, ids: readonly string[]): 2 | 3 {
  return issuer.controlledBy !== null && ids.includes(issuer.controlledBy) ? 2 : 3
}

const sorted = (list: readonly string[]): readonly string[] => [...new Set(list)].sort()
const ageOf = (then: UnixSeconds, at: UnixSeconds): number => Math.max(0, at - then)

interface Rests<F> {
  readonly facts: F
  readonly used: readonly VerifiedCredential[]
  readonly ends: readonly UnixSeconds[]
}

function companyOf(
  operator: Verified<'operator-control'>,
  clearances: readonly Verified<'export-clearance'>[],
  placed: PlacedFacts,
  shown: readonly string[],
  { sources, at }: EstablishInput,
  { registry }: VerifiedSources,
  refused: Set<string>,
): Rests<Company> | null {
  const { legalName, ids, seat, ual, iat, controllers } = operator.claims
  const law = registry.document
  const cleared = clearances.filter(({ claims }) => {
    const isOfCompany = claims.operators.some((one) => ids.includes(one))
    const { facts } = placed
    const isHere = facts.proven && claims.destinations.some((one) => facts.jurisdictions.includes(one))
    if (!isOfCompany) refused.add('established/other-company' satisfies NotCountedCode)
    else if (!isHere) refused.add('established/elsewhere' satisfies NotCountedCode)
    return isOfCompany && isHere
  })
  try {
    const belongs = jurisdictionsOf(law, { code: seat, exclave: false, at, shown })
    const control = controlOf(operator, sources.inside, law, at)
    const certifications = certificationsOf(operator, at)
    const within = controllers && control ? withinAll(control.countries, control.sumUndisclosedBp, law, at) : null
    const held = operator.claims.certifications?.filter((one) => at < one.exp) ?? []
    return {
      facts: {
        proven: true,
        name: legalName,
        ids: sorted(ids),
        seat,
        jurisdictions: belongs.codes,
        controllers: control?.countries,
        controlledWithin: within?.codes,
        outsideMaxBp: control?.maxOutsideBp,
        outsideSumBp: control?.sumOutsideBp,
        outsideVeto: control?.outsideVeto,
        certifications: certifications ?? undefined,
        ual,
        lists: listsWith(law, ids),
        clearances: sorted(cleared.map(({ claims }) => `${claims.by}:${claims.label}`)),
        basis: 'credential',
        grade: gradeOf(operator, ids),
        issuers: sorted([operator, ...cleared].map(({ issuer }) => issuer.id)),
        ageSeconds: ageOf(iat, at),
      },
      used: [operator, ...cleared],
      ends: [...held.map(({ exp }) => exp), ...[belongs.until, within?.until ?? null].filter((one) => one !== null)],
    }
  } catch (error) {
    // A country that the registry does not know, or shares that cannot be: nothing of the company is known.
    if (!isFailure(error)) throw error
    refused.add(error.code)
    return null
  }
}

/** Countries and groups in which every one of these countries is; none where a share is undisclosed: it may be anybody's. */
function withinAll(
  countries: readonly string[],
  undisclosedBp: number,
  law: VerifiedSources['registry']['document'],
  at: UnixSeconds,
): { readonly codes: readonly string[]; readonly until: UnixSeconds | null } {
  if (undisclosedBp > 0 || countries.length === 0) return { codes: [], until: null }
  const each = countries.map((code) => jurisdictionsOf(law, { code, exclave: false, at, shown: [] }))
  const ends = each.flatMap(({ until }) => until ?? [])
  return {
    codes: each[0]!.codes.filter((code) => each.every(({ codes }) => codes.includes(code))),
    until: ends.length === 0 ? null : Math.min(...ends),
  }
}

/** What was proven of every person who was shown: of those who were not, nothing is known. */
function staffOf(
  given: readonly Verified<'staff-eligibility'>[],
  operator: Verified<'operator-control'> | null,
  at: UnixSeconds,
  refused: Set<string>,
): Rests<Staff> | null {
  if (given.length === 0) return null
  if (operator === null) {
    refused.add('established/no-company' satisfies NotCountedCode)
    return null
  }
  const { ids } = operator.claims
  const own = given.filter(({ claims }) => ids.includes(claims.employer))
  if (own.length < given.length) refused.add('established/other-company' satisfies NotCountedCode)
  if (own.length === 0) return null
  const persons = sorted(own.map(({ claims }) => claims.person))
  const of = (person: string) => own.flatMap(({ claims }) => (claims.person === person ? claims.predicates : []))
  return {
    facts: {
      proven: true,
      persons: persons.length,
      predicates: sorted(of(persons[0]!)).filter((one) => persons.every((person) => of(person).includes(one))),
      basis: 'credential',
      grade: own.every((one) => gradeOf(one, ids) === 3) ? 3 : 2,
      issuers: sorted(own.map(({ issuer }) => issuer.id)),
      ageSeconds: ageOf(Math.min(...own.map(({ claims }) => claims.iat)), at),
    },
    used: own,
    ends: [],
  }
}
