import { and, eq, inArray, sql } from 'drizzle-orm'
import { unionAll } from 'drizzle-orm/pg-core'
import type { UnixSeconds } from '#core/time.js'
import type { Connection } from '#host/database.js'
import { kbsReleased, leases } from '#keybroker/store/schema.js'
import type { ReleasedVersion } from '#keybroker/stored.js'

/** The key of this version left by the KBS route, to this machine. */
export async function storeKbsReleased(
  db: Connection,
  released: Pick<ReleasedVersion, 'platform' | 'model' | 'version'> & { readonly tenant: string },
  at: UnixSeconds,
): Promise<void> {
  const { tenant, platform, model, version } = kbsReleased
  await db
    .insert(kbsReleased)
    .values({ ...released, firstAt: at, lastAt: at })
    .onConflictDoUpdate({
      target: [tenant, platform, model, version],
      set: { lastAt: sql`greatest(${kbsReleased.lastAt}, ${at})` },
    })
}

/** Every version whose key ever went to this machine, or to one that names none; at most `limit`. */
export async function listReleased(
  db: Connection,
  tenant: string,
  platform: string,
  limit: number,
): Promise<readonly ReleasedVersion[]> {
  const machines = ['', platform]
  const leased = db
    .select({
      platform: leases.platform,
      model: leases.model,
      version: leases.version,
      firstAt: sql<number>`min(${leases.grantedAt})`.mapWith(Number).as('first_at'),
      lastAt: sql<number>`max(${leases.grantedAt})`.mapWith(Number).as('last_at'),
    })
    .from(leases)
    .where(and(eq(leases.tenant, tenant), inArray(leases.platform, machines)))
    .groupBy(leases.platform, leases.model, leases.version)
  const unleased = db
    .select({
      platform: kbsReleased.platform,
      model: kbsReleased.model,
      version: kbsReleased.version,
      firstAt: sql<number>`${kbsReleased.firstAt}`.mapWith(Number).as('first_at'),
      lastAt: sql<number>`${kbsReleased.lastAt}`.mapWith(Number).as('last_at'),
    })
    .from(kbsReleased)
    .where(and(eq(kbsReleased.tenant, tenant), inArray(kbsReleased.platform, machines)))
  return await unionAll(leased, unleased).orderBy(sql`1, 2, 3`).limit(limit)
}
