import { and, eq, gt, lte } from 'drizzle-orm'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Connection } from '#host/database.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { sessions } from '#keybroker/store/schema.js'

export type SessionRow = typeof sessions.$inferSelect

const unknown = () =>
  new Failure<StoreCode>('store/session-unknown', 'session does not exist, has expired, or was used before')

/** A session that waits for its evidence. */
export async function storeSession(
  db: Connection,
  row: Pick<SessionRow, 'idDigest' | 'tee' | 'nonce' | 'expiresAt'>,
): Promise<void> {
  await db.insert(sessions).values({ ...row, state: 'challenged', token: null })
}

function live(idDigest: Uint8Array, at: UnixSeconds, state: SessionRow['state']) {
  return and(eq(sessions.idDigest, idDigest), gt(sessions.expiresAt, at), eq(sessions.state, state))
}

/**
 * The session's nonce is spent and the caller alone may verify evidence under it (I12): of several that come at the
 * same time exactly one returns. Ends with finishSession or dropSession; a process that dies between leaves the
 * session unusable.
 *
 * throws  store/session-unknown
 */
export async function takeSession(db: Connection, idDigest: Uint8Array, at: UnixSeconds): Promise<SessionRow> {
  const [taken] = await db
    .update(sessions)
    .set({ state: 'attesting' })
    .where(live(idDigest, at, 'challenged'))
    .returning()
  if (!taken) throw unknown()
  return taken
}

/** The session is attested and holds the token. @throws store/session-unknown */
export async function finishSession(
  db: Connection,
  idDigest: Uint8Array,
  token: string,
  at: UnixSeconds,
): Promise<void> {
  const done = await db
    .update(sessions)
    .set({ state: 'attested', token })
    .where(live(idDigest, at, 'attesting'))
    .returning({ state: sessions.state })
  if (done.length === 0) throw unknown()
}

/** The session is gone. */
export async function dropSession(db: Connection, idDigest: Uint8Array): Promise<void> {
  await db.delete(sessions).where(eq(sessions.idDigest, idDigest))
}

/** The attested session's row; undefined when there is none. */
export async function loadAttestedSession(
  db: Connection,
  idDigest: Uint8Array,
  at: UnixSeconds,
): Promise<SessionRow | undefined> {
  const [found] = await db
    .select()
    .from(sessions)
    .where(live(idDigest, at, 'attested'))
  return found
}

/** Sessions that expired before `at` are gone. */
export async function forgetExpiredSessions(db: Connection, at: UnixSeconds): Promise<void> {
  await db.delete(sessions).where(lte(sessions.expiresAt, at))
}

/** How many sessions wait for evidence, so that a service can bound them. */
export async function countOpenSessions(db: Connection, at: UnixSeconds): Promise<number> {
  return db.$count(sessions, and(gt(sessions.expiresAt, at), eq(sessions.state, 'challenged')))
}
