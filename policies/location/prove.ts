import { standingOf, type TargetArea } from '#policies/location/area.js'
import { longestRttNs, type Measured, radiusKm } from '#policies/location/bound.js'
import { type Disc, meeting } from '#policies/location/discs.js'
import { atLeastKm, distanceToKm, type Land } from '#policies/location/land.js'
import { type Place, vectorOf } from '#policies/location/sphere.js'

/** One landmark's measurement of a node. */
export interface Measurement extends Measured {
  readonly landmark: string
  readonly place: Place
}

/** What would have proved the target from one landmark alone. */
export interface Need {
  readonly landmark: string
  /** the nearest land outside the target */
  readonly other: NearestLand
  /** the longest round trip that leaves it outside the disc; null where the landmark is too near to it, or outside itself */
  readonly rttNsMax: number | null
}
export interface NearestLand {
  readonly code: string | null
  readonly name: string
  /** rounded down to a metre */
  readonly km: number
}

/** What measurements say of a target area. Only `proved` is worth anything; `cannot-tell` is no evidence at all. */
export type AreaVerdict =
  | { readonly verdict: 'proved'; readonly radiusKm: number }
  /** `apart`: the discs have no place in common, so one key is in two places or a landmark is not where it is said to be */
  | { readonly verdict: 'refuted'; readonly because: 'elsewhere' | 'apart' }
  | { readonly verdict: 'cannot-tell'; readonly needed: readonly Need[] }

/**
 * Judges measurements of one node against a target area.
 *
 * proved       every piece of foreign land is outside the disc of at least one landmark, some land of the target is not,
 *              and the discs have a place in common
 * refuted      every piece of the target's land is outside a disc, or the discs are apart
 * cannot-tell  neither, with the round trip that each landmark would have needed
 *
 * A longer round trip never turns `cannot-tell` into `proved`. It may turn `refuted` into anything, since larger discs reach
 * further and come to meet: a refutation is therefore kept by who asks, and stands.
 * trusts  that each measurement is of this node, by a landmark that is where it is said to be within its error
 * throws  location/range
 */
export function judgeArea(map: readonly Land[], area: TargetArea, measurements: readonly Measurement[]): AreaVerdict {
  const discs = measurements.map((one) => ({ ...one, radiusKm: radiusKm(one), at: vectorOf(one.place) }))
  const meet = meeting(discs)
  if (meet === 'apart') return { verdict: 'refuted', because: 'apart' }
  const isOutside = (land: Land) =>
    discs.some((disc) => atLeastKm(land, disc.at) > disc.radiusKm || isApart(land, disc))
  const lands = { own: [] as Land[], foreign: [] as Land[] }
  for (const land of map) {
    const standing = standingOf(land, area)
    if (standing !== 'ignored') lands[standing].push(land)
  }
  // A target without land on the map is nowhere that a disc could be: neither proved nor refuted.
  if (discs.length > 0 && lands.own.length > 0) {
    // A disc at sea holds no land of the target, and refutes it: ships are out of scope.
    if (lands.own.every(isOutside)) return { verdict: 'refuted', because: 'elsewhere' }
    if (meet === 'meet' && lands.foreign.every(isOutside))
      return { verdict: 'proved', radiusKm: Math.min(...discs.map((one) => one.radiusKm)) }
  }
  return { verdict: 'cannot-tell', needed: measurements.map((one) => needOf(lands.foreign, one)) }
}

function isApart(
  land: Land,
  { place, radiusKm: radius, at }: Disc & { readonly at: ReturnType<typeof vectorOf> },
): boolean {
  // A first point that lies inside settles it without a walk along the coast.
  const line = land.edges[0]!
  const chord = Math.hypot(line[0]! - at[0], line[1]! - at[1], line[2]! - at[2])
  if (2 * Math.asin(Math.min(1, chord / 2)) * 6371 < radius - 1) return false
  return distanceToKm(land, place) > radius
}

/** The nearest of some pieces of land. */
export function nearestLand(lands: readonly Land[], place: Place): NearestLand | undefined {
  const at = vectorOf(place)
  const ordered = lands.map((land) => ({ land, atLeast: atLeastKm(land, at) })).sort((a, b) => a.atLeast - b.atLeast)
  let best: { readonly land: Land; readonly km: number } | undefined
  for (const { land, atLeast } of ordered) {
    if (best !== undefined && atLeast >= best.km) break
    const km = distanceToKm(land, place)
    if (best === undefined || km < best.km) best = { land, km }
  }
  if (best === undefined) return undefined
  return { code: best.land.code, name: best.land.name, km: Math.floor(best.km * 1000) / 1000 }
}

function needOf(foreign: readonly Land[], { landmark, place, errorM }: Measurement): Need {
  const other = nearestLand(foreign, place) ?? { code: null, name: 'none', km: 20_000 }
  return { landmark, other, rttNsMax: longestRttNs(other.km, errorM) }
}

/** What a landmark at a place could prove of a target: the nearest land outside it and the longest round trip. */
export function provability(map: readonly Land[], area: TargetArea, at: Omit<Measurement, 'rttNs'>): Need {
  return needOf(
    map.filter((land) => standingOf(land, area) === 'foreign'),
    { ...at, rttNs: 0 },
  )
}
