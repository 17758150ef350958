import type { UnixSeconds } from '#core/time.js'
import { encodeEntry } from '#core/wire/entries.js'
import type { Broker } from '#keybroker/broker.js'
import { pendingEntry } from '#keybroker/entries.js'
import { publish } from '#keybroker/outbox.js'
import type { NewEntry, RefusalCount } from '#keybroker/stored.js'

/** Length of the periods in which refusals are counted, in seconds. */
const periodSeconds = 60
const codesMax = 200

function periodOf(at: UnixSeconds): UnixSeconds {
  return at - (at % periodSeconds)
}

/** Requests that were refused before they were decisions, one unless said. `code` is one of ours, never text of the request. */
export async function countRefusal(broker: Broker, code: string, count = 1): Promise<void> {
  await broker.store.countRefusal(code, periodOf(broker.clock()), count)
}

/**
 * The refusals of all periods that are over stand in the log, as counts by code and nothing else (SETTLED 10).
 * Nothing is written when there were none.
 *
 * returns  index of the entry, or null
 * throws   log/..., database/...
 */
export async function summariseRefusals(broker: Broker): Promise<number | null> {
  const at = broker.clock()
  const entry = await broker.store.takeRefusals(periodOf(at), (counts) => writeSummary(counts, at, broker))
  return entry === null ? null : (await publish(broker, entry)).index
}

function writeSummary(counts: readonly RefusalCount[], at: UnixSeconds, broker: Broker): NewEntry {
  const byCode = new Map<string, number>()
  for (const { code, count } of counts) byCode.set(code, (byCode.get(code) ?? 0) + count)
  const sorted = [...byCode].sort(([a], [b]) => (a < b ? -1 : 1))
  const rest = sorted.slice(codesMax - 1)
  const named = rest.length > 1 ? sorted.slice(0, codesMax - 1) : sorted
  const others = rest.length > 1 ? [{ code: 'other', count: rest.reduce((sum, [, count]) => sum + count, 0) }] : []
  const since = Math.min(...counts.map((one) => one.periodStart))
  const leaf = encodeEntry({
    kind: 'refusals',
    type: 'claviger/entry/v1',
    at,
    since,
    counts: [...named.map(([code, count]) => ({ code, count })), ...others],
  })
  return pendingEntry(null, 'refusals', false, leaf, {}, at, broker)
}
