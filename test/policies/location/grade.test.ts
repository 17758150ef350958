import { describe, expect, test } from 'vitest'
import { isFailure } from '#core/failure.js'
import type { CapCode, Contradiction, LandmarkMeasurement, LocationClaim } from '#policies/location/claims.js'
import { verifyGrade } from '#policies/location/demand.js'
import { gradeLocation, type LocationAsked, type LocationResult } from '#policies/location/grade.js'
import { landmarkRules } from '#policies/location/measured.js'
import { distanceKm, type Place } from '#policies/location/sphere.js'
import { at, atlas, city, content, fastest, measured } from './world.js'

const platform = 'ab'.repeat(32)
const key = 'k'.repeat(43)
const day = 86_400
/** In Frankfurt, on a platform whose id shows, run by a company that is known. */
const subject = { platform, workloadKey: key, operator: 'LEI:HOST' }
const claim = (basis: LocationClaim['basis'], change: Partial<LocationClaim> = {}): LocationClaim => ({
  basis,
  issuer: `${basis}-issuer`,
  rootKey: `${basis}-root`,
  controller: basis === 'registry' || basis === 'auditor' ? 'LEI:AUDIT' : 'LEI:HOST',
  place: 'DE',
  exclave: false,
  platform,
  workloadKey: null,
  notBefore: at - 60,
  expires: at + 365 * day,
  assumes: [],
  ...change,
})
/** One landmark, run by a company of its own unless another is named. */
function timed(name: string, node: Place, delayMs = 0, change: Partial<LandmarkMeasurement> = {}): LandmarkMeasurement {
  const own = { operator: `LEI:${name}`, rootKey: `${name}-root`, workloadKey: key, at: at - 5 }
  return { ...measured(name, node, delayMs), ...own, ...change }
}
/** A landmark in the same city as another, or nearby, by another company. */
const beside = (name: string, operator: string, node: Place, delayMs = 0) =>
  timed(name, node, delayMs, { landmark: `${name}-${operator}`, operator, rootKey: `${operator}-root` })
const here = city('Frankfurt')
const three = [
  beside('Frankfurt', 'A', here, 0.1),
  beside('Frankfurt', 'B', here, 0.2),
  beside('Frankfurt', 'C', here, 0.3),
]

function asked(change: Partial<LocationAsked> = {}): LocationAsked {
  return {
    target: 'DE',
    subject,
    claims: [claim('operator')],
    measurements: [],
    contradictions: [],
    registry: content,
    shown: [],
    map: atlas.land,
    rules: landmarkRules,
    at,
    ...change,
  }
}
const graded = (change: Partial<LocationAsked> = {}): LocationResult => gradeLocation(asked(change))
const codes = (result: LocationResult): readonly CapCode[] => result.caps.map(({ code }) => code)
const refusal = (work: () => unknown) => {
  try {
    work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

describe('grades', () => {
  test('L0: what a node says of itself lasts no time', () => {
    const found = graded({ claims: [claim('self')] })
    expect(found).toMatchObject({ grade: 0, contradicted: false, expires: at })
    expect(refusal(() => verifyGrade(found, 'DE', 1, at))).toBe('location-demand/grade')
  })
  test('L1: measured configuration', () => {
    expect(graded({ claims: [claim('measured-config')] })).toMatchObject({ grade: 1, expires: at - 60 + day })
  })
  test('L2: an operator or a cloud, bound to the platform or to the key', () => {
    expect(graded()).toMatchObject({ grade: 2, bases: ['operator'], expires: at - 60 + 7 * day })
    const cloud = claim('cloud', { platform: null, workloadKey: key })
    expect(graded({ claims: [cloud] })).toMatchObject({ grade: 2, issuers: ['cloud-issuer'] })
  })
  test('L3: an independent registry that saw the platform', () => {
    expect(graded({ claims: [claim('registry')] })).toMatchObject({ grade: 3, expires: at - 60 + 90 * day })
    expect(graded({ claims: [claim('operator'), claim('auditor', { controller: null })] })).toMatchObject({
      grade: 3,
      issuers: ['auditor-issuer'],
    })
  })
  test('L4: that, and landmarks of three companies, of which any one may lie', () => {
    const found = graded({ measurements: three })
    expect(found).toMatchObject({ grade: 4, bases: ['operator', 'rtt'], contradicted: false, expires: at - 5 + 600 })
    expect(found.radiusKm).toBeLessThan(25)
    expect(found.assumes).toEqual(['image-keeps-key', 'landmarks-in-place', 'tee-integrity'])
    expect(codes(found)).toEqual(['location/no-tag', 'location/no-tamper-signal'])
    verifyGrade(found, 'DE', 4, at)
  })
  test('L5: that, with tag and tamper signal on the same platform', () => {
    const claims = [claim('registry'), claim('asset-tag'), claim('tamper')]
    const found = graded({ claims, measurements: three })
    expect(found).toMatchObject({ grade: 5, caps: [] })
    expect(
      graded({
        claims: [claim('registry'), claim('asset-tag'), claim('tamper', { platform: 'cd'.repeat(32) })],
        measurements: three,
      }),
    ).toMatchObject({ grade: 4 })
  })
  test('possession and additions alone are no place', () => {
    const found = graded({ claims: [claim('possession'), claim('asset-tag'), claim('tamper')], measurements: three })
    expect(found.grade).toBe(0)
    expect(codes(found)).toContain('location/no-claim')
  })
})

describe('what caps a grade', () => {
  test('a masked platform id: no registry attaches, and nothing lifts it over L2', () => {
    for (const hidden of [null, '0'.repeat(64)]) {
      const masked = { ...subject, platform: hidden }
      const found = graded({
        subject: masked,
        claims: [claim('registry'), claim('cloud', { platform: null, workloadKey: key })],
        measurements: three,
      })
      expect(found.grade).toBe(2)
      expect(codes(found)).toContain('location/masked-platform')
    }
  })
  test('zeros in a registry are nobody', () => {
    const zeros = '0'.repeat(64)
    const found = graded({ subject: { ...subject, platform: zeros }, claims: [claim('registry', { platform: zeros })] })
    expect(found).toMatchObject({ grade: 0 })
    expect(codes(found)).toContain('location/masked-platform')
  })
  test('two claims under one root are the weaker one', () => {
    const found = graded({ claims: [claim('operator', { rootKey: 'one' }), claim('registry', { rootKey: 'one' })] })
    expect(found.grade).toBe(2)
    expect(codes(found)).toContain('location/same-root')
  })
  test('the operator is not independent of itself, and nobody is of an operator whom nobody knows', () => {
    for (const change of [
      { claims: [claim('registry', { controller: 'LEI:HOST' })] },
      { claims: [claim('registry')], subject: { ...subject, operator: null } },
    ]) {
      const found = graded(change)
      expect(found.grade).toBe(2)
      expect(codes(found)).toContain('location/not-independent')
    }
  })
  test('an unbound claim carries no further than L1', () => {
    const found = graded({ claims: [claim('cloud', { platform: null })], measurements: three })
    expect(found.grade).toBe(1)
    expect(codes(found)).toContain('location/unbound')
    expect(codes(graded({ claims: [claim('registry', { platform: null, workloadKey: key })] }))).toContain(
      'location/unbound',
    )
  })
  test.each([
    ['an expired claim', { expires: at }, 'location/expired'],
    ['a claim whose basis has aged', { notBefore: at - 7 * day - 1 }, 'location/expired'],
    ['a claim from tomorrow', { notBefore: at + 1 }, 'location/not-yet-valid'],
    ['a claim about another platform', { platform: 'cd'.repeat(32) }, 'location/other-platform'],
    ['a claim about another key', { workloadKey: 'x'.repeat(43) }, 'location/other-key'],
    ['a place that the registry does not know', { place: 'ZZ' }, 'location/place-unknown'],
    ['a disputed place', { place: 'UA-43' }, 'location/place-unknown'],
    ['an exclave without its name', { place: 'ES', exclave: true }, 'location/place-unknown'],
    ['a place outside the target', { place: 'CH' }, 'location/outside-target'],
  ] as const)('%s is not used', (_, change, code) => {
    const found = graded({ claims: [claim('operator', change)] })
    expect(found.grade).toBe(0)
    expect(codes(found)).toContain(code)
  })
  test('round trips alone are no L4', () => {
    expect(graded({ claims: [], measurements: three })).toMatchObject({ grade: 0 })
    expect(graded({ claims: [claim('measured-config')], measurements: three })).toMatchObject({ grade: 1 })
  })
  test('landmarks of one company only, or of two of which one runs the node', () => {
    const one = three.map((each) => ({ ...each, operator: 'LEI:ONE' }))
    expect(codes(graded({ measurements: one }))).toContain('location/landmark-operators')
    const two = [three[0]!, { ...three[1]!, operator: 'LEI:HOST' }, three[0]!]
    const found = graded({ measurements: two })
    expect(found.grade).toBe(2)
    expect(codes(found)).toEqual(expect.arrayContaining(['location/not-independent', 'location/landmark-operators']))
    // Whatever the rules ask, one company is never enough.
    expect(graded({ measurements: one, rules: { operatorsMin: 1, liarsTolerated: 0 } }).grade).toBe(2)
    expect(graded({ measurements: [three[0]!, three[1]!], rules: { operatorsMin: 1, liarsTolerated: 0 } }).grade).toBe(
      4,
    )
    const unknown = graded({
      measurements: three,
      subject: { ...subject, operator: null },
      claims: [claim('operator')],
    })
    expect(unknown.grade).toBe(2)
  })
  test('one key is one landmark, by however many names', () => {
    const same = three.map((each) => ({ ...each, rootKey: 'same' }))
    expect(codes(graded({ measurements: same }))).toContain('location/landmark-operators')
  })
  test('a landmark that lies, or stands elsewhere than its row says, proves nothing by itself', () => {
    // The node is in Zurich. One landmark says that it answered Frankfurt at once; the others are far away, and see nothing odd.
    const zurich = city('Zurich')
    const liar = { ...beside('Frankfurt', 'A', zurich), rttNs: 100_000 }
    const others = [timed('Madrid', zurich, 10), timed('Warsaw', zurich, 10)]
    const found = graded({ measurements: [liar, ...others] })
    expect(found.grade).toBe(2)
    expect(codes(found)).toContain('location/landmark-decides')
    // By rules that tolerate none the lie would have passed: what the rule is there for.
    expect(graded({ measurements: [liar, ...others], rules: { operatorsMin: 3, liarsTolerated: 0 } }).grade).toBe(4)
    // Near an honest one it is found out.
    expect(graded({ measurements: [liar, timed('Zurich', zurich, 0.1), others[0]!] })).toMatchObject({
      contradicted: true,
    })
  })
  test('a receipt for another key, an old one and one from tomorrow', () => {
    for (const [change, code] of [
      [{ workloadKey: 'x'.repeat(43) }, 'location/other-key'],
      [{ at: at - 600 }, 'location/expired'],
      [{ at: at + 61 }, 'location/not-yet-valid'],
    ] as const) {
      const found = graded({ measurements: three.map((one) => ({ ...one, ...change })) })
      expect(found.grade).toBe(2)
      expect(codes(found)).toEqual(expect.arrayContaining([code, 'location/no-measurement']))
    }
  })
  test('forty milliseconds of delay leave no L4', () => {
    const slow = three.map((one) => ({ ...one, rttNs: one.rttNs + 40e6 }))
    const found = graded({ measurements: slow })
    expect(found).toMatchObject({ grade: 2, contradicted: false })
    expect(codes(found)).toContain('location/not-proved')
  })
  test('an L4 for the union is none for a country, and none for longer', () => {
    const wide = graded({ target: 'EEA', measurements: three })
    expect(wide.grade).toBe(4)
    verifyGrade(wide, 'EEA', 4, at)
    expect(refusal(() => verifyGrade(wide, 'DE', 4, at))).toBe('location-demand/target')
    expect(refusal(() => verifyGrade(wide, 'EEA', 5, at))).toBe('location-demand/grade')
    expect(refusal(() => verifyGrade(wide, 'EEA', 4, wide.expires))).toBe('location-demand/expired')
    // 1.2 ms from Frankfurt: the union, and no country.
    const further = three.map((one) => ({ ...one, rttNs: 1_200_000 }))
    expect(graded({ target: 'EEA', measurements: further }).grade).toBe(4)
    expect(graded({ target: 'DE', measurements: further }).grade).toBe(2)
  })
  test('a target that no map shows is refused', () => {
    expect(refusal(() => graded({ target: 'ES-CE' }))).toBe('location/target')
  })
})

describe('contradictions', () => {
  const full = [claim('registry'), claim('asset-tag'), claim('tamper')]
  test('a quick answer far away takes every grade away', () => {
    const tokyo = timed('Tokyo', city('Tokyo'), 2)
    const found = graded({ claims: full, measurements: [...three, tokyo] })
    expect(found).toMatchObject({
      grade: 0,
      contradicted: true,
      contradiction: { platform, workloadKey: key, because: 'location/apart' },
    })
    expect(refusal(() => verifyGrade(found, 'DE', 0, at))).toBe('location-demand/contradicted')
    expect(graded({ measurements: [tokyo] })).toMatchObject({
      contradicted: true,
      contradiction: { because: 'location/refuted' },
    })
  })
  test('it stands, for the platform and for the key, when added delay has hidden it', () => {
    const before = graded({ measurements: [timed('Tokyo', city('Tokyo'), 2)] }).contradiction!
    const kept = (change: Partial<Contradiction> = {}) =>
      graded({ claims: full, measurements: three, contradictions: [{ ...before, ...change }] })
    // The same node, now slow at Tokyo.
    expect(graded({ measurements: [timed('Tokyo', city('Tokyo'), 80)], contradictions: [before] }).contradicted).toBe(
      true,
    )
    expect(kept()).toMatchObject({ grade: 0, contradicted: true, contradiction: null })
    expect(codes(kept())).toContain('location/standing')
    expect(kept({ workloadKey: 'other'.padEnd(43, 'x') }).contradicted).toBe(true)
    expect(kept({ platform: null }).contradicted).toBe(true)
    expect(kept({ platform: null, workloadKey: 'other' }).contradicted).toBe(false)
    expect(kept({ cleared: { by: 'a person', at: at - 1 } }).contradicted).toBe(true)
    expect(kept({ cleared: { by: 'a person', at } }).grade).toBe(5)
  })
  test('claims of different countries', () => {
    const found = graded({ target: 'EEA', claims: [claim('operator'), claim('registry', { place: 'FR' })] })
    expect(found).toMatchObject({ contradicted: true, contradiction: { because: 'location/claims-differ' } })
    expect(graded({ target: 'EEA', claims: [claim('self', { place: 'FR' }), claim('registry')] }).contradicted).toBe(
      true,
    )
    // What is bound to nothing takes nothing away either.
    expect(graded({ claims: [claim('registry'), claim('cloud', { place: 'FR', platform: null })] }).grade).toBe(3)
  })
  test('the same country by two names of one place is none', () => {
    const found = graded({
      target: 'ES',
      claims: [claim('operator', { place: 'ES' }), claim('auditor', { place: 'ES-CE', exclave: true })],
    })
    expect(found).toMatchObject({ grade: 3, contradicted: false })
  })
  test('round trips that only fit another country contradict what is claimed', () => {
    const munich = [timed('Munich', city('Munich'), 0.05)]
    expect(graded({ target: 'EEA', claims: [claim('operator', { place: 'FR' })], measurements: munich })).toMatchObject(
      {
        contradicted: true,
        contradiction: { because: 'location/refuted' },
      },
    )
    expect(distanceKm(city('Munich'), here)).toBeGreaterThan(300)
    expect(fastest(city('Munich'), here)).toBeGreaterThan(2e6)
  })
})
