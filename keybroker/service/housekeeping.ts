import { isFailure } from '#core/failure.js'
import type { Database } from '#host/database.js'
import { describeError, type Log } from '#host/log.js'
import { settleAll } from '#keybroker/approvals/settle.js'
import type { Broker } from '#keybroker/broker.js'
import { publishAbandoned } from '#keybroker/outbox.js'
import type { LogRecord } from '#keybroker/ports.js'
import { countRefusal, summariseRefusals } from '#keybroker/refusals.js'
import { verifyNotBehind } from '#keybroker/rollback.js'
import { forgetExpiredNonces } from '#keybroker/store/nonces.js'
import { forgetRates } from '#keybroker/store/rates.js'
import { forgetExpiredSessions } from '#keybroker/store/sessions.js'

/** Once a minute: what a summary of refusals covers. */
const defaultEveryMs = 60_000

export interface HousekeepingOptions {
  readonly broker: Broker
  readonly database: Database
  readonly log: Log
  /** the transparency log: `refresh` compares it with what its witnesses hold. @throws log/rollback, log/forked, ... */
  readonly record: LogRecord & { refresh(): Promise<void> }
  /** refusals that were counted in memory since the last time it was called */
  readonly takeRefused?: () => ReadonlyMap<string, number>
  readonly everyMs?: number
}

/**
 * What nobody waits for, again and again: the log is compared with its witnesses, and the database with the log; refusals go into the log as counts, as do acts of the operator, and challenges and sessions that expired
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
    // What was counted since the last round is the database's to keep.
    await attempt(options, () => countRefused(options))
  }
}

/** Failures that say that the log went back, or is another: nothing is decided until it is what its witnesses have seen. */
const wentBack: readonly string[] = ['log/rollback', 'log/forked']

/** The log is the one that its witnesses hold, and the database has all of it; else nothing is decided (TRUST 8). */
async function compare({ broker, record }: Pick<HousekeepingOptions, 'broker' | 'record'>): Promise<void> {
  try {
    await record.refresh()
  } catch (error) {
    if (isFailure(error) && wentBack.includes(error.code)) broker.heads.halt(error)
    throw error
  }
  await verifyNotBehind(broker, record)
}

/** What bounds refused is counted where summaries are made from. */
async function countRefused({ broker, takeRefused }: HousekeepingOptions): Promise<void> {
  for (const [code, count] of takeRefused?.() ?? []) await countRefusal(broker, code, count)
}

async function attempt({ log }: HousekeepingOptions, task: () => Promise<unknown>): Promise<void> {
  try {
    await task()
  } catch (error) {
    if (!isFailure(error)) throw error
    log.warn(describeError(error), 'housekeeping failed')
  }
}

async function tidy(options: HousekeepingOptions): Promise<void> {
  const { broker, database, record } = options
  const at = broker.clock()
  const tasks = [
    () => publishAbandoned(broker),
    () => compare({ broker, record }),
    () => settleAll(broker),
    () => countRefused(options),
    () => summariseRefusals(broker),
    () => database.read((db) => forgetExpiredNonces(db, at)),
    () => database.read((db) => forgetExpiredSessions(db, at)),
    () => database.read((db) => forgetRates(db)),
  ]
  for (const task of tasks) await attempt(options, task)
}
