import { sql } from 'drizzle-orm'
import { Failure } from '#core/failure.js'
import { type Database, placeOf, rowsOf } from '#host/database.js'
import type { DatabaseCode } from '#host/database-failures.js'

interface Durability {
  readonly durable: boolean
  readonly text: string
}

async function durabilityOf(database: Database): Promise<Durability> {
  const place = placeOf(database)
  if (database.dialect === 'pglite') {
    const text =
      place === 'memory'
        ? 'PGlite in memory: nothing survives this process'
        : `PGlite in ${place}: what is committed survives the death of this process, not a power failure (it never calls fsync); one process at a time`
    return { durable: false, text }
  }
  const setting = async (name: string) =>
    String((await database.read((db) => rowsOf(db, sql`select current_setting(${name}) as value`)))[0]?.value)
  const fsync = await setting('fsync')
  const commit = await setting('synchronous_commit')
  const version = await setting('server_version')
  const durable = fsync === 'on' && commit !== 'off'
  const meaning = durable ? 'what is committed survives a power failure' : 'NOT DURABLE, a power failure loses commits'
  return { durable, text: `Postgres ${version}: ${meaning} (fsync ${fsync}, synchronous_commit ${commit})` }
}

/** One line for the start of a service: what a commit to this database survives. */
export async function describeDurability(database: Database): Promise<string> {
  return (await durabilityOf(database)).text
}

/** Returns only when a commit survives a power failure. @throws database/not-durable, database/unreachable */
export async function verifyDurable(database: Database): Promise<void> {
  const { durable, text } = await durabilityOf(database)
  if (durable) return
  // Where the folder lies is its operator's to know: this message goes out to whoever asked.
  const message = database.dialect === 'pglite' ? 'PGlite does not survive a power failure' : text
  const hint =
    database.dialect === 'pglite'
      ? 'create the services on Postgres: ./claviger serve create --state NEW --database-url postgres://…'
      : 'alter system set fsync = on; alter system set synchronous_commit = on; then restart Postgres'
  throw new Failure<DatabaseCode>('database/not-durable', message, { detail: { hint } })
}
