import { Failure } from '#core/failure.js'
import {
  angleBetween,
  earthRadiusKm,
  type LocationCode,
  type Place,
  unit,
  type Vector,
  vectorAt,
  vectorOf,
} from '#policies/location/sphere.js'
import { territories } from '#policies/location/territories.js'
import type { Ring, Shape } from '#policies/location/topology.js'
import { countryOfNumber } from '#policies/registry/countries.js'

/** One piece of land, an island or a mainland, with its holes. */
export interface Land {
  /** ISO 3166-1 alpha-2, or a territory's code; null for land that the map gives none: nobody's answer, so never allowed */
  readonly code: string | null
  readonly name: string
  /** closed lines with longitudes that go on past 180, so that each is one line in the plane; the first is the outer one */
  readonly rings: readonly Ring[]
  /** directions of the points of every ring at most `stepDegrees` apart, each ring closed */
  readonly edges: readonly Float64Array[]
  /** a cap of the sphere that holds all of it: its middle, and its radius in radians */
  readonly middle: Vector
  readonly reach: number
}

/**
 * Natural Earth's lines are straight in longitude and latitude. A great circle between two far points of a parallel lies
 * up to 100 km from it, so lines are cut this fine before they are arcs; what is left is below two metres.
 */
const stepDegrees = 0.1

/** The same line with longitudes that never jump: an edge goes the short way round. */
function unrolled(ring: Ring): Ring {
  const line = Float64Array.from(ring)
  for (let i = 2; i < line.length; i += 2) {
    while (line[i]! - line[i - 2]! > 180) line[i]! -= 360
    while (line[i]! - line[i - 2]! < -180) line[i]! += 360
  }
  const back = line[0]! - line[line.length - 2]!
  if (Math.abs(back) <= 180) return line
  // Round a pole: in the plane it is closed along the edge of the map.
  const [first, last] = [line[0]!, line[line.length - 2]!]
  const end = last > first ? first + 360 : first - 360
  const pole = line[1]! < 0 ? -90 : 90
  return Float64Array.from([...line, end, line[1]!, end, pole, first, pole])
}

/** The short way round from one point of a ring to the next, and in how many steps it is cut. */
function edgeOf(ring: Ring, i: number): { readonly dx: number; readonly dy: number; readonly steps: number } {
  const j = 2 * i + 2 < ring.length ? 2 * i + 2 : 0
  const across = ring[j]! - ring[2 * i]!
  const dx = across > 180 ? across - 360 : across < -180 ? across + 360 : across
  const dy = ring[j + 1]! - ring[2 * i + 1]!
  return { dx, dy, steps: Math.max(1, Math.ceil(Math.max(Math.abs(dx), Math.abs(dy)) / stepDegrees)) }
}

function directionsOf(ring: Ring): Float64Array {
  const count = ring.length / 2
  let points = 1
  for (let i = 0; i < count; i++) points += edgeOf(ring, i).steps
  const out = new Float64Array(3 * points)
  let at = 0
  for (let i = 0; i < count; i++) {
    const { dx, dy, steps } = edgeOf(ring, i)
    for (let k = 0; k < steps; k++, at += 3)
      out.set(vectorAt(ring[2 * i + 1]! + (dy * k) / steps, ring[2 * i]! + (dx * k) / steps), at)
  }
  out.copyWithin(at, 0, 3)
  return out
}

const vectorIn = (line: Float64Array, i: number): Vector => [line[3 * i]!, line[3 * i + 1]!, line[3 * i + 2]!]

/** A cap that holds a closed line and what is inside it. Land that is wide beyond reason gets the whole sphere. */
function capOf(line: Float64Array): { readonly middle: Vector; readonly reach: number } {
  const count = line.length / 3
  const sum: [number, number, number] = [0, 0, 0]
  for (let i = 0; i < count; i++) for (const axis of [0, 1, 2] as const) sum[axis] += line[3 * i + axis]!
  const middle = unit(sum)
  let reach = 0
  for (let i = 0; i < count; i++) reach = Math.max(reach, angleBetween(middle, vectorIn(line, i)))
  // Inside a line that fits a hemisphere is the side of the middle; edges between points stay within a step.
  return { middle, reach: reach < 1.5 ? reach + 0.001 : Math.PI }
}

function territoryOf(code: string | null, ring: Ring): string | null {
  const found = territories.find(({ within, box: [west, south, east, north] }) => {
    if (within !== code) return false
    for (let i = 0; i < ring.length; i += 2) {
      const [x, y] = [ring[i]!, ring[i + 1]!]
      if (x < west || x > east || y < south || y > north) return false
    }
    return true
  })
  return found?.code ?? code
}

/**
 * Every piece of land of a map.
 *
 * throws  location/map for a numeric code that ISO never assigned
 */
export function landOf(shapes: readonly Shape[]): readonly Land[] {
  return shapes.flatMap(({ number, name, polygons }) => {
    const country = number === null ? null : countryOfNumber(number)
    if (country === undefined)
      throw new Failure<LocationCode>('location/map', `map: ${name} has the code ${number}, which nobody assigned`)
    return polygons.map((rings) => {
      const edges = rings.map(directionsOf)
      return {
        code: territoryOf(country, rings[0]!),
        name,
        rings: rings.map(unrolled),
        edges,
        ...capOf(edges[0]!),
      }
    })
  })
}

/** Whether a place is on the inner side of a line, by the even-odd rule in the plane of longitude and latitude. */
function isWithin(ring: Ring, x: number, y: number): boolean {
  let inside = false
  const count = ring.length / 2
  for (let i = 0, j = count - 1; i < count; j = i++) {
    const [xi, yi, xj, yj] = [ring[2 * i]!, ring[2 * i + 1]!, ring[2 * j]!, ring[2 * j + 1]!]
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside
  }
  return inside
}
const isWithinUnrolled = (ring: Ring, { longitude, latitude }: Place): boolean =>
  [-360, 0, 360].some((turn) => isWithin(ring, longitude + turn, latitude))

/** Whether a place lies on this piece of land, as the map draws it. */
export function isOn(land: Land, place: Place): boolean {
  const [outer, ...holes] = land.rings
  return isWithinUnrolled(outer!, place) && !holes.some((hole) => isWithinUnrolled(hole, place))
}

/** The pieces of land that a place lies on: one, or none at sea. */
export function landAt(map: readonly Land[], place: Place): Land | undefined {
  const at = vectorOf(place)
  return map.find((land) => angleBetween(at, land.middle) <= land.reach && isOn(land, place))
}

/** No point of the land is nearer than this, in km. */
export function atLeastKm(land: Land, at: Vector): number {
  return Math.max(0, angleBetween(at, land.middle) - land.reach) * earthRadiusKm
}

/** The angle to the nearest point of an arc that is shorter than a quarter of the Earth. */
function angleToArc(at: Vector, a: Vector, b: Vector): number {
  const near = Math.min(angleBetween(at, a), angleBetween(at, b))
  const nx = a[1] * b[2] - a[2] * b[1]
  const ny = a[2] * b[0] - a[0] * b[2]
  const nz = a[0] * b[1] - a[1] * b[0]
  const length = Math.hypot(nx, ny, nz)
  if (length < 1e-12) return near
  // The foot of the perpendicular lies on the arc when `at` is between the planes through its ends.
  const afterA = (ny * a[2] - nz * a[1]) * at[0] + (nz * a[0] - nx * a[2]) * at[1] + (nx * a[1] - ny * a[0]) * at[2]
  const afterB = (ny * b[2] - nz * b[1]) * at[0] + (nz * b[0] - nx * b[2]) * at[1] + (nx * b[1] - ny * b[0]) * at[2]
  if (afterA < 0 || afterB > 0) return near
  return Math.min(near, Math.abs(Math.asin(Math.max(-1, Math.min(1, (nx * at[0] + ny * at[1] + nz * at[2]) / length)))))
}

/** Longer than any arc between two points that follow each other, as an angle. */
const stepAngle = 0.0026

/** Kilometres from a place to the nearest point of the land; 0 on it. */
export function distanceToKm(land: Land, place: Place): number {
  if (isOn(land, place)) return 0
  const at = vectorOf(place)
  let best = Math.PI
  for (const line of land.edges) {
    const count = line.length / 3
    for (let i = 0; i + 1 < count; i++) {
      // The straight line through the Earth is quick to compute, and never longer than the arc.
      const [dx, dy, dz] = [line[3 * i]! - at[0], line[3 * i + 1]! - at[1], line[3 * i + 2]! - at[2]]
      const chord = dx * dx + dy * dy + dz * dz
      const within = best + stepAngle
      if (chord > within * within) continue
      best = Math.min(best, angleToArc(at, vectorIn(line, i), vectorIn(line, i + 1)))
    }
  }
  return best * earthRadiusKm
}
