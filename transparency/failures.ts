/**
 * What belongs in transparency: writing a log (sequence, sign, have it cosigned, serve it) and witnessing one. The rules
 * are pure and declare their ports; `storage/` and `service/` are edges. Reading and verifying stands in core/tlog.
 */

/** Failures of the log's writer. */
export type LogCode =
  /** no log was ever created here: it is created by an explicit step, never on the way */
  | 'log/absent'
  /** a log exists here already */
  | 'log/exists'
  /** the log here has another origin or key than the caller's */
  | 'log/identity'
  /** the policy that this log is to satisfy cannot be satisfied, or names no witness that the log asks */
  | 'log/policy'
  /** stored hashes, entries or roots disagree with each other */
  | 'log/state'
  /** a witness has seen a larger tree than the one that is stored: this log went back in time */
  | 'log/rollback'
  /** a witness has seen another tree: this log is not the one that it cosigned */
  | 'log/forked'
  /** storage failed; whether the entry was stored is not known, and asking again settles it */
  | 'log/storage'
  /** another writer integrated first; the batch is tried again */
  | 'log/writer'
  /** too few witnesses answered in time; the entry may be integrated, and asking again returns it */
  | 'log/witness-unavailable'
  | 'log/entry-size'
  /** more entries are waiting than the log takes at once */
  | 'log/busy'
  | 'log/closed'
  /** no entry with this index stands under a cosigned checkpoint */
  | 'log/index'
