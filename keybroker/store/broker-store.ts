import { and, eq, isNull } from 'drizzle-orm'
import type { Connection, Database } from '#host/database.js'
import { verifyDurable } from '#host/durability.js'
import type { Store } from '#keybroker/ports.js'
import { batchedSteps } from '#keybroker/store/batched.js'
import {
  appendEntry,
  countRefusal,
  listUnrecorded,
  loadNewestOfKind,
  loadPendingEntries,
  takeRefusals,
} from '#keybroker/store/entries.js'
import { takeRate } from '#keybroker/store/rates.js'
import { readerOf, toEntry } from '#keybroker/store/reader.js'
import { entries, pseudonyms } from '#keybroker/store/schema.js'
import { transactionOf } from '#keybroker/store/transaction.js'
import type { StoredEntry } from '#keybroker/stored.js'

/** The broker's port to its database. */
export function brokerStore(database: Database): Store {
  return {
    read: (work) => database.read((db) => work(readerOf(db))),
    transaction: (work, queue) =>
      database.transaction((tx) => work(transactionOf(tx)), {
        isolation: 'serializable',
        ...(queue === undefined ? {} : { queue: `claviger/keybroker ${queue}` }),
      }),
    verifyDurable: () => verifyDurable(database),
    ...batchedSteps(database),
    loadPending: (tenant, limit) => database.read((db) => loadPending(db, tenant, limit)),
    listUnrecorded: (from, to, limit) => database.read((db) => listUnrecorded(db, from, to, limit)),
    loadAcknowledgement: async () => {
      const row = await database.read((db) => loadNewestOfKind(db, 'rollback'))
      return row === null ? null : toEntry(row)
    },
    listPseudonyms: () => database.read((db) => db.select().from(pseudonyms)),
    takeRate: (name, most, wanted) => database.read((db) => takeRate(db, name, most, wanted)),
    countRefusal: (code, periodStart, count) =>
      database.read((db) => countRefusal(db, { tenant: '', code, periodStart, count })),
    takeRefusals: (before, entryOf) =>
      database.transaction(async (tx) => {
        const counts = await takeRefusals(tx, before)
        if (counts.length === 0) return null
        const entry = entryOf(counts)
        await appendEntry(tx, entry)
        return entry
      }),
  }
}

async function loadPending(db: Connection, tenant: string | null, limit: number): Promise<readonly StoredEntry[]> {
  if (tenant === null) return (await loadPendingEntries(db, limit)).map(toEntry)
  const rows = await db
    .select()
    .from(entries)
    .where(and(eq(entries.tenant, tenant), isNull(entries.entryIndex)))
    .orderBy(entries.position)
    .limit(limit)
  return rows.map(toEntry)
}
