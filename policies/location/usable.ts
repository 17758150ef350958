import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import {
  type CapCode,
  gradeOfBasis,
  gradeSecondsMax,
  type LandmarkMeasurement,
  type LocationClaim,
  type Subject,
  tagSecondsMax,
} from '#policies/location/claims.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { jurisdictionsOf } from '#policies/registry/resolve.js'

/** One reason, and whom or what it is about. */
export interface Cap {
  readonly code: CapCode
  readonly about: string
}

/** A claim about this node, in its time, with what its place belongs to. */
export interface UsableClaim extends LocationClaim {
  /** every code that its place belongs to */
  readonly codes: readonly string[]
  readonly country: string
  /** when it stops to count: its own end, or its basis's */
  readonly until: UnixSeconds
  readonly isBound: boolean
}

/** The last instant of a claim: its own, or as long after its beginning as its basis lasts. */
function endOf({ basis, notBefore, expires }: LocationClaim): UnixSeconds {
  const isAddition = basis === 'asset-tag' || basis === 'tamper' || basis === 'possession'
  const seconds = isAddition ? tagSecondsMax : gradeSecondsMax[gradeOfBasis[basis]]
  // What is said of itself lasts no time, and is shown for as long as its issuer says.
  return basis === 'self' ? expires : Math.min(expires, notBefore + seconds)
}

/** Zeros are what a host shows that hides the id: they are nobody's. */
export function platformOf({ platform }: Subject): string | null {
  return platform === null || /^0*$/.test(platform) ? null : platform
}

function bindingOf(claim: LocationClaim, subject: Subject): CapCode | 'bound' | 'unbound' {
  const platform = platformOf(subject)
  if (claim.workloadKey !== null && claim.workloadKey !== subject.workloadKey) return 'location/other-key'
  if (claim.platform !== null) {
    // A hidden id matches nothing, whatever a registry lists.
    if (platform === null) return 'location/masked-platform'
    return claim.platform === platform ? 'bound' : 'location/other-platform'
  }
  const needsPlatform = ['registry', 'auditor', 'asset-tag', 'tamper'].includes(claim.basis)
  if (needsPlatform) return platform === null ? 'location/masked-platform' : 'location/unbound'
  return claim.workloadKey === null ? 'unbound' : 'bound'
}

export interface UseContext {
  readonly subject: Subject
  readonly registry: RegistryContent
  readonly shown: readonly string[]
  readonly at: UnixSeconds
}

/** The claim, if it is in its time, about this node, and about a place that the registry knows; else why not. */
export function usable(claim: LocationClaim, { subject, registry, shown, at }: UseContext): UsableClaim | Cap {
  const no = (code: CapCode): Cap => ({ code, about: `${claim.basis} by ${claim.issuer}` })
  const until = endOf(claim)
  if (claim.notBefore > at) return no('location/not-yet-valid')
  if (at >= until) return no('location/expired')
  const binding = bindingOf(claim, subject)
  if (binding !== 'bound' && binding !== 'unbound') return no(binding)
  try {
    const { codes, until: ends } = jurisdictionsOf(registry, { code: claim.place, exclave: claim.exclave, at, shown })
    const country = claim.place.slice(0, 2)
    return { ...claim, codes, country, until: Math.min(until, ends ?? until), isBound: binding === 'bound' }
  } catch (error) {
    if (!isFailure(error)) throw error
    return no('location/place-unknown')
  }
}

/** The measurement, if it is of this key and no older than a grade by measurement lasts; else why not. */
export function usableMeasurement(
  one: LandmarkMeasurement,
  { subject, at }: UseContext,
  skewSeconds: number,
): LandmarkMeasurement | Cap {
  const no = (code: CapCode): Cap => ({ code, about: `landmark ${one.landmark}` })
  if (one.workloadKey !== subject.workloadKey) return no('location/other-key')
  if (one.at > at + skewSeconds) return no('location/not-yet-valid')
  if (at >= one.at + gradeSecondsMax[4]) return no('location/expired')
  return one
}

export function isCap(value: object): value is Cap {
  return 'code' in value && 'about' in value
}
