import { and, desc, eq, sql } from 'drizzle-orm'
import { Failure } from '#core/failure.js'
import type { Connection } from '#host/database.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { modelKeys, statements, tenants } from '#keybroker/store/schema.js'

export type Tenant = typeof tenants.$inferSelect
export type StatementRow = typeof statements.$inferSelect
export type ModelKeyRow = typeof modelKeys.$inferSelect

/** Which chain of statements: one kind, for one model or (`model` empty) the whole tenant. */
export interface StatementChain {
  readonly tenant: string
  readonly kind: string
  readonly model: string
}

/** The tenant exists, and its class is fixed from here on. @throws store/tenant-exists */
export async function createTenant(db: Connection, tenant: Tenant): Promise<void> {
  const made = await db.insert(tenants).values(tenant).onConflictDoNothing().returning({ id: tenants.id })
  if (made.length === 0) throw new Failure<StoreCode>('store/tenant-exists', `tenant ${tenant.id} exists`)
}

/** @throws store/tenant-unknown */
export async function loadTenant(db: Connection, id: string): Promise<Tenant> {
  const [found] = await db.select().from(tenants).where(eq(tenants.id, id))
  if (!found) throw new Failure<StoreCode>('store/tenant-unknown', `there is no tenant ${id}`)
  return found
}

export async function listTenants(db: Connection): Promise<readonly Tenant[]> {
  return db.select().from(tenants).orderBy(tenants.id)
}

/** What names the state of a development tenant's own records: of its keys, and of its statements about itself. */
export interface TrustHead {
  readonly tenant: string
  readonly ownerKeysDigest: string
  /** digests of the tenant's and trust statements, newest first */
  readonly statements: string
}

/** The oldest development tenants, at most so many, by what the database says of them: nothing here is verified. */
export async function listDevelopmentTenants(db: Connection, max: number): Promise<readonly TrustHead[]> {
  const rows = await db
    .select({ tenant: tenants.id, ownerKeysDigest: tenants.ownerKeysDigest, statements: headsOfTenant })
    .from(tenants)
    .where(eq(tenants.class, 'development'))
    .orderBy(tenants.createdAt, tenants.id)
    .limit(max)
  return rows
}

const headsOfTenant = sql<string>`coalesce((
  select string_agg(${statements.kind} || ' ' || ${statements.digest}, ' ' order by ${statements.kind}, ${statements.sequence} desc)
  from ${statements} where ${statements.tenant} = ${tenants.id} and ${statements.model} = ''
), '')`

function inChain(chain: StatementChain) {
  return and(eq(statements.tenant, chain.tenant), eq(statements.kind, chain.kind), eq(statements.model, chain.model))
}

/** The newest statement of a chain; undefined when the owner never made one. */
export async function loadStatement(db: Connection, chain: StatementChain): Promise<StatementRow | undefined> {
  const rows = await db.select().from(statements).where(inChain(chain)).orderBy(desc(statements.sequence)).limit(1)
  return rows[0]
}

/** All statements of a chain, oldest first. */
export async function listStatements(db: Connection, chain: StatementChain): Promise<readonly StatementRow[]> {
  return db.select().from(statements).where(inChain(chain)).orderBy(statements.sequence)
}

/** The newest statement of each chain of a tenant. */
export async function listNewestStatements(db: Connection, tenant: string): Promise<readonly StatementRow[]> {
  return db
    .selectDistinctOn([statements.kind, statements.model])
    .from(statements)
    .where(eq(statements.tenant, tenant))
    .orderBy(statements.kind, statements.model, desc(statements.sequence))
}

/**
 * The statement is the newest of its chain. Of several that follow the same predecessor exactly one gets in.
 *
 * trusts  that the caller verified the owner's signature over `envelope` and that the other members are what it says
 * throws  store/statement-chain
 */
export async function appendStatement(db: Connection, row: StatementRow): Promise<void> {
  const newest = await loadStatement(db, row)
  const sequence = (newest?.sequence ?? 0) + 1
  const predecessor = newest?.digest ?? null
  const refuse = (message: string) =>
    new Failure<StoreCode>('store/statement-chain', message, {
      detail: { expected: { sequence, predecessor }, actual: { sequence: row.sequence, predecessor: row.predecessor } },
    })
  if (row.sequence !== sequence || row.predecessor !== predecessor) {
    throw refuse(
      `statement ${row.kind} has sequence ${row.sequence}, expected ${sequence} after the newest one's digest`,
    )
  }
  const made = await db.insert(statements).values(row).onConflictDoNothing().returning({ digest: statements.digest })
  if (made.length === 0)
    throw refuse(`statement ${row.kind} ${row.sequence} or one of the same digest is stored already`)
}

/** The wrapped key of one model version is stored; a version is registered once. @throws store/model-key-exists */
export async function storeModelKey(db: Connection, row: ModelKeyRow): Promise<void> {
  const made = await db.insert(modelKeys).values(row).onConflictDoNothing().returning({ model: modelKeys.model })
  if (made.length === 0)
    throw new Failure<StoreCode>('store/model-key-exists', `version ${row.version} of ${row.model} has a key`)
}

/** The same version's key, wrapped again: under another key-encryption key, or to another trust statement. @throws store/model-key-unknown */
export async function replaceModelKey(db: Connection, row: ModelKeyRow): Promise<void> {
  const done = await db
    .update(modelKeys)
    .set({ wrapped: row.wrapped, keyId: row.keyId, trustDigest: row.trustDigest, share: row.share })
    .where(ofVersion(row))
    .returning({ model: modelKeys.model })
  if (done.length === 0) throw unknownKey(row)
}

type ModelVersion = Pick<ModelKeyRow, 'tenant' | 'model' | 'version'>

function ofVersion(row: ModelVersion) {
  return and(eq(modelKeys.tenant, row.tenant), eq(modelKeys.model, row.model), eq(modelKeys.version, row.version))
}

function unknownKey(row: ModelVersion) {
  return new Failure<StoreCode>('store/model-key-unknown', `version ${row.version} of ${row.model} has no key here`)
}

/** @throws store/model-key-unknown */
export async function loadModelKey(db: Connection, of: ModelVersion): Promise<ModelKeyRow> {
  const [found] = await db.select().from(modelKeys).where(ofVersion(of))
  if (!found) throw unknownKey(of)
  return found
}

/** The keys of one model, or of all of a tenant's, by version. */
export async function listModelKeys(db: Connection, tenant: string, model?: string): Promise<readonly ModelKeyRow[]> {
  const wanted = model === undefined ? undefined : eq(modelKeys.model, model)
  return db
    .select()
    .from(modelKeys)
    .where(and(eq(modelKeys.tenant, tenant), wanted))
    .orderBy(modelKeys.model, modelKeys.version)
}
