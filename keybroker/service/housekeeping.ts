import { isFailure } from '#core/failure.js'
import type { Database } from '#host/database.js'
import { describeError, type Log } from '#host/log.js'
import { settleAll } from '#keybroker/approvals/settle.js'
import type { Broker } from '#keybroker/broker.js'
import { publishAbandoned } from '#keybroker/outbox.js'
import { summariseRefusals } from '#keybroker/refusals.js'
import { forgetExpiredNonces } from '#keybroker/store/nonces.js'
import { forgetExpiredSessions } from '#keybroker/store/sessions.js'

/** Once a minute: what a summary of refusals covers. */
const defaultEveryMs = 60_000

export interface HousekeepingOptions {
  readonly broker: Broker
  readonly database: Database
  readonly log: Log
  readonly everyMs?: number
}

/**
 * What nobody waits for, again and again: refusals go into the log as counts, as do acts of the operator, and challenges and sessions that expired
 * are forgotten. A round that fails is told to the operator, and the next one does its work too.
 *
 * returns  what ends it; it returns when the round under way has ended
 */
export function startHousekeeping(options: HousekeepingOptions): () => Promise<void> {
  let ending = false
  let round: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    round = round.then(() => (ending ? undefined : tidy(options)))
  }, options.everyMs ?? defaultEveryMs)
  timer.unref()
  return async () => {
    ending = true
    clearInterval(timer)
    await round
  }
}

async function tidy({ broker, database, log }: HousekeepingOptions): Promise<void> {
  const at = broker.clock()
  const tasks = [
    () => summariseRefusals(broker),
    () => publishAbandoned(broker),
    () => settleAll(broker),
    () => database.read((db) => forgetExpiredNonces(db, at)),
    () => database.read((db) => forgetExpiredSessions(db, at)),
  ]
  for (const task of tasks) {
    try {
      await task()
    } catch (error) {
      if (!isFailure(error)) throw error
      log.warn(describeError(error), 'housekeeping failed')
    }
  }
}
