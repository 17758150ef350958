import { and, desc, eq, gte, inArray, isNotNull, isNull, lt, max, sql } from 'drizzle-orm'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type Connection, rowsOf } from '#host/database.js'
import { type NamedStatement, namedRows } from '#host/named.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { entries, refusals, requests } from '#keybroker/store/schema.js'

export type EntryRow = typeof entries.$inferSelect
export type NewEntry = Omit<EntryRow, 'position' | 'entryIndex'>
export type RequestRow = typeof requests.$inferSelect

/**
 * The entry waits for the log. Call it in the transaction of the change that it reports: either both are durable, or
 * neither happened (I3).
 *
 * The id is the caller's; the log is told it too, so that handing an entry over twice makes one entry.
 */
export async function appendEntry(db: Connection, row: NewEntry): Promise<void> {
  await db.insert(entries).values(row)
}

/** Entries that the log has not confirmed yet, in the order of their making, at most `limit`. */
export async function loadPendingEntries(db: Connection, limit: number): Promise<readonly EntryRow[]> {
  return db.select().from(entries).where(isNull(entries.entryIndex)).orderBy(entries.position).limit(limit)
}

export interface EntryIndex {
  readonly id: string
  readonly entryIndex: number
}

/**
 * What the database loses of it with its last moments before a crash is found again: the entry waits then, and the log tells its index.
 * So this statement waits for no disk. Rows are locked in the order of their ids.
 */
const indexesStatement: NamedStatement = {
  name: 'entries_index',
  text: `
  with waiting as materialized (
    select e.id, wanted.entry_index from keybroker.entries e
      join unnest($1::text[], $2::bigint[]) as wanted (id, entry_index) on wanted.id = e.id
      where e.entry_index is null order by e.id for update of e)
  update keybroker.entries e set entry_index = waiting.entry_index
    from waiting cross join (select set_config('synchronous_commit', 'off', true)) setting
    where e.id = waiting.id returning e.id`,
}

/** These entries have their indexes in the log. @returns those that had none before; the others are left as they are */
export async function recordEntryIndexes(
  db: Connection,
  some: readonly EntryIndex[],
): Promise<ReadonlySet<EntryIndex>> {
  const firsts = [...new Map(some.map((one) => [one.id, one] as const).toReversed()).values()]
  const ids = firsts.map((one) => one.id)
  const rows = await namedRows(db, indexesStatement, [ids, firsts.map((one) => one.entryIndex)])
  const done = new Set(rows.map((row) => String(row.id)))
  return new Set(firsts.filter((one) => done.has(one.id)))
}

/**
 * The entry has this index in the log. Saying the same twice changes nothing.
 *
 * throws  store/entry-index, store/entry-unknown
 */
export async function recordEntryIndex(db: Connection, id: string, entryIndex: number): Promise<void> {
  const done = await db
    .update(entries)
    .set({ entryIndex })
    .where(and(eq(entries.id, id), isNull(entries.entryIndex)))
    .returning({ id: entries.id })
  if (done.length > 0) return
  const found = await loadEntry(db, id)
  if (found.entryIndex === entryIndex) return
  throw new Failure<StoreCode>(
    'store/entry-index',
    `entry has index ${found.entryIndex}, the log now says ${entryIndex}`,
  )
}

export async function hasEntry(db: Connection, id: string): Promise<boolean> {
  const found = await db.select({ id: entries.id }).from(entries).where(eq(entries.id, id))
  return found.length > 0
}

/** @throws store/entry-unknown */
export async function loadEntry(db: Connection, id: string): Promise<EntryRow> {
  const [found] = await db.select().from(entries).where(eq(entries.id, id))
  if (!found) throw new Failure<StoreCode>('store/entry-unknown', 'there is no such entry')
  return found
}

/** The entry that stands at an index of the log. @throws store/entry-unknown */
export async function loadEntryAt(db: Connection, entryIndex: number): Promise<EntryRow> {
  const [found] = await db.select().from(entries).where(eq(entries.entryIndex, entryIndex))
  if (!found) throw new Failure<StoreCode>('store/entry-unknown', `entry ${entryIndex} of the log is not this broker's`)
  return found
}

/** Decisions of a tenant that the log has, the newest first: those before an index, or the last. */
export async function listDecisions(
  db: Connection,
  tenant: string,
  before: number | null,
  limit: number,
): Promise<readonly EntryRow[]> {
  const place = before === null ? isNotNull(entries.entryIndex) : lt(entries.entryIndex, before)
  return db
    .select()
    .from(entries)
    .where(and(eq(entries.tenant, tenant), inArray(entries.kind, ['release', 'renewal', 'denial']), place))
    .orderBy(desc(entries.entryIndex))
    .limit(limit)
}

/**
 * Indexes of the log that no entry has. Counting comes first: nearly always none is missing, and then the index alone is read.
 */
export async function listUnrecorded(
  db: Connection,
  from: number,
  to: number,
  limit: number,
): Promise<readonly number[]> {
  const within = and(gte(entries.entryIndex, from), lt(entries.entryIndex, to))
  if ((await db.$count(entries, within)) === to - from) return []
  const rows = await rowsOf(
    db,
    sql`select place from generate_series(${from}::bigint, ${to}::bigint - 1) place
        where not exists (select 1 from ${entries} where entry_index = place) order by place limit ${limit}`,
  )
  return rows.map((row) => Number(row.place))
}

/** The entry of this kind that stands last in the log; null when there is none. */
export async function loadNewestOfKind(db: Connection, kind: string): Promise<EntryRow | null> {
  const [found] = await db
    .select()
    .from(entries)
    .where(and(eq(entries.kind, kind), isNotNull(entries.entryIndex)))
    .orderBy(desc(entries.entryIndex))
    .limit(1)
  return found ?? null
}

/** Leaves of all changes of a tenant, in the order of their making. */
export async function listStateLeaves(db: Connection, tenant: string): Promise<readonly Uint8Array[]> {
  const rows = await db
    .select({ leaf: entries.leaf })
    .from(entries)
    .where(and(eq(entries.tenant, tenant), eq(entries.isState, true)))
    .orderBy(entries.position)
  return rows.map(({ leaf }) => leaf)
}

/**
 * Index of the last state entry of a tenant that the log has; null before the first. Each decision names it, and an
 * auditor looks for state entries between it and the decision.
 */
export async function loadStateIndex(db: Connection, tenant: string): Promise<number | null> {
  const [found] = await db
    .select({ index: max(entries.entryIndex) })
    .from(entries)
    .where(and(eq(entries.tenant, tenant), eq(entries.isState, true)))
  return found?.index ?? null
}

/** Whether a state entry of the tenant still waits for the log: nothing is decided on a change that nobody can see. */
export async function hasPendingState(db: Connection, tenant: string): Promise<boolean> {
  const waiting = and(eq(entries.tenant, tenant), eq(entries.isState, true), isNull(entries.entryIndex))
  return (await db.$count(entries, waiting)) > 0
}

/** The request is not known any more, if it was recorded with this entry. */
export async function forgetRequest(db: Connection, row: Pick<RequestRow, 'tenant' | 'id' | 'entry'>): Promise<void> {
  const { tenant, id, entry } = requests
  await db.delete(requests).where(and(eq(tenant, row.tenant), eq(id, row.id), eq(entry, row.entry)))
}

/** One more refusal of this code in the period that began at `periodStart`. `tenant` is empty when none was named. */
export async function countRefusal(
  db: Connection,
  refusal: {
    readonly tenant: string
    readonly code: string
    readonly periodStart: UnixSeconds
    readonly count?: number
  },
): Promise<void> {
  await db
    .insert(refusals)
    .values({ ...refusal, count: refusal.count ?? 1 })
    .onConflictDoUpdate({
      target: [refusals.tenant, refusals.code, refusals.periodStart],
      set: { count: sql`${refusals.count} + ${refusal.count ?? 1}` },
    })
}

/** The counts of periods that began before `before` are the caller's to report, and are no longer kept. */
export async function takeRefusals(
  db: Connection,
  before: UnixSeconds,
): Promise<readonly (typeof refusals.$inferSelect)[]> {
  return db.delete(refusals).where(lt(refusals.periodStart, before)).returning()
}
