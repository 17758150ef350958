import { Failure } from '#core/failure.js'
import type { LocationCode } from '#policies/location/sphere.js'

/** One closed line in degrees: longitude, latitude, longitude, ... The first point is not repeated. */
export type Ring = Float64Array
/** A shape of the map as it was drawn: its outer line and its holes, for each piece of land. */
export interface Shape {
  /** ISO 3166-1 numeric, three digits; null where the map gives none */
  readonly number: string | null
  readonly name: string
  readonly polygons: readonly (readonly Ring[])[]
}

const shapesMax = 1000
const arcsMax = 20_000
const pointsMax = 2_000_000

const refuse = (message: string) => new Failure<LocationCode>('location/map', `map: ${message}`)

type Members = { readonly [name: string]: unknown }
function members(value: unknown, what: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse(`${what} is no object`)
  return value as Members
}
function items(value: unknown, what: string, max: number): readonly unknown[] {
  if (!Array.isArray(value)) throw refuse(`${what} is no list`)
  if (value.length > max) throw refuse(`${what} has ${value.length} items, at most ${max} expected`)
  return value
}
function pair(value: unknown, what: string, isWhole: boolean): readonly [number, number] {
  const [x, y, ...more] = items(value, what, 2)
  const isNumber = (one: unknown): one is number =>
    typeof one === 'number' && (isWhole ? Number.isSafeInteger(one) : Number.isFinite(one))
  if (!isNumber(x) || !isNumber(y) || more.length > 0) throw refuse(`${what} is no pair of numbers`)
  return [x, y]
}

/** The lines of the map. source: TopoJSON Format Specification, "Arc Indexes" and "Transforms" (quantised, delta-encoded) */
function readArcs(topology: Members): readonly Ring[] {
  const transform = members(topology.transform, 'transform')
  const [scaleX, scaleY] = pair(transform.scale, 'transform.scale', false)
  const [moveX, moveY] = pair(transform.translate, 'transform.translate', false)
  let points = 0
  return items(topology.arcs, 'arcs', arcsMax).map((given, i) => {
    const deltas = items(given, `arc ${i}`, pointsMax)
    if ((points += deltas.length) > pointsMax) throw refuse(`more than ${pointsMax} points`)
    if (deltas.length < 2) throw refuse(`arc ${i} has fewer than two points`)
    const line = new Float64Array(deltas.length * 2)
    let [x, y] = [0, 0]
    deltas.forEach((delta, j) => {
      const [dx, dy] = pair(delta, `arc ${i}`, true)
      line[2 * j] = (x += dx) * scaleX + moveX
      line[2 * j + 1] = (y += dy) * scaleY + moveY
      if (!(Math.abs(line[2 * j]!) <= 180.001) || !(Math.abs(line[2 * j + 1]!) <= 90.001))
        throw refuse(`arc ${i} leaves the Earth`)
    })
    return line
  })
}

/** The points of a ring from the arcs that make it, each shared end once; a negative index is the arc of its complement, backwards. */
function readRing(given: unknown, arcs: readonly Ring[]): Ring {
  const line: number[] = []
  for (const index of items(given, 'ring', arcsMax)) {
    if (typeof index !== 'number' || !Number.isInteger(index)) throw refuse('an arc of a ring is no whole number')
    const arc = arcs[index < 0 ? ~index : index]
    if (arc === undefined) throw refuse(`a ring names arc ${index}, which is not there`)
    const count = arc.length / 2
    for (let i = 0; i < count; i++) {
      const at = 2 * (index < 0 ? count - 1 - i : i)
      if (i === 0 && line.length > 0) {
        // The arcs of a ring meet: a gap would be a line that nobody drew.
        if (line.at(-2) !== arc[at] || line.at(-1) !== arc[at + 1]) throw refuse('the arcs of a ring do not meet')
        continue
      }
      line.push(arc[at]!, arc[at + 1]!)
    }
  }
  // The grid has shrunk the smallest islands, and the Vatican, to a line or a point: still land.
  if (line.length < 4 || line[0] !== line.at(-2) || line[1] !== line.at(-1)) throw refuse('a ring does not close')
  return Float64Array.from(line.slice(0, -2))
}

function readShape(value: unknown, arcs: readonly Ring[]): Shape {
  const { type, id, properties, arcs: given } = members(value, 'shape')
  const { name } = members(properties, 'properties')
  if (typeof name !== 'string' || name.length > 100) throw refuse('a shape has no name')
  if (id !== undefined && (typeof id !== 'string' || !/^\d{3}$/.test(id))) throw refuse(`${name} has no numeric code`)
  const lists = type === 'MultiPolygon' ? items(given, name, arcsMax) : type === 'Polygon' ? [given] : null
  if (lists === null) throw refuse(`${name} is neither a polygon nor several`)
  const polygons = lists.map((rings) => items(rings, name, arcsMax).map((ring) => readRing(ring, arcs)))
  if (polygons.length === 0 || polygons.some((rings) => rings.length === 0)) throw refuse(`${name} has no land`)
  return { number: id ?? null, name, polygons }
}

/**
 * The shapes of the countries of a topology: every one of them, in its order.
 *
 * throws  location/map
 */
export function readTopology(value: unknown): readonly Shape[] {
  const topology = members(value, 'topology')
  if (topology.type !== 'Topology') throw refuse('no topology')
  const arcs = readArcs(topology)
  const countries = members(members(topology.objects, 'objects').countries, 'objects.countries')
  if (countries.type !== 'GeometryCollection') throw refuse('objects.countries is no collection')
  return items(countries.geometries, 'geometries', shapesMax).map((shape) => readShape(shape, arcs))
}
