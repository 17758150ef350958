import { type SignatureJwk, signatureJwk, thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import {
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { approvalExpirySecondsMax, clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { modelIdShape, nameShape, timeShape, titleShape } from '#core/wire/names.js'

/** Why an approval does not count. */
export type ApprovalCode =
  /** no approver of the set signed it, or one who is not authorised for this action, or no more */
  | 'approval/signer'
  | 'approval/broker'
  | 'approval/tenant'
  | 'approval/action'
  /** it is for another change than this one: what it replaces, or what it brings */
  | 'approval/digest'
  /** another set of approvers stood when it was given */
  | 'approval/approvers'
  /** it is for an earlier proposal of the change */
  | 'approval/state-index'
  | 'approval/expired'
  /** the same person signed twice */
  | 'approval/person'
  /** two people of one controlling group count once */
  | 'approval/group'
  /** those who break the glass are of different employers */
  | 'approval/employer'
  /** fewer agreed than have to */
  | 'approval/threshold'
  /** it was not long enough since everybody could see the proposal */
  | 'approval/lock'

/** Failures of a set of approvers. */
export type ApproversCode =
  /** a name or a key stands twice, or an action has two rules */
  | 'approvers/repeated'
  /** the set does not say who may change it */
  | 'approvers/unprotected'
  /** so many controlling groups as a rule asks for could never agree */
  | 'approvers/threshold'

/** What can need approvals: the kinds of statements that something can be loosened by. */
export const approvedActions = [
  'trust',
  'registration',
  'policy',
  'reference-values',
  'revocation',
  'kek',
  'approvers',
  'break-glass',
  'sources',
] as const
export type ApprovedAction = (typeof approvedActions)[number]
export const approvedActionShape: Shape<ApprovedAction> = oneOf(...approvedActions)

const approverShape = object({
  /** names a person: nobody has two */
  id: nameShape,
  key: signatureJwk,
  employer: titleShape,
  /** who controls the employer in the end; approvers are counted by it (TRUST 12) */
  group: string({ max: 200, form: /^(?=.*\S)[^\p{Cc}]*$/u }),
  actions: list(approvedActionShape, { min: 1, max: approvedActions.length }),
  /** from then on what this person signs counts no more */
  expiresAt: timeShape,
})
export type Approver = Shaped<typeof approverShape>

const ruleShape = object({
  action: approvedActionShape,
  /** how many controlling groups have to agree */
  threshold: integer({ min: 1, max: 16 }),
  /** seconds between the proposal's entry in the log and its effect */
  lockSeconds: integer({ max: 30 * 86_400 }),
  /** seconds after which a proposal that has not taken effect never will */
  expirySeconds: integer({ min: 60, max: approvalExpirySecondsMax }),
})
export type ApprovalRule = Shaped<typeof ruleShape>

/** The members of a statement of kind `approvers`, beside those of every statement. */
export const approversMembers = {
  approvers: list(approverShape, { min: 1, max: 32 }),
  rules: list(ruleShape, { min: 1, max: approvedActions.length }),
}
/** Who may agree to what, and how many have to. An action without a rule needs none. */
export type ApproverSet = Shaped<Shape<{ approvers: readonly Approver[]; rules: readonly ApprovalRule[] }>>

/** The rule of an action; null when the owner's key alone is enough. */
export function ruleFor(set: ApproverSet, action: string): ApprovalRule | null {
  return set.rules.find((rule) => rule.action === action) ?? null
}

/** Names of companies are typed by people: case, spaces and forms of letters make no other company. */
function folded(name: string): string {
  return name.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim()
}

/**
 * The set can do what it says: everybody stands in it once, it protects itself, and each rule's number of groups can agree.
 *
 * throws  approvers/repeated, approvers/unprotected, approvers/threshold
 */
export function verifyApproverSet(set: ApproverSet, at: UnixSeconds): void {
  const repeated = (what: string, values: readonly string[]) => {
    const twice = values.find((one, i) => values.indexOf(one) !== i)
    if (twice !== undefined)
      throw new Failure<ApproversCode>('approvers/repeated', `${what} ${JSON.stringify(twice)} stands twice`)
  }
  repeated(
    'approver',
    set.approvers.map((one) => one.id),
  )
  repeated(
    'key',
    set.approvers.map((one) => thumbprint(one.key)),
  )
  repeated(
    'rule of',
    set.rules.map((one) => one.action),
  )
  if (ruleFor(set, 'approvers') === null)
    throw new Failure<ApproversCode>('approvers/unprotected', 'the set has no rule for a change of the approvers')
  for (const { action, threshold } of set.rules) {
    if (action === 'break-glass' && threshold < 2)
      throw new Failure<ApproversCode>('approvers/threshold', 'break-glass needs two controlling groups at least')
    const able = set.approvers.filter((one) => one.actions.includes(action) && one.expiresAt > at)
    const groups = new Set(able.map((one) => folded(one.group))).size
    if (groups < threshold)
      throw new Failure<ApproversCode>(
        'approvers/threshold',
        `${action} needs ${threshold} controlling groups, ${groups} can agree`,
      )
  }
}

/** One person agrees to one change, once. */
const approvalShape = object({
  type: literal('claviger/approval/v1'),
  /** thumbprint of the key that signs */
  approver: thumbprintShape,
  /** thumbprint of the broker where it takes effect */
  broker: thumbprintShape,
  tenant: thumbprintShape,
  action: approvedActionShape,
  /** null for a statement on the whole tenant */
  model: nullable(modelIdShape),
  /** digest of the statement that stands; null for none */
  old: nullable(hex(32)),
  /** digest of the statement that is to stand */
  new: hex(32),
  /** digest of the set of approvers that stands */
  approvers: hex(32),
  /** index in the log of the entry of the proposal */
  stateIndex: integer(),
  reason: titleShape,
  signedAt: timeShape,
  expiresAt: timeShape,
})
export type Approval = Shaped<typeof approvalShape>

/** Someone of the owner's calls a proposal off. */
const cancellationShape = object({
  type: literal('claviger/cancellation/v1'),
  broker: thumbprintShape,
  tenant: thumbprintShape,
  /** digest of the statement that is not to stand */
  proposal: hex(32),
  reason: titleShape,
  at: timeShape,
})

/**
 * How a statement of a tenant with approvers came to stand, signed by the broker that looked: without it a database could
 * put a statement there that its owner signed and nobody agreed to (I18).
 *
 * basis  `stood` before there were approvers; `first` of its chain, or of a new version with a new key: nothing is
 *        loosened; `open`: no rule for the action; `tightening`: it allows nothing that the one before did not;
 *        `approved`
 */
const acceptanceShape = object({
  type: literal('claviger/acceptance/v1'),
  broker: thumbprintShape,
  tenant: thumbprintShape,
  action: approvedActionShape,
  model: nullable(modelIdShape),
  statement: hex(32),
  previous: nullable(hex(32)),
  approvers: hex(32),
  basis: oneOf('stood', 'first', 'open', 'tightening', 'approved'),
  /** of the proposal: when and where it came into the log; null where nothing was proposed */
  proposedAt: nullable(timeShape),
  stateIndex: nullable(integer()),
  /** broker's clock when it took effect */
  at: timeShape,
})
export type Acceptance = Shaped<typeof acceptanceShape>

const documents = {
  approval: ['application/vnd.claviger.approval+json', approvalShape],
  cancellation: ['application/vnd.claviger.cancellation+json', cancellationShape],
  acceptance: ['application/vnd.claviger.acceptance+json', acceptanceShape],
} as const
type DocumentKind = keyof typeof documents
type Document<K extends DocumentKind> = Shaped<(typeof documents)[K][1]>

export async function signApprovalDocument<K extends DocumentKind>(
  kind: K,
  value: Document<K>,
  key: SigningKey,
): Promise<Envelope> {
  return signEnvelope(documents[kind][0], canonicalJson(value), [key])
}

/** The document, and the one of `keys` that signed it: an envelope that several signed is none. @throws dsse/signer, dsse/type, crypto/signature, json/..., shape/... */
export async function verifyApprovalDocument<K extends DocumentKind>(
  kind: K,
  envelope: Envelope,
  keys: readonly SignatureJwk[],
): Promise<{ readonly value: Document<K>; readonly signer: string }> {
  const [type, shape] = documents[kind]
  const { payload, signers } = await verifyEnvelope(envelope, type, keys, kind)
  return { value: (shape as unknown as Shape<Document<K>>)(parseCanonicalJson(payload), kind), signer: signers[0]! }
}

/** How a statement came to stand, with the approvals that it did by. */
export const acceptedShape = object({
  acceptance: envelopeShape,
  approvals: list(envelopeShape, { max: 32 }),
})
export type Accepted = Shaped<typeof acceptedShape>

/** The change that approvals are for. */
export interface Proposed {
  readonly broker: string
  readonly tenant: string
  readonly action: string
  readonly model: string | null
  readonly old: string | null
  readonly new: string
  /** digest of the set */
  readonly approvers: string
  readonly stateIndex: number
}

/**
 * One approver of the set agrees to exactly this change, at this time.
 *
 * throws  approval/signer, approval/broker, approval/tenant, approval/action, approval/digest, approval/approvers,
 *         approval/state-index, approval/expired, crypto/signature, json/..., shape/...
 */
export async function verifyApproval(
  envelope: Envelope,
  proposed: Proposed,
  set: ApproverSet,
  at: UnixSeconds,
): Promise<Approver> {
  const refuse = (code: ApprovalCode, message: string) => new Failure<ApprovalCode>(code, message)
  let read: Awaited<ReturnType<typeof verifyApprovalDocument<'approval'>>>
  try {
    read = await verifyApprovalDocument(
      'approval',
      envelope,
      set.approvers.map((one) => one.key),
    )
  } catch (error) {
    if (!isFailure(error) || error.code !== 'dsse/signer') throw error
    throw refuse('approval/signer', 'no approver of the set signed it')
  }
  const { value, signer } = read
  if (value.approver !== signer) throw refuse('approval/signer', 'it is signed by another than it names')
  if (value.broker !== proposed.broker) throw refuse('approval/broker', 'it is for another broker')
  if (value.tenant !== proposed.tenant) throw refuse('approval/tenant', 'it is of another tenant')
  if (value.action !== proposed.action || value.model !== proposed.model)
    throw refuse('approval/action', `it is for ${value.action} of ${value.model ?? 'the tenant'}`)
  if (value.old !== proposed.old || value.new !== proposed.new)
    throw refuse('approval/digest', 'it is for another change: an old or new digest differs')
  if (value.approvers !== proposed.approvers)
    throw refuse('approval/approvers', 'it was given under another set of approvers')
  if (value.stateIndex !== proposed.stateIndex)
    throw refuse('approval/state-index', `it names entry ${value.stateIndex}, the proposal is ${proposed.stateIndex}`)
  if (value.expiresAt <= at || value.signedAt > at + clockSkewSeconds)
    throw refuse('approval/expired', `it counts from ${value.signedAt} to ${value.expiresAt}, it is ${at}`)
  const approver = set.approvers.find((one) => thumbprint(one.key) === signer)!
  if (!approver.actions.includes(value.action) || approver.expiresAt <= at)
    throw refuse('approval/signer', `${approver.id} may not approve ${value.action}, or no more`)
  return approver
}

/**
 * Nobody agrees twice, neither as one person nor as one group, nor, where the glass is broken, as one employer.
 *
 * throws  approval/person, approval/group, approval/employer
 */
export function verifyApart(approvers: readonly Approver[], action: string): void {
  const people = new Set<string>()
  const groups = new Set<string>()
  const employers = new Set<string>()
  for (const { id, group, employer } of approvers) {
    if (people.has(id)) throw new Failure<ApprovalCode>('approval/person', `${id} has signed already`)
    if (groups.has(folded(group)))
      throw new Failure<ApprovalCode>('approval/group', `somebody of ${JSON.stringify(group)} has signed already`)
    if (action === 'break-glass' && employers.has(folded(employer)))
      throw new Failure<ApprovalCode>('approval/employer', `somebody of ${JSON.stringify(employer)} has signed already`)
    employers.add(folded(employer))
    people.add(id)
    groups.add(folded(group))
  }
}

/**
 * So many groups as the rule asks for agree to exactly this change, at this time.
 *
 * throws  approval/threshold, approval/person, approval/group, and what verifyApproval throws
 */
export async function verifyApprovals(
  approvals: readonly Envelope[],
  proposed: Proposed,
  set: ApproverSet,
  rule: ApprovalRule,
  at: UnixSeconds,
): Promise<readonly Approver[]> {
  const agreed: Approver[] = []
  for (const one of approvals) agreed.push(await verifyApproval(one, proposed, set, at))
  verifyApart(agreed, proposed.action)
  if (agreed.length < rule.threshold)
    throw new Failure<ApprovalCode>('approval/threshold', `${agreed.length} agree, ${rule.threshold} have to`)
  return agreed
}
