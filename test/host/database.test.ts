import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { afterAll, describe, expect, test } from 'vitest'
import { type Connection, migrate, openDatabase, rowsOf } from '#host/database.js'
import { describeDurability, verifyDurable } from '#host/durability.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

const scratch = mkdtempSync(join(tmpdir(), 'claviger-database-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function migrationsOf(name: string, ...statements: readonly string[]): string {
  const folder = join(scratch, name)
  mkdirSync(join(folder, 'meta'), { recursive: true })
  const entries = statements.map((text, idx) => {
    const tag = `000${idx}_step`
    writeFileSync(join(folder, `${tag}.sql`), text)
    return { idx, version: '7', when: 1000 + idx, tag, breakpoints: true }
  })
  writeFileSync(join(folder, 'meta/_journal.json'), JSON.stringify({ version: '7', dialect: 'postgresql', entries }))
  return folder
}
const counter = migrationsOf('counter', 'create table counter.counter (id integer primary key, n integer not null);')

const count = async (db: Connection) =>
  (await rowsOf(db, sql`select n from counter.counter where id = 1`))[0]?.n as number | undefined

const databases = databasesUnderTest()

describe.each(databases)('a database: $name', ({ name, open }) => {
  test('runs each owner’s migrations once, whoever comes, and keeps owners apart', async () => {
    const database = await open()
    const other = migrationsOf(`other-${name}`, 'create table other.counter (id integer primary key);')
    await Promise.all([
      ...Array.from({ length: 4 }, () => migrate(database, { schema: 'counter', folder: counter })),
      migrate(database, { schema: 'other', folder: other }),
    ])
    expect(await rowsOf(database.db, sql`select count(*)::int as n from counter.migrations`)).toEqual([{ n: 1 }])
    const more = migrationsOf(
      `more-${name}`,
      'create table counter.counter (id integer primary key, n integer not null);',
      'insert into counter.counter values (1, 7);',
    )
    await migrate(database, { schema: 'counter', folder: more })
    expect(await count(database.db)).toBe(7)
  })

  test('a migration that fails changes nothing and says whose it was', async () => {
    const database = await open()
    const broken = migrationsOf(`broken-${name}`, 'create table broken.one (id integer);', 'select nonsense;')
    await expect(migrate(database, { schema: 'broken', folder: broken })).rejects.toMatchObject({
      code: 'database/migration',
      message: 'the migrations of broken do not apply',
    })
    expect(await rowsOf(database.db, sql`select to_regclass('broken.one') as found`)).toEqual([{ found: null }])
  })

  test('a transaction happens whole or not at all', async () => {
    const database = await open()
    await migrate(database, { schema: 'counter', folder: counter })
    const stop = new Error('stop')
    const failing = database.transaction(async (tx) => {
      await tx.execute(sql`insert into counter.counter values (1, 1)`)
      throw stop
    })
    await expect(failing).rejects.toBe(stop)
    expect(await count(database.db)).toBeUndefined()
  })

  test('serializable transactions that disturb each other are run again until all are done', async () => {
    const database = await open()
    await migrate(database, { schema: 'counter', folder: counter })
    await database.db.execute(sql`insert into counter.counter values (1, 0)`)
    const increment = () =>
      database.transaction(
        async (tx) => {
          const n = await count(tx)
          await tx.execute(sql`update counter.counter set n = ${n! + 1} where id = 1`)
        },
        { isolation: 'serializable' },
      )
    await Promise.all(Array.from({ length: 6 }, increment))
    expect(await count(database.db)).toBe(6)
  })

  test('errors become codes, and do not quote what was stored', async () => {
    const database = await open()
    await migrate(database, { schema: 'counter', folder: counter })
    const insert = (n: number | null) =>
      database.read((db) => db.execute(sql`insert into counter.counter values (1, ${n})`))
    await insert(424242)
    const failure = await insert(434343).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'database/duplicate', detail: { sqlState: '23505', table: 'counter' } })
    expect(JSON.stringify(failure) + String(failure) + String((failure as Error).cause)).not.toMatch(/424242|434343/)
    await expect(insert(null)).rejects.toMatchObject({ code: 'database/constraint' })
    await expect(database.read((db) => db.execute(sql`select 1 from nowhere`))).rejects.toMatchObject({
      code: 'database/failed',
    })
  })

  test('using the database instead of the transaction’s connection is a bug that is found at once', async () => {
    const database = await open()
    await expect(database.transaction(async () => database.db.execute(sql`select 1`))).rejects.toThrow('assertion')
    await expect(database.transaction(() => database.transaction(async () => 1))).rejects.toThrow('assertion')
  })

  test('says what a commit survives', async () => {
    const database = await open()
    if (name === 'pglite') {
      expect(await describeDurability(database)).toContain('nothing survives this process')
      await expect(verifyDurable(database)).rejects.toMatchObject({
        code: 'database/not-durable',
        detail: { hint: expect.stringContaining('serve create') },
      })
    } else {
      expect(await describeDurability(database)).toMatch(/^Postgres \d+.*survives a power failure/)
      await verifyDurable(database)
    }
  })
})

describe.each(databases.filter((one) => one.openWithUrl))('a Postgres server', ({ openWithUrl }) => {
  test('with synchronous_commit off is not durable', async () => {
    const { database, url } = await openWithUrl!()
    await database.db.execute(
      sql`do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$`,
    )
    const lax = await openDatabase({ url })
    try {
      await expect(verifyDurable(lax)).rejects.toMatchObject({
        code: 'database/not-durable',
        detail: { hint: expect.stringContaining('alter system') },
      })
      expect(await describeDurability(lax)).toContain('NOT DURABLE')
    } finally {
      await lax.close()
    }
  })

  test('that ends a connection is reported as such, and the next statement finds a new one', async () => {
    const { database } = await openWithUrl!()
    const killed = database.read((db) => db.execute(sql`select pg_terminate_backend(pg_backend_pid())`))
    await expect(killed).rejects.toMatchObject({ code: 'database/unreachable' })
    expect(await database.read((db) => rowsOf(db, sql`select 1 as one`))).toEqual([{ one: 1 }])
  })

  test.each([undefined, 'queue'] as const)(
    'that ends a connection while a transaction does something else fails that transaction, and nothing beside it (%s)',
    async (queue) => {
      const { database, url } = await openWithUrl!()
      const other = await openDatabase({ url })
      const working = database.transaction(
        async (tx) => {
          const [row] = await rowsOf(tx, sql`select pg_backend_pid() as pid`)
          await rowsOf(other.db, sql`select pg_terminate_backend(${Number(row?.pid)})`)
          await pause(100)
          return rowsOf(tx, sql`select 1 as one`)
        },
        queue === undefined ? {} : { queue },
      )
      await expect(working).rejects.toMatchObject({ code: 'database/unreachable' })
      expect(await database.read((db) => rowsOf(db, sql`select 1 as one`))).toEqual([{ one: 1 }])
      await other.close()
    },
  )

  test('that is not there is unreachable', async () => {
    await expect(openDatabase({ url: 'postgres://nobody@127.0.0.1:9/none' })).rejects.toMatchObject({
      code: 'database/unreachable',
    })
  })
})

describe('a PGlite folder', () => {
  test('serves one opener at a time and is free again after it', async () => {
    const folder = join(scratch, 'one')
    const first = await openDatabase({ folder })
    await expect(openDatabase({ folder })).rejects.toMatchObject({
      code: 'database/locked',
      message: expect.stringContaining(`process ${process.pid} has the database open`),
    })
    await first.close()
    const second = await openDatabase({ folder })
    expect(await describeDurability(second)).toContain('not a power failure')
    await second.close()
  })

  test('takes over the lock of a dead process, never that of a live one', async () => {
    const folder = join(scratch, 'two')
    mkdirSync(folder)
    const child = spawn('sleep', ['60'])
    writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: child.pid, started: '' }))
    await expect(openDatabase({ folder })).rejects.toMatchObject({ code: 'database/locked' })
    await new Promise((done) => {
      child.on('exit', done)
      child.kill('SIGKILL')
    })
    await (await openDatabase({ folder })).close()
    // The pid lives, but is another process than the one that took the lock.
    writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: process.pid, started: '1' }))
    await (await openDatabase({ folder })).close()
    writeFileSync(join(folder, 'lock'), 'not a lock')
    await expect(openDatabase({ folder })).rejects.toMatchObject({ code: 'database/locked' })
  })
})
