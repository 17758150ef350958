import { isFailure } from '#core/failure.js'
import type { Reason } from '#policies/explain.js'
import { validatePolicy } from '#policies/language/validate.js'
import { asksForPlacement } from '#policies/placement.js'
import { denial } from '#policies/release/request.js'
import type { VerifiedStatements } from '#policies/release/statements.js'

/**
 * Whether a production owner's policy asks where the very chip is, or its owner signed that any genuine chip will do: a chip
 * that somebody broke at home is genuine too, and gives away what is released to it (TRUST 21).
 */
export function acceptedRefusals({ tenant, policy }: Pick<VerifiedStatements, 'tenant' | 'policy'>): readonly Reason[] {
  if (tenant.value.class === 'development' || policy.value.accepts !== undefined) return []
  try {
    if (asksForPlacement(validatePolicy(policy.value.text))) return []
  } catch (error) {
    if (isFailure(error)) return [] // what cannot be read is refused as that
    throw error
  }
  const why = 'The policy takes any genuine chip, wherever it stands, and its owner did not sign that it may.'
  return [denial('judge/any-genuine-chip', why, 'ask the owner for a policy with context.site.grade >= 3')]
}
