import { type Followed, follow } from '#client/audit/follow.js'
import { nobody } from '#client/audit/rules.js'
import type { TestLog } from '#test/transparency/fixtures.js'
import type { Log } from '#transparency/log.js'

interface Audited {
  readonly log: Log
  readonly testLog: TestLog
  readonly clock: { readonly now: number }
}

/** What an auditor finds in the log of a broker: with nothing but the log, and whom it trusts. */
export const audited = ({ log, testLog, clock }: Audited): Promise<Followed> =>
  follow(log, null, {
    trust: testLog.trust,
    own: nobody,
    at: Math.max(clock.now, Math.floor(Date.now() / 1000)),
    stalledAfter: null,
  })

/** The same, as codes of what convicts. */
export const convictionsOf = async (test: Audited): Promise<readonly string[]> =>
  (await audited(test)).state.convictions.map(({ code, index, message }) => `${code} #${index}: ${message}`)
