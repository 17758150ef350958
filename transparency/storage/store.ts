import { and, asc, desc, eq, gte, lt } from 'drizzle-orm'
import { equal, toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { Connection, Database } from '#host/database.js'
import { bytesOf, type NamedStatement, namedRows } from '#host/named.js'
import { ownTurns, type Turns } from '#host/turns.js'
import type { LogCode } from '#transparency/failures.js'
import { checkpoints, entries, logs, tiles } from '#transparency/storage/schema.js'
import type { Batch, LogStore, Published, Survey } from '#transparency/store.js'

/**
 * One statement, which is a transaction. First of all the head, under the size that the batch was made for: of two writers one waits
 * there and then finds no row. Two arrays are two parameters: a thousand rows cost no more to spell than one.
 */
const integrateStatement: NamedStatement = {
  name: 'log_integrate',
  text: `
  with moved as (
    update transparency.log set size = $2, root_hash = $3 where id = 1 and size = $1 returning id),
  written as (
    insert into transparency.entry (index, leaf_hash, leaf)
    select $1 + place - 1, leaf_hash, leaf
      from unnest($4::bytea[], $5::bytea[]) with ordinality as new (leaf_hash, leaf, place) where exists (select 1 from moved)),
  completed as (
    insert into transparency.tile (level, index, hashes, root_hash)
    select * from unnest($6::smallint[], $7::bigint[], $8::bytea[], $9::bytea[]) where exists (select 1 from moved))
  select count(*) as moved from moved`,
}

async function insertBatch(db: Connection, { from, size, rootHash, entries, tiles }: Batch): Promise<void> {
  const [row] = await namedRows(db, integrateStatement, [
    from,
    size,
    rootHash,
    entries.map((one) => one.leafHash),
    entries.map((one) => one.leaf),
    tiles.map((one) => one.level),
    tiles.map((one) => one.index),
    tiles.map((one) => one.hashes),
    tiles.map((one) => one.rootHash),
  ])
  if (Number(row?.moved) !== 1)
    throw new Failure<LogCode>('log/writer', `stored tree is no longer the one of size ${from}`)
}

const surveyStatement: NamedStatement = {
  name: 'log_survey',
  text: `
  select l.origin, l.vkey, l.size, l.root_hash, e.index, e.leaf_hash
    from transparency.log l left join transparency.entry e on e.leaf_hash = any($1::bytea[]) where l.id = 1`,
}

async function survey(db: Connection, leafHashes: readonly Uint8Array[]): Promise<Survey> {
  const rows = await namedRows(db, surveyStatement, [leafHashes])
  const [first] = rows
  if (first === undefined) return { head: undefined, indexes: new Map() }
  const found = rows.filter((row) => row.index !== null)
  return {
    head: {
      origin: String(first.origin),
      vkey: String(first.vkey),
      size: Number(first.size),
      rootHash: bytesOf(first.root_hash),
    },
    indexes: new Map(found.map((row) => [toHex(bytesOf(row.leaf_hash)), Number(row.index)])),
  }
}

const checkpointStatement: NamedStatement = {
  name: 'log_checkpoint',
  text: `
  insert into transparency.checkpoint (size, root_hash, note) values ($1, $2, $3)
    on conflict (size) do update set note = excluded.note where checkpoint.root_hash = excluded.root_hash
    returning root_hash`,
}

async function storeCheckpoint(db: Connection, { size, rootHash, checkpoint }: Published): Promise<void> {
  const [stored] = await namedRows(db, checkpointStatement, [size, rootHash, checkpoint])
  if (stored === undefined || !equal(bytesOf(stored.root_hash), rootHash))
    throw new Failure<LogCode>('log/state', `a checkpoint of size ${size} with another root is stored`)
}

/** The log that is kept in a database. Its tables exist: `migrateLog`. */
export function databaseLogStore(database: Database, turns: Turns = ownTurns()): LogStore {
  return {
    inTurn: (work) => turns.take(work),
    async head() {
      const [row] = await database.read((db) => db.select().from(logs).where(eq(logs.id, 1)))
      return row
    },
    integrate: (batch) => database.read((db) => insertBatch(db, batch)),
    survey: (leafHashes) => database.read((db) => survey(db, leafHashes)),
    entries: (from, to) =>
      database.read((db) =>
        db
          .select({ leaf: entries.leaf, leafHash: entries.leafHash })
          .from(entries)
          .where(and(gte(entries.index, from), lt(entries.index, to)))
          .orderBy(asc(entries.index))
          .limit(256),
      ),
    async tile(level, index) {
      const [row] = await database.read((db) =>
        db
          .select()
          .from(tiles)
          .where(and(eq(tiles.level, level), eq(tiles.index, index))),
      )
      return row
    },
    async tileRoots(level, from, to) {
      const rows = await database.read((db) =>
        db
          .select({ rootHash: tiles.rootHash })
          .from(tiles)
          .where(and(eq(tiles.level, level), gte(tiles.index, from), lt(tiles.index, to)))
          .orderBy(asc(tiles.index))
          .limit(256),
      )
      return rows.map((row) => row.rootHash)
    },
    publish: (published) => database.read((db) => storeCheckpoint(db, published)),
    async published() {
      const [row] = await database.read((db) => db.select().from(checkpoints).orderBy(desc(checkpoints.size)).limit(1))
      return row && { size: row.size, rootHash: row.rootHash, checkpoint: row.note }
    },
  }
}
