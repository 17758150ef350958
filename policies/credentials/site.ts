import type { UnixSeconds } from '#core/time.js'
import type { Statement } from '#core/wire/statements.js'
import type { Site } from '#policies/credentials/facts.js'
import { platformName } from '#policies/credentials/platform.js'
import type { VerifiedCredential } from '#policies/credentials/verify.js'
import type { CapCode, LocationClaim } from '#policies/location/claims.js'
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
  readonly keysetDigest: string
  /** where the host itself says that it is */
  readonly declared: { readonly country: string } | null
  readonly at: UnixSeconds
}

/** Where a node stands, with what that rests on. */
export interface PlacedFacts {
  readonly facts: Site | { readonly proven: false; readonly contradicted: boolean }
  readonly used: readonly VerifiedCredential[]
  readonly ends: readonly UnixSeconds[]
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
  const nowhere = (contradicted: boolean): PlacedFacts => ({
    facts: { proven: false, contradicted },
    used: [],
    ends: [],
  })
  const { registry, at, shown, operator } = asked
  const ids = operator?.claims.ids ?? []
  const platform = platformName(asked.platformId, asked.sources.placementSalt)
  const matching = placements.filter(({ claims }) => claims.platform === platform)
  if (matching.length < placements.length)
    refused.add((platform === null ? 'location/masked-platform' : 'location/other-platform') satisfies CapCode)
  if (matching.length === 0) return nowhere(false)
  const { facility, area, exclave } = matching[0]!.claims
  const own = facilities.filter(({ claims }) => claims.facility === facility)
  const differs =
    matching.some(({ claims }) => claims.facility !== facility || claims.area !== area) ||
    own.some(({ claims }) => claims.area !== area) ||
    (asked.declared !== null && asked.declared.country !== area.slice(0, 2))
  if (differs) {
    refused.add('location/claims-differ' satisfies CapCode)
    return nowhere(true)
  }
  const result = gradeLocation({
    target: area.slice(0, 2),
    // Whoever controls one of the company's names is the company.
    subject: { platform, workloadKey: asked.keysetDigest, operator: ids[0] ?? null },
    claims: matching.map((one) => claimOf(one, ids)),
    measurements: [],
    contradictions: [],
    registry,
    shown,
    map: [],
    rules: landmarkRules,
    at,
  })
  for (const { code } of result.caps) if (notCounted.has(code)) refused.add(code)
  const { grade, contradicted } = result
  if (contradicted || (grade !== 2 && grade !== 3)) return nowhere(contradicted)
  const used = matching.filter(({ issuer }) => result.issuers.includes(issuer.id))
  return {
    facts: {
      proven: true,
      facility,
      area,
      country: area.slice(0, 2),
      jurisdictions: jurisdictionsOf(registry, { code: area, exclave, at, shown }).codes,
      operated:
        own.length === 0 ? undefined : own.some(({ claims }) => claims.operators.some((one) => ids.includes(one))),
      contradicted: false,
      basis: result.bases.includes('auditor') ? 'auditor' : 'operator',
      grade,
      issuers: [...new Set([...used, ...own].map(({ issuer }) => issuer.id))].sort(),
      ageSeconds: Math.max(0, at - Math.min(...used.map(({ claims }) => claims.seenAt))),
    },
    used: [...used, ...own],
    ends: [result.expires],
  }
}

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
