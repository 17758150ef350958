import type { BudgetLimits } from '#attest/collateral/budget.js'

/** What a process asks of vendors, and how often. */
export interface CollateralLimits extends BudgetLimits {
  /** a document that is held is asked for again after this; nobody waits for it within its validity */
  readonly refreshSeconds: number
  /** what other processes stored in the database is seen after this */
  readonly syncMs: number
  readonly fetchesMax: number
}
export const defaultLimits: CollateralLimits = {
  refreshSeconds: 12 * 3600,
  syncMs: 15_000,
  newPerMinute: 30,
  newPerMinuteOfAll: 120,
  fetchesMax: 16,
}
