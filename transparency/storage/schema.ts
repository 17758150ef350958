/**
 * What belongs in transparency/storage: the log's tables on Postgres and PGlite, behind the port in ../store.ts, and the
 * opening and creating of a log. Rows of entries and tiles are written once and never changed.
 *
 * The first migration spells these tables in SQL; the two change together.
 */
import { bigint, pgSchema, primaryKey, smallint, text } from 'drizzle-orm/pg-core'
import { bytes } from '#host/columns.js'

export const logSchemaName = 'transparency'
const schema = pgSchema(logSchemaName)
const count = (name?: string) => (name === undefined ? bigint({ mode: 'number' }) : bigint(name, { mode: 'number' }))

/** Which log this is, and its tree: one row, made by an explicit step. */
export const logs = schema.table('log', {
  id: smallint().primaryKey(),
  origin: text().notNull(),
  vkey: text().notNull(),
  size: count().notNull(),
  rootHash: bytes('root_hash').notNull(),
})

/** `leafHash` is unique: the same bytes stand in the log once. */
export const entries = schema.table('entry', {
  index: count().primaryKey(),
  leafHash: bytes('leaf_hash').notNull(),
  leaf: bytes().notNull(),
})

/** Full tiles only: unfinished ones follow from the entries and from the roots of the level below. */
export const tiles = schema.table(
  'tile',
  {
    level: smallint().notNull(),
    index: count().notNull(),
    hashes: bytes().notNull(),
    rootHash: bytes('root_hash').notNull(),
  },
  (table) => [primaryKey({ columns: [table.level, table.index] })],
)

/** Every checkpoint that a quorum cosigned. */
export const checkpoints = schema.table('checkpoint', {
  size: count().primaryKey(),
  rootHash: bytes('root_hash').notNull(),
  note: text().notNull(),
})
