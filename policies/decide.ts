import type { Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { codeReason, type Reason, reasonsOf } from '#policies/explain.js'
import { type Facts, factsDigest, parseFacts } from '#policies/facts.js'
import { judge } from '#policies/judge.js'
import type { PolicySet } from '#policies/language/validate.js'
import { type Action, policyLanguage } from '#policies/language/vocabulary.js'
import { type Change, nearestChange } from '#policies/nearest.js'

/** Allow or deny, with everything that it was made of and why. Plain JSON. For the owner: it quotes the policy. */
export interface Decision {
  readonly type: 'claviger/decision/v1'
  readonly allow: boolean
  readonly action: Action
  /** the schema and rules of reading under which the text was read */
  readonly language: typeof policyLanguage
  readonly policyDigest: string
  /** null, both, when what was given as facts is none */
  readonly factsDigest: string | null
  readonly facts: Facts | null
  /** the permits that were satisfied, or everything that refused; never empty */
  readonly reasons: readonly Reason[]
  /** policies that could not be evaluated */
  readonly errors: readonly { readonly policyId: string; readonly message: string }[]
  /** what would have to be otherwise for an allow; null when allowed, or when nothing was found */
  readonly nearest: readonly Change[] | null
}

export interface DecideInput {
  readonly policy: PolicySet
  readonly facts: Facts
  readonly action: Action
}

/**
 * Whether a key may be released, or a lease renewed, under these facts: a pure function, so that a bundle can replay it.
 *
 * Allows only where every rule of code and of policy was evaluated and none refused. Anything else is a denial with
 * reasons, facts that are none and a policy engine that fails included: it never throws what a caller might take for
 * a passing trouble and retry past.
 *
 * facts   read strictly again, so facts from a database or a bundle are no better than they look
 */
export function decide(input: DecideInput): Decision {
  const { policy, action } = input
  let facts: Facts
  try {
    facts = parseFacts(input.facts as unknown as Json)
  } catch (error) {
    if (!isFailure(error)) throw error
    return denial(
      input,
      null,
      codeReason('claviger/facts', `The facts cannot be read: ${error.message}.`, 'report this'),
    )
  }
  try {
    const judged = judge(policy, facts, action)
    return {
      ...common(input, facts),
      allow: judged.allow,
      reasons: reasonsOf(policy, facts, action, judged),
      errors: judged.evaluation.errors,
      nearest: judged.allow ? null : nearestChange(policy, facts, action, judged),
    }
  } catch (error) {
    if (!isFailure(error)) throw error
    return denial(
      input,
      facts,
      codeReason('claviger/engine', `Nothing was decided: ${error.message}.`, 'try again later'),
    )
  }
}

function common(input: DecideInput, facts: Facts | null) {
  return {
    type: 'claviger/decision/v1',
    action: input.action,
    language: policyLanguage,
    policyDigest: input.policy.digest,
    factsDigest: facts && factsDigest(facts),
    facts,
  } as const
}

function denial(input: DecideInput, facts: Facts | null, reason: Reason): Decision {
  return { ...common(input, facts), allow: false, reasons: [reason], errors: [], nearest: null }
}
