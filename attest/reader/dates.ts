import { type ClaimedTime, claimedTimes, commonTime } from '#attest/explain/times.js'
import type { AttestationResult } from '#attest/result.js'
import { printable } from '#core/shown.js'
import { formatTime } from '#core/time.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

/** Failures that another time could mend. */
const ofDates = /\/(collateral-)?(expired|not-yet-valid|not-yet-made)$/

const shown = ({ what }: ClaimedTime) => printable(what).slice(0, 100)

/**
 * What a reader can do about a date that failed: when all that came along counts, by its own words, or which two parts never
 * do at one time. Nothing where no date failed.
 */
export async function dateHint(evidence: AnyEvidence, result: AttestationResult<AnyEvidence>): Promise<string | null> {
  if (result.failure === null || !ofDates.test(result.failure)) return null
  const common = commonTime(await claimedTimes(evidence))
  if (common === null) return null
  const judged = `judged at ${formatTime(result.at)}`
  if ('ends' in common)
    return (
      `the collateral is of several times (${judged}): ${shown(common.ends)} ends at ${formatTime(common.ends.until)}, ` +
      `${shown(common.begins)} begins at ${formatTime(common.begins.from)}; leave what is of another time out of --collateral and judge the rest with --at TIME, or fetch all of it anew`
    )
  if (result.at >= common.from && result.at <= common.until) return null
  return (
    `the collateral is out of date (${judged}): all of it counts from ${formatTime(common.from)} to ${formatTime(common.until)}, ` +
    `by its own words; fetch it anew, or add --at ${formatTime(common.from)} to judge as of then`
  )
}
