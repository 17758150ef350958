import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFailure } from '#core/failure.js'
import { parseTime } from '#core/time.js'
import { targetArea } from '#policies/location/area.js'
import { lightKmPerMs, longestRttNs, mapErrorKm, radiusKm } from '#policies/location/bound.js'
import { cities } from '#policies/location/cities.js'
import { meeting } from '#policies/location/discs.js'
import { landAt } from '#policies/location/land.js'
import { judgeArea, type Measurement, provability } from '#policies/location/prove.js'
import { distanceKm, type Place, travel } from '#policies/location/sphere.js'
import { area, at, atlas, city, content, fastest, measured } from './world.js'

const { land } = atlas
const judged = (code: string, ...measurements: readonly Measurement[]) => judgeArea(land, area(code), measurements)
const verdictOf = (code: string, ...measurements: readonly Measurement[]) => judged(code, ...measurements).verdict
const ms = (value: number) => Math.round(value * 1e6)
const refusal = (work: () => unknown) => {
  try {
    work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

describe('the bound', () => {
  test('is light in vacuum over half the round trip, and every error on top', () => {
    expect(radiusKm({ rttNs: ms(1), errorM: 0 })).toBeCloseTo(149.896229 * 1.006 + mapErrorKm, 2)
    expect(radiusKm({ rttNs: ms(20), errorM: 2000 })).toBeCloseTo((2997.92458 + 2) * 1.006 + mapErrorKm, 2)
    expect(radiusKm({ rttNs: 0, errorM: 0 })).toBeGreaterThanOrEqual(mapErrorKm)
  })

  test('no simulated distance is larger than its radius', () => {
    const place = fc.record({
      latitude: fc.double({ min: -90, max: 90, noNaN: true }),
      longitude: fc.double({ min: -180, max: 180, noNaN: true }),
    })
    fc.assert(
      fc.property(
        place,
        place,
        fc.integer({ min: 0, max: 5000 }),
        fc.double({ min: 0, max: 50, noNaN: true }),
        (a, b, errorM, delay) => {
          // The landmark really stands up to its error away from where it says.
          const real = travel(a, errorM % 360, errorM / 1000 / 1.006)
          return radiusKm({ rttNs: fastest(real, b, delay), errorM }) >= distanceKm(a, b)
        },
      ),
    )
  })

  test('the longest round trip is the longest: one nanosecond more reaches', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 20_000, noNaN: true }),
        fc.integer({ min: 0, max: 10_000 }),
        (km, errorM) => {
          const longest = longestRttNs(km, errorM)
          if (longest === null) return radiusKm({ rttNs: 15, errorM }) >= km
          // Rounding may cost a metre either way, which is seven nanoseconds.
          return radiusKm({ rttNs: longest, errorM }) < km && radiusKm({ rttNs: longest + 20, errorM }) >= km
        },
      ),
    )
  })

  test.each([Number.NaN, -1, 0.5, Number.POSITIVE_INFINITY])('a round trip of %d ns is refused', (rttNs) => {
    expect(refusal(() => radiusKm({ rttNs, errorM: 0 }))).toBe('location/range')
    expect(refusal(() => radiusKm({ rttNs: 1, errorM: rttNs }))).toBe('location/range')
  })
})

describe('what can be proved from where', () => {
  // jurisdiction page, "What can be proved from where": km to the nearest other land, for the own country and for the EEA.
  test.each([
    ['Frankfurt', 131, 257, 'CH'],
    ['Paris', 179, 249, 'GB'],
    ['Amsterdam', 94, 213, 'GB'],
    ['Berlin', 61, 464, 'RU'],
    ['Warsaw', 147, 147, 'BY'],
    ['Helsinki', 63, 111, 'RU'],
    ['Madrid', 246, 483, 'AD'],
    ['Milan', 43, 43, 'CH'],
    ['Dublin', 77, 77, 'GB'],
    ['Luxembourg', 13, 244, 'CH'],
    ['Bucharest', 45, 201, 'MD'],
    ['Athens', 221, 221, 'TR'],
    ['London', 139, null, null],
    ['Mumbai', 613, null, null],
    ['Hyderabad', 857, null, null],
    ['Tokyo', 721, null, null],
    ['Sao Paulo', 769, null, null],
    ['Nairobi', 126, null, null],
    ['Riyadh', 405, null, null],
    ['Singapore', 12, null, null],
    ['Ashburn', 433, null, null],
  ] as const)('%s: %d km to another country', (name, own, eea, nearest) => {
    const from = { landmark: name, place: city(name), errorM: 0 }
    const need = provability(land, area(city(name).country), from)
    expect(Math.abs(need.other.km - own)).toBeLessThan(1)
    const wide = provability(land, area('EEA'), from)
    if (eea === null) expect(wide).toMatchObject({ other: { km: 0 }, rttNsMax: null })
    else {
      expect(Math.abs(wide.other.km - eea)).toBeLessThan(1)
      expect(wide.other.code).toBe(nearest)
    }
    // The margins cost some of the bare figure of the page, never the other way round.
    const bare = (2 * need.other.km) / lightKmPerMs
    expect(need.rttNsMax! / 1e6).toBeLessThan(bare)
    expect(need.rttNsMax! / 1e6).toBeGreaterThan(bare - 0.06 - bare * 0.006)
  })

  test('an enclave is passed over only by the registry, and land without a code never', () => {
    const rome = { landmark: 'Rome', place: city('Rome'), errorM: 0 }
    expect(provability(land, area('EEA'), rome).rttNsMax).toBeNull()
    const entry = { reason: 'no known facility', reviewer: 'a person', date: '2026-01-01T00:00:00Z' }
    const without = { ...content, ignoredEnclaves: [{ ...entry, code: 'VA' }] }
    const found = provability(land, targetArea(without, { code: 'EEA', at, shown: [] }), rome)
    expect(found.other.code).toBe('SM')
    expect(found.rttNsMax).toBeGreaterThan(ms(1))
    // Cyprus: its own north is nobody's.
    const nicosia = { latitude: 35.1, longitude: 33.3 }
    expect(provability(land, area('CY'), { landmark: 'n', place: nicosia, errorM: 0 }).other.code).toBeNull()
  })
})

describe('target areas', () => {
  test('follow the registry in time and condition', () => {
    const of = (code: string, day: string, shown: readonly string[] = []) =>
      targetArea(content, { code, at: parseTime(`${day}T00:00:00Z`)!, shown }).countries
    expect(of('EEA', '2019-06-01')).toContain('GB')
    expect(of('EEA', '2026-06-01')).not.toContain('GB')
    expect(of('EEA_OR_ADEQUATE', '2026-06-01')).not.toContain('US')
    expect(of('EEA_OR_ADEQUATE', '2026-06-01', ['dpf'])).toContain('US')
    expect(of('DE', '2026-06-01')).toEqual(['DE'])
    expect(area('EEA').countries).not.toContain('SJ')
    expect(targetArea(content, { code: 'EEA_OR_ADEQUATE', at, shown: [] }).until).toBeGreaterThan(at)
  })

  test('a country with land in dispute is left out: the map does not tell the part', () => {
    expect(area('UA')).toMatchObject({ countries: [], leftOut: ['UA'] })
    expect(area('GE')).toMatchObject({ countries: [], leftOut: ['GE'] })
    const kyiv = { latitude: 50.45, longitude: 30.52 }
    expect(verdictOf('UA', { landmark: 'k', place: kyiv, errorM: 0, rttNs: 1000 })).toBe('cannot-tell')
  })

  test.each(['ES-CE', 'XX', 'UK', 'NO_SUCH_GROUP'])('%s is no target', (code) =>
    expect(refusal(() => area(code))).toBe('location/target'),
  )
})

describe('judging an area', () => {
  test('a node near a landmark is proved to be in country and union', () => {
    const node = travel(city('Frankfurt'), 90, 20)
    expect(judged('DE', measured('Frankfurt', node, 0.1))).toMatchObject({ verdict: 'proved' })
    expect(verdictOf('EEA', measured('Frankfurt', node, 0.1))).toBe('proved')
    // The union's proof is none of the country.
    expect(verdictOf('EEA', measured('Frankfurt', node, 1))).toBe('proved')
    expect(verdictOf('DE', measured('Frankfurt', node, 1))).toBe('cannot-tell')
    expect(verdictOf('FR', measured('Frankfurt', node, 0.1))).toBe('refuted')
  })

  test('says which round trip would have been needed', () => {
    const found = judged('DE', measured('Frankfurt', city('Frankfurt'), 40))
    expect(found).toMatchObject({ verdict: 'cannot-tell', needed: [{ landmark: 'Frankfurt', other: { code: 'FR' } }] })
    if (found.verdict === 'cannot-tell') expect(found.needed[0]!.rttNsMax).toBe(832_922)
  })

  test('two thirds of light are no bound: what they would prove is not proved', () => {
    // 1.2 ms: 180 km at c, 120 km at 2/3 c; France is at 131 km.
    const rttNs = ms(1.2)
    expect((rttNs / 2e6) * lightKmPerMs * (2 / 3)).toBeLessThan(131)
    expect(verdictOf('DE', { landmark: 'Frankfurt', place: city('Frankfurt'), errorM: 0, rttNs })).toBe('cannot-tell')
  })

  test('several landmarks prove together what none proves alone', () => {
    const node = { latitude: 51.3, longitude: 9.5 }
    const three = [measured('Berlin', node), measured('Hamburg', node), measured('Munich', node)]
    for (const one of three) expect(verdictOf('DE', one)).toBe('cannot-tell')
    expect(verdictOf('DE', ...three)).toBe('proved')
    // Slow ones are as good as none.
    expect(verdictOf('DE', ...three.map((one) => ({ ...one, rttNs: one.rttNs + ms(40) })))).toBe('cannot-tell')
  })

  test('a quick answer far away refutes, forty milliseconds refute nothing', () => {
    const tokyo = measured('Tokyo', travel(city('Tokyo'), 0, 100), 2)
    expect(judged('DE', tokyo)).toEqual({ verdict: 'refuted', because: 'elsewhere' })
    expect(verdictOf('DE', measured('Paris', city('Frankfurt'), 40))).toBe('cannot-tell')
  })

  test('discs that do not meet are no proof of anything: the key is in two places, or a landmark is', () => {
    const key = [measured('Frankfurt', city('Frankfurt'), 0.2), measured('Munich', city('Munich'), 0.2)]
    expect(judged('DE', ...key)).toEqual({ verdict: 'refuted', because: 'apart' })
    expect(judged('EEA', ...key, measured('Paris', city('Paris'), 30))).toEqual({
      verdict: 'refuted',
      because: 'apart',
    })
    expect(judged('EEA', measured('Tokyo', city('Tokyo')), measured('Frankfurt', city('Frankfurt')))).toEqual({
      verdict: 'refuted',
      because: 'apart',
    })
  })

  test('no measurement is no evidence, and at sea is in no target', () => {
    expect(judged('DE')).toEqual({ verdict: 'cannot-tell', needed: [] })
    const atlantic = { landmark: 'buoy', place: { latitude: 45, longitude: -30 }, errorM: 0, rttNs: ms(0.5) }
    expect(judged('EEA', atlantic)).toEqual({ verdict: 'refuted', because: 'elsewhere' })
  })
})

describe('whether discs meet', () => {
  const disc = (latitude: number, longitude: number, radius: number) => ({
    place: { latitude, longitude },
    radiusKm: radius,
  })
  test.each([
    ['one', [disc(0, 0, 1)], 'meet'],
    ['none', [], 'unclear'],
    ['one in another', [disc(0, 0, 1000), disc(1, 1, 10)], 'meet'],
    ['apart', [disc(0, 0, 100), disc(0, 2, 100)], 'apart'],
    ['two that cross', [disc(0, 0, 120), disc(0, 2, 120)], 'meet'],
    ['three that cross in pairs only', [disc(0, 0, 120), disc(0, 2, 120), disc(1.8, 1, 120)], 'apart'],
    ['three that meet', [disc(0, 0, 135), disc(0, 2, 135), disc(1.8, 1, 135)], 'meet'],
    ['the whole Earth and one', [disc(0, 0, 25_000), disc(50, 50, 1)], 'meet'],
    ["two beyond hemispheres that cover each other's far sides", [disc(0, 0, 15_000), disc(0, 180, 15_000)], 'meet'],
    ['antipodes', [disc(0, 0, 5000), disc(0, 180, 5000)], 'apart'],
    ['a point on the rim', [disc(0, 0, 111.1950802), disc(0, 1, 0)], 'unclear'],
  ] as const)('%s', (_, discs, expected) => expect(meeting(discs)).toBe(expected))

  test('discs round one place meet, whatever their order', () => {
    const of = (bearing: number, km: number, more: number) => ({ bearing, km, more })
    const arm = fc.record({
      bearing: fc.integer({ min: 0, max: 359 }),
      km: fc.integer({ min: 0, max: 19_000 }),
      more: fc.integer({ min: 1, max: 3000 }),
    })
    fc.assert(
      fc.property(
        fc.integer({ min: -80, max: 80 }),
        fc.integer({ min: -180, max: 180 }),
        fc.array(arm, { minLength: 1, maxLength: 6 }),
        (latitude, longitude, arms) => {
          const node = { latitude, longitude }
          const discs = arms.map(({ bearing, km, more }) => ({ place: travel(node, bearing, km), radiusKm: km + more }))
          return meeting(discs) === 'meet'
        },
      ),
      // Two small discs whose rims cross nearly where they touch.
      { examples: [[0, 0, [of(102, 3, 3), of(0, 6, 1)]]] },
    )
  })
})

describe('properties', () => {
  const landmarks = cities.filter(
    ({ country }) => area('EEA').countries.includes(country) || ['GB', 'CH'].includes(country),
  )
  const node = fc
    .record({
      near: fc.constantFrom(...landmarks),
      bearing: fc.integer({ min: 0, max: 359 }),
      km: fc.integer({ min: 0, max: 900 }),
    })
    .map(({ near, bearing, km }): Place => travel(near, bearing, km))
  const chosen = fc.uniqueArray(fc.constantFrom(...landmarks), {
    minLength: 1,
    maxLength: 4,
    selector: ({ name }) => name,
  })
  const delays = fc.array(fc.double({ min: 0, max: 2, noNaN: true }), { minLength: 4, maxLength: 4 })
  const target = fc.constantFrom('EEA', 'DE', 'FR', 'LU', 'GB', 'CH')
  const of = (who: typeof landmarks, where: Place, delay: readonly number[]) =>
    who.map((one, i) => measured(one.name, where, delay[i]!))

  test('what is outside is never proved, what is inside never refuted', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(node, chosen, delays, target, (where, who, delay, code) => {
        const on = landAt(land, where)
        const isInside = on?.code !== null && on !== undefined && area(code).countries.includes(on.code)
        const verdict = verdictOf(code, ...of(who, where, delay))
        seen.add(`${isInside ? 'inside' : 'outside'} ${verdict}`)
        expect(verdict).not.toBe(on !== undefined && !isInside ? 'proved' : isInside ? 'refuted' : '')
      }),
      { numRuns: 150, seed: 7 },
    )
    // The property says something: both sides were met, and proofs were made.
    expect([...seen]).toEqual(
      expect.arrayContaining(['inside proved', 'inside cannot-tell', 'outside refuted', 'outside cannot-tell']),
    )
  })

  test('added delay never makes a proof', () => {
    fc.assert(
      fc.property(node, chosen, delays, delays, target, (where, who, delay, more, code) => {
        const before = verdictOf(code, ...of(who, where, delay))
        const after = verdictOf(
          code,
          ...of(
            who,
            where,
            delay.map((one, i) => one + more[i]!),
          ),
        )
        return after !== 'proved' || before === 'proved'
      }),
      { numRuns: 60, seed: 11 },
    )
  })

  test('added delay never makes a proof even of a lie: one landmark that is elsewhere, or a key in two places', () => {
    fc.assert(
      fc.property(node, node, chosen, delays, delays, target, (where, other, who, delay, more, code) => {
        const lie = (by: readonly number[]) => who.map((one, i) => measured(one.name, i === 0 ? other : where, by[i]!))
        const before = verdictOf(code, ...lie(delay))
        const after = verdictOf(code, ...lie(delay.map((one, i) => one + more[i]!)))
        // Discs that were apart may meet when they grow: a contradiction can be hidden, which is why it is kept.
        if (before === 'refuted') return true
        return after !== 'proved' || before === 'proved'
      }),
      { numRuns: 60, seed: 13 },
    )
  })
})
