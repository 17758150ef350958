import type { Acts } from '#policies/exhaust/acts.js'
import { askedOf } from '#policies/exhaust/asked.js'
import { type Expectation, expectationsOf } from '#policies/explain.js'
import type { Facts } from '#policies/facts.js'
import { requestOf } from '#policies/judge.js'
import { evaluate, type PolicyTree, permitWhen } from '#policies/language/cedar.js'
import { factsOf, partsOf } from '#policies/language/tree.js'
import type { Policy, PolicySet } from '#policies/language/validate.js'
import { releaseVocabulary } from '#policies/language/vocabulary.js'

/** Whether every world in which this group is as in these facts is denied, whatever stands in the others. */
export type Settled = (group: string, facts: Facts) => boolean

/**
 * Worlds with one group of facts alike are denied at once, and need not be tried one by one, where
 *
 * - a `forbid` that reads this group and no other is satisfied, or cannot be evaluated; or
 * - of each `permit` some condition that has to hold and reads this group and no other does not, or cannot be evaluated.
 *
 * Cedar says so, as it does of a world.
 *
 * policies  all of them have to deny
 * throws    policy/engine, exhaust/like
 */
export function settledBy(policies: readonly PolicySet[], acts: readonly Acts[]): Settled {
  const all = policies.map((policy) => {
    const rules = rulesOf(policy)
    return (group: string, facts: Facts) => {
      const own = rules.get(group)
      return own !== undefined && acts.every(([act]) => denies(`${policy.digest} ${group}`, own, facts, act!))
    }
  })
  return (group, facts) => all.every((one) => one(group, facts))
}

/** What one group of facts decides by itself. */
interface Own {
  readonly forbids: readonly Policy[]
  /** of each permit the conditions that read this group alone */
  readonly permits: readonly (readonly Expectation[])[]
}

function rulesOf({ policies, ...set }: PolicySet): ReadonlyMap<string, Own> {
  const forbids = policies.filter(({ effect }) => effect === 'forbid')
  const permits = policies.filter(({ effect }) => effect === 'permit').map((one) => expectationsOf(one))
  const groupsOfRule = new Map(
    forbids.map((rule) => [rule, groupOf(askedOf([{ ...set, policies: [rule] }]).map(({ path }) => path))]),
  )
  const inGroup = (group: string): Own => ({
    forbids: forbids.filter((rule) => groupsOfRule.get(rule) === group),
    permits: permits.map((all) =>
      all.filter(({ term }) => partsOf(term).length === 0 && groupOf(factsOf(term)) === group),
    ),
  })
  const groups = new Set([
    ...groupsOfRule.values(),
    ...permits.flatMap((all) => all.map(({ term }) => groupOf(factsOf(term)))),
  ])
  return new Map([...groups].flatMap((group) => (group === null ? [] : [[group, inGroup(group)] as const])))
}

/** The one group of which all these facts are; null where there is no such. */
function groupOf(paths: readonly string[]): string | null {
  const [group, ...others] = new Set(paths.map((path) => path.split('.')[0]!))
  return group === undefined || others.length > 0 ? null : group
}

function denies(key: string, { forbids, permits }: Own, facts: Facts, act: Acts[number]): boolean {
  const idOf = (permit: number, n: number) => `${permit} ${n}`
  const rules = (): Record<string, string | PolicyTree> => ({
    ...Object.fromEntries(forbids.map((one) => [`forbid ${one.id}`, one.text])),
    ...Object.fromEntries(
      permits.flatMap((all, i) => all.map(({ condition }, n) => [idOf(i, n), permitWhen(condition)] as const)),
    ),
  })
  const answer = evaluate(releaseVocabulary, key, rules, requestOf(facts, act))
  if ('wrong' in answer) return false
  const isForbid = (id: string) => id.startsWith('forbid ')
  if (answer.determining.some(isForbid) || answer.errors.some(({ policyId }) => isForbid(policyId))) return true
  const held = new Set(answer.determining)
  return permits.every((all, i) => all.some((_, n) => !held.has(idOf(i, n))))
}
