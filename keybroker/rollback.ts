import { equal } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { commit } from '#core/wire/commitment.js'
import { type Entry, encodeEntry, type ProposalEntry, parseEntry, type StateEntry } from '#core/wire/entries.js'
import type { Broker } from '#keybroker/broker.js'
import { pendingEntry, verifyPending } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { LogRecord, Store } from '#keybroker/ports.js'
import type { NewEntry } from '#keybroker/stored.js'

/** What the log has of this broker and its database has no more. */
export interface Lost {
  /** entries of the log when it was looked at */
  readonly size: number
  /** their indexes, lowest first */
  readonly indexes: readonly number[]
  /** changes of owners among them */
  readonly changes: readonly { readonly index: number; readonly entry: OwnedEntry }[]
}

type OwnedEntry = StateEntry | ProposalEntry

/** A change that took effect, or a proposal that was called off: without it more may be allowed than its owner left. */
function isOwned(entry: Entry): entry is OwnedEntry {
  return entry.kind === 'state' || (entry.kind === 'proposal' && entry.act === 'cancelled')
}

/** What has to come again. The model is a commitment of its own in each entry, and tells nothing. */
function nameOf(entry: OwnedEntry): string {
  return entry.kind === 'state' ? `${entry.change} ${entry.sequence}` : `cancelled ${entry.change}`
}

/** The first this many are looked at: a database that lost more is as much behind. */
const lostMax = 10_000
const pendingMax = 10_000

/**
 * Entries of the log, from `from` on, that stand in no row here. Each was stored here before it was given to the log, so a database
 * without it is an older one, or somebody took a row away (TRUST 8).
 */
export async function findLost(
  store: Pick<Store, 'loadPending' | 'listUnrecorded'>,
  log: LogRecord,
  from: number,
): Promise<Lost> {
  const size = await log.size()
  // In this order: what was in the log by now waits in a row here, or has its index there when that is asked next.
  const pending = await store.loadPending(null, pendingMax)
  const unrecorded = await store.listUnrecorded(from, size, lostMax)
  const indexes: number[] = []
  const changes: { index: number; entry: OwnedEntry }[] = []
  for (const index of unrecorded) {
    const leaf = await log.entry(index)
    if (pending.some((one) => equal(one.leaf, leaf))) continue
    indexes.push(index)
    const entry = parseEntry(leaf)
    if (isOwned(entry)) changes.push({ index, entry })
  }
  return { size, indexes, changes }
}

/**
 * This database is not behind the log, or an operator said in the log that it is known to be: then owners whose changes were lost
 * have to send them again before anything of theirs is decided.
 *
 * Invariant: what is not found here stops every decision at once, until a later call finds it mended or acknowledged.
 * trusts  that the log was compared with its witnesses just now
 * throws  broker/rollback, broker/record, database/..., log/...
 */
export async function verifyNotBehind(
  broker: Pick<Broker, 'store' | 'heads' | 'callerSecret'>,
  log: LogRecord,
): Promise<void> {
  const { store, heads } = broker
  try {
    const known = await acknowledged(broker, log)
    const lost = await findLost(store, log, 0)
    const unknown = lost.indexes.filter((index) => index >= known)
    if (unknown.length > 0) {
      const hint =
        'restore a newer backup; or say in the log that it is known: ./claviger keybroker acknowledge-rollback --state FOLDER'
      const message = `this database is behind the log: ${unknown.length} entries from index ${unknown[0]} on are not in it`
      throw new Failure<BrokerCode>('broker/rollback', message, { detail: { hint } })
    }
    heads.resume(await tenantsBehind(store, lost))
  } catch (error) {
    // A forged acknowledgement is no better than none.
    if (isFailure(error) && error.code.startsWith('broker/')) heads.halt(error)
    throw error
  }
}

/** Up to which size of the log an operator has said that entries may be missing here. The entry has to be in the log itself. */
async function acknowledged(
  { store, callerSecret }: Pick<Broker, 'store' | 'callerSecret'>,
  log: LogRecord,
): Promise<number> {
  const row = await store.loadAcknowledgement()
  if (row?.index == null || row.index >= (await log.size())) return 0
  verifyPending(row, callerSecret)
  const entry = parseEntry(row.leaf)
  if (entry.kind !== 'rollback' || !equal(row.leaf, await log.entry(row.index)))
    throw new Failure<BrokerCode>('broker/record', 'the stored acknowledgement of a rollback is not the one in the log')
  return entry.log_size
}

/** Owners with a change that was lost and not sent again: their statements here are older than those that they signed. */
async function tenantsBehind(
  store: Pick<Store, 'listPseudonyms' | 'read'>,
  { changes }: Lost,
): Promise<ReadonlySet<string>> {
  const behind = new Set<string>()
  if (changes.length === 0) return behind
  for (const { tenant, opening } of await store.listPseudonyms()) {
    const pseudonym = commit('tenant', tenant, opening)
    const own = changes.filter(({ entry }) => entry.tenant === pseudonym)
    if (own.length === 0) continue
    const known = await store.read((reader) => reader.listStateEntries(tenant))
    const stored = known.map((leaf) => parseEntry(leaf)).filter(isOwned)
    // What is told apart by kind and number alone is counted: as many as were lost have to come after them.
    const isSentAgain = (of: OwnedEntry) => {
      const same = (one: OwnedEntry) => nameOf(one) === nameOf(of)
      const lost = own.filter(({ entry }) => same(entry))
      return stored.filter((one) => same(one) && one.at >= of.at).length >= lost.length
    }
    if (!own.every(({ entry }) => isSentAgain(entry))) behind.add(tenant)
  }
  return behind
}

/**
 * An operator's word, for the log, that this database is known to be behind it. It waits to be logged; nothing is decided before.
 *
 * returns  null when nothing is missing
 */
export async function acknowledgeRollback(
  broker: Pick<Broker, 'store' | 'callerSecret' | 'clock'>,
  log: LogRecord,
): Promise<{ readonly lost: Lost; readonly entry: NewEntry } | null> {
  const lost = await findLost(broker.store, log, 0)
  const [first] = lost.indexes
  if (first === undefined) return null
  const at = broker.clock()
  const leaf = encodeEntry({
    kind: 'rollback',
    type: 'claviger/entry/v1',
    at,
    log_size: lost.size,
    first_lost: first,
    lost: lost.indexes.length,
    changes_lost: lost.changes.length,
    broker: 'UNATTESTED BROKER',
  })
  const entry = pendingEntry(null, 'rollback', false, leaf, {}, at, broker)
  await broker.store.transaction((tx) => tx.appendEntry(entry))
  return { lost, entry }
}
