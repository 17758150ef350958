import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { type Database, rowsOf } from '#host/database.js'

/** How many migrations of a folder the database has not had; less than 0 when a newer build has been there. */
export async function pendingMigrations(
  database: Database,
  owner: { readonly schema: string; readonly folder: string },
): Promise<number> {
  const journal = JSON.parse(await readFile(join(owner.folder, 'meta', '_journal.json'), 'utf8')) as {
    readonly entries: readonly unknown[]
  }
  const done = await database.read(async (db) => {
    const table = `${owner.schema}.migrations`
    const [known] = await rowsOf(db, sql`select to_regclass(${table})::text as name`)
    if (known?.name === null || known === undefined) return 0
    const [row] = await rowsOf(db, sql`select count(*) as done from ${sql.identifier(owner.schema)}.migrations`)
    return Number(row?.done)
  })
  return journal.entries.length - done
}
