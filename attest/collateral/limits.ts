import type { BudgetLimits } from '#attest/collateral/budget.js'

/** What a process asks of vendors, and how often. */
export interface CollateralLimits extends BudgetLimits {
  /** a document that is held is asked for again after this; nobody waits for it within its validity */
  readonly refreshSeconds: number
  /** the same for OCSP answers, which are good for a day: a revocation is seen after this */
  readonly answerRefreshSeconds: number
  /** what other processes stored in the database is seen after this */
  readonly syncMs: number
  readonly fetchesMax: number
}
export const defaultLimits: CollateralLimits = {
  refreshSeconds: 12 * 3600,
  answerRefreshSeconds: 3600,
  syncMs: 15_000,
  newPerMinute: 30,
  newPerMinuteOfAll: 120,
  // A board of 8 GPUs and 4 switches needs about 20 answers: 12 devices, and who stands above them and above their RIMs.
  newAnswersPerMinute: 120,
  newAnswersPerMinuteOfAll: 480,
  fetchesMax: 32,
}
