/**
 * What belongs in attest/collateral: fetching what vendors sign, and keeping it: HTTP, the database, folders. What is
 * genuine is decided in attest/endorsements; nothing is kept, and no floor is raised, before it was.
 */
import { Failure } from '#core/failure.js'

/** Failures of fetching from a vendor or a mirror. */
export type FetchCode =
  | 'collateral/unreachable'
  | 'collateral/timeout'
  | 'collateral/redirect'
  | 'collateral/too-large'
  /** the service said that it has no such document */
  | 'collateral/not-found'
  /** the service asked to be left alone for a while */
  | 'collateral/rate-limited'
  /** the service answered with another status */
  | 'collateral/refused'
  /** what came is not of the form of this document */
  | 'collateral/content'

/** Failures of the store. */
export type CollateralStoreCode =
  /** older than a document of this name that was seen before */
  | 'collateral/rollback'
  /** the store holds as many documents as it may */
  | 'collateral/full'
  /** fetching is switched off here, and the document is not held */
  | 'collateral/not-held'
  /** the source failed lately, and is left alone until the time that the message names */
  | 'collateral/backing-off'
  /** this caller may not have a vendor asked, or has used its budget up */
  | 'collateral/budget'
  /** too many fetches at the same time */
  | 'collateral/busy'

/** A document that is not there in its time, and why nobody fetches it now. */
export function notHeld(label: string, why: string): Failure<CollateralStoreCode> {
  return new Failure<CollateralStoreCode>('collateral/not-held', `${label} is not held in its time: ${why}`)
}
