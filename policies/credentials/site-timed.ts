import { isFailure } from '#core/failure.js'
import { timedGroupsMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { targetArea } from '#policies/location/area.js'
import type { CapCode } from '#policies/location/claims.js'
import { gradeLocation, type LocationAsked, type LocationResult } from '#policies/location/grade.js'

/** What round trips say of a place that is stated. */
export interface TimedSite {
  /** codes of what the place belongs to in which the node was when it was timed: at most as far as light goes */
  readonly within: readonly string[]
  /** how far it was at most from the nearest landmark, in km */
  readonly radiusKm: number
  /** names of the landmarks that it rests on */
  readonly landmarks: readonly string[]
  /** the first instant at which it is over */
  readonly until: UnixSeconds
}
export type TimedOutcome =
  /** they prove nothing */
  | { readonly kind: 'none' }
  | { readonly kind: 'timed'; readonly site: TimedSite }
  /** the node cannot be where it is said to be */
  | { readonly kind: 'contradicted'; readonly because: CapCode }

/** Caps that say why round trips prove nothing. */
const whyNot: ReadonlySet<CapCode> = new Set([
  'location/not-proved',
  'location/landmark-operators',
  'location/landmark-decides',
  'location/not-independent',
  'location/other-key',
  'location/not-yet-valid',
  'location/expired',
])

/**
 * In which of the areas that a stated place belongs to round trips put the node: its country, or else groups of countries
 * one by one. What proves a country proves every group that it belongs to.
 *
 * codes    what the place belongs to by the registry
 * refused  told why nothing was proved
 */
export function timedSite(
  asked: Omit<LocationAsked, 'target'>,
  country: string,
  codes: readonly string[],
  refused: Set<string>,
): TimedOutcome {
  if (asked.measurements.length === 0) return { kind: 'none' }
  const own = gradeFor(asked, country)
  if (own?.contradicted) return { kind: 'contradicted', because: own.caps.at(-1)!.code }
  if (own !== null && own.grade >= 4)
    return timed([own], [country, ...codes.filter((code) => holds(asked, code, country))])
  const { countries } = asked.registry
  const groups = codes.filter((code) => !countries.includes(code)).slice(0, timedGroupsMax)
  const found = groups.flatMap((code) => gradeFor(asked, code) ?? [])
  const proved = found.filter(({ grade }) => grade >= 4)
  if (proved.length > 0)
    return timed(
      proved,
      proved.map(({ target }) => target),
    )
  for (const { code } of [...(own?.caps ?? []), ...found.flatMap(({ caps }) => caps)])
    if (whyNot.has(code)) refused.add(code)
  return { kind: 'none' }
}

/** Null for what is no target: a part of a country, or what the map cannot show. */
function gradeFor(asked: Omit<LocationAsked, 'target'>, target: string): LocationResult | null {
  try {
    return gradeLocation({ ...asked, target })
  } catch (error) {
    if (!isFailure(error) || error.code !== 'location/target') throw error
    return null
  }
}

/** Whether the whole country belongs to it. */
function holds({ registry, at, shown }: Omit<LocationAsked, 'target'>, code: string, country: string): boolean {
  try {
    return targetArea(registry, { code, at, shown }).countries.includes(country)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'location/target') throw error
    return false
  }
}

function timed(results: readonly LocationResult[], within: readonly string[]): TimedOutcome {
  const landmarks = new Set(results.flatMap(({ landmarks }) => landmarks))
  const site = {
    within: [...new Set(within)].sort(),
    radiusKm: Math.ceil(Math.min(...results.map((one) => one.radiusKm ?? Number.POSITIVE_INFINITY))),
    landmarks: [...landmarks].sort(),
    until: Math.min(...results.map(({ expires }) => expires)),
  }
  return { kind: 'timed', site }
}
