import type { UnixSeconds } from '#core/time.js'
import type { GuestEvidence, ResourceFacts } from '#policies/guest/facts.js'
import { attestationVocabulary, resourceVocabulary } from '#policies/guest/vocabulary.js'
import { evaluate } from '#policies/language/cedar.js'
import { type ValidatedText, validateUnder } from '#policies/language/validate.js'
import type { Vocabulary } from '#policies/language/vocabulary.js'

/** A policy that says to whom resources of the operator go. */
export interface ResourcePolicy extends ValidatedText {
  readonly kind: 'resource'
}

/** A policy that says which genuine guests are affirmed. */
export interface AttestationPolicy extends ValidatedText {
  readonly kind: 'attestation'
}

/** @throws policy/syntax, policy/invalid, policy/limit, policy/engine */
export function validateResourcePolicy(text: string): ResourcePolicy {
  return { kind: 'resource', ...validateUnder(text, resourceVocabulary) }
}

/** @throws policy/syntax, policy/invalid, policy/limit, policy/engine */
export function validateAttestationPolicy(text: string): AttestationPolicy {
  return { kind: 'attestation', ...validateUnder(text, attestationVocabulary) }
}

/** Whether a policy permits, and by which rules; reasons are never empty. */
interface GuestVerdict {
  readonly allow: boolean
  readonly reasons: readonly string[]
}

function judge(
  vocabulary: Vocabulary,
  policy: ValidatedText,
  request: { readonly principal: string; readonly action: string; readonly resource: string; readonly context: object },
): GuestVerdict {
  const texts = () => Object.fromEntries(policy.policies.map((one) => [one.id, one.text]))
  const answer = evaluate(vocabulary, policy.digest, texts, request)
  if ('wrong' in answer) return { allow: false, reasons: ['policy-refused'] }
  // Cedar skips a rule that fails to evaluate, a forbid too. Here one error denies: absence is never success.
  if (answer.errors.length > 0)
    return { allow: false, reasons: answer.errors.map(({ policyId }) => `policy-error/${policyId}`) }
  const allow = answer.decision === 'allow' && answer.determining.length > 0
  return { allow, reasons: answer.determining.length > 0 ? answer.determining : ['no-permit'] }
}

/** Whether one of these rules is a permit whose head names this verifier and no other. */
function namesVerifier(policy: ValidatedText, ids: readonly string[], verifier: string): boolean {
  const named = JSON.stringify({
    '==': {
      left: { Var: 'principal' },
      right: { Value: { __entity: { type: resourceVocabulary.principal, id: verifier } } },
    },
  })
  return policy.policies.some(
    (one) =>
      one.effect === 'permit' &&
      ids.includes(one.id) &&
      one.head.some((condition) => JSON.stringify(condition) === named),
  )
}

/**
 * Whether a resource of the operator goes to a guest: a pure function of policy and facts.
 *
 * Beside what the policy says: another verifier's token counts only for a permit whose head names that verifier, so that a
 * rule written for this broker's own guests is not widened by a verifier that is added later (TRUST 11).
 */
export function decideResource(policy: ResourcePolicy, facts: ResourceFacts): GuestVerdict {
  const { verifier } = facts.token
  const request = { principal: verifier, action: 'get', resource: facts.path.text, context: facts }
  const verdict = judge(resourceVocabulary, policy, request)
  if (verdict.allow && verifier !== 'own' && !namesVerifier(policy, verdict.reasons, verifier))
    return { allow: false, reasons: ['verifier-not-named'] }
  return verdict
}

/** Whether a guest whose evidence was verified is affirmed: a pure function of policy and facts. */
export function decideAttestation(policy: AttestationPolicy, evidence: GuestEvidence, time: UnixSeconds): GuestVerdict {
  const context = { time, evidence }
  return judge(attestationVocabulary, policy, { principal: 'guest', action: 'affirm', resource: evidence.tee, context })
}
