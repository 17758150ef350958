import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '#core/encoding/json.js'
import { reasonShape } from '#core/wire/release.js'
import {
  type Action,
  type Decision,
  decide,
  explainFor,
  type Facts,
  factsDigest,
  type PolicySet,
  parseDecisionRecord,
  parseFacts,
  recordOf,
  validatePolicy,
  verifyDecision,
} from '#policies/index.js'
import { libraryPolicy } from '#policies/library/read.js'
import { factsWith, germanInput, modelId, placed } from '#test/policies/worlds.js'

const euOnly = validatePolicy(libraryPolicy('eu-only').text)
const anyone = validatePolicy('@id("anyone") permit (principal, action, resource);')
const release = (policy: PolicySet, facts: Facts, action: Action = 'release') => decide({ policy, facts, action })
const rule = (condition: string, id = 'r', effect = 'permit') =>
  `@id("${id}") ${effect} (principal, action, resource) when { ${condition} };`
const denied = (decision: Decision) => decision.reasons.map(({ policyId, effect }) => `${effect} ${policyId}`)

interface Vector {
  readonly name: string
  readonly policy: string
  readonly action: Action
  readonly facts: Json
  readonly allow: boolean
  readonly reasons: readonly { readonly id: string; readonly effect: string }[]
}
const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../vectors/policy/decisions.json', import.meta.url), 'utf8'),
)

describe('decision vectors', () => {
  test.each(vectors)('$name', ({ policy, action, facts, allow, reasons }) => {
    const decision = release(validatePolicy(policy), parseFacts(facts), action)
    expect(recordOf(decision)).toMatchObject({ allow, reasons })
  })
})

describe('refusals that stand in code', () => {
  test('simulated evidence never satisfies a production tenant, whatever the policy permits (I6)', () => {
    const decision = release(anyone, factsWith({}, { platform: 'simulated' }))
    expect(decision.allow).toBe(false)
    expect(denied(decision)).toEqual(['code claviger/simulated-in-production'])
    expect(release(anyone, factsWith({ tenantClass: 'development' }, { platform: 'simulated' })).allow).toBe(true)
  })

  test('a kind or product that calls itself hardware changes nothing (I6)', () => {
    const named = factsWith({}, { platform: 'simulated', kind: 'hardware', product: 'Genoa hardware' })
    expect(release(anyone, named).allow).toBe(false)
  })

  test.each(['none', 'contraindicated'] as const)('tier %s is refused', (tier) => {
    expect(denied(release(anyone, factsWith({}, { tier })))).toEqual(['code claviger/attestation-not-affirmed'])
  })

  test('a warning is a fact: a policy that does not ask accepts it, one that asks does not', () => {
    const warned = factsWith({}, { tier: 'warning', warnings: ['snp/milan'] })
    expect(release(anyone, warned).allow).toBe(true)
    expect(release(euOnly, warned).allow).toBe(false)
    const milanOnly = validatePolicy(rule('["snp/milan"].containsAll(context.evidence.warnings)'))
    expect(release(milanOnly, warned).allow).toBe(true)
    expect(release(milanOnly, factsWith({}, { tier: 'warning', warnings: ['snp/milan', 'snp/smt'] })).allow).toBe(false)
  })

  test('evidence in debug is refused in a development tenant too', () => {
    const facts = factsWith({ tenantClass: 'development' }, { platform: 'simulated', debug: true })
    expect(denied(release(anyone, facts))).toEqual(['code claviger/debug'])
  })
})

describe('a decision', () => {
  test('denies where no permit is satisfied, and where there is none', () => {
    expect(release(validatePolicy(rule('context.model.version > 1')), factsWith()).allow).toBe(false)
    const none = release(validatePolicy(rule('context.place.country == "US"', 'us', 'forbid')), factsWith())
    expect(denied(none)).toEqual(['code claviger/no-permit'])
  })

  test('denies where a permit and a forbid are both satisfied, and names the forbid only', () => {
    const policy = validatePolicy(`${rule('true', 'p')} ${rule('context.operator.country == "DE"', 'f', 'forbid')}`)
    expect(denied(release(policy, factsWith()))).toEqual(['forbid f'])
  })

  test('tells release from renewal, and one model from another', () => {
    const policy = validatePolicy(
      `@id("r") permit (principal, action == Claviger::Action::"renew", resource == Claviger::Model::"${modelId}");`,
    )
    expect([release(policy, factsWith()).allow, release(policy, factsWith(), 'renew').allow]).toEqual([false, true])
    const other = factsWith({ model: { ...germanInput.model, id: `${modelId}-large` } })
    expect(release(policy, other, 'renew').allow).toBe(false)
    expect(release(anyone, factsWith(), 'own' as Action).allow).toBe(false)
  })

  test('names policy, language and facts by digest', () => {
    expect(release(euOnly, factsWith())).toMatchObject({
      policyDigest: euOnly.digest,
      factsDigest: factsDigest(factsWith()),
      language: 'claviger/policy/v1',
    })
  })

  test('is the same for the same input, whatever was decided between, and changes nothing it was given', () => {
    const facts = placed('US', 'US')
    const before = JSON.stringify([facts, euOnly])
    const first = JSON.stringify(release(euOnly, facts))
    // More policy sets than the engine keeps parsed: each must still be decided by its own text.
    for (let version = 1; version <= 80; version++) {
      const own = validatePolicy(rule(`context.model.version == ${version}`, `v${version}`))
      const at = (model: number) => release(own, factsWith({ model: { ...germanInput.model, version: model } }))
      expect([at(version).allow, at(version + 1).allow]).toEqual([true, false])
    }
    expect(JSON.stringify(release(euOnly, facts))).toBe(first)
    expect(JSON.stringify([facts, euOnly])).toBe(before)
  })

  test('about facts that are none is a denial', () => {
    for (const facts of [
      undefined,
      null,
      'facts',
      7,
      [],
      {},
      { ...factsWith(), place: { stated: true, country: 'DE' } },
    ]) {
      const decision = release(anyone, facts as unknown as Facts)
      expect(decision).toMatchObject({ allow: false, facts: null, factsDigest: null, nearest: null })
      expect(denied(decision)).toEqual(['code claviger/facts'])
    }
  })

  test('about any JSON value, or facts with any member replaced, is a denial or about valid facts', () => {
    const members = Object.keys(factsWith()) as (keyof Facts)[]
    fc.assert(
      fc.property(fc.constantFrom(...members), fc.jsonValue(), (member, value) => {
        expect(release(anyone, value as unknown as Facts).allow).toBe(false)
        const decision = release(anyone, { ...factsWith(), [member]: value } as Facts)
        if (decision.allow) expect(() => parseFacts(decision.facts as unknown as Json)).not.toThrow()
      }),
      { numRuns: 200 },
    )
  })
})

// The same language, read by a second hand: conditions as trees with an evaluator of their own, beside Cedar.
type Tree = { readonly text: string; readonly holds: (facts: Facts) => boolean | 'absent' }
const leaf = (text: string, read: (facts: Facts) => boolean | 'absent'): Tree => ({ text, holds: read })
const countryOf = (claim: Facts['place']) => (claim.stated ? claim.country : undefined)
const leaves: readonly Tree[] = [
  leaf('context.place.stated', (f) => f.place.stated),
  leaf('context.place.country == "DE"', (f) => (f.place.stated ? f.place.country === 'DE' : 'absent')),
  leaf('["FR", "US"].contains(context.operator.country)', (f) =>
    f.operator.stated ? ['FR', 'US'].includes(countryOf(f.operator)!) : 'absent',
  ),
  leaf('context.evidence.tier == "warning"', (f) => f.evidence.tier === 'warning'),
  leaf('context.evidence.tcb.snp >= 20', (f) =>
    f.evidence.tcb.snp === undefined ? 'absent' : f.evidence.tcb.snp >= 20,
  ),
  leaf('context.model.version < 2', (f) => f.model.version < 2),
  leaf('resource == Claviger::Model::"other"', () => false),
]
const trees: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(...leaves),
    tie('tree').map((of) => ({
      text: `!(${of.text})`,
      holds: (f: Facts) => {
        const value = of.holds(f)
        return value === 'absent' ? value : !value
      },
    })),
    fc.tuple(tie('tree'), tie('tree'), fc.constantFrom('&&', '||')).map(([a, b, op]) => ({
      text: `(${a.text}) ${op} (${b.text})`,
      holds: (f: Facts) => {
        const value = a.holds(f)
        return value === (op === '&&') ? b.holds(f) : value
      },
    })),
  ),
})).tree
const worlds: fc.Arbitrary<Facts> = fc
  .record({
    place: fc.constantFrom('DE', 'US', null),
    operator: fc.constantFrom('DE', 'FR', 'US', null),
    tier: fc.constantFrom('affirming', 'warning' as const),
    snp: fc.constantFrom(19, 20, undefined),
    version: fc.constantFrom(1, 2),
  })
  .map(({ place, operator, tier, snp, version }) => ({
    ...factsWith({ model: { ...germanInput.model, version } }, { tier, svns: snp === undefined ? {} : { snp } }),
    place: placed(place).place,
    operator: placed('DE', operator).operator,
  }))
const sets = fc.array(
  fc.record({ effect: fc.constantFrom('permit', 'forbid'), kind: fc.constantFrom('when', 'unless'), tree: trees }),
  { minLength: 1, maxLength: 4 },
)

describe('random policies in random worlds', () => {
  test('are decided as a second evaluator decides them, explained, and what is said to turn a denial turns it', () => {
    let turned = 0
    let allowed = 0
    fc.assert(
      fc.property(sets, worlds, (rules, facts) => {
        const text = rules
          .map(
            ({ effect, kind, tree }, i) =>
              `@id("r${i}") ${effect} (principal, action, resource) ${kind} { ${tree.text} };`,
          )
          .join('\n')
        let policy: PolicySet
        try {
          policy = validatePolicy(text)
        } catch {
          return // strict validation sees that a rule can never apply
        }
        const values = rules.map(({ effect, kind, tree }) => ({ effect, value: tree.holds(facts), kind }))
        const failed = values.some(({ value }) => value === 'absent')
        const satisfied = values.filter(({ kind, value }) => value === (kind === 'when'))
        const expected =
          !failed &&
          satisfied.some((one) => one.effect === 'permit') &&
          !satisfied.some((one) => one.effect === 'forbid')
        const decision = release(policy, facts)
        expect(decision.allow).toBe(expected)
        expect(decision.reasons.length).toBeGreaterThan(0)
        for (const reader of ['host', 'owner'] as const) {
          const { reasons, permittedBy } = explainFor(reader, decision)
          expect([reasons.length > 0, permittedBy.length > 0]).toEqual([!expected, expected])
          for (const reason of reasons) reasonShape(reason as unknown as Json, 'reason')
        }
        if (expected) allowed++
        if (decision.nearest) {
          expect(expected).toBe(false)
          expect(decision.nearest.length).toBeGreaterThan(0)
          turned++
        }
        expect(verifyDecision(parseDecisionRecord(JSON.parse(JSON.stringify(recordOf(decision)))), policy)).toEqual(
          decision,
        )
      }),
      { numRuns: 300 },
    )
    expect([turned > 10, allowed > 10]).toEqual([true, true])
  })
})

describe('replaying a decision', () => {
  const record = () => JSON.parse(JSON.stringify(recordOf(release(euOnly, factsWith()))))

  test('reaches the verdict recorded', () => {
    expect(verifyDecision(parseDecisionRecord(record()), euOnly)).toEqual(release(euOnly, factsWith()))
  })

  test.each<[string, (record: Record<string, unknown>) => void, string]>([
    ['whose verdict was turned', (one) => (one.allow = false), 'decision/replay'],
    ['whose facts were changed', (one) => (one.facts = placed('US', 'US')), 'decision/replay'],
    ['whose facts digest was changed', (one) => (one.factsDigest = '00'.repeat(32)), 'decision/replay'],
    ['that names another rule', (one) => (one.reasons = [{ id: 'x', effect: 'permit' }]), 'decision/replay'],
    ['made under another policy', (one) => (one.policyDigest = anyone.digest), 'decision/policy'],
    ['made as a renewal of nothing', (one) => (one.action = 'own'), 'shape/form'],
    ['read under another language', (one) => (one.language = 'claviger/policy/v0'), 'shape/form'],
    ['with a member too many', (one) => (one.note = ''), 'shape/unknown'],
  ])('refuses a record %s', (_, change, code) => {
    const changed = record()
    change(changed)
    expect(() => verifyDecision(parseDecisionRecord(changed), euOnly)).toThrow(expect.objectContaining({ code }))
  })

  test('a denial about facts that could not be read replays as the denial it is', () => {
    const decision = release(euOnly, {} as Facts)
    expect(verifyDecision(recordOf(decision), euOnly).allow).toBe(false)
    expect(() => verifyDecision({ ...recordOf(decision), allow: true }, euOnly)).toThrow(
      expect.objectContaining({ code: 'decision/replay' }),
    )
  })

  test('a record quotes no policy', () => {
    const approved = 'aa'.repeat(48)
    const policy = validatePolicy(rule(`["${approved}"].contains(context.evidence.measurement)`))
    const decision = release(policy, factsWith())
    expect(JSON.stringify(decision)).toContain(approved)
    expect(JSON.stringify(recordOf(decision))).not.toContain(approved)
  })
})
