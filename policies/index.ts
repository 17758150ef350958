/**
 * What belongs in policies: what decides. Facts and a policy go in, a decision with reasons comes out; no clock, network
 * or disk. How facts are verified stands in attest and core; what follows from a decision stands in keybroker.
 */
export { type DecideInput, type Decision, decide } from '#policies/decide.js'
export { type Explanation, explainFor, type Reader } from '#policies/disclose.js'
export type { Reason, Unmet } from '#policies/explain.js'
export {
  type AttestedClaims,
  buildFacts,
  type DeclaredByHost,
  type Facts,
  type FactsCode,
  type FactsInput,
  factsDigest,
  parseFacts,
} from '#policies/facts.js'
export type { PolicyCode } from '#policies/language/failures.js'
export { type Policy, type PolicySet, policyDigest, validatePolicy } from '#policies/language/validate.js'
export { type Action, factWords, policyLanguage, policySchema } from '#policies/language/vocabulary.js'
export type { Change } from '#policies/nearest.js'
export {
  type DecisionCode,
  type DecisionRecord,
  parseDecisionRecord,
  recordOf,
  verifyDecision,
} from '#policies/record.js'
