/** Failures of trying every world. */
export type ExhaustCode =
  /** more worlds than the caller waits for: what was not looked at is not known */
  | 'exhaust/worlds'
  /** a rule compares with a pattern, whose matches cannot be listed */
  | 'exhaust/like'
  /** an invariant that is no `forbid` */
  | 'exhaust/invariant'
