import { describe, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { checkInvariants } from '#policies/exhaust/check.js'
import { decide, explainFor, type Facts, validatePolicy } from '#policies/index.js'
import { libraryInvariants, libraryPolicy, libraryWorlds, listLibrary } from '#policies/library/read.js'
import { asksForPlacement } from '#policies/placement.js'
import { decideBroken } from '#policies/release/break-glass.js'
import { readWorlds, tryWorlds } from '#policies/worlds.js'
import { codeOf } from '#test/fakes/code-of.js'
import { factsWith, placed } from '#test/policies/worlds.js'

const simulated = { platform: 'simulated' } as const
const undeclared = factsWith({ declared: null })
const developing = factsWith({ tenantClass: 'development' }, simulated)

/** For each shipped policy, worlds that it must allow and deny. */
const worlds: Readonly<Record<string, Readonly<Record<'allows' | 'denies', Readonly<Record<string, Facts>>>>>> = {
  'any-affirming': {
    allows: {
      'a German node': factsWith(),
      'a node in the United States': placed('US', 'US'),
      'a node that states nothing': undeclared,
    },
    denies: {
      'a node with a warning': factsWith({}, { tier: 'warning' }),
      'a node without an attestation result': factsWith({}, { tier: 'none' }),
      'a contradicted node': factsWith({}, { tier: 'contraindicated' }),
      'a node in debug': factsWith({}, { debug: true }),
      'a simulated node of a production tenant': factsWith({}, simulated),
    },
  },
  'eu-only': {
    allows: {
      'a German node': factsWith(),
      'a Greek node with a Finnish operator': placed('GR', 'FI'),
    },
    denies: {
      'a node that states nothing': undeclared,
      'a node that states no place': placed(null),
      'a node that states no operator': placed('DE', null),
      'a Swiss node': placed('CH'),
      'a Norwegian node': placed('NO', 'NO'),
      'a German node with an operator from the United States': placed('DE', 'US'),
      'a node with a warning': factsWith({}, { tier: 'warning' }),
      'a node whose statement is older than 90 days': factsWith({
        declared: {
          place: { country: 'DE' },
          operator: { legalName: 'N', country: 'DE' },
          issuedAt: 1_782_223_999,
          issuer: 'h'.repeat(43),
        },
      }),
      'a simulated node of a production tenant': factsWith({}, simulated),
    },
  },
  'eu-development': {
    allows: {
      'a simulated German node of a development tenant': developing,
      'a node with a warning': factsWith({ tenantClass: 'development' }, { ...simulated, tier: 'warning' }),
    },
    denies: {
      'a node that states nothing': factsWith({ tenantClass: 'development', declared: null }, simulated),
      'a real node of a production tenant': factsWith(),
      'a simulated node of a production tenant': factsWith({}, simulated),
      'a contradicted node': factsWith({ tenantClass: 'development' }, { ...simulated, tier: 'contraindicated' }),
    },
  },
  development: {
    allows: {
      'a simulated node of a development tenant': developing,
      'a real node of a development tenant': factsWith({ tenantClass: 'development' }),
      'a node with a warning': factsWith({ tenantClass: 'development' }, { ...simulated, tier: 'warning' }),
    },
    denies: {
      'a real node of a production tenant': factsWith(),
      'a simulated node of a production tenant': factsWith({}, simulated),
      'a contradicted node': factsWith({ tenantClass: 'development' }, { ...simulated, tier: 'contraindicated' }),
      'a node in debug': factsWith({ tenantClass: 'development' }, { ...simulated, debug: true }),
    },
  },
}

const packs = listLibrary().flatMap(({ name }) => (libraryWorlds(name) === null ? [] : [name]))

test('every shipped policy has worlds', () => {
  expect(listLibrary().map((one) => one.name)).toEqual([...Object.keys(worlds), ...packs].sort())
})

describe.each(packs)('%s', (name) => {
  const { text } = libraryPolicy(name)
  const policy = validatePolicy(text)
  const given = readWorlds(libraryWorlds(name)!)
  const tried = tryWorlds(policy, given)

  test.each(tried.map((one) => [one.world.expect, one.world.name, one] as const))(
    'has to %s: %s',
    (_, __, { passed, by }) => {
      expect([passed, by]).toEqual([true, by])
    },
  )
  test('says what it rests on, what it does not know, who answers for it and when it is read again', () => {
    for (const word of ['Honest limits:', 'Sources:', 'Owner:', 'to be read again by 20', 'not legal advice'])
      expect(text).toContain(word)
    for (const rule of policy.policies) expect(rule.law && rule.explain && rule.remedy).toBeTruthy()
    expect(new Set(given.map((one) => one.expect))).toEqual(new Set(['allow', 'deny']))
  })
  test('each denial says rule, expectation, what was found and what mends it', () => {
    for (const { expect: wanted, facts } of given) {
      const { reasons } = explainFor('host', decide({ policy, facts, action: 'release' }))
      for (const reason of reasons)
        expect(reason).toMatchObject({
          expected: expect.any(String),
          actual: expect.any(String),
          remedy: expect.any(String),
        })
      expect(reasons.length > 0).toBe(wanted === 'deny')
    }
  })
  test('never allows what it says that it never allows, in any world', async () => {
    const invariants = validatePolicy(fromUtf8(libraryInvariants(name)!))
    const checked = await checkInvariants(policy, invariants, { worldsMax: 50_000, keep: 1 })
    expect(checked.allowed).toBeGreaterThan(0)
    expect(checked.invariants.length).toBe(invariants.policies.length)
    for (const { counterexamples } of checked.invariants) expect(counterexamples).toEqual([])
    for (const { explain } of checked.invariants) expect(explain).toMatch(/^No release /)
    for (const { text, id } of invariants.policies) {
      const alone = validatePolicy(`@id("all") permit (principal, action, resource); ${text}`)
      const refused = given.filter(({ facts }) => !decide({ policy: alone, facts, action: 'release' }).allow)
      expect([id, refused.length > 0, refused.length < given.length]).toEqual([id, true, true])
    }
  })
  test('asks for placement: no chip that nobody placed gets a key by it', () => {
    expect(asksForPlacement(policy)).toBe(true)
  })
  test('a world that another policy decides otherwise does not pass', () => {
    const all = validatePolicy('@id("all") permit (principal, action, resource);')
    const failed = tryWorlds(all, given).filter((one) => !one.passed)
    expect(failed.length).toBeGreaterThan(5)
  })
})

test('the glass of the break-glass pack lets pass what its level refuses, and nothing else', () => {
  const { text } = libraryPolicy('break-glass')
  const glass = (own: string) => ({
    signed: { value: { text: own, reason: 'the hall in Paris burns' } },
    from: 0,
    until: 1,
  })
  const outcomes = readWorlds(libraryWorlds('break-glass')!).map(({ name, facts }) => {
    const decision = decide({ policy: validatePolicy(text), facts, action: 'release' })
    return [
      name,
      decision.allow,
      decideBroken(decision, text, glass(libraryPolicy('any-affirming').text) as never),
    ] as const
  })
  expect(outcomes.flatMap(([name, , broken]) => (broken?.allow ? [name] : []))).toEqual([
    'a company of level 2, while the glass is whole',
    'a company that keeps its level back, while the glass is whole',
  ])
  for (const [name, , broken] of outcomes)
    if (broken !== null) expect([name, broken.reasons[0]!.policyId]).toEqual([name, 'claviger/break-glass'])
})

test('worlds that change what is not there, or are none, are refused', () => {
  const [name] = packs
  const file = JSON.parse(new TextDecoder().decode(libraryWorlds(name!)!)) as { worlds: { set: object }[] }
  const changed = (set: object) =>
    codeOf(() => readWorlds(utf8(JSON.stringify({ ...file, worlds: [{ ...file.worlds[0], set }] }))))
  expect(changed({ 'site.grade': 2 })).toBe('ok')
  expect(changed({ 'site.speed': 2 })).toBe('worlds/path')
  expect(changed({ 'sight.grade': 2 })).toBe('worlds/path')
  expect(changed({ 'model.name.length': 2 })).toBe('worlds/path')
  expect(changed({ 'company.seat': 'UK' })).toBe('facts/country')
  expect(codeOf(() => readWorlds(utf8('{}')))).toBe('shape/missing')
})

test('a name that is not in the library is refused with the names that are', () => {
  expect(() => libraryPolicy('us-only')).toThrow(
    /any-affirming, break-glass, development, eu-development, eu-only, eu-personal-data, .*, time-boxed-licence/,
  )
  expect(libraryPolicy('eu-only.cedar')).toEqual(libraryPolicy('eu-only'))
})

describe.each(Object.keys(worlds))('%s', (name) => {
  const policy = validatePolicy(libraryPolicy(name).text)
  const { allows, denies } = worlds[name]!

  test('opens with what it does in plain language', () => {
    expect(libraryPolicy(name).title).toMatch(/^[A-Z].{20,}\.$/)
    for (const rule of policy.policies) expect(rule.explain && rule.remedy).toBeTruthy()
  })
  test.each(Object.keys(allows))('allows %s, for release and renewal', (world) => {
    for (const action of ['release', 'renew'] as const) {
      const decision = decide({ policy, facts: allows[world]!, action })
      expect(decision.reasons.map((reason) => reason.effect)).toEqual(['permit'])
      expect(decision).toMatchObject({ allow: true, errors: [], nearest: null, policyDigest: policy.digest })
    }
  })
  test.each(Object.keys(denies))('denies %s, with a reason and a remedy', (world) => {
    for (const action of ['release', 'renew'] as const) {
      const decision = decide({ policy, facts: denies[world]!, action })
      expect(decision.allow).toBe(false)
      const { reasons } = explainFor('host', decision)
      expect(reasons.length).toBeGreaterThan(0)
      for (const reason of reasons)
        expect(reason).toMatchObject({ expected: expect.any(String), remedy: expect.any(String) })
    }
  })
})
