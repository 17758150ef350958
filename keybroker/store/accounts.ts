import { desc, eq } from 'drizzle-orm'
import type { Connection } from '#host/database.js'
import { accounts, entries } from '#keybroker/store/schema.js'

/** The account of inferences as it was stored last, and the id of the last entry made with it; null for none. */
export async function loadAccount(
  db: Connection,
  id: string,
): Promise<{ readonly state: Uint8Array | null; readonly entry: string | null }> {
  const [found] = await db.select({ state: accounts.state }).from(accounts).where(eq(accounts.id, id))
  const [last] = await db
    .select({ id: entries.id })
    .from(entries)
    .where(eq(entries.account, id))
    .orderBy(desc(entries.position))
    .limit(1)
  return { state: found?.state ?? null, entry: last?.id ?? null }
}

/** The account stands so from now on. Call it in the transaction of the entry that it changed with. */
export async function storeAccount(db: Connection, id: string, state: Uint8Array): Promise<void> {
  await db.insert(accounts).values({ id, state }).onConflictDoUpdate({ target: accounts.id, set: { state } })
}
