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
  /** An empty database of this test's own; it is closed and gone after the test. */
  open(): Promise<Database>
  /** The same, and its URL, for child processes; Postgres only. */
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

/** One instance a file, since each takes hundreds of megabytes; emptied before each test. */
function pgliteUnderTest(): DatabaseUnderTest {
  let shared: Promise<Database> | undefined
  afterAll(async () => (await shared)?.close())
  return {
    name: 'pglite',
    async open() {
      shared ??= openDatabase({ memory: true })
      const database = await shared
      const schemas = await rowsOf(
        database.db,
        sql`select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')`,
      )
      for (const { nspname } of schemas)
        await database.db.execute(sql`drop schema ${sql.identifier(String(nspname))} cascade`)
      return database
    },
  }
}

function postgresUnderTest(place: string): DatabaseUnderTest {
  const given = process.env.CLAVIGER_TEST_DATABASE_URL
  const urlOf = (name: string) => {
    if (given === undefined) return clusterUrl(runFolder(), name)
    const url = new URL(given)
    url.pathname = `/${name}`
    return url.href
  }
  let admin: Promise<Database> | undefined
  const cleanups: (() => Promise<void>)[] = []
  const openWithUrl = async () => {
    if (given === undefined) await startCluster(runFolder(), place)
    admin ??= openDatabase({ url: given ?? urlOf('postgres') })
    const name = `claviger_test_${randomBytes(6).toString('hex')}`
    const server = await admin
    await server.db.execute(sql`create database ${sql.identifier(name)}`)
    const database = await openDatabase({ url: urlOf(name) })
    cleanups.push(async () => {
      await database.close()
      await server.db.execute(sql`drop database ${sql.identifier(name)} with (force)`)
    })
    return { database, url: urlOf(name) }
  }
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup()
  })
  afterAll(async () => (await admin)?.close())
  return { name: 'postgres', open: async () => (await openWithUrl()).database, openWithUrl }
}
