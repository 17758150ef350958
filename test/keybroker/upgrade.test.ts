import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, describe, expect, test } from 'vitest'
import { toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { payloadDigest } from '#core/wire/statements.js'
import { type Database, migrate, rowsOf } from '#host/database.js'
import { storeMigrations } from '#keybroker/store/open.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { logMigrations } from '#transparency/storage/open.js'
import { ask, gist, granted, type Registered, registered, testNode } from './fixtures.js'

/*
 * Two builds on one database while one replaces the other. Migrations only add (docs/decisions/upgrades.md), so that what the
 * older build reads and writes goes on to fit.
 */

const collateralMigrations = {
  schema: 'attest',
  folder: new URL('../../attest/collateral/migrations', import.meta.url).pathname,
}
const owners = [storeMigrations, logMigrations, collateralMigrations]
const scratch = mkdtempSync(join(tmpdir(), 'claviger-upgrade-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

interface Journal {
  readonly entries: readonly { readonly tag: string }[]
}
const journalOf = (folder: string) => JSON.parse(readFileSync(join(folder, 'meta/_journal.json'), 'utf8')) as Journal

/** The same migrations, but for the newest ones: those of a build before. */
function before({ schema, folder }: (typeof owners)[number], count: number) {
  const older = join(scratch, `${schema}-${count}`)
  cpSync(folder, older, { recursive: true })
  const journal = journalOf(folder)
  writeFileSync(
    join(older, 'meta/_journal.json'),
    JSON.stringify({ ...journal, entries: journal.entries.slice(0, count) }),
  )
  return { schema, folder: older }
}

/** Statements by which something that was there is not there any more, or means something else. */
const destructive =
  /\bdrop\b(?! not null)|\brename\b|\btruncate\b|\bdelete from\b|^\s*update\b|\balter column \S+ (set not null|type|drop default)|\bset schema\b|\bdisable trigger\b/i

describe('migrations', () => {
  test.each(owners.map((one) => [one.schema, one.folder]))('of %s only add', (_, folder) => {
    const tags = journalOf(folder).entries.map(({ tag }) => tag)
    expect(
      readdirSync(folder)
        .filter((name) => name.endsWith('.sql'))
        .sort(),
    ).toEqual(tags.map((tag) => `${tag}.sql`))
    for (const [i, tag] of tags.entries()) {
      const statements = readFileSync(join(folder, `${tag}.sql`), 'utf8')
        .replace(/--(?!> statement-breakpoint).*$/gm, '')
        .split('--> statement-breakpoint')
        // What functions and triggers do is no change of a table.
        .filter((one) => !/^\s*create (or replace )?(function|trigger)\b/i.test(one))
      for (const one of statements) {
        expect(destructive.test(one) ? `${tag}: ${one}` : '').toBe('')
        // An older build leaves a new column out when it writes a row.
        if (i > 0 && /add column/i.test(one) && /not null/i.test(one)) expect(one).toMatch(/default/i)
        // And its rows do not know a new rule.
        if (i > 0) expect(one).not.toMatch(/alter table .* add (constraint|check|foreign|unique|primary)/is)
      }
    }
  })

  test('the rule finds what it is for', () => {
    for (const one of [
      'alter table a drop column b',
      'DROP TABLE a;',
      'alter table a rename to b',
      'alter table a alter column b set not null',
      'alter table a alter column b type text',
      'update a set b = 1',
      'delete from a',
    ])
      expect([one, destructive.test(one)]).toEqual([one, true])
    for (const one of [
      'alter table a alter column b drop not null',
      'create table a (updated text)',
      'alter table a add column b text',
    ])
      expect([one, destructive.test(one)]).toEqual([one, false])
  })
})

interface Column {
  readonly place: string
  readonly type: string
  readonly optional: boolean
}

async function columnsOf(database: Database): Promise<readonly Column[]> {
  const rows = await database.read((db) =>
    rowsOf(
      db,
      sql`select table_schema || '.' || table_name || '.' || column_name as place, data_type as type,
            (is_nullable = 'YES' or column_default is not null or is_identity = 'YES') as optional
          from information_schema.columns where table_schema in ('keybroker', 'transparency', 'attest') and table_name <> 'migrations'
          order by 1`,
    ),
  )
  return rows.map((row) => ({ place: String(row.place), type: String(row.type), optional: row.optional === true }))
}

describe.each(databasesUnderTest())('two builds on one database: $name', ({ open }) => {
  test.each(
    owners.flatMap((one) =>
      journalOf(one.folder)
        .entries.slice(1)
        .map((_, i) => [one.schema, i + 1, one] as const),
    ),
  )(
    '%s: what a build with %i migrations reads and writes is there for it after the newest one',
    async (_, count, owner) => {
      const database = await open()
      await migrate(database, before(owner, count))
      const older = await columnsOf(database)
      await migrate(database, owner)
      const newer = new Map((await columnsOf(database)).map((one) => [one.place, one]))
      const tables = new Set(older.map(({ place }) => place.slice(0, place.lastIndexOf('.'))))
      for (const one of older) {
        const now = newer.get(one.place)
        expect(now).toMatchObject({ type: one.type })
        // What it may leave out, it may still.
        expect([one.place, !one.optional || now?.optional === true]).toEqual([one.place, true])
        newer.delete(one.place)
      }
      for (const { place, optional } of newer.values())
        if (tables.has(place.slice(0, place.lastIndexOf('.')))) expect([place, optional]).toEqual([place, true])
    },
  )

  test('a build that starts on tables of a newer one leaves them as they are, and serves', async () => {
    const database = await open()
    const chain = await registered(database)
    // The newer build has one migration more, in a folder of its own.
    const folder = join(scratch, `newer-${database.dialect}`)
    cpSync(storeMigrations.folder, folder, { recursive: true })
    const journal = JSON.parse(readFileSync(join(folder, 'meta/_journal.json'), 'utf8'))
    const idx = journal.entries.length
    const last = journal.entries.at(-1)
    journal.entries.push({ ...last, idx, when: last.when + 1, tag: 'next' })
    writeFileSync(join(folder, 'meta/_journal.json'), JSON.stringify(journal))
    writeFileSync(
      join(folder, 'next.sql'),
      'create table keybroker.next (id text primary key);\n--> statement-breakpoint\nalter table keybroker.leases add column next text;',
    )
    await migrate(database, { schema: storeMigrations.schema, folder })
    await migrate(database, storeMigrations)
    expect(await rowsOf(database.db, sql`select to_regclass('keybroker.next')::text as name`)).toEqual([
      { name: 'keybroker.next' },
    ])
    const node = await testNode(chain)
    const { id } = JSON.parse(atob(granted(await ask(chain, node)).lease.payload)) as { id: string }
    expect(gist(await ask(chain, node, { lease: id }))).toBe('granted')
    await chain.test.close()
  })

  test('an owner who said what only the newer build knows is not decided for by the older one', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const { id } = JSON.parse(atob(granted(await ask(chain, node)).lease.payload)) as { id: string }
    await newerStatement(chain)
    expect(await codeOfPromise(ask(chain, node))).toBe('broker/newer-statement')
    expect(await codeOfPromise(ask(chain, node, { lease: id }))).toBe('broker/newer-statement')
    await chain.test.close()
  })
})

/** As a newer broker would have taken it in: signed by the owner, with its entry in the log. */
async function newerStatement({ test: { database, broker }, owner }: Registered): Promise<void> {
  const statement = {
    type: 'claviger/statement/curfew/v1',
    tenant: owner.id,
    sequence: 1,
    previous: null,
    issuedAt: broker.clock(),
    model: owner.model,
  }
  const envelope = await signEnvelope('application/vnd.claviger.statement.curfew+json', canonicalJson(statement), [
    owner.key,
  ])
  const entry = toHex(randomBytes(16))
  const leaf = Buffer.from(toBase64Url(randomBytes(32)))
  await database.db.execute(
    sql`insert into keybroker.entries (id, tenant, kind, is_state, leaf, bundle, recorded_at, entry_index)
        select ${entry}, tenant, kind, true, ${leaf}, bundle, recorded_at, 1000000 from keybroker.entries where is_state and tenant = ${owner.id} limit 1`,
  )
  await database.db.execute(
    sql`insert into keybroker.statements (tenant, kind, model, sequence, digest, predecessor, envelope, entry, recorded_at)
        values (${owner.id}, 'curfew', ${owner.model}, 1, ${payloadDigest(envelope)}, null, ${Buffer.from(canonicalJson(envelope))}, ${entry}, 1)`,
  )
}
