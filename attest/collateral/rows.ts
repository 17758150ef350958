import { and, asc, count, eq, inArray, like, or } from 'drizzle-orm'
import type { CollateralStoreCode } from '#attest/collateral/failures.js'
import { collateral, collateralSchemaName } from '#attest/collateral/schema.js'
import {
  type CollateralItem,
  chainSizeMax,
  forgottenBy,
  type Issue,
  isOlder,
  type VerifiedItem,
} from '#attest/endorsements/item.js'
import { parseName } from '#attest/endorsements/names.js'
import { concat, fromBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { base64, list } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type Crl, parseCrl } from '#core/x509/crl.js'
import { type Connection, type Database, migrate } from '#host/database.js'

export type Origin = 'fetched' | 'imported'
/** A row as it was read: nothing of it is believed. */
export interface StoredItem {
  readonly root: string
  readonly item: CollateralItem
  readonly digest: string
  readonly issuedAt: UnixSeconds
  readonly receivedAt: UnixSeconds
  readonly origin: Origin
}
/** How many documents are kept. Those that can be had again, certificates of single chips and answers, make room for others. */
export const itemsMax = 5000
const chainShape = list(base64(undefined, 16 * 1024), { max: chainSizeMax })

/** The store's table is in the database. @throws database/migration, database/unreachable */
export async function migrateCollateral(database: Database): Promise<void> {
  const folder = new URL('./migrations', import.meta.url).pathname
  await migrate(database, { schema: collateralSchemaName, folder })
}

/** SHA-256 of a document with the certificates above it, hex. */
export function itemDigest({ body, chain }: CollateralItem): string {
  const sizes = canonicalJson([body.length, ...chain.map((one) => one.length)])
  return toHex(sha256(concat(sizes, body, ...chain)))
}

/** What is stored under which digest: enough to see what changed. */
export async function listDigests(db: Connection) {
  const { root, name, digest, receivedAt } = collateral
  return db
    .select({ root, name, digest, receivedAt })
    .from(collateral)
    .limit(itemsMax * 2)
}

/** A row that is not what it says: one that somebody altered, or of a kind that a newer build keeps. */
export interface BadRow {
  readonly name: string
  readonly failure: Failure
}

/** The rows of these names, and those that cannot be read: none of them keeps the others from being read. */
export async function loadItems(
  db: Connection,
  names: readonly string[],
): Promise<{ readonly items: readonly StoredItem[]; readonly bad: readonly BadRow[] }> {
  const rows = await db
    .select()
    .from(collateral)
    .where(inArray(collateral.name, [...names]))
  const items: StoredItem[] = []
  const bad: BadRow[] = []
  for (const { root, digest, issuedAt, receivedAt, origin, name, body, chain } of rows) {
    try {
      const above = chainShape(parseCanonicalJson(chain), 'chain').map((one) => fromBase64(one))
      items.push({ root, digest, issuedAt, receivedAt, origin, item: { name: parseName(name), body, chain: above } })
    } catch (failure) {
      if (!isFailure(failure)) throw failure
      bad.push({ name, failure })
    }
  }
  return { items, bad }
}

async function makeRoom(tx: Connection): Promise<void> {
  const [found] = await tx.select({ rows: count() }).from(collateral)
  if ((found?.rows ?? 0) < itemsMax) return
  // An answer that revokes stays: what was good before it would be good again.
  const ofOne = or(like(collateral.name, 'amd/%/vcek/%/%'), like(collateral.name, 'nvidia/ocsp/%'))
  const again = and(ofOne, eq(collateral.revoked, false))
  const oldest = await tx.select().from(collateral).where(again).orderBy(asc(collateral.receivedAt)).limit(1)
  const [one] = oldest
  if (!one) throw new Failure<CollateralStoreCode>('collateral/full', `the store holds ${itemsMax} documents`)
  await tx.delete(collateral).where(and(eq(collateral.root, one.root), eq(collateral.name, one.name)))
}

/**
 * The document is the one of its name, durably, unless the one that is there is newer.
 *
 * Call it in a serializable transaction: of two processes that store at the same time, the older document loses.
 * trusts  that the item was verified, its dates among it
 * throws  collateral/rollback, collateral/full
 */
export async function storeItem(
  tx: Connection,
  one: VerifiedItem,
  origin: Origin,
  receivedAt: UnixSeconds,
): Promise<void> {
  const here = and(eq(collateral.root, one.root), eq(collateral.name, one.label))
  const [there] = await tx.select().from(collateral).where(here)
  if (there) {
    const edition = there.edition === null ? null : BigInt(there.edition)
    const { issuedAt, revoked } = there
    verifyNotOlder(one, { edition, issuedAt, revoked, crl: seenList(one.name, there.body) })
  } else await makeRoom(tx)
  const row = {
    digest: itemDigest(one),
    body: one.body,
    chain: canonicalJson(one.chain.map(toBase64)),
    issuedAt: one.issuedAt,
    validUntil: one.validUntil,
    edition: one.edition === null ? null : one.edition.toString(),
    revoked: one.revoked,
    receivedAt,
    origin,
  }
  await tx
    .insert(collateral)
    .values({ root: one.root, name: one.label, ...row })
    .onConflictDoUpdate({ target: [collateral.root, collateral.name], set: row })
}

/** What was seen of a name. `crl`: the list that it is, where entries are not to be forgotten. */
type Seen = Issue & Pick<VerifiedItem, 'crl'>

/** The list in a row, of AMD's alone. A row that somebody altered holds none: what is in memory still holds. */
function seenList(name: CollateralItem['name'], body: Uint8Array): Crl | null {
  if (name.kind !== 'amd-crl') return null
  try {
    return parseCrl(body)
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

/** @throws collateral/rollback */
export function verifyNotOlder(one: VerifiedItem, seen: Seen): void {
  const forgotten = forgottenBy(one, seen.crl)
  if (forgotten !== null)
    throw new Failure<CollateralStoreCode>(
      'collateral/rollback',
      `${one.label} does not name serial number ${forgotten}, which one that was seen before revokes`,
    )
  if (!isOlder(one.name.kind, one, seen)) return
  const say = ({ edition, issuedAt, revoked }: Issue) =>
    `${edition === null ? '' : `edition ${edition} `}of ${formatTime(issuedAt)}${revoked ? ' (revoked)' : ''}`
  throw new Failure<CollateralStoreCode>(
    'collateral/rollback',
    `${one.label}, ${say(one)}, is older than one that was seen before, ${say(seen)}`,
  )
}
