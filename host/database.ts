/**
 * What belongs in host: what every process needs at its rim. Databases, HTTP, configuration, files, child processes.
 * Imported by edges only. Nothing in it knows a key, a policy or a kind of evidence.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { type SQL, sql } from 'drizzle-orm'
import { drizzle as drizzleNodePostgres } from 'drizzle-orm/node-postgres'
import { migrate as migrateNodePostgres } from 'drizzle-orm/node-postgres/migrator'
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite'
import { migrate as migratePglite } from 'drizzle-orm/pglite/migrator'
import pg from 'pg'
import { assert } from '#core/assert.js'
import { Failure } from '#core/failure.js'
import { type DatabaseCode, databaseFailure, isConflict } from '#host/database-failures.js'
import { lockFolder } from '#host/folder-lock.js'
import { pauseAfter, transactionInQueue, triesMax } from '#host/queued.js'
import { inSpan } from '#host/spans.js'
import { verifyPrimary } from '#host/standby.js'
import { advisoryKey, keyedTurns, ownTurns, postgresTurns, type Turns } from '#host/turns.js'

/** Where statements run: outside a transaction, or inside one. The same code runs on both drivers. */
export type Connection = PgDatabase<PgQueryResultHKT>

export type DatabaseConfig = { readonly url: string } | { readonly folder: string } | { readonly memory: true }

export interface TransactionOptions {
  /** `serializable`: as if transactions ran one after the other. Default: the database's, read committed. */
  readonly isolation?: 'serializable'
  /**
   * Transactions of one queue begin one after the other, in all processes: serializable ones that count the same rows would
   * otherwise undo each other until the tries run out. A courtesy: what they do is as safe without it.
   */
  readonly queue?: string
}

/** One open database. */
export interface Database {
  readonly dialect: 'postgres' | 'pglite'
  /**
   * For one statement outside a transaction. Errors of the database come as the library's: use `read` to have them mapped.
   * Reaching for it inside a transaction is a bug and asserts, since PGlite would wait for itself for ever.
   */
  readonly db: Connection
  /** Runs statements outside a transaction. @throws database/... */
  read<T>(work: (db: Connection) => Promise<T>): Promise<T>
  /**
   * Runs `work` in one transaction: all of it is durable on return, or none of it happened.
   *
   * `work` may run several times, since a transaction that the database gave up (40001, 40P01) is run again, 12 times in
   * all: it must have no effect besides its statements, and use only the connection that it is given.
   * throws  what `work` throws; database/conflict when every try was given up; other database/... codes
   */
  transaction<T>(work: (tx: Connection) => Promise<T>, options?: TransactionOptions): Promise<T>
  /** Turns of this name among the processes that have this database open; the caller closes them. */
  turns(name: string): Turns
  /** Ends all connections and gives the folder free. */
  close(): Promise<void>
}

const connectTimeoutMs = 10_000
const statementTimeoutMs = 30_000
const connectionsMax = 10

interface Inside extends Database {
  readonly inside: AsyncLocalStorage<true>
  /** a transaction among those of all processes; undefined on PGlite, where the queue within this process is all there is */
  readonly queued:
    | (<T>(
        name: string,
        isolation: string,
        work: (tx: Connection) => Promise<T>,
        began: (tries: number) => void,
      ) => Promise<T>)
    | undefined
  /** one advisory lock on one connection of its own while `work` runs */
  exclusively(key: string, work: (db: Connection, run: MigrateWith) => Promise<void>): Promise<void>
  readonly place: string
}
type MigrateWith = (config: {
  migrationsFolder: string
  migrationsSchema: string
  migrationsTable: string
}) => Promise<void>

const opened = new WeakMap<Database, Inside>()

function insideOf(database: Database): Inside {
  const found = opened.get(database)
  assert(found, 'the database was opened by openDatabase')
  return found
}

/** The rows of a raw statement. */
export async function rowsOf(db: Connection, statement: SQL): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const result = (await db.execute(statement)) as unknown as { rows: Readonly<Record<string, unknown>>[] }
  return result.rows
}

async function runTransaction<T>(
  db: Connection,
  inside: AsyncLocalStorage<true>,
  work: (tx: Connection) => Promise<T>,
  isolationLevel: 'serializable' | 'read committed',
  began: (tries: number) => void,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    began(tries)
    try {
      return await inside.run(true, () => db.transaction((tx) => work(tx as unknown as Connection), { isolationLevel }))
    } catch (error) {
      if (!isConflict(error) || tries >= triesMax) throw databaseFailure(error)
      await pauseAfter(tries)
    }
  }
}

function makeDatabase(
  dialect: Database['dialect'],
  db: Connection,
  rest: Pick<Inside, 'exclusively' | 'place' | 'turns' | 'queued'> & { close(): Promise<void> },
): Database {
  const inside = new AsyncLocalStorage<true>()
  const queues = keyedTurns()
  const system = { 'db.system.name': dialect === 'postgres' ? 'postgresql' : 'pglite' } as const
  let closing: Promise<void> | undefined
  const database: Inside = {
    dialect,
    inside,
    place: rest.place,
    exclusively: rest.exclusively,
    turns: rest.turns,
    queued: rest.queued,
    get db() {
      assert(inside.getStore() === undefined, 'inside a transaction only its own connection is used')
      return db
    },
    async read(work) {
      return inSpan('db read', system, async () => {
        try {
          return await work(database.db)
        } catch (error) {
          throw databaseFailure(error)
        }
      })
    },
    async transaction(work, options = {}) {
      assert(inside.getStore() === undefined, 'a transaction does not open another one')
      const { queue, isolation = 'read committed' } = options
      return inSpan('db transaction', system, async (add) => {
        const began = (tries: number) => add({ 'claviger.db.attempts': tries })
        if (queue === undefined) return runTransaction(db, inside, work, isolation, began)
        const own = (tx: Connection) => inside.run(true, () => work(tx))
        const run = () =>
          rest.queued?.(queue, isolation, own, began) ?? runTransaction(db, inside, work, isolation, began)
        try {
          return await queues.take(queue, run)
        } catch (error) {
          throw databaseFailure(error)
        }
      })
    },
    close: () => (closing ??= rest.close()),
  }
  opened.set(database, database)
  return database
}

async function openPglite(folder: string | undefined): Promise<Database> {
  if (folder !== undefined) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = folder === undefined ? undefined : lockFolder(folder)
  let client: PGlite
  try {
    client = folder === undefined ? new PGlite() : new PGlite(join(folder, 'data'))
    await client.waitReady
  } catch (cause) {
    lock?.release()
    throw new Failure<DatabaseCode>('database/failed', `the database in ${folder ?? 'memory'} does not open`, { cause })
  }
  const drizzled = drizzlePglite(client)
  const db = drizzled as unknown as Connection
  let last: Promise<void> = Promise.resolve()
  return makeDatabase('pglite', db, {
    place: folder ?? 'memory',
    turns: () => ownTurns(),
    queued: undefined,
    // One process and one connection: a queue is the whole lock.
    exclusively(_key, work) {
      const mine = last.then(() => work(db, (config) => migratePglite(drizzled, config)))
      last = mine.catch(() => undefined)
      return mine
    },
    async close() {
      await client.close()
      lock?.release()
    },
  })
}

/** One for each connection of a pool, made once. */
const connections = new WeakMap<pg.PoolClient, Connection>()

function connectionOf(client: pg.PoolClient): Connection {
  const known = connections.get(client) ?? (drizzleNodePostgres(client) as unknown as Connection)
  connections.set(client, known)
  return known
}

async function openPostgres(url: string): Promise<Database> {
  const pool = new pg.Pool({
    connectionString: url,
    max: connectionsMax,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    application_name: 'claviger',
  })
  // Invariant: every connection is to a primary, that of a failover too: a standby says what was true (TRUST 8).
  Object.assign(pool.options, { verify: verifyPrimary })
  // An idle connection that breaks is not an event of ours: whoever uses the database next is told.
  pool.on('error', () => undefined)
  // Nor is one that breaks while somebody has it and says nothing: its next statement fails, where without a listener the
  // process would end.
  pool.on('connect', (client) => client.on('error', () => undefined))
  const db = drizzleNodePostgres(pool) as unknown as Connection
  try {
    await rowsOf(db, sql`select 1`)
  } catch (error) {
    await pool.end()
    throw databaseFailure(error)
  }
  return makeDatabase('postgres', db, {
    place: 'postgres',
    turns: (name) => postgresTurns(url, name),
    queued: (name, isolation, work, began) =>
      transactionInQueue(pool, name, isolation, (client) => work(connectionOf(client)), began),
    async exclusively(key, work) {
      const client = await pool.connect()
      // Invariant: one connection of its own, since a session's advisory lock is the connection's.
      const own = drizzleNodePostgres(client)
      let broken = true
      try {
        await client.query(`set statement_timeout = 0`)
        await client.query('select pg_advisory_lock($1)', [advisoryKey(key)])
        await work(own as unknown as Connection, (config) => migrateNodePostgres(own, config))
        await client.query('select pg_advisory_unlock($1)', [advisoryKey(key)])
        await client.query(`set statement_timeout = ${statementTimeoutMs}`)
        broken = false
      } finally {
        client.release(broken) // a connection that may still hold the lock is closed, which frees it
      }
    },
    close: () => pool.end(),
  })
}

/**
 * An open database: Postgres at a URL, or PGlite in a folder of its own or in memory.
 *
 * A PGlite folder serves one process: a second one is refused.
 * throws  database/locked, database/unreachable, database/failed
 */
export async function openDatabase(config: DatabaseConfig): Promise<Database> {
  if ('url' in config) return openPostgres(config.url)
  return openPglite('folder' in config ? config.folder : undefined)
}

/**
 * The tables of one owner are as its migration folder says (drizzle's format, `meta/_journal.json`).
 *
 * schema  the owner's Postgres schema, which holds its tables and its journal; the statements name it
 * folder  absolute path of the owner's migrations
 * throws  database/migration, database/unreachable
 */
export async function migrate(
  database: Database,
  owner: { readonly schema: string; readonly folder: string },
): Promise<void> {
  assert(/^[a-z][a-z_]{0,30}$/.test(owner.schema), 'a schema name is a few lowercase letters')
  try {
    // One lock for all owners: drizzle's migrator alone fails when two of it meet.
    await insideOf(database).exclusively('claviger/migrations', (_db, run) =>
      run({ migrationsFolder: owner.folder, migrationsSchema: owner.schema, migrationsTable: 'migrations' }),
    )
  } catch (error) {
    const mapped = databaseFailure(error)
    if (mapped instanceof Failure && mapped.code === 'database/unreachable') throw mapped
    const message = `the migrations of ${owner.schema} do not apply`
    throw new Failure<DatabaseCode>('database/migration', message, { cause: mapped })
  }
}

/** Where its commits go: a folder, `memory` or `postgres`. */
export function placeOf(database: Database): string {
  return insideOf(database).place
}
