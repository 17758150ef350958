import { type Database, migrate } from '#host/database.js'
import { storeSchemaName } from '#keybroker/store/schema.js'

/** Failures of the store. */
export type StoreCode =
  | 'store/tenant-exists'
  | 'store/tenant-unknown'
  /** sequence number or predecessor is not the one that follows the newest statement */
  | 'store/statement-chain'
  | 'store/model-key-exists'
  | 'store/model-key-unknown'
  /** never given out, given out for something else, expired, or used before */
  | 'store/nonce-unknown'
  | 'store/session-unknown'
  /** the log gave the entry another index before, or has another entry there */
  | 'store/entry-index'
  | 'store/entry-unknown'
  | 'store/lease-unknown'
  /** the operator's policies for the KBS route were changed by others each time */
  | 'store/policies-changing'

/** Where the broker's tables are described. */
export const storeMigrations = { schema: storeSchemaName, folder: new URL('./migrations', import.meta.url).pathname }

/** The broker's tables exist in the database and are of this version. @throws database/migration, database/unreachable */
export async function migrateStore(database: Database): Promise<void> {
  await migrate(database, storeMigrations)
}
