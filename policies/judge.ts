import type { Facts } from '#policies/facts.js'
import { type Evaluation, evaluate } from '#policies/language/cedar.js'
import type { PolicySet } from '#policies/language/validate.js'
import { type Action, releaseVocabulary } from '#policies/language/vocabulary.js'
import { type BuiltIn, builtInRefusals } from '#policies/rules.js'

/** What code and Cedar say about facts, before anything is explained. */
export interface Judgement {
  readonly allow: boolean
  readonly builtIn: readonly BuiltIn[]
  readonly evaluation: Evaluation
  /** why Cedar refused to evaluate at all; null when it did evaluate */
  readonly refused: string | null
}

const nothing: Evaluation = { decision: 'deny', determining: [], errors: [] }

/** The request that facts are to Cedar: the context is the facts themselves, so what is absent there is absent here. */
export function requestOf(facts: Facts, action: Action) {
  const { type: _, ...context } = facts
  return { principal: facts.node.keysetDigest, action, resource: facts.model.id, context }
}

/**
 * Allows only if all hold: nothing in code refuses, Cedar evaluated every policy without an error, a permit was
 * satisfied, and no forbid was.
 *
 * Cedar alone skips a policy that fails to evaluate, a forbid too, and may then allow. Here one error denies: whoever
 * reads a fact that is absent gets no answer, and no answer is no.
 *
 * throws  policy/engine
 */
export function judge(policy: PolicySet, facts: Facts, action: Action): Judgement {
  const builtIn = builtInRefusals(facts)
  const texts = () => Object.fromEntries(policy.policies.map((one) => [one.id, one.text]))
  const answer = evaluate(releaseVocabulary, policy.digest, texts, requestOf(facts, action))
  if ('wrong' in answer) return { allow: false, builtIn, evaluation: nothing, refused: answer.wrong.message }
  const allow =
    builtIn.length === 0 && answer.errors.length === 0 && answer.decision === 'allow' && answer.determining.length > 0
  return { allow, builtIn, evaluation: answer, refused: null }
}
