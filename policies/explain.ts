import { establishedGroups } from '#policies/credentials/facts.js'
import type { Facts } from '#policies/facts.js'
import type { Judgement } from '#policies/judge.js'
import { requestOf } from '#policies/judge.js'
import { type Condition, conditionText, evaluate, type PolicyTree, permitWhen } from '#policies/language/cedar.js'
import { factsOf, partsOf, type Term, termOf } from '#policies/language/tree.js'
import type { Policy, PolicySet } from '#policies/language/validate.js'
import { type Action, releaseVocabulary } from '#policies/language/vocabulary.js'

/** One condition that a policy asks for and the facts do not meet. */
export interface Unmet {
  /** as Cedar text */
  readonly expected: string
  /** the value of each fact that it reads */
  readonly actual: string
  /** paths below `context` */
  readonly facts: readonly string[]
  /** it is about which node, act or model the policy is for */
  readonly head: boolean
}

/**
 * Why a decision came out as it did.
 *
 * permit     the rule was satisfied and allowed
 * forbid     the rule was satisfied and refused, or could not be evaluated
 * no-permit  the rule would have allowed, but was not satisfied, or could not be evaluated
 * code       refused by the product itself
 */
export interface Reason {
  readonly policyId: string
  readonly effect: 'permit' | 'forbid' | 'no-permit' | 'code'
  readonly law: string | null
  readonly explain: string | null
  readonly remedy: string | null
  /** empty when the rule was satisfied as it should be */
  readonly unmet: readonly Unmet[]
}

/** A condition that a policy's author wants to hold. */
export interface Expectation {
  readonly condition: Condition
  readonly term: Term
  readonly head: boolean
}

// A policy with more conjuncts is explained as one condition, and a set with more expectations in its first rules only.
const expectationsPerPolicyMax = 32
const expectationsMax = 512

function operandsOf(op: '&&' | '||', condition: Condition): readonly Condition[] {
  const body = (condition as { readonly [name: string]: { left: Condition; right: Condition } })[op]
  return body ? [...operandsOf(op, body.left), ...operandsOf(op, body.right)] : [condition]
}

function not(condition: Condition): Condition {
  return { '!': { arg: condition } } as Condition
}

function allOf(conditions: readonly Condition[]): Condition {
  return conditions.reduce((left, right) => ({ '&&': { left, right } }) as Condition)
}

/**
 * What must hold for a policy not to stand in the way: for a permit its head and clauses; for a forbid its exception
 * (`unless`) or, without one, the contrary of its condition. Empty for a forbid without conditions: nothing helps.
 */
export function expectationsOf(policy: Policy): readonly Expectation[] {
  const known = expectations.get(policy)
  if (known !== undefined) return known
  const read = readExpectations(policy)
  expectations.set(policy, read)
  return read
}

// The same rule always asks for the same, and writing that out costs as much as deciding.
const expectations = new WeakMap<Policy, readonly Expectation[]>()

function readExpectations(policy: Policy): readonly Expectation[] {
  const when = policy.clauses.filter((one) => one.kind === 'when').map((one) => one.condition)
  const unless = policy.clauses.filter((one) => one.kind === 'unless').map((one) => one.condition)
  let body: readonly Condition[]
  if (policy.effect === 'permit') {
    body = [...when.flatMap((one) => operandsOf('&&', one)), ...unless.flatMap((one) => operandsOf('||', one)).map(not)]
  } else if (unless.length > 0) {
    body = operandsOf('&&', unless[0]!)
  } else {
    body = when.length > 0 ? [not(allOf(when))] : []
  }
  if (body.length > expectationsPerPolicyMax) body = [allOf(body)]
  const head = policy.effect === 'permit' ? policy.head : []
  return [
    ...head.map((condition) => ({ condition, term: termOf(condition, releaseVocabulary), head: true })),
    ...body.map((condition) => ({ condition, term: termOf(condition, releaseVocabulary), head: false })),
  ]
}

/** The value at a path below `context`; undefined when the fact is absent. */
export function factAt(facts: Facts, path: string): unknown {
  return path.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], facts)
}

function actualOf(term: Term, facts: Facts, action: Action): string {
  const parts = { principal: facts.node.keysetDigest, action, resource: facts.model.id }
  const texts = [
    ...[...new Set(partsOf(term))].map((name) => `${name} is ${JSON.stringify(parts[name])}`),
    ...factsOf(term).map((path) => {
      const value = factAt(facts, path)
      return value === undefined ? notStated(path, facts) : `context.${path} is ${JSON.stringify(value)}`
    }),
  ]
  return texts.join(', ') || 'it is false whatever the facts are'
}

/** An absent fact, and why what was presented for it does not count. */
function notStated(path: string, facts: Facts): string {
  const group = path.slice(0, path.indexOf('.'))
  const text = `context.${path} is not stated`
  if (!(establishedGroups as readonly string[]).includes(group)) return text
  if (facts.credentials === undefined) return `${text}, since the owner signed nothing of whom it believes about it`
  const { refused } = facts.credentials
  return refused.length === 0 ? text : `${text} (of what was presented: ${refused.join(', ')})`
}

/**
 * The reasons of a judgement. Each condition is evaluated by Cedar on its own, so that an explanation cannot say
 * otherwise than the decision.
 *
 * throws  policy/engine
 */
export function reasonsOf(set: PolicySet, facts: Facts, action: Action, judged: Judgement): readonly Reason[] {
  const { determining, errors, decision } = judged.evaluation
  const named = new Set(determining)
  const failed = new Set(errors.map((one) => one.policyId))
  if (judged.allow) {
    return set.policies
      .filter(({ id }) => named.has(id))
      .map((policy) => ({ ...about(policy), effect: 'permit', unmet: [] }))
  }
  const unmetOf = evaluateExpectations(set, facts, action)
  const fromPolicies = set.policies.flatMap((policy): readonly Reason[] => {
    const unmet = unmetOf(policy, policy.effect === 'forbid' && failed.has(policy.id))
    if (policy.effect === 'forbid' && failed.has(policy.id))
      return [{ ...about(policy), effect: 'forbid', unmet: unmet.length > 0 ? unmet : absentFacts(policy, facts) }]
    if (policy.effect === 'forbid' && decision === 'deny' && named.has(policy.id))
      return [{ ...about(policy), effect: 'forbid', unmet }]
    // A permit that was satisfied is no reason for a denial.
    if (policy.effect === 'permit' && (failed.has(policy.id) || unmet.length > 0))
      return [{ ...about(policy), effect: 'no-permit', unmet }]
    return []
  })
  const reasons = [...fromCode(set, facts, judged), ...fromPolicies]
  // A denial always says something, even where a set has more conditions than are explained.
  return reasons.length > 0
    ? reasons
    : [codeReason('claviger/no-permit', 'No rule of the policy permits this.', askOwner)]
}

const askOwner = 'ask the owner which node the policy is made for'

/** The facts that a rule reads and nobody states. */
function absentFacts(policy: Policy, facts: Facts): readonly Unmet[] {
  const paths = [...new Set(policy.clauses.flatMap((clause) => factsOf(clause.term)))]
  return paths
    .filter((path) => factAt(facts, path) === undefined)
    .map((path) => ({
      expected: `context.${path} is stated`,
      actual: notStated(path, facts),
      facts: [path],
      head: false,
    }))
}

function about(policy: Policy): Pick<Reason, 'policyId' | 'law' | 'explain' | 'remedy'> {
  return { policyId: policy.id, law: policy.law, explain: policy.explain, remedy: policy.remedy }
}

/** A refusal by the product itself. */
export function codeReason(id: string, explain: string, remedy: string, unmet: readonly Unmet[] = []): Reason {
  return { policyId: id, effect: 'code', law: null, explain, remedy, unmet }
}

function fromCode(set: PolicySet, facts: Facts, judged: Judgement): readonly Reason[] {
  const reasons = judged.builtIn.map(({ id, explain, remedy, fact, wanted }) =>
    codeReason(id, explain, remedy, [
      {
        expected: `context.${fact} == ${JSON.stringify(wanted)}`,
        actual: `context.${fact} is ${JSON.stringify(factAt(facts, fact))}`,
        facts: [fact],
        head: false,
      },
    ]),
  )
  if (judged.refused !== null)
    reasons.push(codeReason('claviger/request', `The policy could not be asked: ${judged.refused}.`, 'report this'))
  if (!set.policies.some(({ effect }) => effect === 'permit'))
    reasons.push(
      codeReason('claviger/no-permit', 'The policy permits nothing.', 'ask the owner for a policy that permits'),
    )
  return reasons
}

/** Evaluates every expectation of the set at once. The function tells those of one policy that do not hold. */
function evaluateExpectations(set: PolicySet, facts: Facts, action: Action) {
  const all = new Map<Policy, readonly Expectation[]>()
  let count = 0
  for (const policy of set.policies) {
    const own = expectationsOf(policy)
    if ((count += own.length) > expectationsMax) break
    all.set(policy, own)
  }
  const ids = new Map([...all.values()].flat().map((expectation, i) => [expectation, `e${i}`]))
  const trees = (): Record<string, PolicyTree> =>
    Object.fromEntries([...ids].map(([expectation, id]) => [id, permitWhen(expectation.condition)]))
  const answer = evaluate(releaseVocabulary, `${set.digest}/expectations`, trees, requestOf(facts, action))
  const held = new Set('wrong' in answer ? [] : answer.determining)
  const failed = new Set('wrong' in answer ? [] : answer.errors.map((one) => one.policyId))
  return (policy: Policy, onlyFailed: boolean): readonly Unmet[] =>
    (all.get(policy) ?? [])
      .filter((one) => (onlyFailed ? failed.has(ids.get(one)!) : !held.has(ids.get(one)!)))
      .map(({ condition, term, head }) => ({
        expected: conditionText(condition),
        actual: actualOf(term, facts, action),
        facts: factsOf(term),
        head,
      }))
}
