import { and, desc, eq, inArray, isNull, sql } from 'drizzle-orm'
import { fromBase64Url, utf8 } from '#core/bytes/bytes.js'
import { envelopeShape } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { acceptedShape } from '#core/wire/approvals.js'
import { statementKindShape } from '#core/wire/statements.js'
import { type Connection, type Database, rowsOf, verifyDurable } from '#host/database.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { encodeShare, readShare } from '#keybroker/model-key.js'
import type {
  StateMark,
  Store,
  StoredEntry,
  StoredStatement,
  StoredTenant,
  StoreReader,
  StoreTransaction,
} from '#keybroker/ports.js'
import { loadAccount, storeAccount } from '#keybroker/store/accounts.js'
import {
  appendEntry,
  countRefusal,
  type EntryRow,
  forgetRequest,
  listDecisions,
  listStateLeaves,
  listUnrecorded,
  loadEntry,
  loadEntryAt,
  loadNewestOfKind,
  loadPendingEntries,
  loadRequest,
  recordEntryIndex,
  recordRequest,
  takeRefusals,
} from '#keybroker/store/entries.js'
import {
  countLiveLeases,
  endLease,
  listLeases,
  listLeasesWith,
  listLiveLeases,
  loadLease,
  renewLease,
  storeDevices,
  storeLease,
  storeTerms,
} from '#keybroker/store/leases.js'
import { consumeNonce, countNonces, storeNonce } from '#keybroker/store/nonces.js'
import {
  cancelProposal,
  listOpenProposals,
  listProposals,
  listProposing,
  loadProposal,
  storeApproval,
  storeProposal,
} from '#keybroker/store/proposals.js'
import { entries, proposals, pseudonyms, statements, tenants } from '#keybroker/store/schema.js'
import {
  appendStatement,
  createTenant,
  listModelKeys,
  listNewestStatements,
  loadModelKey,
  replaceModelKey,
  type StatementRow,
  storeModelKey,
} from '#keybroker/store/tenants.js'

/** The pot that a challenge is drawn from: that of strangers, or the one of a lease. */
const noncePurpose = (lease: string | null) => (lease === null ? 'v1' : `v1 ${lease}`)

/** The broker's port to its database. */
export function brokerStore(database: Database): Store {
  return {
    read: (work) => database.read((db) => work(readerOf(db))),
    transaction: (work, queue) =>
      database.transaction((tx) => work(transactionOf(tx)), {
        isolation: 'serializable',
        ...(queue === undefined ? {} : { queue: `claviger/keybroker ${queue}` }),
      }),
    verifyDurable: () => verifyDurable(database),
    countNonces: (at, lease) => database.read((db) => countNonces(db, noncePurpose(lease), at)),
    storeNonce: (nonce, context, expiresAt, lease) =>
      database.read((db) => storeNonce(db, { nonce, purpose: noncePurpose(lease), context: utf8(context), expiresAt })),
    // A renewal may answer a challenge of either pot; a release only one of the strangers'.
    consumeNonce: (nonce, context, at, lease) => {
      const purposes = [noncePurpose(null), noncePurpose(lease)]
      return database.read((db) => consumeNonce(db, { nonce, purposes, context: utf8(context) }, at))
    },
    loadPending: (tenant, limit) => database.read((db) => loadPending(db, tenant, limit)),
    recordIndex: (id, index) => database.read((db) => recordEntryIndex(db, id, index)),
    listUnrecorded: (from, to, limit) => database.read((db) => listUnrecorded(db, from, to, limit)),
    loadAcknowledgement: async () => {
      const row = await database.read((db) => loadNewestOfKind(db, 'rollback'))
      return row === null ? null : toEntry(row)
    },
    listPseudonyms: () => database.read((db) => db.select().from(pseudonyms)),
    countRefusal: (code, periodStart, count) =>
      database.read((db) => countRefusal(db, { tenant: '', code, periodStart, count })),
    takeRefusals: (before, entryOf) =>
      database.transaction(async (tx) => {
        const counts = await takeRefusals(tx, before)
        if (counts.length === 0) return null
        const entry = entryOf(counts)
        await appendEntry(tx, entry)
        return entry
      }),
  }
}

/** Null for the failure of `code`, which says that there is no such row. */
async function orNull<T>(code: string, work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (isFailure(error) && error.code === code) return null
    throw error
  }
}

function readerOf(db: Connection): StoreReader {
  return {
    loadTenant: (id) => loadTenantWithPseudonym(db, id),
    async loadStatements(tenant, model) {
      const rows = await db
        .selectDistinctOn([statements.kind, statements.model])
        .from(statements)
        .where(and(eq(statements.tenant, tenant), inArray(statements.model, ['', model])))
        .orderBy(statements.kind, statements.model, desc(statements.sequence))
      return rows.map(toStatement)
    },
    async loadStatementOf(tenant, digest) {
      const [row] = await db
        .select()
        .from(statements)
        .where(and(eq(statements.tenant, tenant), eq(statements.digest, digest)))
      return row ? toStatement(row) : null
    },
    loadProposal: (tenant, digest) => loadProposal(db, tenant, digest),
    listOpenProposals: (tenant, limit) => listOpenProposals(db, tenant, limit),
    listProposals: (tenant, limit) => listProposals(db, tenant, limit),
    listProposing: (since) => listProposing(db, since),
    listStatements: async (tenant) => (await listNewestStatements(db, tenant)).map(toStatement),
    loadStateMark: (tenant) => loadStateMark(db, tenant),
    async loadModelKey(tenant, model, version) {
      const row = await orNull('store/model-key-unknown', loadModelKey(db, { tenant, model, version }))
      return row && { ...row, share: readShare(row.share) }
    },
    async listModelKeys(tenant) {
      return (await listModelKeys(db, tenant)).map((row) => ({ ...row, share: readShare(row.share) }))
    },
    loadLease: (id) => orNull('store/lease-unknown', loadLease(db, id)),
    listLiveLeases: (tenant, model, at) => listLiveLeases(db, model === null ? { tenant } : { tenant, model }, at),
    countLiveLeases: (of, at, before) => countLiveLeases(db, of, at, before),
    listLeases: (tenant, of, limit) => listLeases(db, tenant, of, limit),
    loadAccount: (id) => loadAccount(db, id),
    listLeasesWith: (devices, at) => listLeasesWith(db, devices, at),
    loadEntry: async (id) => toEntry(await loadEntry(db, id)),
    listStateEntries: (tenant) => listStateLeaves(db, tenant),
    listDecisions: async (...given) => (await listDecisions(db, ...given)).map(toEntry),
    async loadEntryAt(index) {
      const found = await orNull('store/entry-unknown', loadEntryAt(db, index))
      return found && toEntry(found)
    },
  }
}

function transactionOf(tx: Connection): StoreTransaction {
  const reader = readerOf(tx)
  return {
    ...reader,
    async shareTenant(id) {
      await tx.execute(sql`select 1 from ${tenants} where ${tenants.id} = ${id} for share`)
    },
    // An update and not a lock alone: a decision whose snapshot is older then fails and begins again, where a lock
    // would only have made it wait.
    async claimTenant(id) {
      await tx
        .update(tenants)
        .set({ createdAt: sql`${tenants.createdAt}` })
        .where(eq(tenants.id, id))
    },
    async createTenant({ id, class: tenantClass, ownerKeysDigest, opening }, ownerKeys, at) {
      await createTenant(tx, { id, class: tenantClass, ownerKeys, ownerKeysDigest, createdAt: at })
      await tx.insert(pseudonyms).values({ tenant: id, opening })
    },
    appendStatement: (tenant, statement, at) =>
      appendStatement(tx, {
        ...statement,
        tenant,
        envelope: canonicalJson(statement.envelope),
        accepted: statement.accepted && canonicalJson(statement.accepted),
        recordedAt: at,
      }),
    async recordAccepted(tenant, digest, accepted) {
      await tx
        .update(statements)
        .set({ accepted: canonicalJson(accepted) })
        .where(and(eq(statements.tenant, tenant), eq(statements.digest, digest)))
    },
    storeProposal: (tenant, proposal, at) => storeProposal(tx, tenant, proposal, at),
    cancelProposal: (...given) => cancelProposal(tx, ...given),
    storeApproval: (...given) => storeApproval(tx, ...given),
    appendEntry: (entry) => appendEntry(tx, entry),
    async storeModelKey(key, at) {
      const known = await reader.loadModelKey(key.tenant, key.model, key.version)
      await (known === null ? storeModelKey : replaceModelKey)(tx, {
        ...key,
        share: encodeShare(key.share),
        createdAt: at,
      })
    },
    storeLease: (lease) => storeLease(tx, lease),
    renewLease: (lease, at) => renewLease(tx, lease, at),
    endLease: (id, at) => endLease(tx, id, at),
    storeTerms: (id, terms) => storeTerms(tx, id, terms),
    storeDevices: (lease, devices) => storeDevices(tx, lease, devices),
    storeAccount: (id, state) => storeAccount(tx, id, state),
    loadGranted: async (tenant, id, digest) => (await loadRequest(tx, { tenant, id, digest }))?.lease ?? null,
    async recordGranted(request, at) {
      await recordRequest(tx, { ...request, decidedAt: at })
    },
    forgetGranted: (request) => forgetRequest(tx, request),
  }
}

async function loadTenantWithPseudonym(db: Connection, id: string): Promise<StoredTenant | null> {
  const [found] = await db
    .select({
      id: tenants.id,
      class: tenants.class,
      ownerKeysDigest: tenants.ownerKeysDigest,
      opening: pseudonyms.opening,
    })
    .from(tenants)
    .innerJoin(pseudonyms, eq(pseudonyms.tenant, tenants.id))
    .where(eq(tenants.id, id))
  if (!found) return null
  fromBase64Url(found.opening, 32)
  return found
}

/** One statement, so that its parts are of one moment. */
async function loadStateMark(db: Connection, tenant: string): Promise<StateMark> {
  const [row] = await rowsOf(
    db,
    sql`select max(entry_index) as index, count(*) as entries,
          count(*) filter (where entry_index is null) as pending,
          (select count(*) from ${statements} s join ${entries} e on e.id = s.entry and e.is_state
            where s.tenant = ${tenant} and e.tenant = ${tenant})
          + (select count(*) from ${proposals} p join ${entries} e on (e.id = p.entry or e.id = p.cancelled_entry) and e.is_state
            where p.tenant = ${tenant} and e.tenant = ${tenant}) as statements
        from ${entries} where tenant = ${tenant} and is_state`,
  )
  const number = (name: string) => Number(row?.[name] ?? 0)
  const index = row?.index
  return {
    index: index === null || index === undefined ? null : Number(index),
    pending: number('pending') > 0,
    entries: number('entries'),
    statements: number('statements'),
  }
}

async function loadPending(db: Connection, tenant: string | null, limit: number): Promise<readonly StoredEntry[]> {
  if (tenant === null) return (await loadPendingEntries(db, limit)).map(toEntry)
  const rows = await db
    .select()
    .from(entries)
    .where(and(eq(entries.tenant, tenant), isNull(entries.entryIndex)))
    .orderBy(entries.position)
    .limit(limit)
  return rows.map(toEntry)
}

/** @throws broker/record for a row that is not as appendStatement writes it: somebody wrote into the table */
function toStatement(row: StatementRow): StoredStatement {
  const { kind, model, sequence, digest, predecessor, envelope, entry, accepted } = row
  try {
    return {
      kind: statementKindShape(kind, 'kind'),
      model,
      sequence,
      digest,
      predecessor,
      envelope: envelopeShape(parseCanonicalJson(envelope), 'envelope'),
      entry: entry ?? '',
      accepted: accepted && acceptedShape(parseCanonicalJson(accepted), 'accepted'),
    }
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/record', 'a stored statement cannot be read', { cause })
  }
}

function toEntry({ position: _, entryIndex, ...entry }: EntryRow): StoredEntry {
  return { ...entry, index: entryIndex }
}
