/**
 * What belongs in policies/approvals: which changes of an owner's statements need approvals, and whether a statement that
 * stands has those that it needs. No store, no clock.
 */
import { equal } from '#core/bytes/bytes.js'
import { canonicalJson } from '#core/encoding/json.js'

/** Whether two values are the same JSON; absent is the same as absent only. */
export function same(a: unknown, b: unknown): boolean {
  if (a === undefined || b === undefined) return a === b
  return equal(canonicalJson(a), canonicalJson(b))
}

/** Every item of `next` is among those of `last`. */
export function isSubset(next: readonly unknown[], last: readonly unknown[]): boolean {
  return next.every((one) => last.some((other) => same(one, other)))
}
