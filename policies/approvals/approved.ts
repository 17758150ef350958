import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import {
  type Acceptance,
  type Accepted,
  type ApprovalCode,
  type ApprovedAction,
  approvedActions,
  ruleFor,
  verifyApprovalDocument,
  verifyApprovals,
} from '#core/wire/approvals.js'
import { type Signed, type Statement, type StatementKind, verifyStatement } from '#core/wire/statements.js'
import { isTightening } from '#policies/approvals/tighter.js'

/** Why a statement does not stand, though its owner signed it. */
export type ApprovedCode =
  /** the owner has approvers, and nothing shows that the statement has what it needs */
  | 'approved/missing'
  /** what shows it is of another broker, statement or set */
  | 'approved/other'

/** How the standing statements of an owner with approvers came to stand, as the broker has it. */
export interface ApprovedStatements {
  /** sets of approvers: the one that stands first, then those that a change was approved under */
  readonly sets: readonly Envelope[]
  readonly accepted: readonly Accepted[]
}

/** A set of approvers that stands. */
export type StandingSet = Signed<Statement<'approvers'>>

const modelOf = (value: object): string | null => ('model' in value ? (value.model as string) : null)

function refuse(code: ApprovedCode, message: string): Failure<ApprovedCode> {
  return new Failure<ApprovedCode>(code, message)
}

function isAction(kind: StatementKind): kind is ApprovedAction {
  return (approvedActions as readonly string[]).includes(kind)
}

async function verifySets(
  given: Pick<ApprovedStatements, 'sets'>,
  tenant: Signed<Statement<'tenant'>>,
): Promise<readonly StandingSet[]> {
  const sets = []
  for (const envelope of given.sets) {
    const set = await verifyStatement('approvers', envelope, tenant.value.keys)
    if (set.value.tenant !== tenant.value.tenant) throw refuse('approved/other', 'the approvers are another tenant’s')
    sets.push(set)
  }
  if (sets.length === 0) throw refuse('approved/missing', 'there is no set of approvers')
  return sets
}

/**
 * The set of approvers that stands, and that every one of `signed` stands under it: before there were approvers, because it
 * loosens nothing, or because as many as had to agree. The broker's word says which, and when; whoever agreed says so themselves.
 *
 * returns  the set, and by their digests since when statements stand
 * broker   thumbprint of the broker that decides. Only its own word counts: the keys that it lists are its owner's to choose
 * throws   approved/missing, approved/other, approval/..., dsse/..., crypto/signature, json/..., shape/...
 */
export async function verifyApproved(
  given: ApprovedStatements,
  tenant: Signed<Statement<'tenant'>>,
  trust: Signed<Statement<'trust'>>,
  broker: string,
  signed: readonly (readonly [StatementKind, Signed<Statement> | null])[],
): Promise<{ readonly set: StandingSet; readonly since: ReadonlyMap<string, number> }> {
  const key = trust.value.brokers.find((one) => thumbprint(one) === broker)
  if (key === undefined) throw refuse('approved/other', 'the trust statement does not name this broker')
  const sets = await verifySets(given, tenant)
  const records = new Map<string, { readonly value: Acceptance; readonly approvals: readonly Envelope[] }>()
  for (const one of given.accepted) {
    const { value } = await verifyApprovalDocument('acceptance', one.acceptance, [key])
    records.set(value.statement, { value, approvals: one.approvals })
  }
  const standing = sets[0]!
  for (const [kind, statement] of [...signed, ['approvers', standing] as const]) {
    if (statement === null || !isAction(kind)) continue
    const record = records.get(statement.digest)
    if (record === undefined) throw refuse('approved/missing', `nothing shows that the ${kind} statement was approved`)
    await verifyAccepted(kind, statement, record.value, record.approvals, sets, broker)
  }
  return { set: standing, since: new Map([...records].map(([digest, { value }]) => [digest, value.at])) }
}

/** The statement came to stand as the record says, which is one of this broker's about this statement. */
async function verifyAccepted(
  kind: ApprovedAction,
  { value, digest }: Signed<Statement>,
  record: Acceptance,
  approvals: readonly Envelope[],
  sets: readonly StandingSet[],
  broker: string,
): Promise<void> {
  const isSame =
    record.broker === broker &&
    record.tenant === value.tenant &&
    record.action === kind &&
    record.model === modelOf(value) &&
    record.statement === digest &&
    record.previous === value.previous
  if (!isSame) throw refuse('approved/other', `what shows that the ${kind} statement was approved is of another`)
  if (kind === 'approvers' && value.previous !== null && record.basis !== 'approved')
    throw refuse('approved/other', 'another set of approvers stands only by the approval of the one before')
  if ('seconds' in value && value.seconds > 0 && record.basis !== 'approved')
    throw refuse('approved/other', 'the glass is broken by those who agreed to it, and by nothing else')
  if (record.basis === 'approved') {
    const set = sets.find((one) => one.digest === record.approvers)
    if (set === undefined) throw refuse('approved/missing', 'the approvers that it was approved by are not there')
    if (kind === 'approvers' && set.digest !== value.previous)
      throw refuse('approved/other', 'the approvers were changed by others than those before')
    await verifyApprovedBy(record, approvals, set)
  }
}

/**
 * One change came to stand as its record says, judged again from the change alone: who had to agree did, and what counted as open, first
 * or tightening is.
 *
 * given    the sets, that under which it came to stand among them, and how it did
 * last     the statement that it replaced; null for the first of its chain
 * brokers  keys whose word on it the reader takes
 * returns  on what it stands
 * throws   approved/missing, approved/other, approval/..., dsse/..., crypto/signature, json/..., shape/...
 */
export async function verifyAcceptedChange<K extends StatementKind>(
  kind: K,
  signed: Signed<Statement<K>>,
  last: Statement<K> | null,
  given: { readonly sets: readonly Envelope[]; readonly accepted: Accepted },
  tenant: Signed<Statement<'tenant'>>,
  brokers: readonly SignatureJwk[],
): Promise<Acceptance['basis']> {
  if (!isAction(kind)) throw refuse('approved/other', `a ${kind} statement needs nobody's approval`)
  const { acceptance, approvals } = given.accepted
  const { value: record, signer } = await verifyApprovalDocument('acceptance', acceptance, brokers)
  const sets = await verifySets(given, tenant)
  await verifyAccepted(kind, signed, record, approvals, sets, signer)
  if (record.basis === 'approved') return record.basis
  const set = sets.find((one) => one.digest === record.approvers)
  if (set === undefined) throw refuse('approved/missing', 'the approvers under whom it came to stand are not there')
  const again = basisWithout(set.value, kind, last, signed.value)
  if (again === record.basis) return again
  const now = again === null ? 'a change that needs approvals' : `of basis ${again}`
  throw refuse('approved/other', `the broker says that it stands as ${record.basis}; judged again it is ${now}`)
}

/** As many as the set asks for agreed, and everybody could see the proposal as long as it asks for. */
export async function verifyApprovedBy(
  record: Acceptance,
  approvals: readonly Envelope[],
  set: StandingSet,
): Promise<void> {
  const rule = ruleFor(set.value, record.action)
  if (rule === null || record.proposedAt === null || record.stateIndex === null)
    throw refuse('approved/other', `the approvers have no rule for ${record.action}, or nothing was proposed`)
  if (record.at < record.proposedAt + rule.lockSeconds)
    throw new Failure<ApprovalCode>(
      'approval/lock',
      `it took effect ${record.at - record.proposedAt} s after it was proposed`,
    )
  if (record.at >= record.proposedAt + rule.expirySeconds)
    throw new Failure<ApprovalCode>(
      'approval/expired',
      `it took effect ${record.at - record.proposedAt} s after it was proposed`,
    )
  const proposed = {
    broker: record.broker,
    tenant: record.tenant,
    action: record.action,
    model: record.model,
    old: record.previous,
    new: record.statement,
    approvers: record.approvers,
    stateIndex: record.stateIndex,
  }
  await verifyApprovals(approvals, proposed, set.value, rule, record.at)
}

/**
 * On what a change stands while `set` does, without anybody's approval; null when it needs one.
 *
 * last  the statement that it replaces; null for the first of its chain
 */
export function basisWithout<K extends StatementKind>(
  set: StandingSet['value'],
  kind: K,
  last: Statement<K> | null,
  next: Statement<K>,
): Exclude<Acceptance['basis'], 'approved' | 'stood'> | null {
  if ('seconds' in next) return next.seconds === 0 ? 'tightening' : null // nobody breaks the glass alone
  if (ruleFor(set, kind) === null) return 'open'
  if (last === null) return 'first'
  // A new version comes with a key of its own: nobody who has the one before gets it by this.
  if ('manifestDigest' in last && 'manifestDigest' in next && next.version > last.version) return 'first'
  return isTightening(kind, last, next) ? 'tightening' : null
}
