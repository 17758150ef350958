import { and, eq, sql } from 'drizzle-orm'
import { type Connection, type Database, rowsOf } from '#host/database.js'
import { modelKeyAad, readShare } from '#keybroker/model-key.js'
import { resourceAad } from '#keybroker/store/kbs-store.js'
import { modelKeys, resources, tenants } from '#keybroker/store/schema.js'

/** Names one stored key: of a model version, or of a resource of the KBS route. */
export type WrappedName =
  | { readonly kind: 'model'; readonly tenant: string; readonly model: string; readonly version: number }
  | { readonly kind: 'resource'; readonly path: string }

/** A stored key as the database has it, with what it is bound to if nobody has changed its row. */
export interface WrappedRow {
  readonly keyId: string
  readonly wrapped: Uint8Array
  readonly aad: Uint8Array
}

/** Ids of the key-encryption keys that rows name. */
export async function listKeyIds(database: Database): Promise<readonly string[]> {
  const rows = await database.read((db) =>
    rowsOf(db, sql`select key_id from ${modelKeys} union select key_id from ${resources} order by key_id`),
  )
  return rows.map((row) => String(row.key_id))
}

/** The names of all stored keys. */
export async function listWrapped(db: Connection): Promise<readonly WrappedName[]> {
  const { tenant, model, version } = modelKeys
  const models = await db.select({ tenant, model, version }).from(modelKeys).orderBy(tenant, model, version)
  const others = await db.select({ path: resources.path }).from(resources).orderBy(resources.path)
  return [
    ...models.map((row) => ({ kind: 'model' as const, ...row })),
    ...others.map((row) => ({ kind: 'resource' as const, ...row })),
  ]
}

/**
 * One stored key; null when it is gone. Its associated data are made of the very rows: what somebody changed in them makes
 * them others, and it does not unwrap.
 */
export async function loadWrapped(db: Connection, name: WrappedName): Promise<WrappedRow | null> {
  if (name.kind === 'resource') {
    const [row] = await db.select().from(resources).where(eq(resources.path, name.path))
    return row ? { keyId: row.keyId, wrapped: row.wrappedKey, aad: resourceAad(name.path) } : null
  }
  const [row] = await db
    .select({ key: modelKeys, tenantClass: tenants.class, ownerKeysDigest: tenants.ownerKeysDigest })
    .from(modelKeys)
    .innerJoin(tenants, eq(tenants.id, modelKeys.tenant))
    .where(ofVersion(name))
  if (!row) return null
  const { key, tenantClass, ownerKeysDigest } = row
  return {
    keyId: key.keyId,
    wrapped: key.wrapped,
    aad: modelKeyAad({ ...key, share: readShare(key.share), tenantClass, ownerKeysDigest }),
  }
}

function ofVersion({ tenant, model, version }: Extract<WrappedName, { kind: 'model' }>) {
  return and(eq(modelKeys.tenant, tenant), eq(modelKeys.model, model), eq(modelKeys.version, version))
}

/** The row is wrapped as `to`, if it is still as `from`: whoever changed it meanwhile has the last word. */
export async function replaceWrapped(
  db: Connection,
  name: WrappedName,
  from: WrappedRow,
  to: Pick<WrappedRow, 'keyId' | 'wrapped'>,
): Promise<boolean> {
  if (name.kind === 'resource') {
    const same = [
      eq(resources.path, name.path),
      eq(resources.keyId, from.keyId),
      eq(resources.wrappedKey, from.wrapped),
    ]
    const set = { keyId: to.keyId, wrappedKey: to.wrapped }
    const done = await db
      .update(resources)
      .set(set)
      .where(and(...same))
      .returning({ path: resources.path })
    return done.length > 0
  }
  const same = [ofVersion(name), eq(modelKeys.keyId, from.keyId), eq(modelKeys.wrapped, from.wrapped)]
  const set = { keyId: to.keyId, wrapped: to.wrapped }
  const done = await db
    .update(modelKeys)
    .set(set)
    .where(and(...same))
    .returning({ model: modelKeys.model })
  return done.length > 0
}
