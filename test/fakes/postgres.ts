import { randomBytes } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { afterAll, afterEach } from 'vitest'
import { type Database, openDatabase, rowsOf } from '#host/database.js'
import { outside } from './outside.js'
import { clusterUrl, startCluster } from './postgres-cluster.js'
import { note, runFolder } from './run-folder.js'

/** One kind of database that the tests of a file run on. */
export interface DatabaseUnderTest {
  readonly name: 'pglite' | 'postgres'
  /** An empty database, this test's: at the next call it is emptied, or on Postgres another, if it is within the same test. */
  open(): Promise<Database>
  /** One of this test's own, and its URL, for child processes; Postgres only. It is gone after the test. */
  openWithUrl?(): Promise<{ readonly database: Database; readonly url: string }>
}

/** PGlite always, and Postgres where it is installed or CLAVIGER_TEST_DATABASE_URL names one. Call it once in a file. */
export function databasesUnderTest(): readonly DatabaseUnderTest[] {
  note('databases', 'pglite')
  const pglite = pgliteUnderTest()
  const place = outside('postgres')
  if (place === undefined) return [pglite]
  note('databases', 'postgres')
  return [pglite, postgresUnderTest(place)]
}

/**
 * The database of a file that tests nothing of databases: Postgres where there is one, since PGlite takes seconds to start
 * and several times as long for each statement. A commit does not wait for the disk. Call it once in a file.
 */
export function anyDatabase(): DatabaseUnderTest {
  const place = outside('postgres')
  note('databases', place === undefined ? 'pglite' : 'postgres')
  return place === undefined ? pgliteUnderTest() : postgresUnderTest(place, '-c synchronous_commit=off')
}

/**
 * A new database for a chain in which nothing depends on its kind, by its URL; null, which is PGlite, where no cluster of this
 * run is to be had. It goes with the cluster.
 */
export async function anyDatabaseUrl(): Promise<string | null> {
  const place = outside('postgres')
  if (place === undefined || process.env.CLAVIGER_TEST_DATABASE_URL !== undefined) return null
  note('databases', 'postgres')
  await startCluster(runFolder(), place)
  const admin = await openDatabase({ url: clusterUrl(runFolder(), 'postgres') })
  try {
    return clusterUrl(runFolder(), await created(admin))
  } finally {
    await admin.close()
  }
}

/** @returns the name of a new database */
async function created(server: Database): Promise<string> {
  const name = `claviger_test_${randomBytes(6).toString('hex')}`
  await server.db.execute(sql`create database ${sql.identifier(name)}`)
  return name
}

/** The schemas that a test made in it are gone. */
async function emptied(database: Database): Promise<Database> {
  const schemas = await rowsOf(
    database.db,
    sql`select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')`,
  )
  for (const { nspname } of schemas) await dropped(database, String(nspname))
  return database
}

const isDeadlock = (error: unknown) =>
  ((error as Error).cause as { readonly code?: string } | undefined)?.code === '40P01'

/** What a test before still asked may stand in the way, and the server then ends either of the two. */
async function dropped(database: Database, schema: string, tries = 5): Promise<void> {
  try {
    await database.db.execute(sql`drop schema ${sql.identifier(schema)} cascade`)
  } catch (error) {
    if (tries === 1 || !isDeadlock(error)) throw error
    await dropped(database, schema, tries - 1)
  }
}

/** One instance a process, since each takes seconds to start and hundreds of megabytes; it ends with the process. */
let pglite: Promise<Database> | undefined

function pgliteUnderTest(): DatabaseUnderTest {
  // Nobody else writes the log of PGlite short, and it lies in memory.
  afterAll(async () => void (await (await pglite)?.db.execute(sql`checkpoint`)))
  return {
    name: 'pglite',
    async open() {
      pglite ??= openDatabase({ memory: true })
      return emptied(await pglite)
    },
  }
}

function postgresUnderTest(place: string, settings = ''): DatabaseUnderTest {
  const given = process.env.CLAVIGER_TEST_DATABASE_URL
  const urlOf = (name: string) => {
    const url = new URL(given ?? clusterUrl(runFolder(), name))
    url.pathname = `/${name}`
    return url.href
  }
  let admin: Promise<Database> | undefined
  const drop = async (name: string, database: Database) => {
    await database.close()
    await (await admin)?.db.execute(sql`drop database ${sql.identifier(name)} with (force)`)
  }
  const create = async () => {
    if (given === undefined) await startCluster(runFolder(), place)
    admin ??= openDatabase({ url: given ?? urlOf('postgres') })
    return created(await admin)
  }
  let shared: Promise<{ name: string; database: Database }> | undefined
  let isTaken = false
  const cleanups: (() => Promise<void>)[] = []
  afterEach(async () => {
    isTaken = false
    for (const cleanup of cleanups.splice(0)) await cleanup()
  })
  afterAll(async () => {
    if (shared !== undefined) {
      const { name, database } = await shared
      await drop(name, database)
    }
    await (await admin)?.close()
  })
  const openNew = async () => {
    const name = await create()
    const url = new URL(urlOf(name))
    if (settings !== '') url.searchParams.set('options', settings)
    return { name, database: await openDatabase({ url: url.href }) }
  }
  const openOwn = async () => {
    const { name, database } = await openNew()
    cleanups.push(() => drop(name, database))
    return { database, url: urlOf(name) }
  }
  return {
    name: 'postgres',
    async open() {
      if (isTaken) return (await openOwn()).database
      isTaken = true
      shared ??= openNew()
      return emptied((await shared).database)
    },
    openWithUrl: openOwn,
  }
}
