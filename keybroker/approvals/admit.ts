import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import {
  type Acceptance,
  type Accepted,
  type ApprovalRule,
  type ApprovedAction,
  type Approver,
  approvedActions,
  type Proposed,
  ruleFor,
  signApprovalDocument,
  verifyApart,
  verifyApproval,
  verifyApproverSet,
} from '#core/wire/approvals.js'
import type { Signed, Statement, StatementKind } from '#core/wire/statements.js'
import { verifyGlass } from '#keybroker/approvals/break-glass.js'
import { proposedIn } from '#keybroker/approvals/entries.js'
import type { ApprovalsCode } from '#keybroker/approvals/failures.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { StoreReader, StoreTransaction } from '#keybroker/ports.js'
import { readApproved } from '#keybroker/standing.js'
import type { StoredProposal, StoredStatement } from '#keybroker/stored.js'
import { basisWithout, type StandingSet, verifyApproved } from '#policies/approvals/approved.js'
import { verifyOne } from '#policies/release/statements.js'

type Made = Signed<Statement<'tenant'>>
type Signer = Pick<Broker, 'signer' | 'callerSecret'>

/** The approvers of a tenant, verified as at every decision; null when its owner has none. @throws broker/record, judge/statement-false, approved/..., approval/... */
export async function standingSet(
  reader: StoreReader,
  { signer }: Pick<Broker, 'signer'>,
  made: Made,
): Promise<StandingSet | null> {
  const { tenant } = made.value
  const rows = await reader.loadStatements(tenant, '')
  const approved = await readApproved(reader, tenant, rows)
  if (approved === undefined) return null
  const row = rows.find((one) => one.kind === 'trust')
  if (row === undefined) throw new Failure<BrokerCode>('broker/record', 'the trust statement is gone')
  const trust = await verifyOne('trust', row.envelope, made, null)
  return (await verifyApproved(approved, made, trust, signer.id, [])).set
}

/** Where a proposal stands now. */
export interface Standing {
  readonly state: 'waiting' | 'locked' | 'ready' | 'lapsed'
  readonly rule: ApprovalRule
  readonly proposedAt: UnixSeconds
  /** index of its entry; null while the log has not confirmed it: nobody can agree to it yet */
  readonly stateIndex: number | null
  /** from when on it may take effect, and from when on it never will */
  readonly notBefore: UnixSeconds
  readonly lapsesAt: UnixSeconds
  /** those who agree, one of each group, with what each of them signed */
  readonly agreed: readonly { readonly approver: Approver; readonly envelope: StoredProposal['envelope'] }[]
}

export function proposedOf(
  broker: Pick<Broker, 'signer'>,
  kind: StatementKind,
  { value, digest }: Signed<Statement>,
  set: StandingSet,
  stateIndex: number,
): Proposed {
  return {
    broker: broker.signer.id,
    tenant: value.tenant,
    action: kind,
    model: 'model' in value ? value.model : null,
    old: value.previous,
    new: digest,
    approvers: set.digest,
    stateIndex,
  }
}

/** How far a proposal has come: each approval verified again, each group counted once. @throws broker/record */
export async function standingOf(
  reader: StoreReader,
  broker: Signer,
  proposal: StoredProposal,
  signed: Signed<Statement>,
  set: StandingSet,
  rule: ApprovalRule,
  at: UnixSeconds,
): Promise<Standing> {
  const { at: proposedAt, index } = await proposedIn(reader, broker, proposal)
  const agreed: { approver: Approver; envelope: StoredProposal['envelope'] }[] = []
  for (const envelope of index === null ? [] : proposal.approvals) {
    const proposed = proposedOf(broker, proposal.kind, signed, set, index!)
    try {
      const approver = await verifyApproval(envelope, proposed, set.value, at)
      verifyApart([...agreed.map((one) => one.approver), approver], proposal.kind)
      agreed.push({ approver, envelope })
    } catch (error) {
      if (!isFailure(error)) throw error // one that does not count is none
    }
  }
  const notBefore = proposedAt + rule.lockSeconds
  const lapsesAt = proposedAt + rule.expirySeconds
  const enough = agreed.length >= rule.threshold
  const state = at >= lapsesAt ? 'lapsed' : !enough ? 'waiting' : at < notBefore ? 'locked' : 'ready'
  return { state, rule, proposedAt, stateIndex: index, notBefore, lapsesAt, agreed }
}

/** A change that is the next of its chain. */
export interface Arriving<K extends StatementKind = StatementKind> {
  readonly kind: K
  readonly signed: Signed<Statement<K>>
  readonly made: Made
  /** what it replaces; undefined for the first of its chain */
  readonly head: StoredStatement | undefined
}

export type Admission =
  /** it takes effect; `accepted` null where its owner has no approvers */
  | { readonly kind: 'stands'; readonly accepted: Accepted | null }
  | { readonly kind: 'waits'; readonly rule: ApprovalRule }

/**
 * Whether a change takes effect now, and on what it does.
 *
 * throws  approvers/..., approvals/kek, approvals/cancelled, approvals/over, broker/record, judge/statement-false
 */
export async function admit(
  tx: StoreTransaction,
  broker: Signer,
  change: Arriving,
  at: UnixSeconds,
): Promise<Admission> {
  const { kind, signed, made, head } = change
  const { value } = signed
  if (value.type === 'claviger/statement/approvers/v1') await verifySet(tx, value, at)
  if (!(approvedActions as readonly string[]).includes(kind)) return { kind: 'stands', accepted: null }
  const set = await standingSet(tx, broker, made)
  if (value.type === 'claviger/statement/break-glass/v1') await verifyGlass(tx, broker, value, head, set, at)
  if (set === null)
    return { kind: 'stands', accepted: kind === 'approvers' ? await acceptFirst(tx, broker, change, at) : null }
  const last = head ? (await verifyOne(kind, head.envelope, made, null)).value : null
  const basis = basisWithout(set.value, kind, last, value)
  if (basis !== null) return { kind: 'stands', accepted: await acceptedBy(broker, change, set.digest, basis, at) }
  const rule = ruleFor(set.value, kind)!
  const proposal = await tx.loadProposal(value.tenant, signed.digest)
  if (proposal === null) return { kind: 'waits', rule }
  if (proposal.cancelledEntry !== null)
    throw new Failure<ApprovalsCode>('approvals/cancelled', 'it was called off; sign it anew to propose it again')
  const standing = await standingOf(tx, broker, proposal, signed, set, rule, at)
  if (standing.state === 'lapsed')
    throw new Failure<ApprovalsCode>('approvals/over', 'its time is over; sign it anew to propose it again')
  if (standing.state !== 'ready') return { kind: 'waits', rule }
  return { kind: 'stands', accepted: await acceptedBy(broker, change, set.digest, 'approved', at, standing) }
}

/** The set can do what it says, and says so of key-encryption keys only where the owner named some. */
async function verifySet(tx: StoreTransaction, value: Statement<'approvers'>, at: UnixSeconds): Promise<void> {
  verifyApproverSet(value, at)
  if (ruleFor(value, 'kek') === null) return
  const rows = await tx.loadStatements(value.tenant, '')
  if (rows.some((one) => one.kind === 'kek')) return
  throw new Failure<ApprovalsCode>('approvals/kek', 'say first which key-encryption keys may keep your model keys')
}

/** What stood before there were approvers stands, and the broker says which that was: a later one is none of it. */
async function acceptFirst(tx: StoreTransaction, broker: Signer, change: Arriving, at: UnixSeconds): Promise<Accepted> {
  const { made, signed } = change
  for (const row of await tx.listStatements(made.value.tenant)) {
    if (!(approvedActions as readonly string[]).includes(row.kind)) continue
    const stood = await verifyOne(row.kind, row.envelope, made, null)
    const accepted = await acceptedBy(broker, { ...change, kind: row.kind, signed: stood }, signed.digest, 'stood', at)
    await tx.recordAccepted(made.value.tenant, row.digest, accepted)
  }
  return acceptedBy(broker, change, signed.digest, 'first', at)
}

async function acceptedBy(
  { signer }: Pick<Broker, 'signer'>,
  { kind, signed }: Pick<Arriving, 'kind' | 'signed'>,
  approvers: string,
  basis: Acceptance['basis'],
  at: UnixSeconds,
  standing: Standing | null = null,
): Promise<Accepted> {
  const { value, digest } = signed
  const acceptance: Acceptance = {
    type: 'claviger/acceptance/v1',
    broker: signer.id,
    tenant: value.tenant,
    action: kind as ApprovedAction,
    model: 'model' in value ? value.model : null,
    statement: digest,
    previous: value.previous,
    approvers,
    basis,
    proposedAt: standing?.proposedAt ?? null,
    stateIndex: standing?.stateIndex ?? null,
    at,
  }
  return {
    acceptance: await signApprovalDocument('acceptance', acceptance, signer),
    approvals: standing?.agreed.map((one) => one.envelope) ?? [],
  }
}
