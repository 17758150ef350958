/**
 * What belongs in policies: what decides. Facts and a policy go in, a decision with reasons comes out; no clock, network
 * or disk. How facts are verified stands in attest and core; what follows from a decision stands in keybroker.
 */
export { type Decision, decide } from '#policies/decide.js'
export { explainFor } from '#policies/disclose.js'
export { buildFacts, type Facts, type FactsInput, factsDigest, parseFacts } from '#policies/facts.js'
export { type Policy, type PolicySet, policyDigest, validatePolicy } from '#policies/language/validate.js'
export { type Action, factWords, policySchema } from '#policies/language/vocabulary.js'
export { parseDecisionRecord, recordOf, verifyDecision } from '#policies/record.js'
