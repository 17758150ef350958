/**
 * Failures of reading a policy.
 *
 * policy/syntax   the text is not Cedar, or shows otherwise than it reads
 * policy/invalid  the text is Cedar, but not a policy that can be decided safely under our schema
 * policy/limit    the text is larger or more deeply nested than may be read
 * policy/engine   the policy engine itself failed: nothing can be decided in this process
 */
export type PolicyCode = 'policy/syntax' | 'policy/invalid' | 'policy/limit' | 'policy/engine'
