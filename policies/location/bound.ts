import { Failure } from '#core/failure.js'
import type { LocationCode } from '#policies/location/sphere.js'

/** Kilometres that light goes in a millisecond, in vacuum. No signal is faster; fibre is slower, but not every path is fibre. */
export const lightKmPerMs = 299.792458

/**
 * A geodesic of the ellipsoid is at most this much shorter than the arc of the mean sphere: the smallest radius of
 * curvature (6335.4 km, along the meridian at the equator) against 6371.0 km is 0.56 %.
 */
const sphereError = 0.006

/**
 * How far the map's land may be from the land, in km: half a millimetre at its scale of 1:10,000,000, and the grid to which
 * its coordinates are rounded (0.23 km). A judgement: Natural Earth promises no figure.
 */
export const mapErrorKm = 5.5

/** A round trip in whole nanoseconds, and how far the landmark may be from where it is said to be, in metres. */
export interface Measured {
  readonly rttNs: number
  readonly errorM: number
}

function verifyMeasured({ rttNs, errorM }: Measured): void {
  const wrong = [rttNs, errorM].find((one) => !Number.isSafeInteger(one) || one < 0)
  if (wrong !== undefined)
    throw new Failure<LocationCode>(
      'location/range',
      `neither nanoseconds nor metres: ${wrong}, expected whole numbers`,
    )
}

/**
 * The radius in km of the disc of the map in which the node has to be: no signal went further and back in that time.
 * Rounded up to a metre. The errors of landmark, sphere and map are in it.
 *
 * The bound holds for any path above ground: its shadow on the sphere is no longer than the path itself.
 * throws  location/range
 */
export function radiusKm(measured: Measured): number {
  verifyMeasured(measured)
  const straight = (lightKmPerMs * measured.rttNs) / 2e6 + measured.errorM / 1000
  return Math.ceil((straight * (1 + sphereError) + mapErrorKm) * 1000) / 1000
}

/** The longest round trip in whole nanoseconds whose disc stays below `km`, rounded down; null where none does. */
export function longestRttNs(km: number, errorM: number): number | null {
  const straight = (km - mapErrorKm) / (1 + sphereError) - errorM / 1000
  // One metre less, which is what rounding a radius up may add.
  const rttNs = Math.floor(((straight - 0.001) * 2e6) / lightKmPerMs)
  return rttNs > 0 ? rttNs : null
}
