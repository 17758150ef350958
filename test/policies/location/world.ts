import { parseTime } from '#core/time.js'
import { type TargetArea, targetArea } from '#policies/location/area.js'
import { readAtlas } from '#policies/location/atlas/read.js'
import { lightKmPerMs } from '#policies/location/bound.js'
import { cities } from '#policies/location/cities.js'
import type { Measurement } from '#policies/location/prove.js'
import { distanceKm, type Place } from '#policies/location/sphere.js'
import { shippedContent } from '#policies/registry/shipped/read.js'

export const at = parseTime('2026-11-26T00:00:00Z')!
export const atlas = readAtlas()
export const content = shippedContent()
const areas = new Map<string, TargetArea>()
/** The area of a code today, with no condition shown. */
export function area(code: string): TargetArea {
  const found = areas.get(code) ?? targetArea(content, { code, at, shown: [] })
  areas.set(code, found)
  return found
}
export const city = (name: string) => cities.find((one) => one.name === name)!

/** The shortest round trip that any path between two places on the ellipsoid can have, plus a delay. */
export function fastest(landmark: Place, node: Place, delayMs = 0): number {
  // The ellipsoid's geodesic may be 0.56 % shorter than the sphere's arc.
  return Math.ceil(((2 * distanceKm(landmark, node)) / 1.0056 / lightKmPerMs + delayMs) * 1e6)
}
export const measured = (name: string, node: Place, delayMs = 0): Measurement => ({
  landmark: name,
  place: city(name),
  errorM: 0,
  rttNs: fastest(city(name), node, delayMs),
})
