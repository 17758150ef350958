import { equal } from '#core/bytes/bytes.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { Decision } from '#policies/decide.js'
import type { Reason } from '#policies/explain.js'
import { type DecisionCode, type DecisionRecord, parseDecisionRecord, recordOf } from '#policies/record.js'
import type { Appraised } from '#policies/release/appraised.js'
import type { Decided } from '#policies/release/judge.js'

/**
 * Refusals that come from what the broker counts and not from the request: no reader of a bundle can repeat the count,
 * and a broker that invents one only refuses.
 */
export type BrokerDenial =
  | 'broker/node-limit'
  | 'broker/lease-ended'
  | 'broker/lease-keyset'
  /** it was granted while the glass was broken, and is not renewed */
  | 'broker/lease-break-glass'
  /** the owner's allowance of inferences is spent */
  | 'broker/allowance-spent'
  /** the node says that it used less than it said before, or more than it was ever granted */
  | 'broker/counter-lowered'
  | 'broker/counter-beyond'
  /** one of its devices is in another lease that runs: an alarm, since a device is in one machine */
  | 'broker/device-leased'
  /** what is said of its place contradicted itself before, and nobody cleared that: an alarm (TRUST 21) */
  | 'broker/place-contradicted'
const brokerDenials: ReadonlySet<string> = new Set<BrokerDenial>([
  'broker/allowance-spent',
  'broker/counter-lowered',
  'broker/counter-beyond',
  'broker/device-leased',
  'broker/place-contradicted',
  'broker/node-limit',
  'broker/lease-ended',
  'broker/lease-keyset',
  'broker/lease-break-glass',
])

/** The verdict with refusals that stand above what the policy said. */
export function withRefusals<R extends Appraised>(verdict: Decided<R>, refusals: readonly Reason[]): Decided<R> {
  const rest = verdict.decision.allow ? [] : verdict.decision.reasons
  return {
    ...verdict,
    allow: false,
    decision: { ...verdict.decision, allow: false, reasons: [...refusals, ...rest], nearest: null },
  }
}

/**
 * Returns only when a recorded decision is the one that `again`, made from the same bundle, comes to: same verdict, same
 * facts, same reasons. A denial by the broker's own count of leases stands beside an `again` that allows.
 *
 * recorded  the decision of a bundle or node document
 * throws    decision/policy, decision/replay, shape/..., facts/...
 */
export function verifyReplay(recorded: Json, again: { readonly decision: Decision }): DecisionRecord {
  const record = parseDecisionRecord(recorded)
  if (record.policyDigest !== again.decision.policyDigest) {
    const message = `the decision was made under policy ${record.policyDigest}, this is ${again.decision.policyDigest}`
    throw new Failure<DecisionCode>('decision/policy', message)
  }
  const counted = !record.allow && record.reasons.every(({ id, effect }) => effect === 'code' && brokerDenials.has(id))
  const expected = recordOf(again.decision)
  const wanted = counted && expected.allow ? { ...expected, allow: false, reasons: record.reasons } : expected
  if (!equal(canonicalJson(record), canonicalJson(wanted))) {
    const said = (one: DecisionRecord) =>
      `${one.allow ? 'allow' : 'deny'} by ${one.reasons.map((reason) => reason.id).join(', ')}`
    const message = `the record says ${said(record)}, judging again says ${said(expected)}`
    throw new Failure<DecisionCode>('decision/replay', message)
  }
  return record
}
