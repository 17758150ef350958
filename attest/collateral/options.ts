import type { FetchItem } from '#attest/collateral/fetch/sources.js'
import type { CollateralLimits } from '#attest/collateral/limits.js'
import type { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Database } from '#host/database.js'
import type { Log } from '#host/log.js'

/** What a store of collateral is opened with. */
export interface CollateralStoreOptions {
  readonly database: Database
  /** null: nothing is ever fetched */
  readonly fetchItem: FetchItem | null
  /** SHA-256 of the keys of throwaway roots, whose documents are kept apart from vendors' and called simulated */
  readonly simulatedRoots: readonly string[]
  readonly now: () => UnixSeconds
  /** milliseconds that only go forward */
  readonly nowMs: () => number
  readonly log: Log
  readonly limits?: Partial<CollateralLimits>
}

/** What became of one document that was offered. */
export interface Admission {
  readonly name: string
  readonly outcome: 'stored' | 'unchanged' | 'refused'
  readonly failure: Failure | null
}
