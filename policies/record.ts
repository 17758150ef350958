import type { Json } from '#core/encoding/json.js'
import {
  boolean,
  hex,
  json,
  list,
  literal,
  nullable,
  object,
  oneOf,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { type Decision, decide } from '#policies/decide.js'
import { type Facts, parseFacts } from '#policies/facts.js'
import type { PolicySet } from '#policies/language/validate.js'
import { actions, policyLanguage } from '#policies/language/vocabulary.js'

/** Failures of replaying a decision. */
export type DecisionCode = 'decision/policy' | 'decision/replay'

const recordShape = object({
  type: literal('claviger/decision-record/v1'),
  allow: boolean,
  action: oneOf(...actions),
  language: literal(policyLanguage),
  policyDigest: hex(32),
  facts: json,
  reasons: list(object({ id: string(), effect: oneOf('permit', 'forbid', 'no-permit', 'code') }), { min: 1, max: 200 }),
  factsDigest: nullable(hex(32)),
})

/**
 * A decision as it is committed to in the log and given to the node: what was decided, under which facts and rules, by
 * name. It quotes no policy, so a host that reads it learns no value of an owner's allow-list.
 */
export type DecisionRecord = Omit<Shaped<typeof recordShape>, 'facts'> & { readonly facts: Facts | null }

/** The record of a decision. */
export function recordOf(decision: Decision): DecisionRecord {
  const { allow, action, language, policyDigest, facts, factsDigest } = decision
  const reasons = decision.reasons.map(({ policyId, effect }) => ({ id: policyId, effect }))
  return { type: 'claviger/decision-record/v1', allow, action, language, policyDigest, facts, reasons, factsDigest }
}

/**
 * A record read back, as from a bundle.
 *
 * throws  shape/..., facts/...
 */
export function parseDecisionRecord(value: Json | undefined): DecisionRecord {
  const record = recordShape(value, 'decision')
  return { ...record, facts: record.facts === null ? null : parseFacts(record.facts) }
}

/**
 * The decision that the record's facts give under this policy, which is the one recorded: same verdict, same rules.
 *
 * trusts  that the caller compared the facts with the evidence and statements that they are made of
 * throws  decision/policy (another policy text), decision/replay (another outcome)
 */
export function verifyDecision(record: DecisionRecord, policy: PolicySet): Decision {
  if (record.policyDigest !== policy.digest)
    throw new Failure<DecisionCode>(
      'decision/policy',
      `the decision was made under policy ${record.policyDigest}, this is ${policy.digest}`,
    )
  // A decision about facts that could not be read has none to decide again: it stays what it says, a denial.
  const again = decide({ policy, facts: record.facts as Facts, action: record.action })
  const same = recordOf(again)
  const outcome = (one: DecisionRecord) => JSON.stringify([one.allow, one.factsDigest, one.reasons])
  if (outcome(same) !== outcome(record))
    throw new Failure<DecisionCode>(
      'decision/replay',
      `the record says ${record.allow ? 'allow' : 'deny'} by ${names(record)}, deciding again says ` +
        `${same.allow ? 'allow' : 'deny'} by ${names(same)}`,
    )
  return again
}

function names(record: DecisionRecord): string {
  return record.reasons.map((one) => one.id).join(', ')
}
