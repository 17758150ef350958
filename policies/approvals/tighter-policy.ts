import { isFailure } from '#core/failure.js'
import { same } from '#policies/approvals/compare.js'
import { factsOf } from '#policies/language/tree.js'
import { type Policy, type PolicySet, validatePolicy } from '#policies/language/validate.js'
import { factWord } from '#policies/language/vocabulary.js'

function readSet(text: string): PolicySet | null {
  try {
    return validatePolicy(text)
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

/**
 * Whether the policy `next` allows nothing that `last` did not.
 *
 * A decision allows when no rule failed to evaluate, some permit holds and no forbid does. So it can only become narrower when
 * every forbid stays, every permit was there before, as it is or with more clauses behind its own, and no permit went
 * that could have failed to evaluate: its failure denied, and without it others may allow.
 */
export function isTighterPolicy(last: string, next: string): boolean {
  const [before, after] = [readSet(last), readSet(next)]
  if (before === null || after === null) return false
  const was = new Map(before.policies.map((one) => [one.id, one]))
  const is = new Map(after.policies.map((one) => [one.id, one]))
  const arrived = after.policies.every((one) => {
    const old = was.get(one.id)
    if (old === undefined) return one.effect === 'forbid'
    return one.effect === old.effect && (saysSame(old, one) || (one.effect === 'permit' && isNarrower(old, one)))
  })
  const left = before.policies.every((one) => is.has(one.id) || (one.effect === 'permit' && neverFails(one)))
  return arrived && left
}

function saysSame(a: Policy, b: Policy): boolean {
  return a.breakGlass === b.breakGlass && same(a.head, b.head) && same(clausesOf(a), clausesOf(b))
}

const clausesOf = ({ clauses }: Policy) => clauses.map(({ kind, condition }) => ({ kind, condition }))

/** The clauses of `last`, in their order, and more behind them: what made those fail or not hold still does. */
function isNarrower(last: Policy, next: Policy): boolean {
  const before = clausesOf(last)
  return same(last.head, next.head) && same(before, clausesOf(next).slice(0, before.length))
}

/** It reads no fact that may be absent, which is the one thing that fails in our part of the language. */
function neverFails(policy: Policy): boolean {
  return policy.clauses.every(({ term }) => factsOf(term).every((path) => factWord(path)?.mayBeAbsent !== true))
}
