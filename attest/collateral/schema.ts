/**
 * The store's one table, on Postgres and PGlite. Nothing in it is believed (I18): documents are verified again when they are
 * read, and floors are what the newest document of a name says of itself, so no row can raise one.
 *
 * The migrations spell this table in SQL; the two change together, and a test compares them.
 */
import { boolean, pgSchema, primaryKey, text } from 'drizzle-orm/pg-core'
import { bytes, unixSeconds } from '#host/columns.js'

export const collateralSchemaName = 'attest'
const schema = pgSchema(collateralSchemaName)

/** The newest document of each name under each root. */
export const collateral = schema.table(
  'collateral',
  {
    /** SHA-256 of the root's key, hex */
    root: text().notNull(),
    name: text().notNull(),
    /** SHA-256 of body and chain, hex */
    digest: text().notNull(),
    body: bytes().notNull(),
    /** canonical JSON: certificates above it in base64 */
    chain: bytes().notNull(),
    issuedAt: unixSeconds('issued_at').notNull(),
    validUntil: unixSeconds('valid_until').notNull(),
    /** decimal; null where documents of this name have none */
    edition: text(),
    /** an answer that says that its certificate is revoked: it makes no room for others */
    revoked: boolean().notNull().default(false),
    /** when it, or the same again, was last received */
    receivedAt: unixSeconds('received_at').notNull(),
    origin: text({ enum: ['fetched', 'imported'] }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.root, table.name] })],
)
