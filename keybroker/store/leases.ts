import { and, desc, eq, gt, isNull } from 'drizzle-orm'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Connection } from '#host/database.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { leaseDevices, leases } from '#keybroker/store/schema.js'

export type LeaseRow = typeof leases.$inferSelect

/** The lease's row, live or not. @throws store/lease-unknown */
export async function loadLease(db: Connection, id: string): Promise<LeaseRow> {
  const [found] = await db.select().from(leases).where(eq(leases.id, id))
  if (!found) throw new Failure<StoreCode>('store/lease-unknown', `there is no lease ${id}`)
  return found
}

function live(at: UnixSeconds) {
  return and(isNull(leases.endedAt), gt(leases.expiresAt, at))
}

/** The leases of a tenant, of one of its models with `model`, that have neither ended nor expired at `at`. */
export async function listLiveLeases(
  db: Connection,
  of: { readonly tenant: string; readonly model?: string },
  at: UnixSeconds,
): Promise<readonly LeaseRow[]> {
  const wanted = of.model === undefined ? undefined : eq(leases.model, of.model)
  return db
    .select()
    .from(leases)
    .where(and(eq(leases.tenant, of.tenant), wanted, live(at)))
    .orderBy(leases.grantedAt, leases.id)
}

/** The lease runs on under new terms. One that ended or expired cannot. @throws store/lease-unknown */
export async function renewLease(
  db: Connection,
  renewed: Pick<LeaseRow, 'id' | 'entry' | 'expiresAt' | 'terms' | 'keysetDigest'>,
  at: UnixSeconds,
): Promise<void> {
  const { id, ...changes } = renewed
  const done = await db
    .update(leases)
    .set(changes)
    .where(and(eq(leases.id, id), live(at)))
    .returning({ id: leases.id })
  if (done.length === 0) throw new Failure<StoreCode>('store/lease-unknown', `lease ${id} is not live`)
}

/** The lease is over, from `at` on. Ending one that ended before changes nothing. @throws store/lease-unknown */
export async function endLease(db: Connection, id: string, at: UnixSeconds): Promise<void> {
  const done = await db
    .update(leases)
    .set({ endedAt: at })
    .where(and(eq(leases.id, id), isNull(leases.endedAt)))
    .returning({ id: leases.id })
  if (done.length === 0) await loadLease(db, id)
}

/** The leases of one version of a model, or with `of` null of all that the tenant has, live or not: the newest first. */
export async function listLeases(
  db: Connection,
  tenant: string,
  of: { readonly model: string; readonly version: number } | null,
  limit: number,
): Promise<readonly LeaseRow[]> {
  const wanted = of === null ? undefined : and(eq(leases.model, of.model), eq(leases.version, of.version))
  return db
    .select()
    .from(leases)
    .where(and(eq(leases.tenant, tenant), wanted))
    .orderBy(desc(leases.grantedAt), leases.id)
    .limit(limit)
}

/** What is kept of a lease, live or not. @throws store/lease-unknown */
export async function storeTerms(db: Connection, id: string, terms: Uint8Array): Promise<void> {
  const done = await db.update(leases).set({ terms }).where(eq(leases.id, id)).returning({ id: leases.id })
  if (done.length === 0) throw new Failure<StoreCode>('store/lease-unknown', `there is no lease ${id}`)
}

/** These devices are in the lease, and no others. */
export async function storeDevices(db: Connection, lease: string, devices: readonly string[]): Promise<void> {
  await db.delete(leaseDevices).where(eq(leaseDevices.lease, lease))
  const rows = [...new Set(devices)].map((device) => ({ lease, device }))
  if (rows.length > 0) await db.insert(leaseDevices).values(rows)
}
