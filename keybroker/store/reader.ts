import { and, desc, eq, inArray } from 'drizzle-orm'
import { fromBase64Url } from '#core/bytes/bytes.js'
import { envelopeShape } from '#core/dsse.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { acceptedShape } from '#core/wire/approvals.js'
import { type StatementKind, statementKindShape } from '#core/wire/statements.js'
import type { Connection } from '#host/database.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { readShare } from '#keybroker/model-key.js'
import type { StoreReader } from '#keybroker/ports.js'
import { loadAccount } from '#keybroker/store/accounts.js'
import { loadPlaces } from '#keybroker/store/decisions.js'
import { type EntryRow, listDecisions, listStateLeaves, loadEntry, loadEntryAt } from '#keybroker/store/entries.js'
import { listLeases, listLiveLeases, loadLease } from '#keybroker/store/leases.js'
import { listOpenProposals, listProposals, listProposing, loadProposal } from '#keybroker/store/proposals.js'
import { listReleased } from '#keybroker/store/released.js'
import { pseudonyms, statements, tenants } from '#keybroker/store/schema.js'
import { loadStanding } from '#keybroker/store/standing.js'
import { loadStateMark } from '#keybroker/store/state-mark.js'
import { listModelKeys, listNewestStatements, loadModelKey, type StatementRow } from '#keybroker/store/tenants.js'
import type { StoredEntry, StoredStanding, StoredStatement, StoredTenant } from '#keybroker/stored.js'

/** Null for the failure of `code`, which says that there is no such row. */
async function orNull<T>(code: string, work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (isFailure(error) && error.code === code) return null
    throw error
  }
}

export function readerOf(db: Connection): StoreReader {
  return {
    loadStanding: (tenant, model, version) => readStanding(db, { tenant, model, version }, false),
    loadPlaces: (wanted) => loadPlaces(db, wanted),
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
    listLeases: (tenant, of, limit) => listLeases(db, tenant, of, limit),
    listReleased: (...given) => listReleased(db, ...given),
    loadAccount: (id) => loadAccount(db, id),
    loadEntry: async (id) => toEntry(await loadEntry(db, id)),
    listStateEntries: (tenant) => listStateLeaves(db, tenant),
    listDecisions: async (...given) => (await listDecisions(db, ...given)).map(toEntry),
    async loadEntryAt(index) {
      const found = await orNull('store/entry-unknown', loadEntryAt(db, index))
      return found && toEntry(found)
    },
  }
}

/** held: nobody changes what the tenant decided until the transaction ends */
export async function readStanding(
  db: Connection,
  of: Parameters<typeof loadStanding>[1],
  held: boolean,
): Promise<StoredStanding> {
  const rows = await loadStanding(db, of, held)
  return { ...rows, statements: rows.statements.map(toStatement) }
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

/** What an owner said is heeded whole: a kind that a newer broker took in may forbid what the others allow. @throws broker/newer-statement */
function knownKind({ kind }: StatementRow): StatementKind {
  try {
    return statementKindShape(kind, 'kind')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    const message = 'this owner has a statement of a kind that only a newer build knows'
    const hint = 'ask again: a broker of the newer build answers; its operator is in the middle of an upgrade'
    throw new Failure<BrokerCode>('broker/newer-statement', message, { cause, detail: { hint } })
  }
}

/** @throws broker/newer-statement, broker/record for a row that is not as appendStatement writes it: somebody wrote into the table */
function toStatement(row: StatementRow): StoredStatement {
  const { model, sequence, digest, predecessor, envelope, entry, accepted } = row
  const kind = knownKind(row)
  try {
    return {
      kind,
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

export function toEntry({ position: _, entryIndex, ...entry }: EntryRow): StoredEntry {
  return { ...entry, index: entryIndex }
}
