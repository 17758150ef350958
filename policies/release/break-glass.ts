import type { UnixSeconds } from '#core/time.js'
import { type Decision, decide } from '#policies/decide.js'
import type { Reason } from '#policies/explain.js'
import { validatePolicy } from '#policies/language/validate.js'
import type { BrokenGlass, VerifiedStatements } from '#policies/release/statements.js'

/** The broken glass, while it is; null before and after. */
export function openGlass({ breakGlass }: VerifiedStatements, at: UnixSeconds): BrokenGlass | null {
  return breakGlass !== null && breakGlass.from <= at && at < breakGlass.until ? breakGlass : null
}

/**
 * What a denial becomes while the glass is broken: an allowance, where the owner's policy without the rules that it annotated
 * `@breakglass` allows, and the policy that the glass was broken with does too. Null where it stays a denial.
 *
 * Invariant: no refusal of code is waived (I1 to I4, I6, I12): the caller brings none, and both policies are decided with those
 * that stand in code.
 */
export function decideBroken(decision: Decision, text: string, { signed }: BrokenGlass): Decision | null {
  const { facts, action } = decision
  if (decision.allow || facts === null) return null
  const { policies } = validatePolicy(text)
  const kept = policies.filter((one) => !one.breakGlass)
  if (kept.length === 0 || kept.length === policies.length) return null
  const policy = validatePolicy(kept.map((one) => one.text).join('\n'))
  const without = decide({ policy, facts, action })
  const own = decide({ policy: validatePolicy(signed.value.text), facts, action })
  if (!without.allow || !own.allow) return null
  const reason: Reason = {
    policyId: 'claviger/break-glass',
    effect: 'permit',
    law: null,
    explain: signed.value.reason,
    remedy: null,
    unmet: [],
  }
  return { ...decision, allow: true, reasons: [reason, ...without.reasons], errors: [], nearest: null }
}
