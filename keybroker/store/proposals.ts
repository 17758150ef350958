import { and, desc, eq, gte, isNull, notExists } from 'drizzle-orm'
import { type Envelope, envelopeShape } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { statementKindShape } from '#core/wire/statements.js'
import type { Connection } from '#host/database.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { approvals, proposals, statements } from '#keybroker/store/schema.js'
import type { StoredProposal } from '#keybroker/stored.js'

type ProposalRow = typeof proposals.$inferSelect

/** @throws broker/record for a row that is not as it was written */
async function toProposal(db: Connection, row: ProposalRow): Promise<StoredProposal> {
  const read = (bytes: Uint8Array) => envelopeShape(parseCanonicalJson(bytes), 'envelope')
  const given = await db
    .select({ envelope: approvals.envelope })
    .from(approvals)
    .where(and(eq(approvals.tenant, row.tenant), eq(approvals.proposal, row.digest)))
    .orderBy(approvals.recordedAt, approvals.signer)
  try {
    return {
      digest: row.digest,
      kind: statementKindShape(row.kind, 'kind'),
      model: row.model,
      envelope: read(row.envelope),
      entry: row.entry,
      cancelledEntry: row.cancelledEntry,
      cancellation: row.cancellation && read(row.cancellation),
      approvals: given.map((one) => read(one.envelope)),
    }
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/record', 'a stored proposal cannot be read', { cause })
  }
}

export async function loadProposal(db: Connection, tenant: string, digest: string): Promise<StoredProposal | null> {
  const [row] = await db
    .select()
    .from(proposals)
    .where(and(eq(proposals.tenant, tenant), eq(proposals.digest, digest)))
  return row ? toProposal(db, row) : null
}

/** The newest first. */
export async function listProposals(db: Connection, tenant: string, limit: number): Promise<readonly StoredProposal[]> {
  const rows = await db
    .select()
    .from(proposals)
    .where(eq(proposals.tenant, tenant))
    .orderBy(desc(proposals.recordedAt), proposals.digest)
    .limit(limit)
  const out = []
  for (const row of rows) out.push(await toProposal(db, row))
  return out
}

/** Neither called off nor in force. */
function isOpen(db: Connection) {
  const standing = db
    .select({ digest: statements.digest })
    .from(statements)
    .where(and(eq(statements.tenant, proposals.tenant), eq(statements.digest, proposals.digest)))
  return and(isNull(proposals.cancelledEntry), notExists(standing))
}

/** Those that were not called off and do not stand, the oldest first. */
export async function listOpenProposals(
  db: Connection,
  tenant: string,
  limit: number,
): Promise<readonly StoredProposal[]> {
  const rows = await db
    .select()
    .from(proposals)
    .where(and(eq(proposals.tenant, tenant), isOpen(db)))
    .orderBy(proposals.recordedAt, proposals.digest)
    .limit(limit)
  const out = []
  for (const row of rows) out.push(await toProposal(db, row))
  return out
}

/** Tenants that have a proposal of since then which was not called off and does not stand. */
export async function listProposing(db: Connection, since: UnixSeconds): Promise<readonly string[]> {
  const rows = await db
    .selectDistinct({ tenant: proposals.tenant })
    .from(proposals)
    .where(and(isOpen(db), gte(proposals.recordedAt, since)))
  return rows.map((row) => row.tenant)
}

export async function storeProposal(
  db: Connection,
  tenant: string,
  proposal: Pick<StoredProposal, 'digest' | 'kind' | 'model' | 'envelope' | 'entry'>,
  at: UnixSeconds,
): Promise<void> {
  await db.insert(proposals).values({
    ...proposal,
    tenant,
    envelope: canonicalJson(proposal.envelope),
    cancelledEntry: null,
    cancellation: null,
    recordedAt: at,
  })
}

export async function cancelProposal(
  db: Connection,
  tenant: string,
  digest: string,
  entry: string,
  cancellation: Envelope,
): Promise<void> {
  await db
    .update(proposals)
    .set({ cancelledEntry: entry, cancellation: canonicalJson(cancellation) })
    .where(and(eq(proposals.tenant, tenant), eq(proposals.digest, digest)))
}

export async function storeApproval(
  db: Connection,
  tenant: string,
  proposal: string,
  signer: string,
  approval: Envelope,
  at: UnixSeconds,
): Promise<void> {
  const row = { tenant, proposal, signer, envelope: canonicalJson(approval), recordedAt: at }
  await db
    .insert(approvals)
    .values(row)
    .onConflictDoUpdate({
      target: [approvals.tenant, approvals.proposal, approvals.signer],
      set: { envelope: row.envelope, recordedAt: at },
    })
}
