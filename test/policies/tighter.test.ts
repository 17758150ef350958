import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import type { Statement } from '#core/wire/statements.js'
import { isTightening } from '#policies/approvals/tighter.js'
import { isTighterPolicy } from '#policies/approvals/tighter-policy.js'
import { isTighterValues } from '#policies/approvals/tighter-values.js'
import { decide } from '#policies/decide.js'
import type { Facts } from '#policies/facts.js'
import { validatePolicy } from '#policies/language/validate.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { factsWith, placed } from './worlds.js'

const worlds: readonly Facts[] = [
  factsWith(),
  placed(null, null),
  placed('FR', null),
  placed(null, 'FR'),
  factsWith({}, { tier: 'warning' }),
  factsWith({ model: { id: factsWith().model.id, version: 2, manifestDigest: 'ef'.repeat(32) } }),
]

/** Conditions of which some hold, some do not, and some fail where a fact is absent. */
const conditions = [
  'context.evidence.tier == "affirming"',
  'context.evidence.kind == "snp"',
  'context.evidence.debug',
  'context.place.stated',
  'context.place.country == "DE"',
  'context.operator.country == "FR"',
  'context.model.version > 1',
  'context.time > 0',
]
const clause = fc
  .record({ kind: fc.constantFrom('when', 'unless'), of: fc.constantFrom(...conditions) })
  .map(({ kind, of }) => `${kind} { ${of} }`)
const rule = fc.record({
  id: fc.constantFrom('a', 'b', 'c', 'd'),
  effect: fc.constantFrom('permit', 'forbid'),
  clauses: fc.array(clause, { maxLength: 2 }),
})
type Rule = { id: string; effect: string; clauses: string[] }
const textOf = (rules: readonly Rule[]) =>
  rules
    .filter((one, i) => rules.findIndex((other) => other.id === one.id) === i)
    .map(({ id, effect, clauses }) => `@id("${id}") ${effect} (principal, action, resource) ${clauses.join(' ')};`)
    .join('\n')
const policy = fc.array(rule, { minLength: 1, maxLength: 4 })
/** Another policy, near the first one: rules that go, come, or get a clause more. */
const near = policy.chain((rules) =>
  fc
    .record({ drop: fc.nat(3), more: fc.option(rule), onto: fc.nat(3), extra: fc.option(clause) })
    .map(({ drop, more, onto, extra }) => {
      const kept = rules.filter((_, i) => i !== drop || rules.length === 1)
      const grown = kept.map((one, i) => (i === onto && extra ? { ...one, clauses: [...one.clauses, extra] } : one))
      return [textOf(rules), textOf(more === null ? grown : [...grown, more])] as const
    }),
)

const isAllowed = (text: string, facts: Facts) =>
  decide({ policy: validatePolicy(text), facts, action: 'release' }).allow
/** Cedar warns of policies that can never apply, and such a text is none. */
const isRead = (text: string) => {
  try {
    validatePolicy(text)
    return true
  } catch {
    return false
  }
}

describe('what is tighter allows nothing that was not allowed', () => {
  test('a policy, in every world: also where a rule fails to evaluate', () => {
    let found = 0
    fc.assert(
      fc.property(near, ([last, next]) => {
        if (!isRead(last) || !isRead(next) || !isTighterPolicy(last, next)) return
        found++
        for (const facts of worlds) expect(isAllowed(next, facts) && !isAllowed(last, facts)).toBe(false)
      }),
      { numRuns: 150 },
    )
    expect(found).toBeGreaterThan(5)
  })

  test('a permit that could fail may not go: without it another one allows', () => {
    const kept = '@id("a") permit (principal, action, resource);'
    const failing = '@id("b") permit (principal, action, resource) when { context.place.country == "DE" };'
    const silent = worlds.find((one) => !one.place.stated)!
    expect([isAllowed(`${kept}${failing}`, silent), isAllowed(kept, silent)]).toEqual([false, true])
    expect(isTighterPolicy(`${kept}${failing}`, kept)).toBe(false)
    const sound = '@id("b") permit (principal, action, resource) when { context.time > 5 };'
    expect(isTighterPolicy(`${kept}${sound}`, kept)).toBe(true)
  })

  test.each([
    ['the same with other words', '@id("a") @explain("x") permit (principal, action, resource);', true],
    [
      'a forbid more',
      '@id("a") permit (principal, action, resource); @id("b") forbid (principal, action, resource);',
      true,
    ],
    ['a clause more', '@id("a") permit (principal, action, resource) when { context.time > 5 };', true],
    [
      'a permit more',
      '@id("a") permit (principal, action, resource); @id("b") permit (principal, action, resource);',
      false,
    ],
    ['another name', '@id("b") permit (principal, action, resource);', false],
    ['what cannot be read', 'permit', false],
  ])('policy: %s', (_, next, wanted) => {
    expect(isTighterPolicy('@id("a") permit (principal, action, resource);', next)).toBe(wanted)
  })

  test('a forbid that goes, or gets a clause', () => {
    const permit = '@id("a") permit (principal, action, resource);'
    const forbid = '@id("b") forbid (principal, action, resource) when { context.evidence.debug };'
    expect(isTighterPolicy(`${permit}${forbid}`, permit)).toBe(false)
    expect(
      isTighterPolicy(`${permit}${forbid}`, `${permit}${forbid.replace(';', ' when { context.time > 5 };')}`),
    ).toBe(false)
  })
})

describe('reference values', () => {
  const values = testReferenceValues()
  const snp = values.snp!
  const withSnp = (change: object): ReferenceValues => ({ ...values, snp: { ...snp, ...change } })
  const more = [...snp.measurements, `${'ab'.repeat(47)}cd`]
  test.each<[string, ReferenceValues, ReferenceValues, boolean]>([
    ['the same', values, values, true],
    ['one measurement less', withSnp({ measurements: more }), values, true],
    ['one measurement more', values, withSnp({ measurements: more }), false],
    ['a list where any was accepted', withSnp({ hostData: undefined }), withSnp({ hostData: ['00'.repeat(32)] }), true],
    ['no list where one was', withSnp({ hostData: ['00'.repeat(32)] }), withSnp({ hostData: undefined }), false],
    ['a floor that rises', values, withSnp({ guestSvnMin: snp.guestSvnMin + 1 }), true],
    ['a floor that falls', withSnp({ guestSvnMin: 2 }), withSnp({ guestSvnMin: 1 }), false],
    ['a demand more', withSnp({ requireAliasCheck: false }), withSnp({ requireAliasCheck: true }), true],
    ['a demand less', withSnp({ requireAliasCheck: true }), withSnp({ requireAliasCheck: false }), false],
    ['a leave more', withSnp({ allowSmt: false }), withSnp({ allowSmt: true }), false],
    ['a leave less', withSnp({ allowSmt: true }), withSnp({ allowSmt: false }), true],
    ['another product', withSnp({ products: {} }), values, false],
    ['a kind less', values, {}, true],
    ['a kind more', {}, values, false],
    ['devices that are asked for no more', { ...values, gpu: {} as never }, values, false],
    ['a member that nobody knows', values, withSnp({ madeUp: true }), false],
  ])('%s', (_, last, next, wanted) => expect(isTighterValues(last, next)).toBe(wanted))
})

describe('other statements', () => {
  const lease = { seconds: 300, budget: { requests: 10, inputBytes: 10, workUnits: 10 }, nodes: 2 }
  const caller = { id: 'shop', credentialHash: '00'.repeat(32), expiresAt: 1000 }
  const base = {
    version: 1,
    manifestDigest: '11'.repeat(32),
    versionFloor: 1,
    delivery: ['v1'],
    lease,
    callers: [caller],
  }
  const registered = (change: object) => ({ ...base, ...change }) as unknown as Statement<'registration'>
  test.each<[string, object, object, boolean]>([
    ['fewer nodes', {}, { lease: { ...lease, nodes: 1 } }, true],
    ['more nodes', {}, { lease: { ...lease, nodes: 3 } }, false],
    ['more requests', {}, { lease: { ...lease, budget: { ...lease.budget, requests: 11 } } }, false],
    ['a floor that rises', {}, { versionFloor: 2 }, true],
    ['another route', {}, { delivery: ['v1', 'kbs'] }, false],
    ['anybody', {}, { callers: 'any' }, false],
    ['a list in place of anybody', { callers: 'any' }, {}, true],
    ['a caller for longer', {}, { callers: [{ ...caller, expiresAt: 1001 }] }, false],
    ['a caller less', {}, { callers: [] }, true],
    ['another credential', {}, { callers: [{ ...caller, credentialHash: '22'.repeat(32) }] }, false],
    ['a hybrid asked for', {}, { keyExchange: 'hybrid' }, true],
    ['a hybrid asked for as before', { keyExchange: 'hybrid' }, { keyExchange: 'hybrid' }, true],
    ['a hybrid asked for no more', { keyExchange: 'hybrid' }, {}, false],
    ['a member that nobody knows', {}, { madeUp: 1 }, false],
    ['a member of the lease that nobody knows', {}, { lease: { ...lease, madeUp: 1 } }, false],
  ])('registration: %s', (_, last, next, wanted) =>
    expect(isTightening('registration', registered(last), registered(next))).toBe(wanted),
  )

  test('a policy that accepts more than its text said is looser, one that does so no more is tighter', () => {
    const text = '@id("a") permit (principal, action, resource);'
    const policy = (accepts?: 'any-genuine-chip') => ({ text, accepts }) as Statement<'policy'>
    expect(isTightening('policy', policy(), policy('any-genuine-chip'))).toBe(false)
    expect(isTightening('policy', policy('any-genuine-chip'), policy())).toBe(true)
    expect(isTightening('policy', policy('any-genuine-chip'), policy('any-genuine-chip'))).toBe(true)
  })

  test('revocations only grow, key-encryption keys only shrink, approvers are never tighter', () => {
    const revoked = (...values: string[]) =>
      ({ revoked: values.map((value) => ({ kind: 'version', value })) }) as unknown as Statement<'revocation'>
    expect(isTightening('revocation', revoked('1'), revoked('1', '2'))).toBe(true)
    expect(isTightening('revocation', revoked('1', '2'), revoked('1'))).toBe(false)
    const keys = (...ids: string[]) => ({ keys: ids }) as unknown as Statement<'kek'>
    expect(isTightening('kek', keys('a', 'b'), keys('a'))).toBe(true)
    expect(isTightening('kek', keys('a'), keys('a', 'b'))).toBe(false)
    const set = { approvers: [], rules: [] } as unknown as Statement<'approvers'>
    expect(isTightening('approvers', set, set)).toBe(false)
  })
})
