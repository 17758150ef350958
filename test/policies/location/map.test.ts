import { describe, expect, test } from 'vitest'
import { isFailure } from '#core/failure.js'
import { cities } from '#policies/location/cities.js'
import { distanceToKm, type Land, landAt, landOf } from '#policies/location/land.js'
import { distanceKm, travel, vectorAt } from '#policies/location/sphere.js'
import { territories } from '#policies/location/territories.js'
import { readTopology } from '#policies/location/topology.js'
import { countryOfNumber, isCountry } from '#policies/registry/countries.js'
import { atlas } from './world.js'

const { land } = atlas
const codeAt = (latitude: number, longitude: number) => landAt(land, { latitude, longitude })?.code

describe('the map', () => {
  test('every country of ISO 3166-1 has land, but for two that the map leaves without a code', () => {
    const onMap = new Set(land.map(({ code }) => code))
    const letters = Array.from({ length: 26 }, (_, i) => String.fromCharCode(65 + i))
    const assigned = letters.flatMap((a) => letters.map((b) => a + b)).filter(isCountry)
    expect(assigned).toHaveLength(249)
    expect(assigned.filter((code) => !onMap.has(code))).toEqual(['CC', 'CX'])
  })

  test('numbers and names of the map agree with the table of ISO codes', () => {
    // The names of the atlas are its own: compared where the language data of the engine spell them alike.
    const names = new Intl.DisplayNames(['en'], { type: 'region' })
    const own = new Map(territories.map(({ code }) => [code, true]))
    const alike = land.filter(({ code, name }) => code !== null && isCountry(code) && names.of(code) === name)
    expect(new Set(alike.map(({ code }) => code)).size).toBeGreaterThan(180)
    // None is named like a country with another code.
    const byName = new Map<string, string>()
    for (let n = 0; n < 1000; n++) {
      const code = countryOfNumber(String(n).padStart(3, '0'))
      if (code !== undefined) byName.set(names.of(code)!, code)
    }
    expect(byName.size).toBe(249)
    const wrong = land.filter(
      ({ code, name }) => byName.has(name) && byName.get(name) !== code && !own.has(code ?? '') && code !== null,
    )
    expect(wrong.map(({ name }) => name)).toEqual([])
  })

  test("land without a code is nobody's", () => {
    const names = [...new Set(land.filter(({ code }) => code === null).map(({ name }) => name))].sort()
    expect(names).toHaveLength(16)
    expect(names).toEqual(expect.arrayContaining(['Kosovo', 'N. Cyprus', 'Akrotiri', 'Dhekelia', 'Somaliland']))
    expect(codeAt(42.6, 21.1)).toBeNull()
  })

  test("what has an own code is not its state's: Svalbard, Bonaire, Guiana, Réunion, Crimea", () => {
    expect(codeAt(78.2, 15.6)).toBe('SJ')
    expect(codeAt(12.2, -68.3)).toBe('BQ')
    expect(codeAt(4, -53)).toBe('GF')
    expect(codeAt(-21.1, 55.5)).toBe('RE')
    expect(codeAt(45.2, 34.3)).toBe('UA-43')
    expect(codeAt(69.6, 19)).toBe('NO')
    const found = new Set(land.map(({ code }) => code))
    for (const { code } of territories) expect(found).toContain(code)
  })

  test('cities lie in their countries; holes, poles and the line of dates are where they are', () => {
    for (const one of cities) {
      const on = landAt(land, one)
      // The middle of Copenhagen is water at this scale.
      if (one.name !== 'Copenhagen') expect(on?.code, one.name).toBe(one.country)
    }
    expect(codeAt(43.94, 12.45)).toBe('SM')
    expect(codeAt(-29.5, 28.2)).toBe('LS')
    expect(codeAt(-89.9, 17)).toBe('AQ')
    expect(codeAt(-90, 0)).toBe('AQ')
    expect(codeAt(89.9, 17)).toBeUndefined()
    // Chukotka, on both sides of it, and Taveuni.
    expect(codeAt(67, 179)).toBe('RU')
    expect(codeAt(67, -179)).toBe('RU')
    expect(codeAt(66.5, -180)).toBe('RU')
    expect(codeAt(66.5, 180)).toBe('RU')
    expect(codeAt(0, 0)).toBeUndefined()
  })

  test('a border along a parallel is where the parallel is, not where the great circle runs', () => {
    const canada = land.filter(({ code }) => code === 'CA')
    const states = land.filter(({ code }) => code === 'US')
    const nearest = (lands: readonly Land[], latitude: number, longitude: number) =>
      Math.min(...lands.map((one) => distanceToKm(one, { latitude, longitude })))
    // The 49th parallel from -123 to -95: an arc between its ends would lie 60 km north of its middle.
    for (const longitude of [-120, -113, -109, -105, -100, -97]) {
      expect(nearest(canada, 48.9, longitude)).toBeLessThan(13)
      expect(nearest(states, 49.1, longitude)).toBeLessThan(13)
      expect(nearest(canada, 48.9, longitude)).toBeGreaterThan(9)
    }
  })

  test('distances are those of every point of the line', () => {
    const germany = land.find(({ code, rings }) => code === 'DE' && rings[0]!.length > 1000)!
    const from = travel({ latitude: 48.86, longitude: 2.35 }, 40, 30)
    const ring = germany.rings[0]!
    let points = Number.POSITIVE_INFINITY
    for (let i = 0; i < ring.length; i += 2)
      points = Math.min(points, distanceKm(from, { latitude: ring[i + 1]!, longitude: ring[i]! }))
    const found = distanceToKm(germany, from)
    expect(found).toBeLessThanOrEqual(points)
    expect(found).toBeGreaterThan(points - 10)
  })
})

describe('topologies', () => {
  const square = {
    type: 'Topology',
    transform: { scale: [1, 1], translate: [0, 0] },
    arcs: [
      [
        [0, 0],
        [10, 0],
        [0, 10],
      ],
      [
        [10, 10],
        [-10, 0],
        [0, -10],
      ],
      [
        [2, 2],
        [2, 0],
        [0, 2],
        [-2, -2],
      ],
    ] as unknown[],
    objects: {
      countries: {
        type: 'GeometryCollection',
        geometries: [{ type: 'Polygon', id: '276', properties: { name: 'Square' }, arcs: [[0, 1], [2]] }] as unknown[],
      },
    },
  }
  const shapeWith = (change: object) => ({
    ...square,
    objects: {
      countries: {
        type: 'GeometryCollection',
        geometries: [{ ...(square.objects.countries.geometries[0] as object), ...change }],
      },
    },
  })
  const codeOf = (value: unknown): string => {
    try {
      landOf(readTopology(value))
      return 'ok'
    } catch (error) {
      if (!isFailure(error)) throw error
      return error.code
    }
  }

  test('land with a hole', () => {
    const [one] = landOf(readTopology(square))
    expect(one!.code).toBe('DE')
    expect(landAt([one!], { latitude: 5, longitude: 5 })).toBe(one)
    expect(landAt([one!], { latitude: 2.5, longitude: 3.5 })).toBeUndefined()
    expect(distanceToKm(one!, { latitude: 2.6, longitude: 3.4 })).toBeGreaterThan(0)
    // A point's direction is on the sphere.
    expect(Math.hypot(...vectorAt(12, 500))).toBeCloseTo(1, 12)
  })

  test.each([
    ['no object', 7],
    ['another type', { ...square, type: 'FeatureCollection' }],
    ['no transform', { ...square, transform: null }],
    ['a scale that is no number', { ...square, transform: { scale: [1, '1'], translate: [0, 0] } }],
    [
      'a point of three',
      {
        ...square,
        arcs: [
          [
            [0, 0],
            [1, 1, 1],
          ],
        ],
      },
    ],
    [
      'a point that is no whole number',
      {
        ...square,
        arcs: [
          [
            [0, 0],
            [0.5, 1],
          ],
        ],
      },
    ],
    ['an arc of one point', { ...square, arcs: [[[0, 0]]] }],
    [
      'an arc that leaves the Earth',
      {
        ...square,
        arcs: [
          [
            [0, 0],
            [181, 0],
          ],
        ],
      },
    ],
    ['an arc that is not there', shapeWith({ arcs: [[0, 9]] })],
    ['an arc that is no number', shapeWith({ arcs: [[0, '1']] })],
    ['arcs that do not meet', shapeWith({ arcs: [[0, 2]] })],
    ['a ring that does not close', shapeWith({ arcs: [[0]] })],
    ['a line', shapeWith({ type: 'LineString', arcs: [0] })],
    ['no land', shapeWith({ arcs: [] })],
    ['a code in letters', shapeWith({ id: 'DEU' })],
    ['a code that nobody assigned', shapeWith({ id: '999' })],
    ['no name', shapeWith({ properties: {} })],
    [
      'too many shapes',
      { ...square, objects: { countries: { type: 'GeometryCollection', geometries: Array(1001).fill(0) } } },
    ],
  ])('%s is refused', (_, value) => expect(codeOf(value)).toBe('location/map'))
})
