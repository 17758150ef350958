import type { ReportedDecision, ReportedPolicy, RuleCounts } from '#client/report/model.js'
import type { Signed, Statement } from '#core/wire/statements.js'
import { type Policy, validatePolicy } from '#policies/index.js'
import { headerOf } from '#policies/language/header.js'
import { factsOf } from '#policies/language/tree.js'

/**
 * A policy as it is reported: what its author says of it, its rules with what each of them reads, and how often each decided.
 *
 * trusts  that the statement was verified with its owner's key, and the decisions by their bundles
 * throws  policy/...
 */
export function reportPolicy(
  signed: Signed<Statement<'policy'>>,
  decisions: readonly ReportedDecision[],
  more: Pick<ReportedPolicy, 'effect' | 'isInForce'>,
): ReportedPolicy {
  const { name, sequence, text, issuedAt, accepts } = signed.value
  const { digest, policies } = validatePolicy(text)
  const own = decisions.filter(({ policyDigest }) => policyDigest === digest)
  return {
    ...more,
    name,
    sequence,
    digest,
    statement: signed.digest,
    signedBy: signed.signers.join(', '),
    signedAt: issuedAt,
    accepts: accepts ?? null,
    decisions: own.length,
    header: headerOf(text),
    rules: policies.map(({ id, effect, law, explain, remedy, breakGlass, text: rule, ...policy }) => ({
      ...{ id, effect, law, explain, remedy, breakGlass },
      text: rule,
      facts: factsRead(policy),
      counts: countsOf(id, own),
    })),
  }
}

function factsRead({ clauses }: Pick<Policy, 'clauses'>): readonly string[] {
  return [...new Set(clauses.flatMap(({ term }) => factsOf(term)))].sort()
}

function countsOf(id: string, decisions: readonly ReportedDecision[]): RuleCounts {
  const times = (effect: string) =>
    decisions.filter(({ reasons }) => reasons.some((one) => one.id === id && one.effect === effect)).length
  return { allowed: times('permit'), refused: times('forbid'), notSatisfied: times('no-permit') }
}
