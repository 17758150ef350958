import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFailure } from '#core/failure.js'
import { checkInvariants } from '#policies/exhaust/check.js'
import { diffPolicies } from '#policies/exhaust/diff.js'
import { type Space, spaceOf } from '#policies/exhaust/space.js'
import { decide, type Facts, type PolicySet, parseFacts, validatePolicy } from '#policies/index.js'
import { judge } from '#policies/judge.js'
import { type Action, actions } from '#policies/language/vocabulary.js'
import { libraryPolicy, listLibrary } from '#policies/library/read.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { anyFacts, conditions } from '#test/policies/exhaust/worlds.js'

const bounds = { worldsMax: 100_000, keep: 3 }
const permit = (when: string) => `@id("p") permit (principal, action, resource) when { ${when} };`
const forbid = (unless: string, id = 'never') =>
  `@id("${id}") forbid (principal, action, resource) unless { ${unless} };`
const check = (policy: string, invariant: string) =>
  checkInvariants(validatePolicy(policy), validatePolicy(invariant), bounds)

/** Null where there are more worlds than a test waits for. */
function spaceIn(most: number, sets: readonly PolicySet[], denying: readonly PolicySet[] = []): Space | null {
  try {
    return spaceOf(sets, most, denying)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'exhaust/worlds') throw error
    return null
  }
}

/** Everything that a decision can depend on: which rules are satisfied, which fail, and what code says. */
const outcome = (set: PolicySet, facts: Facts, act: Action): string => {
  const { allow, builtIn, evaluation, refused } = judge(set, facts, act)
  return JSON.stringify([
    allow,
    builtIn.map(({ id }) => id),
    evaluation.determining,
    evaluation.errors.map((one) => one.policyId),
    refused,
  ])
}

describe('the worlds of random policies', () => {
  test('hold, for any facts that a broker may see, one that comes out the same', () => {
    let rules = 0
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...conditions), fc.constantFrom('&&', '||')), {
          minLength: 1,
          maxLength: 3,
        }),
        fc.constantFrom('permit', 'forbid'),
        fc.array(anyFacts, { minLength: 20, maxLength: 20 }),
        (parts, effect, all) => {
          const condition = parts.map(([text, op], i) => `${i === 0 ? '' : op} (${text})`).join(' ')
          const text = `@id("all") permit (principal, action, resource);
            @id("r") ${effect} (principal, action, resource) when { ${condition} };`
          let set: PolicySet
          try {
            set = validatePolicy(text)
          } catch {
            return // strict validation sees that the rule can never apply
          }
          const space = spaceIn(500, [set])
          if (space === null) return
          const seen = new Set<string>()
          let count = 0
          for (const { facts } of space.worlds()) {
            count++
            expect(parseFacts(JSON.parse(JSON.stringify(facts)))).toEqual(facts)
            for (const act of actions) seen.add(outcome(set, facts, act))
          }
          expect(count).toBe(space.count)
          rules++
          for (const facts of all) for (const act of actions) expect(seen).toContain(outcome(set, facts, act))
        },
      ),
      { numRuns: 40 },
    )
    expect(rules).toBeGreaterThan(8)
  })

  test.each(conditions)('%s: can be true, and can be otherwise', (condition) => {
    const set = validatePolicy(permit(condition))
    const verdicts = new Set(
      [...spaceOf([set], bounds.worldsMax).worlds()].flatMap(({ facts }) =>
        actions.map((act) => judge(set, facts, act).allow),
      ),
    )
    expect(verdicts).toEqual(new Set([true, false]))
  })

  test('are few enough for every policy of the library', () => {
    for (const { text } of listLibrary()) {
      const policy = validatePolicy(text)
      expect(spaceOf([policy], 50_000, [policy]).open).toBeGreaterThan(0)
    }
  })
})

describe('worlds that one group of facts settles', () => {
  const rule = fc.tuple(
    fc.constantFrom('permit', 'forbid'),
    fc.constantFrom('when', 'unless'),
    fc.array(fc.tuple(fc.constantFrom(...conditions), fc.constantFrom('&&', '||')), { minLength: 1, maxLength: 3 }),
  )
  test('are denied each, and all others are tried', () => {
    let settled = 0
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 3 }), (rules) => {
        const text = rules.map(([effect, kind, parts], i) => {
          const condition = parts.map(([one, op], n) => `${n === 0 ? '' : op} (${one})`).join(' ')
          return `@id("r${i}") ${effect} (principal, action, resource) ${kind} { ${condition} };`
        })
        let set: PolicySet
        try {
          set = validatePolicy(text.join('\n'))
        } catch {
          return
        }
        const [whole, open] = [spaceIn(400, [set]), spaceIn(400, [set], [set])]
        if (whole === null || open === null) return
        expect(open.count).toBe(whole.count)
        const allowedOf = ({ worlds }: Space) =>
          [...worlds()].flatMap(({ facts }) => {
            const acts = actions.filter((act) => judge(set, facts, act).allow)
            return acts.length === 0 ? [] : [JSON.stringify([acts, facts])]
          })
        expect([...open.worlds()].length).toBe(open.open)
        expect(allowedOf(open)).toEqual(allowedOf(whole))
        settled += whole.count - open.open
      }),
      { numRuns: 40 },
    )
    expect(settled).toBeGreaterThan(20)
  })
  test('are not those that a condition on who asks, or for what, keeps apart', async () => {
    const id = `${'m'.repeat(43)}/secret`
    const policy = permit(`resource == Claviger::Model::"${id}" || context.company.proven`)
    expect((await check(policy, forbid('context.company.proven'))).invariants[0]!.holds).toBe(false)
  })
  test('are those of both policies, of a difference', async () => {
    const both = [permit('context.company.proven'), permit('context.site.proven')].map((one) => validatePolicy(one))
    expect(await diffPolicies(both[0]!, both[1]!, bounds)).toMatchObject({
      worlds: 7,
      tried: 7,
      loosened: 1,
      tightened: 1,
    })
  })
})

describe('an invariant', () => {
  test('holds where it would refuse nothing that is allowed', async () => {
    const policy = libraryPolicy('third-country-control').text
    const { worlds, allowed, invariants } = await check(
      policy,
      `${forbid('context.site.jurisdictions.contains("EU")', 'site')}
       ${forbid('context.company.outsideMaxBp <= 2400 && !context.company.outsideVeto', 'shares')}
       ${forbid('context.site.proven && context.site.grade >= 3', 'grade')}`,
    )
    expect(invariants.map(({ id, holds }) => [id, holds])).toEqual([
      ['site', true],
      ['shares', true],
      ['grade', true],
    ])
    expect([worlds > 1000, allowed > 0]).toEqual([true, true])
  })

  test('is broken by the smallest world that is allowed, which is decided so', async () => {
    const policy = permit('context.place.country == "DE" || context.evidence.tcb.snp > 7')
    const { invariants } = await check(policy, forbid('context.place.country == "DE"'))
    const [{ holds, broken, counterexamples }] = invariants as [(typeof invariants)[0]]
    expect([holds, broken > 0]).toEqual([false, true])
    const [first] = counterexamples
    expect(first).toMatchObject({ acts: ['release', 'renew'], allowedBy: ['p'], why: 'refuses' })
    expect(first!.read).toEqual({ 'place.country': 'AD', 'evidence.tcb.snp': 8 })
    for (const { facts, acts } of counterexamples)
      for (const action of acts)
        expect(decide({ policy: validatePolicy(policy), facts, action })).toMatchObject({ allow: true })
  })

  test('that cannot be evaluated where something is allowed does not hold there: absence is never success', async () => {
    const policy = permit('context.evidence.tier == "affirming"')
    const { invariants } = await check(policy, forbid('context.company.seat == "DE"'))
    expect(invariants[0]!.holds).toBe(false)
    expect(invariants[0]!.counterexamples[0]).toMatchObject({ why: 'error', absent: ['company.seat'] })
  })

  test('of an act alone is broken by that act alone', async () => {
    const policy = '@id("p") permit (principal, action == Claviger::Action::"renew", resource);'
    const never = '@id("n") forbid (principal, action == Claviger::Action::"renew", resource);'
    const { invariants } = await check(policy, never)
    expect(invariants[0]!.counterexamples).toMatchObject([{ acts: ['renew'] }])
    const other = '@id("n") forbid (principal, action == Claviger::Action::"release", resource);'
    expect((await check(policy, other)).invariants[0]!.holds).toBe(true)
  })

  test('of one model is broken by that model, and simulated evidence needs no rule in production', async () => {
    const id = `${'m'.repeat(43)}/secret`
    const never = `@id("n") forbid (principal, action, resource == Claviger::Model::"${id}");`
    const { invariants } = await check(permit('context.evidence.tier == "affirming"'), never)
    expect(invariants[0]!.counterexamples[0]!.facts.model).toMatchObject({ id, owner: 'm'.repeat(43), name: 'secret' })
    const simulated = forbid('context.evidence.platform == "hardware" || context.tenant.class == "development"')
    expect((await check(permit('context.evidence.tier == "affirming"'), simulated)).invariants[0]!.holds).toBe(true)
  })

  test('that is a permit is none', async () => {
    expect(await codeOfPromise(check(permit('true'), permit('context.place.stated')))).toBe('exhaust/invariant')
  })
})

describe('what is no proof is none', () => {
  test('more worlds than may be tried are refused before one is', async () => {
    const set = validatePolicy(libraryPolicy('third-country-control').text)
    expect(codeOf(() => spaceOf([set], 100))).toBe('exhaust/worlds')
    const many = Array.from({ length: 20 }, (_, i) => `context.company.lists.contains("list${i}")`).join(' || ')
    expect(codeOf(() => spaceOf([validatePolicy(permit(many))], 1e9))).toBe('exhaust/worlds')
    const facts = ['ual', 'grade', 'ageSeconds', 'outsideMaxBp', 'outsideSumBp', 'outsideMaxBp', 'outsideSumBp']
    const compared = facts.map((name, i) => `context.company.${name} > ${100 + i * 7}`).join(' || ')
    expect(codeOf(() => spaceOf([validatePolicy(permit(compared))], 20))).toBe('exhaust/worlds')
  })
  test('a pattern is refused, with what to write', () => {
    const set = validatePolicy(permit('context.company.name like "Ex*"'))
    expect(() => spaceOf([set], 1000)).toThrow(
      expect.objectContaining({ code: 'exhaust/like', detail: { hint: expect.stringContaining('contains') } }),
    )
  })
})

describe('the difference of two policies', () => {
  const diff = (before: string, after: string) => diffPolicies(validatePolicy(before), validatePolicy(after), bounds)

  test('is none for the same said otherwise', async () => {
    const same = await diff(
      permit('context.place.country == "DE" && context.evidence.tcb.snp > 7'),
      `${permit('context.evidence.tcb.snp >= 8')} ${forbid('["DE"].contains(context.place.country)')}`,
    )
    // The one that forbids reads the place of every node: where none is stated both deny.
    expect(same).toMatchObject({ loosened: 0, tightened: 0, changed: [] })
  })

  test('shows what is allowed now before what is denied now, the smallest first, each judged so', async () => {
    const [old, now] = [permit('context.place.country == "DE"'), permit('context.operator.country == "FR"')]
    const { loosened, tightened, changed } = await diff(old, now)
    expect(loosened).toBe(tightened)
    expect(changed.map((one) => one.now)).toEqual(['allowed', 'allowed', 'denied', 'denied'])
    expect(changed[0]).toMatchObject({ read: { 'operator.country': 'FR' }, absent: ['place.country'] })
    expect(changed[0]).toMatchObject({ before: ['p'], after: ['p'] })
    for (const { facts, now: verdict } of changed) {
      const judged = [old, now].map((text) => judge(validatePolicy(text), facts, 'release').allow)
      expect(judged).toEqual(verdict === 'allowed' ? [false, true] : [true, false])
    }
  })

  test('tells how far it is, and ends with whoever waits', async () => {
    const told: number[] = []
    const either = ['site.ageSeconds', 'company.ual', 'company.outsideMaxBp', 'evidence.ageSeconds', 'model.version']
    const policy = permit(either.map((path) => `context.${path} > 2 || context.${path} == 1`).join(' || '))
    const { tried: all } = await diffPolicies(validatePolicy(policy), validatePolicy(policy), {
      ...bounds,
      onTried: (tried) => void told.push(tried),
    })
    expect(told.at(-1)).toBe(all)
    expect(told.length).toBeGreaterThan(2)
    const away = diffPolicies(validatePolicy(permit('true')), validatePolicy(permit('true')), {
      ...bounds,
      onTried: () => {
        throw new Error('gone')
      },
    })
    await expect(away).rejects.toThrow('gone')
  })
})
