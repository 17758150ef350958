import { fromBase64 } from '#core/bytes/bytes.js'
import { thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { type Json, parseCanonicalJson } from '#core/encoding/json.js'
import { hex } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { approvalExpirySecondsMax, proposalsMax } from '#core/limits.js'
import {
  type ApprovalCode,
  ruleFor,
  verifyApart,
  verifyApproval,
  verifyApprovalDocument,
} from '#core/wire/approvals.js'
import { payloadDigest, type Signed, type Statement, type StatementKind } from '#core/wire/statements.js'
import { proposedOf, type Standing, standingOf, standingSet } from '#keybroker/approvals/admit.js'
import { writeProposal } from '#keybroker/approvals/entries.js'
import type { ApprovalsCode } from '#keybroker/approvals/failures.js'
import { withBoundKeys } from '#keybroker/bound-keys.js'
import type { Broker } from '#keybroker/broker.js'
import { applyChanges } from '#keybroker/changes.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { publishPending } from '#keybroker/outbox.js'
import type { StoreReader } from '#keybroker/ports.js'
import { readTenant, verifyMark } from '#keybroker/standing.js'
import type { StoredProposal, StoredTenant } from '#keybroker/stored.js'
import type { StandingSet } from '#policies/approvals/approved.js'
import { verifyOne } from '#policies/release/statements.js'

/** A proposal that waits, as far as it has come. */
export interface OpenProposal {
  readonly stored: StoredTenant
  readonly made: Signed<Statement<'tenant'>>
  readonly set: StandingSet
  readonly proposal: StoredProposal
  readonly signed: Signed<Statement>
  readonly standing: Standing
}

/**
 * The proposal of this digest, which can still take effect.
 *
 * dead    whether one whose time is over, or whose predecessor was replaced, counts: there it can be called off
 * throws  approvals/unknown, approvals/cancelled, approvals/over, broker/unknown-tenant, broker/record, judge/statement-false
 */
export async function openProposal(
  reader: StoreReader,
  broker: Broker,
  tenantId: string,
  digest: string,
  dead: 'refuse' | 'take' = 'refuse',
): Promise<OpenProposal> {
  const { stored, made } = await readTenant(reader, tenantId)
  // Whoever took a cancellation back in the database left an entry that is nobody's.
  verifyMark(await reader.loadStateMark(tenantId))
  const proposal = await reader.loadProposal(tenantId, digest)
  if (proposal === null)
    throw new Failure<ApprovalsCode>('approvals/unknown', 'nothing of this digest is proposed here')
  if (payloadDigest(proposal.envelope) !== digest)
    throw new Failure<BrokerCode>('broker/record', 'a stored proposal is not what its row says')
  if (proposal.cancelledEntry !== null) throw new Failure<ApprovalsCode>('approvals/cancelled', 'it was called off')
  const over = (why: string) => new Failure<ApprovalsCode>('approvals/over', why)
  if ((await reader.loadStatementOf(tenantId, digest)) !== null) throw over('it is in force')
  const signed = await verifyOne(proposal.kind, proposal.envelope, made, null)
  const set = await standingSet(reader, broker, made)
  const rule = set && ruleFor(set.value, proposal.kind)
  if (set === null || rule === null) throw over('the approvers have no rule for it any more: send it again')
  const head = (await reader.loadStatements(tenantId, proposal.model)).find((row) => row.kind === proposal.kind)
  const isStale = (head?.digest ?? null) !== signed.value.previous
  if (isStale && dead === 'refuse') throw over('what it was to replace was replaced meanwhile')
  const standing = await standingOf(reader, broker, proposal, signed, set, rule, broker.clock())
  if (standing.state === 'lapsed' && dead === 'refuse') throw over('its time is over')
  return { stored, made, set, proposal, signed, standing }
}

/**
 * Every proposal of a tenant that enough agreed to, and that was public for long enough, is in force, and the log has it.
 *
 * returns  digests of those that are in force by this
 */
export async function settle(broker: Broker, tenant: string): Promise<readonly string[]> {
  const waiting = await broker.store.read((reader) => reader.listOpenProposals(tenant, proposalsMax))
  const settled: string[] = []
  for (const { digest, kind } of waiting) {
    if (await settleOne(broker, tenant, digest, kind)) settled.push(digest)
  }
  if (settled.length > 0) await publishPending(broker, tenant)
  return settled
}

/** The same for every tenant: nobody has to ask for what is due. */
export async function settleAll(broker: Broker): Promise<void> {
  const since = broker.clock() - approvalExpirySecondsMax
  for (const tenant of await broker.store.read((reader) => reader.listProposing(since))) await settle(broker, tenant)
}

async function settleOne(broker: Broker, tenant: string, digest: string, kind: StatementKind): Promise<boolean> {
  try {
    const { made: known } = await broker.store.read((reader) => readTenant(reader, tenant))
    return await withBoundKeys(broker, known, kind === 'trust' ? digest : null, (bound) =>
      broker.store.transaction(async (tx) => {
        await tx.claimTenant(tenant)
        const { stored, made, proposal, signed, standing } = await openProposal(tx, broker, tenant, digest)
        if (standing.state !== 'ready') return false
        await applyChanges(tx, broker, stored, made, [{ kind: proposal.kind, signed }], bound)
        return true
      }),
    )
  } catch (error) {
    const passed: readonly string[] = [
      'approvals/cancelled',
      'approvals/over',
      'break-glass/month',
      'break-glass/chained',
    ]
    if (isFailure(error) && passed.includes(error.code)) return false
    throw error
  }
}

function claimed(envelope: Envelope, digestName: 'new' | 'proposal') {
  const payload = parseCanonicalJson(fromBase64(envelope.payload)) as { readonly [name: string]: Json } | null
  return {
    tenant: thumbprintShape(payload?.tenant, 'tenant'),
    digest: hex(32)(payload?.[digestName], digestName),
  }
}

/**
 * Somebody agrees to a proposal; with as many as have to, and its time come, it is in force on return.
 *
 * throws  approvals/..., approval/..., broker/unknown-tenant, broker/record, crypto/signature, json/..., shape/..., log/..., database/...
 */
export async function acceptApproval(broker: Broker, envelope: Envelope): Promise<{ readonly inForce: boolean }> {
  const { tenant, digest } = claimed(envelope, 'new')
  await publishPending(broker, tenant)
  await broker.store.transaction(async (tx) => {
    await tx.claimTenant(tenant)
    await verifyUnused(tx, tenant, digest, envelope)
    const { set, proposal, signed, standing } = await openProposal(tx, broker, tenant, digest)
    if (standing.stateIndex === null)
      throw new Failure<BrokerCode>('broker/changing', 'the proposal is not in the log yet; ask again')
    const at = broker.clock()
    const proposed = proposedOf(broker, proposal.kind, signed, set, standing.stateIndex)
    const approver = await verifyApproval(envelope, proposed, set.value, at)
    verifyApart([...standing.agreed.map((one) => one.approver), approver], proposal.kind)
    await tx.storeApproval(tenant, digest, thumbprint(approver.key), envelope, at)
  })
  const settled = await settle(broker, tenant)
  return { inForce: settled.includes(digest) }
}

/** An approval works once, also after what it was for came into force. @throws approval/used */
async function verifyUnused(reader: StoreReader, tenant: string, digest: string, envelope: Envelope): Promise<void> {
  const known = await reader.loadProposal(tenant, digest)
  const own = payloadDigest(envelope)
  if (known?.cancelledEntry === null && known.approvals.some((one) => payloadDigest(one) === own))
    throw new Failure<ApprovalsCode>('approval/used', 'this approval has been counted')
}

/**
 * A proposal is called off, and everybody can see that it is: by a key of the owner's, or by any approver.
 *
 * throws  approvals/..., approval/broker, approval/tenant, dsse/signer, crypto/signature, broker/..., log/..., database/...
 */
export async function cancelProposal(broker: Broker, envelope: Envelope): Promise<void> {
  const { tenant, digest } = claimed(envelope, 'proposal')
  await broker.store.transaction(async (tx) => {
    await tx.claimTenant(tenant)
    const { stored, made, set, proposal, signed } = await openProposal(tx, broker, tenant, digest, 'take')
    const keys = [...made.value.keys, ...set.value.approvers.map((one) => one.key)]
    const { value } = await verifyApprovalDocument('cancellation', envelope, keys)
    if (value.broker !== broker.signer.id)
      throw new Failure<ApprovalCode>('approval/broker', 'the cancellation is for another broker')
    if (value.tenant !== tenant) throw new Failure<ApprovalCode>('approval/tenant', 'it is of another tenant')
    const entry = writeProposal(
      { kind: proposal.kind, signed, made, cancellation: envelope },
      stored,
      broker.clock(),
      broker,
    )
    await tx.appendEntry(entry)
    await tx.cancelProposal(tenant, digest, entry.id, envelope)
  })
  await publishPending(broker, tenant)
}
