import type { Broker } from '#keybroker/broker.js'
import { verifyPending } from '#keybroker/entries.js'
import type { NewEntry } from '#keybroker/stored.js'

/** Where an entry stands, and its proof. */
export interface Published {
  readonly index: number
  readonly proof: string
}

/** What brings entries to the log. */
export interface LogWriter extends Pick<Broker, 'log'> {
  readonly store: Pick<Broker['store'], 'recordIndex'>
}

const batchMax = 256

/**
 * The entry, which is stored, stands in the log, and the store knows where (I3).
 *
 * A crash before the log has it leaves it pending; one after leaves it pending too, and the log tells its index again.
 * throws  log/..., database/..., store/entry-index
 */
export async function publish(broker: LogWriter, entry: Pick<NewEntry, 'id' | 'leaf'>): Promise<Published> {
  const published = await broker.log.append(entry.leaf)
  await broker.store.recordIndex(entry.id, published.index)
  return published
}

/**
 * Every entry that waits for the log has reached it, oldest first: of one tenant, or of all at the start of a broker.
 *
 * Invariant: of one tenant a later entry never overtakes an earlier one here, so that a decision made before a change
 * stands before it in the log, and one made after stands after it (TRUST 8, 10).
 * throws  broker/record, log/..., database/...
 */
export async function publishPending(broker: Broker, tenant: string | null): Promise<number> {
  let count = 0
  for (;;) {
    const pending = await broker.store.loadPending(tenant, batchMax)
    for (const entry of pending) {
      verifyPending(entry, broker.callerSecret)
      await publish(broker, entry)
    }
    count += pending.length
    if (pending.length < batchMax) return count
  }
}

/** Longer than any request takes: whoever stored an entry and has not logged it by then has died, or lost the log. */
const abandonedSeconds = 90

/**
 * Entries that nobody is about to log have reached the log: those about no tenant, which other processes of the operator stored,
 * and those of a broker that died beside this one.
 *
 * throws  broker/record, log/..., database/...
 */
export async function publishAbandoned(broker: Broker): Promise<void> {
  const before = broker.clock() - abandonedSeconds
  for (const entry of await broker.store.loadPending(null, batchMax)) {
    if (entry.tenant !== null && entry.recordedAt > before) continue
    verifyPending(entry, broker.callerSecret)
    await publish(broker, entry)
  }
}
