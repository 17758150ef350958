import { thumbprint } from '#core/crypto/jwk.js'
import { isFailure } from '#core/failure.js'
import { presentationSecondsMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { Presented } from '#core/wire/sources.js'
import type { Statement } from '#core/wire/statements.js'
import { claimedStatusList } from '#core/wire/status-list.js'
import { companyOf } from '#policies/credentials/company.js'
import { certificationsOf } from '#policies/credentials/control.js'
import type { Established } from '#policies/credentials/facts.js'
import type { CredentialKind, CredentialOf } from '#policies/credentials/kinds.js'
import { licenceOf } from '#policies/credentials/licence.js'
import type { NotCountedCode, Verified } from '#policies/credentials/rests.js'
import { siteOf } from '#policies/credentials/site.js'
import { type VerifiedSources, verifySources } from '#policies/credentials/sources.js'
import { staffOf } from '#policies/credentials/staff.js'
import { type Timeable, timedOf } from '#policies/credentials/timed.js'
import { type VerifiedCredential, verifyCredential } from '#policies/credentials/verify.js'
import type { Borders } from '#policies/location/borders.js'
import type { CapCode } from '#policies/location/claims.js'

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
  /** `owner/name` of the model that is asked for */
  readonly model: string
  /** the node as landmarks time it */
  readonly timeable: Timeable
  /** the map that round trips are judged on; asked for where there are any */
  readonly borders: Borders
  /** where the host itself says that the node is; null where it does not */
  readonly declared: { readonly country: string } | null
  readonly at: UnixSeconds
}

export interface EstablishedFacts {
  readonly facts: Established
  /** the first instant at which something that they rest on is over; null when they rest on nothing */
  readonly until: UnixSeconds | null
  /** what speaks against the place and is to be kept; null for nothing */
  readonly contradiction: CapCode | null
}

const none: Omit<Established, 'credentials'> = {
  company: { proven: false },
  site: { proven: false, contradicted: false },
  staff: { proven: false },
  licence: { proven: false },
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
    return { facts: facts(none), until: null, contradiction: null }
  }
  if (presented === undefined) return { facts: facts(none), until: null, contradiction: null }
  const holding = await verifyAll(input, sources, presented, refused) // 2 issuer, scope, time, status, key binding
  const of = <K extends CredentialKind>(kind: K) =>
    holding.filter((one): one is Verified<K> => one.kind === kind) as readonly Verified<K>[]
  const operators = of('operator-control')
  if (operators.length > 1) refused.add('established/companies' satisfies NotCountedCode)
  const operator = operators.length === 1 ? operators[0]! : null // 3 who runs it
  const shown = operator === null ? [] : conditionsOf(operator, sources, at)
  const { landmarkKey, keysetDigest } = input.timeable
  const measurements = await timedOf(presented.timed, sources.landmarks?.document ?? null, input.timeable, at, refused)
  const workloadKey = landmarkKey === null ? keysetDigest : thumbprint(landmarkKey)
  const placed = siteOf(
    { ...input, ...sourcesOf(sources), operator, shown, measurements, workloadKey },
    of('platform-placement'),
    of('facility'),
    refused,
  ) // 4 where it stands
  const company =
    operator === null ? null : companyOf(operator, of('export-clearance'), placed, shown, input, sources, refused)
  const staff = staffOf(of('staff-eligibility'), operator, at, refused) // 5 who works on it
  const licence = licenceOf(of('usage-grant'), operator, placed, input, refused) // 6 what it may do
  if (operator === null && of('export-clearance').length > 0)
    refused.add('established/no-company' satisfies NotCountedCode)
  const found = {
    company: company?.facts ?? none.company,
    site: placed.facts,
    staff: staff?.facts ?? none.staff,
    licence: licence?.facts ?? none.licence,
  }
  const used = [...(company?.used ?? []), ...placed.used, ...(staff?.used ?? []), ...(licence?.used ?? [])]
  const { registry, directory } = sources
  const ends = [
    ...used.map(({ until }) => until),
    ...placed.ends,
    ...(company?.ends ?? []),
    registry.document.validUntil,
    directory.document.validUntil,
    sources.landmarks?.document.validUntil ?? Number.POSITIVE_INFINITY,
  ]
  const { contradiction } = placed
  return { facts: facts(found), until: used.length === 0 ? null : Math.min(...ends), contradiction }
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
