import { lte } from 'drizzle-orm'
import { equal, toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Connection } from '#host/database.js'
import { bytesOf, type NamedStatement, namedRows } from '#host/named.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { nonces } from '#keybroker/store/schema.js'

/** A nonce that waits for its one use: for this purpose, in this context, until `expiresAt`. */
export interface NewNonce {
  readonly nonce: Uint8Array
  readonly purpose: string
  readonly context: Uint8Array
  readonly expiresAt: UnixSeconds
  /** how many may wait for its purpose, itself among them */
  readonly most: number
}

/**
 * A nonce that the database loses with its last moments before a crash was never given out: whoever got it asks for another. So this
 * statement waits for no disk, where the one that spends a nonce does.
 */
const storeStatement: NamedStatement = {
  name: 'nonces_store',
  text: `
  with wanted as (
    select *, row_number() over (partition by purpose order by place) as rank
      from unnest($1::bytea[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[])
        with ordinality as new (nonce, purpose, context, expires_at, most, place)),
  waiting as (
    select purpose, count(*) as number from keybroker.nonces where purpose = any($2::text[]) and expires_at > $6 group by purpose)
  insert into keybroker.nonces (nonce, purpose, context, expires_at)
  select w.nonce, w.purpose, w.context, w.expires_at
    from wanted w left join waiting using (purpose)
      cross join (select set_config('synchronous_commit', 'off', true)) setting
    where w.rank + coalesce(waiting.number, 0) <= w.most
  returning nonce`,
}

/** The nonces wait, those for whose purpose not as many wait already. @returns whether each does, in their order */
export async function storeNonces(
  db: Connection,
  some: readonly NewNonce[],
  at: UnixSeconds,
): Promise<readonly boolean[]> {
  const rows = await namedRows(db, storeStatement, [
    some.map((one) => one.nonce),
    some.map((one) => one.purpose),
    some.map((one) => one.context),
    some.map((one) => one.expiresAt),
    some.map((one) => one.most),
    at,
  ])
  const stored = new Set(rows.map((row) => toHex(bytesOf(row.nonce))))
  return some.map((one) => stored.has(toHex(one.nonce)))
}

/** A nonce as it is presented: for this context, and one of two purposes. */
export interface PresentedNonce {
  readonly nonce: Uint8Array
  readonly purposes: readonly [string, string]
  readonly context: Uint8Array
  readonly at: UnixSeconds
}

/** Rows are locked in the order of their nonces, so that two who spend the same ones do not wait for each other. */
const consumeStatement: NamedStatement = {
  name: 'nonces_consume',
  text: `
  with found as materialized (
    select n.nonce from keybroker.nonces n
      join unnest($1::bytea[], $2::text[], $3::text[]) as wanted (nonce, one, other)
        on wanted.nonce = n.nonce and n.purpose in (wanted.one, wanted.other)
      order by n.nonce for update of n)
  delete from keybroker.nonces gone using found where gone.nonce = found.nonce
  returning gone.nonce, gone.purpose, gone.context, gone.expires_at`,
}

/**
 * Each nonce was ours, for one of these purposes and this context, and can never be used again, whatever follows (I12).
 * Of callers that present one at the same time, in this call or another, exactly one has null.
 *
 * A nonce presented for another context is spent too: it has been seen.
 * Call it outside the transaction of what follows, so that a later rollback does not bring it back.
 * returns  for each, in their order, null or store/nonce-unknown
 */
export async function consumeNonces(
  db: Connection,
  some: readonly PresentedNonce[],
): Promise<readonly (Failure<StoreCode> | null)[]> {
  const rows = await namedRows(db, consumeStatement, [
    some.map((one) => one.nonce),
    some.map((one) => one.purposes[0]),
    some.map((one) => one.purposes[1]),
  ])
  const taken = new Map(rows.map((row) => [toHex(bytesOf(row.nonce)), row]))
  return some.map(({ nonce, purposes, context, at }) => {
    const name = toHex(nonce)
    const row = taken.get(name)
    const isOurs = row !== undefined && purposes.includes(String(row.purpose))
    if (isOurs) taken.delete(name) // Invariant: the next who presents it finds nothing
    if (isOurs && Number(row.expires_at) > at && equal(bytesOf(row.context), context)) return null
    return new Failure<StoreCode>('store/nonce-unknown', 'nonce was not given out for this, has expired, or was used')
  })
}

/** Nonces that expired before `at` are gone. */
export async function forgetExpiredNonces(db: Connection, at: UnixSeconds): Promise<void> {
  await db.delete(nonces).where(lte(nonces.expiresAt, at))
}
