import { and, asc, desc, eq, gte, lt, type SQL, sql } from 'drizzle-orm'
import { equal, toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { Connection, Database } from '#host/database.js'
import { ownTurns, type Turns } from '#host/turns.js'
import type { LogCode } from '#transparency/failures.js'
import { checkpoints, entries, logs, tiles } from '#transparency/storage/schema.js'
import type { Batch, LogStore, Published } from '#transparency/store.js'

function byteArray(items: readonly Uint8Array[]): SQL {
  return sql`${sql.param(items.map((one) => Buffer.from(one.buffer, one.byteOffset, one.length)))}::bytea[]`
}

async function insertBatch(tx: Connection, batch: Batch): Promise<void> {
  // First of all the head, under the size the batch was made for: of two writers one waits here and then finds no row.
  const moved = await tx
    .update(logs)
    .set({ size: batch.size, rootHash: batch.rootHash })
    .where(and(eq(logs.id, 1), eq(logs.size, batch.from)))
    .returning({ id: logs.id })
  if (moved.length !== 1) {
    throw new Failure<LogCode>('log/writer', `stored tree is no longer the one of size ${batch.from}`)
  }
  // Two arrays are two parameters: a thousand rows cost no more to spell than one.
  const [leafHashes, leaves] = [batch.entries.map((one) => one.leafHash), batch.entries.map((one) => one.leaf)]
  await tx.execute(sql`
    insert into ${entries} (index, leaf_hash, leaf)
    select ${batch.from}::bigint + place - 1, leaf_hash, leaf
    from unnest(${byteArray(leafHashes)}, ${byteArray(leaves)}) with ordinality as new (leaf_hash, leaf, place)`)
  if (batch.tiles.length > 0) await tx.insert(tiles).values([...batch.tiles])
}

async function storeCheckpoint(db: Connection, { size, rootHash, checkpoint }: Published): Promise<void> {
  const [stored] = await db
    .insert(checkpoints)
    .values({ size, rootHash, note: checkpoint })
    .onConflictDoUpdate({
      target: checkpoints.size,
      set: { note: checkpoint },
      setWhere: sql`checkpoint.root_hash = excluded.root_hash`,
    })
    .returning({ rootHash: checkpoints.rootHash })
  if (stored === undefined || !equal(stored.rootHash, rootHash)) {
    throw new Failure<LogCode>('log/state', `a checkpoint of size ${size} with another root is stored`)
  }
}

/** The log that is kept in a database. Its tables exist: `migrateLog`. */
export function databaseLogStore(database: Database, turns: Turns = ownTurns()): LogStore {
  return {
    inTurn: (work) => turns.take(work),
    async head() {
      const [row] = await database.read((db) => db.select().from(logs).where(eq(logs.id, 1)))
      return row
    },
    integrate: (batch) => database.transaction((tx) => insertBatch(tx, batch)),
    async indexesOf(leafHashes) {
      if (leafHashes.length === 0) return new Map()
      const rows = await database.read((db) =>
        db
          .select({ index: entries.index, leafHash: entries.leafHash })
          .from(entries)
          .where(sql`${entries.leafHash} = any(${byteArray(leafHashes)})`),
      )
      return new Map(rows.map((row) => [toHex(row.leafHash), row.index]))
    },
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
