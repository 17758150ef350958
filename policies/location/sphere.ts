/**
 * What belongs in policies/location: where a node can be, by what was measured and said of it, and how far that goes.
 * Pure: evidence, map, registry and time are arguments. Nothing here measures, and nothing here decides on a release.
 */
import { Failure } from '#core/failure.js'

/** Failures of what a location is judged by, before anything is judged. */
export type LocationCode =
  /** not the map that this version was written for, or one of another form */
  | 'location/map'
  /** a target that no map can show: unknown, disputed, or a part of a country that the map does not tell apart */
  | 'location/target'
  /** a coordinate, an error or a time outside its range */
  | 'location/range'

/** Mean radius of the Earth in km. source: IUGG, "Geodetic Reference System 1980" (R1) */
export const earthRadiusKm = 6371.0088

/** A place in degrees, north and east positive. */
export interface Place {
  readonly latitude: number
  readonly longitude: number
}

/** A unit vector from the centre of the Earth. */
export type Vector = readonly [number, number, number]

/** The direction of a place. @throws location/range */
export function vectorOf({ latitude, longitude }: Place): Vector {
  if (!(Math.abs(latitude) <= 90) || !(Math.abs(longitude) <= 180))
    throw new Failure<LocationCode>('location/range', `no place on Earth: ${latitude}, ${longitude}`)
  return vectorAt(latitude, longitude)
}

/** The same for a longitude that may have gone round. */
export function vectorAt(latitude: number, longitude: number): Vector {
  const [phi, lambda] = [(latitude * Math.PI) / 180, (longitude * Math.PI) / 180]
  const across = Math.cos(phi)
  return [across * Math.cos(lambda), across * Math.sin(lambda), Math.sin(phi)]
}

/** The place in a direction. */
export function placeOf([x, y, z]: Vector): Place {
  const latitude = (Math.atan2(z, Math.hypot(x, y)) * 180) / Math.PI
  return { latitude, longitude: (Math.atan2(y, x) * 180) / Math.PI }
}

export function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

export function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

export function unit(v: Vector): Vector {
  const length = Math.hypot(...v)
  return [v[0] / length, v[1] / length, v[2] / length]
}

/** The angle between two directions in radians; exact for near ones too, which an arc cosine is not. */
export function angleBetween(a: Vector, b: Vector): number {
  return Math.atan2(Math.hypot(...cross(a, b)), dot(a, b))
}

/** Kilometres on the sphere between two places. */
export function distanceKm(a: Place, b: Place): number {
  return earthRadiusKm * angleBetween(vectorOf(a), vectorOf(b))
}

/** Where one arrives who leaves a place in a direction (degrees from north, clockwise) for some kilometres. */
export function travel(from: Place, bearing: number, km: number): Place {
  const at = vectorOf(from)
  const [phi, lambda] = [(from.latitude * Math.PI) / 180, (from.longitude * Math.PI) / 180]
  const east: Vector = [-Math.sin(lambda), Math.cos(lambda), 0]
  const north: Vector = [-Math.sin(phi) * Math.cos(lambda), -Math.sin(phi) * Math.sin(lambda), Math.cos(phi)]
  const [turn, angle] = [(bearing * Math.PI) / 180, km / earthRadiusKm]
  const ahead = (i: 0 | 1 | 2) => north[i] * Math.cos(turn) + east[i] * Math.sin(turn)
  const mix = (i: 0 | 1 | 2) => at[i] * Math.cos(angle) + ahead(i) * Math.sin(angle)
  return placeOf([mix(0), mix(1), mix(2)])
}
