import type { Steps } from '#client/steps.js'
import { refuse } from '#client/steps.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { type VerifiedInclusion, verifyTlogProof } from '#core/tlog/verify.js'
import { type StateBundle, stateBundleShape } from '#core/wire/bundle.js'
import { verifyCommitment } from '#core/wire/commitment.js'
import { parseEntry, type StateEntry } from '#core/wire/entries.js'
import {
  type Signed,
  type Statement,
  verifyStatement,
  verifySuccession,
  verifyTenantStatement,
} from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import { verifyAcceptedChange } from '#policies/approvals/approved.js'

/** The steps of judging a change that an owner made, in order. The first three need nobody's anchors. */
export const stateBundleSteps = [
  ['state/form', 'the file has exactly the form of claviger/state-bundle/v1'],
  ['state/statement', 'a key of the owner signed the statement, which follows the one that it replaces'],
  ['state/entry', 'the log entry is of this statement: its commitments open to it'],
  ['state/anchors', 'the owner is in the trust file'],
  ['state/approved', 'where its owner had approvers: they agreed, or judged again it loosens nothing'],
  ['state/proof', 'the change stands in a trusted log under a quorum of witnesses'],
] as const satisfies readonly (readonly [string, string])[]

/** A change that fits its statement and its entry; whose it is and where it stands is not judged. */
export interface ReadStateBundle {
  readonly bundle: StateBundle
  readonly entry: StateEntry
  readonly statement: Signed<Statement>
  readonly change: Change
}
export interface VerifiedStateBundle extends ReadStateBundle {
  readonly inclusion: VerifiedInclusion
}

/** A statement, with the one that made its tenant and the one that it replaces. */
interface Change {
  readonly made: Signed<Statement<'tenant'>>
  readonly signed: Signed<Statement>
  readonly before: Signed<Statement> | null
}

/**
 * The statement as one of the tenant's keys signed it. The tenant's own statement names those keys and proves itself: the
 * tenant's id is the thumbprint of the key that signed it.
 */
async function verifyChange({ change, tenant, statement, previous }: StateBundle): Promise<Change> {
  const made = await verifyTenantStatement(tenant)
  const keys = made.value.keys
  const signed: Signed<Statement> = await verifyStatement(change, statement, keys)
  if (signed.value.tenant !== made.value.tenant)
    throw refuse('client/bundle-splice', 'the statement is of another tenant than the one beside it')
  if (change === 'tenant' && signed.digest !== made.digest)
    throw refuse('client/bundle-splice', 'the statement is not the one that made the tenant')
  const before: Signed<Statement> | null = previous && (await verifyStatement(change, previous, keys))
  const modelOf = (one: Signed<Statement>) => ('model' in one.value ? one.value.model : null)
  if (before !== null && modelOf(before) !== modelOf(signed))
    throw refuse('client/bundle-splice', 'the statement before it is about another model')
  verifySuccession(before, signed.value)
  return { made, signed, before }
}

function verifyEntry(bundle: StateBundle, statement: Signed<Statement>): StateEntry {
  const entry = parseEntry(fromBase64(bundle.leaf))
  if (entry.kind !== 'state') throw refuse('client/bundle-splice', `entry is a ${entry.kind}, not a change`)
  const { openings } = bundle
  const { value, digest } = statement
  const model = 'model' in value ? value.model : null
  if ((model === null) !== (entry.model === null) || (model === null) !== (openings.model === null))
    throw refuse('client/bundle-splice', 'entry, openings and statement do not all name a model, or none')
  verifyCommitment(entry.tenant, 'tenant', value.tenant, openings.tenant)
  if (entry.model !== null && openings.model !== null) verifyCommitment(entry.model, 'model', model, openings.model)
  verifyCommitment(entry.statement, 'statement', digest, openings.statement)
  if (
    entry.at !== bundle.at ||
    entry.change !== bundle.change ||
    entry.sequence !== value.sequence ||
    entry.reason !== value.why?.code
  )
    throw refuse('client/bundle-splice', 'entry has another time, kind, sequence number or reason than the statement')
  return entry
}

/** What the file alone shows. @throws client/bundle-splice, statement/..., dsse/..., commitment/..., entry/..., shape/... */
export async function readStateBundle(file: Json, steps: Steps): Promise<ReadStateBundle> {
  const bundle = await steps.step('state/form', () => stateBundleShape(file, 'bundle'))
  const change = await steps.step('state/statement', () => verifyChange(bundle))
  const entry = await steps.step('state/entry', () => verifyEntry(bundle, change.signed))
  return { bundle, entry, statement: change.signed, change }
}

/** A broker that the reader names says how it came to stand, and that is so. Without approvers the owner's key was enough. */
async function verifyStands({ bundle, change }: ReadStateBundle, trust: Trust): Promise<void> {
  const { approved } = bundle
  if (approved === undefined) return
  const { made, signed, before } = change
  const brokers = trust.brokers.map(({ key }) => key)
  await verifyAcceptedChange(bundle.change, signed, before?.value ?? null, approved, made, brokers)
}

/**
 * A change that an owner in the reader's trust file signed, and that stands in a trusted log. Where the owner had approvers, it came to
 * stand as the broker says: whether it loosens anything is judged again.
 *
 * file    JSON as it came, unverified
 * throws  client/owner-unknown, approved/..., approval/..., tlog/..., and what readStateBundle throws
 */
export async function verifyStateBundle(file: Json, trust: Trust, steps: Steps): Promise<VerifiedStateBundle> {
  const read = await readStateBundle(file, steps)
  await steps.step('state/anchors', () => {
    const { tenant } = read.statement.value
    if (trust.owners.some(({ key }) => thumbprint(key) === tenant)) return
    throw refuse('client/owner-unknown', `no owner in the trust file has key ${tenant}`)
  })
  await steps.step('state/approved', () => verifyStands(read, trust))
  const { proof, leaf } = read.bundle
  const inclusion = await steps.step('state/proof', () =>
    verifyTlogProof(proof, fromBase64(leaf), { logVkeys: trust.logs, policy: trust.witnessPolicy }),
  )
  return { ...read, inclusion }
}
