import { Failure } from '#core/failure.js'
import { type Decision, decide } from '#policies/decide.js'
import { factAt } from '#policies/explain.js'
import { factsOf } from '#policies/language/tree.js'
import { type PolicySet, validatePolicy } from '#policies/language/validate.js'
import { type DecisionCode, type DecisionRecord, recordOf } from '#policies/record.js'

/** A recorded decision with the reasons that a record only names. */
export interface Explained {
  readonly record: DecisionRecord
  /** what the policy says of the recorded facts; null where there were none */
  readonly again: Decision | null
  /** refusals of the broker's code, which stand above what the policy says */
  readonly code: readonly string[]
  /** rules of the policy were waived for hours, and without them it allowed */
  readonly isBroken: boolean
  /** every fact that the rules read which the record names, with its value; undefined for an absent one */
  readonly facts: readonly { readonly path: string; readonly value: unknown }[]
}

/**
 * Why a recorded decision came out as it did, by the policy that it was made under: for people who have its text.
 *
 * trusts  nothing: a record that the text does not lead to is refused, and whose record it is, nobody is asked
 * throws  decision/policy (another text), decision/replay (the rules come out otherwise), policy/...
 */
export function explainRecord(record: DecisionRecord, text: string): Explained {
  const policy = validatePolicy(text)
  if (policy.digest !== record.policyDigest)
    throw new Failure<DecisionCode>(
      'decision/policy',
      `the decision was made under policy ${record.policyDigest}, this is ${policy.digest}`,
    )
  const code = record.reasons.filter(({ effect }) => effect === 'code').map(({ id }) => id)
  const isBroken = record.allow && record.reasons[0]?.id === 'claviger/break-glass'
  if (record.facts === null) return { record, again: null, code, isBroken, facts: [] }
  const again = decide({ policy, facts: record.facts, action: record.action })
  verifySame(record, recordOf(again), isBroken)
  return { record, again, code, isBroken, facts: factsRead(policy, again, record) }
}

/** The rules came out as recorded, but for those that were waived: what code refused besides is not the policy's to say. */
function verifySame(record: DecisionRecord, again: DecisionRecord, isBroken: boolean): void {
  const rules = ({ reasons }: DecisionRecord) =>
    reasons.flatMap(({ id, effect }) => (effect === 'code' || effect === 'permit' ? [] : [id])).join(', ')
  const isSame = isBroken || (rules(record) === rules(again) && (again.allow || !record.allow))
  if (isSame && record.factsDigest === again.factsDigest) return
  throw new Failure<DecisionCode>(
    'decision/replay',
    `the record names ${rules(record) || 'no rule that refused'}, deciding again names ${rules(again) || 'none'}`,
  )
}

function factsRead({ policies }: PolicySet, again: Decision, { facts }: DecisionRecord): Explained['facts'] {
  const named = new Set(again.reasons.map((reason) => reason.policyId))
  const rules = policies.filter(({ id }) => named.has(id))
  const paths = new Set(rules.flatMap(({ clauses }) => clauses.flatMap((clause) => factsOf(clause.term))))
  return [...paths].sort().map((path) => ({ path, value: facts === null ? undefined : factAt(facts, path) }))
}
