import type { UnixSeconds } from '#core/time.js'
import type { Statement } from '#core/wire/statements.js'
import type { Site } from '#policies/credentials/facts.js'
import { platformName } from '#policies/credentials/platform.js'
import { type TimedSite, timedSite } from '#policies/credentials/site-timed.js'
import type { VerifiedCredential } from '#policies/credentials/verify.js'
import type { Borders } from '#policies/location/borders.js'
import type { CapCode, LandmarkMeasurement, LocationClaim } from '#policies/location/claims.js'
import { gradeLocation } from '#policies/location/grade.js'
import { landmarkRules } from '#policies/location/measured.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { jurisdictionsOf } from '#policies/registry/resolve.js'

type Placement = Extract<VerifiedCredential, { kind: 'platform-placement' }>
type Facility = Extract<VerifiedCredential, { kind: 'facility' }>
type Operator = Extract<VerifiedCredential, { kind: 'operator-control' }>

export interface SiteAsked {
  readonly sources: Pick<Statement<'sources'>, 'placementSalt'>
  readonly registry: RegistryContent
  /** null where nobody shows who runs the node: nobody is independent of it then */
  readonly operator: Operator | null
  /** conditions of the registry that the company fulfils */
  readonly shown: readonly string[]
  readonly platformId: string | null
  /** thumbprint of the key that landmarks time; the digest of its keys where it has none */
  readonly workloadKey: string
  /** round trips of that key, by landmarks that the owner believes */
  readonly measurements: readonly LandmarkMeasurement[]
  /** the map; asked for where there are round trips */
  readonly borders: Borders
  /** where the host itself says that it is */
  readonly declared: { readonly country: string } | null
  readonly at: UnixSeconds
}

/** Where a node stands, with what that rests on. */
export interface PlacedFacts {
  readonly facts: Site | { readonly proven: false; readonly contradicted: boolean }
  readonly used: readonly VerifiedCredential[]
  readonly ends: readonly UnixSeconds[]
  /** what a broker keeps of it: a host can hide a contradiction, once it was seen (TRUST 21) */
  readonly contradiction: CapCode | null
}

/** Caps that say that a placement does not count; the others only say why a grade is not higher. */
const notCounted: ReadonlySet<CapCode> = new Set([
  'location/not-yet-valid',
  'location/expired',
  'location/other-platform',
  'location/masked-platform',
  'location/place-unknown',
])

/**
 * Where a node stands, by who saw its platform there. Who says otherwise, the host itself among them, contradicts, and a
 * contradiction takes the place away (TRUST 21: one platform at two facilities is one).
 */
export function siteOf(
  asked: SiteAsked,
  placements: readonly Placement[],
  facilities: readonly Facility[],
  refused: Set<string>,
): PlacedFacts {
  const nowhere = (contradiction: CapCode | null, contradicted = contradiction !== null): PlacedFacts => ({
    facts: { proven: false, contradicted },
    used: [],
    ends: [],
    contradiction,
  })
  const { registry, at, shown, operator } = asked
  const ids = operator?.claims.ids ?? []
  const platform = platformName(asked.platformId, asked.sources.placementSalt)
  const matching = placements.filter(({ claims }) => claims.platform === platform)
  if (matching.length < placements.length)
    refused.add((platform === null ? 'location/masked-platform' : 'location/other-platform') satisfies CapCode)
  if (matching.length === 0) return nowhere(null)
  const { facility, area, exclave } = matching[0]!.claims
  const own = facilities.filter(({ claims }) => claims.facility === facility)
  const twoPlaces = matching.some(({ claims }) => claims.facility !== facility || claims.area !== area)
  const saysOtherwise =
    own.some(({ claims }) => claims.area !== area) ||
    (asked.declared !== null && asked.declared.country !== area.slice(0, 2))
  if (twoPlaces || saysOtherwise) {
    refused.add('location/claims-differ' satisfies CapCode)
    // A wrong word of the host is mended by a right one; one machine that two people saw in two places is not.
    return nowhere(twoPlaces ? 'location/claims-differ' : null, true)
  }
  const country = area.slice(0, 2)
  const location = {
    // Whoever controls one of the company's names is the company.
    subject: { platform, workloadKey: asked.workloadKey, operator: ids[0] ?? null },
    claims: matching.map((one) => claimOf(one, ids)),
    ...{ contradictions: [], registry, shown, rules: landmarkRules, at },
  }
  const result = gradeLocation({ ...location, target: country, measurements: [], map: [] })
  for (const { code } of result.caps) if (notCounted.has(code)) refused.add(code)
  const { grade, contradicted } = result
  if (contradicted || (grade !== 2 && grade !== 3)) return nowhere(null, contradicted)
  const { codes } = jurisdictionsOf(registry, { code: area, exclave, at, shown })
  const measurements = asked.measurements.map((one) =>
    ids.includes(one.operator) ? { ...one, operator: ids[0]! } : one,
  )
  const map = measurements.length === 0 ? [] : asked.borders()
  const outcome = timedSite({ ...location, measurements, map }, country, codes, refused)
  if (outcome.kind === 'contradicted') {
    refused.add(outcome.because)
    return nowhere(outcome.because)
  }
  const timed = outcome.kind === 'timed' ? outcome.site : null
  const used = matching.filter(({ issuer }) => result.issuers.includes(issuer.id))
  return {
    facts: {
      proven: true,
      facility,
      area,
      country,
      jurisdictions: codes,
      operated:
        own.length === 0 ? undefined : own.some(({ claims }) => claims.operators.some((one) => ids.includes(one))),
      contradicted: false,
      basis: result.bases.includes('auditor') ? 'auditor' : 'operator',
      grade: grade === 3 && timed?.within.includes(country) ? 4 : grade,
      ...timedFacts(timed),
      issuers: [...new Set([...used, ...own].map(({ issuer }) => issuer.id))].sort(),
      ageSeconds: Math.max(0, at - Math.min(...used.map(({ claims }) => claims.seenAt))),
    },
    used: [...used, ...own],
    ends: [result.expires, ...(timed === null ? [] : [timed.until])],
    contradiction: null,
  }
}

const timedFacts = (timed: TimedSite | null) => ({
  measuredWithin: timed?.within,
  radiusKm: timed?.radiusKm,
  landmarks: timed?.landmarks,
})

/** A placement as a claim about where a platform is: of an auditor, or of the company under test. */
function claimOf({ claims, issuer, until }: Placement, ids: readonly string[]): LocationClaim {
  const isOwn = issuer.controlledBy !== null && ids.includes(issuer.controlledBy)
  return {
    basis: isOwn ? 'operator' : 'auditor',
    issuer: issuer.id,
    // Two issuers under one company are one witness.
    rootKey: issuer.controlledBy ?? issuer.id,
    controller: isOwn ? ids[0]! : issuer.controlledBy,
    place: claims.area,
    exclave: claims.exclave,
    platform: claims.platform,
    workloadKey: null,
    notBefore: claims.seenAt,
    expires: until,
    assumes: [],
  }
}
