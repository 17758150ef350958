import { and, eq, gt, inArray, lte } from 'drizzle-orm'
import { equal } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Connection } from '#host/database.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { nonces } from '#keybroker/store/schema.js'

/** The nonce waits for its one use: for this purpose, in this context, until `expiresAt`. */
export async function storeNonce(db: Connection, row: typeof nonces.$inferInsert): Promise<void> {
  await db.insert(nonces).values(row)
}

/**
 * The nonce was ours, for one of these purposes and this context, and can never be used again, whatever follows (I12).
 * Of callers that present it at the same time exactly one returns.
 *
 * A nonce presented for another context is spent too: it has been seen.
 * Call it outside the transaction of what follows, so that a later rollback does not bring it back.
 * throws  store/nonce-unknown
 */
export async function consumeNonce(
  db: Connection,
  wanted: { readonly nonce: Uint8Array; readonly purposes: readonly string[]; readonly context: Uint8Array },
  at: UnixSeconds,
): Promise<void> {
  const [taken] = await db
    .delete(nonces)
    .where(and(eq(nonces.nonce, wanted.nonce), inArray(nonces.purpose, [...wanted.purposes])))
    .returning()
  if (!taken || taken.expiresAt <= at || !equal(taken.context, wanted.context)) {
    throw new Failure<StoreCode>('store/nonce-unknown', 'nonce was not given out for this, has expired, or was used')
  }
}

/** Nonces that expired before `at` are gone. */
export async function forgetExpiredNonces(db: Connection, at: UnixSeconds): Promise<void> {
  await db.delete(nonces).where(lte(nonces.expiresAt, at))
}

/** How many unused nonces wait for a purpose, so that a service can bound them. */
export async function countNonces(db: Connection, purpose: string, at: UnixSeconds): Promise<number> {
  return db.$count(nonces, and(eq(nonces.purpose, purpose), gt(nonces.expiresAt, at)))
}
