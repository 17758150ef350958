import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { type TargetArea, targetArea } from '#policies/location/area.js'
import {
  type Basis,
  type CapCode,
  type Contradiction,
  type Grade,
  gradeOfBasis,
  gradeSecondsMax,
  type LandmarkMeasurement,
  type LocationClaim,
  type Subject,
} from '#policies/location/claims.js'
import type { Land } from '#policies/location/land.js'
import { type LandmarkRules, type MeasuredProof, measuredProof, refutation } from '#policies/location/measured.js'
import { type Cap, isCap, platformOf, type UsableClaim, usable, usableMeasurement } from '#policies/location/usable.js'
import type { RegistryContent } from '#policies/registry/document.js'

/** What is known of where a node is, for one target. */
export interface LocationAsked {
  /** country or group of the registry */
  readonly target: string
  readonly subject: Subject
  /** of issuers that the reader believes, signatures verified */
  readonly claims: readonly LocationClaim[]
  /** of landmarks that the reader believes, receipts verified */
  readonly measurements: readonly LandmarkMeasurement[]
  /** every contradiction that was kept */
  readonly contradictions: readonly Contradiction[]
  readonly registry: RegistryContent
  /** what was shown of the importer, by names of the registry's conditions */
  readonly shown: readonly string[]
  readonly map: readonly Land[]
  readonly rules: LandmarkRules
  readonly at: UnixSeconds
}

/** Where a node is for one target, and how far that goes. A grade is of this target and of no other. */
export interface LocationResult {
  readonly target: string
  readonly grade: Grade
  /** what the grade rests on, and who said it */
  readonly bases: readonly Basis[]
  readonly issuers: readonly string[]
  /** landmarks whose round trips it rests on */
  readonly landmarks: readonly string[]
  readonly radiusKm: number | null
  /** then the grade is 0, whatever is claimed */
  readonly contradicted: boolean
  readonly notBefore: UnixSeconds
  /** a lease that rests on it ends with it */
  readonly expires: UnixSeconds
  readonly assumes: readonly string[]
  /** why it is not higher, and what was not used */
  readonly caps: readonly Cap[]
  /** to be kept by who asks, and given back next time */
  readonly contradiction: Contradiction | null
}

/** What is usable; what is not goes to the reasons. */
function kept<T extends object>(items: readonly (T | Cap)[], caps: Cap[]): readonly T[] {
  return items.flatMap((one) => {
    if (!isCap(one)) return [one]
    caps.push(one)
    return []
  })
}

/** Claims of one root that say a place count once, as the weakest of them. */
function oncePerRoot(claims: readonly UsableClaim[], caps: Cap[]): readonly UsableClaim[] {
  const byRoot = new Map<string, UsableClaim>()
  for (const one of claims) {
    const before = byRoot.get(one.rootKey)
    if (before === undefined) {
      byRoot.set(one.rootKey, one)
      continue
    }
    const [weak, strong] = gradeOfBasis[one.basis] < gradeOfBasis[before.basis] ? [one, before] : [before, one]
    byRoot.set(one.rootKey, weak)
    caps.push({ code: 'location/same-root', about: `${strong.basis} by ${strong.issuer}` })
  }
  return [...byRoot.values()]
}

/** How far one claim carries for this node. */
function gradeOfClaim(claim: UsableClaim, subject: Subject, caps: Cap[]): Grade {
  const grade = gradeOfBasis[claim.basis]
  const about = `${claim.basis} by ${claim.issuer}`
  if (!claim.isBound && grade > 1) {
    caps.push({ code: 'location/unbound', about })
    return 1
  }
  const isIndependent =
    claim.controller === null || (subject.operator !== null && claim.controller !== subject.operator)
  if (grade === 3 && !isIndependent) {
    caps.push({ code: 'location/not-independent', about })
    return 2
  }
  return grade
}

/** What speaks against a place at all: kept contradictions, claims that differ, round trips that exclude what is claimed. */
function contradictionIn(
  asked: LocationAsked,
  claims: readonly UsableClaim[],
  measurements: readonly LandmarkMeasurement[],
): CapCode | null {
  const { subject, registry, at, shown, map } = asked
  const platform = platformOf(subject)
  const stands = asked.contradictions.some(
    (one) =>
      (one.cleared === null || one.cleared.at < one.at) &&
      (one.workloadKey === subject.workloadKey || (one.platform !== null && one.platform === platform)),
  )
  if (stands) return 'location/standing'
  const places = claims.filter(({ basis, isBound }) => isBound || gradeOfBasis[basis] < 2)
  if (new Set(places.map(({ country }) => country)).size > 1) return 'location/claims-differ'
  if (measurements.length === 0) return null
  const countries = new Set(claims.map(({ country }) => country))
  const areas: readonly TargetArea[] =
    countries.size === 0
      ? [targetArea(registry, { code: asked.target, at, shown })]
      : [...countries].map((code) => targetArea(registry, { code, at, shown }))
  for (const area of areas) {
    // A country that the map cannot show whole refutes nothing by itself; discs that are apart do.
    const found = refutation(map, { ...area, countries: [...area.countries, ...area.leftOut] }, measurements)
    if (found === 'apart') return 'location/apart'
    if (found === 'elsewhere' && countries.size > 0) return 'location/refuted'
  }
  return null
}

interface Found {
  readonly grade: Grade
  readonly claims: readonly UsableClaim[]
  readonly proof: MeasuredProof | null
}

/** The grade that claims and round trips give, in the order of the grades. */
function derive(
  asked: LocationAsked,
  claims: readonly UsableClaim[],
  measurements: readonly LandmarkMeasurement[],
  caps: Cap[],
): Found {
  const { subject, target } = asked
  const additions = claims.filter(({ basis }) => ['asset-tag', 'tamper', 'possession'].includes(basis))
  const supports = claims.filter((one) => {
    if (one.codes.includes(target)) return true
    caps.push({ code: 'location/outside-target', about: `${one.basis} by ${one.issuer}` })
    return false
  })
  const places = oncePerRoot(
    supports.filter((one) => !additions.includes(one)),
    caps,
  )
  const graded = places.map((claim) => ({ claim, grade: gradeOfClaim(claim, subject, caps) }))
  const stated = Math.max(0, ...graded.map(({ grade }) => grade)) as Grade
  const base = graded.filter(({ grade }) => grade === stated).map(({ claim }) => claim)
  if (base.length === 0) caps.push({ code: 'location/no-claim', about: target })
  if (platformOf(subject) === null) caps.push({ code: 'location/masked-platform', about: 'no registry can know it' })
  if (stated < 2 || platformOf(subject) === null) return { grade: stated, claims: base, proof: null }
  const area = targetArea(asked.registry, { code: target, at: asked.at, shown: asked.shown })
  const proof = measuredProof(asked.map, area, measurements, subject, asked.rules)
  if (!('used' in proof)) {
    caps.push(...proof)
    return { grade: stated, claims: base, proof: null }
  }
  const tag = additions.find((one) => one.basis === 'asset-tag' && supports.includes(one))
  const tamper = additions.find((one) => one.basis === 'tamper' && supports.includes(one))
  if (tag === undefined) caps.push({ code: 'location/no-tag', about: target })
  if (tamper === undefined) caps.push({ code: 'location/no-tamper-signal', about: target })
  const isWhole = tag !== undefined && tamper !== undefined
  return { grade: isWhole ? 5 : 4, claims: isWhole ? [...base, tag, tamper] : base, proof }
}

/**
 * What is known of where a node is, as a grade for a target.
 *
 * In this order: what is out of its time or about another node is dropped; claims of one root key count once; the grade is
 * derived for the target; a contradiction takes it away. Nothing that is missing raises anything.
 *
 * trusts  that signatures of claims and receipts, the registry and the subject's evidence were verified
 * throws  location/target
 */
export function gradeLocation(asked: LocationAsked): LocationResult {
  const { target, subject, at } = asked
  const caps: Cap[] = []
  const area = targetArea(asked.registry, { code: target, at, shown: asked.shown })
  const claims = kept<UsableClaim>(
    asked.claims.map((one) => usable(one, asked)),
    caps,
  )
  const measurements = kept<LandmarkMeasurement>(
    asked.measurements.map((one) => usableMeasurement(one, asked, clockSkewSeconds)),
    caps,
  )
  const found = derive(asked, claims, measurements, caps)
  const because = contradictionIn(asked, claims, measurements)
  if (because !== null) {
    caps.push({ code: because, about: target })
    const seen = { platform: platformOf(subject), workloadKey: subject.workloadKey, at, because, cleared: null }
    return {
      ...{ target, grade: 0, bases: [], issuers: [], landmarks: [], radiusKm: null, contradicted: true },
      ...{
        notBefore: at,
        expires: at,
        assumes: [],
        caps,
        contradiction: because === 'location/standing' ? null : seen,
      },
    }
  }
  const used = found.proof?.used ?? []
  const ends = [
    ...found.claims.map(({ until }) => until),
    ...used.map((one) => one.at + gradeSecondsMax[4]),
    ...(area.until === null ? [] : [area.until]),
    at + gradeSecondsMax[found.grade],
  ]
  const unique = <T>(items: readonly T[]): readonly T[] => [...new Set(items)]
  return {
    target,
    grade: found.grade,
    bases: unique([...found.claims.map(({ basis }) => basis), ...used.map(() => 'rtt' as const)]),
    issuers: unique([...found.claims.map(({ issuer }) => issuer), ...used.map(({ landmark }) => landmark)]),
    landmarks: unique(used.map(({ landmark }) => landmark)),
    radiusKm: found.proof?.radiusKm ?? null,
    contradicted: false,
    notBefore: Math.max(...found.claims.map(({ notBefore }) => notBefore), ...used.map((one) => one.at), 0),
    expires: Math.min(...ends),
    assumes: unique([
      ...found.claims.flatMap(({ assumes }) => assumes),
      ...(used.length === 0 ? [] : ['tee-integrity', 'image-keeps-key', 'landmarks-in-place']),
    ]).toSorted(),
    caps,
    contradiction: null,
  }
}
