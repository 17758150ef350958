import type { CollateralStoreCode } from '#attest/collateral/failures.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import { Failure } from '#core/failure.js'
import { createRateLimit } from '#host/rate-limit.js'

/**
 * For whom a vendor may be asked (TRUST 14). A stranger has no vendor asked for what nobody knows here: documents that are
 * held are renewed for everybody. Whoever has a credential pays from a budget of its own; the operator's own commands do not.
 */
export type Asker =
  | { readonly kind: 'stranger' }
  | { readonly kind: 'credential'; readonly id: string }
  | { readonly kind: 'operator' }

export interface BudgetLimits {
  /** documents new to this store that a credential may have fetched in a minute, and all credentials together */
  readonly newPerMinute: number
  readonly newPerMinuteOfAll: number
  /** the same for OCSP answers, of which one board needs as many as all else together */
  readonly newAnswersPerMinute: number
  readonly newAnswersPerMinuteOfAll: number
}

/** Returns only when a vendor may be asked for a document that is new here. @throws collateral/budget */
export type VerifyMayAskNew = (name: CollateralName, asker: Asker) => void

export function createBudget(limits: BudgetLimits, nowMs: () => number): VerifyMayAskNew {
  const budget = (ofOne: number, ofAll: number) => ({
    ofOne: createRateLimit({ perMinute: ofOne, nowMs }),
    ofAll: createRateLimit({ perMinute: ofAll, nowMs }),
  })
  const documents = budget(limits.newPerMinute, limits.newPerMinuteOfAll)
  const answers = budget(limits.newAnswersPerMinute, limits.newAnswersPerMinuteOfAll)
  const refuse = (message: string) => new Failure<CollateralStoreCode>('collateral/budget', message)
  return (name, asker) => {
    if (asker.kind === 'operator') return
    if (asker.kind === 'stranger')
      throw refuse(`${formatName(name)} is not held, and no vendor is asked for callers without a credential`)
    const { ofOne, ofAll } = name.kind === 'nvidia-ocsp' ? answers : documents
    if (!ofOne.allow(asker.id)) throw refuse('this caller had too many new documents fetched in a minute')
    if (!ofAll.allow('all')) throw refuse('too many new documents were fetched in a minute')
  }
}
