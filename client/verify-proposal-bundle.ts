import type { Steps } from '#client/steps.js'
import { refuse } from '#client/steps.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { type VerifiedInclusion, verifyTlogProof } from '#core/tlog/verify.js'
import { verifyApprovalDocument } from '#core/wire/approvals.js'
import { type ProposalBundle, proposalBundleShape } from '#core/wire/bundle.js'
import { verifyCommitment } from '#core/wire/commitment.js'
import { type ProposalEntry, parseEntry } from '#core/wire/entries.js'
import { type Signed, type Statement, verifyStatement, verifyTenantStatement } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'

/** The steps of judging a change that was proposed or called off, in order. The first four need nobody's anchors. */
export const proposalBundleSteps = [
  ['proposal/form', 'the file has exactly the form of claviger/proposal-bundle/v1'],
  ['proposal/statement', 'a key of the owner signed the statement that is proposed'],
  ['proposal/entry', 'the log entry is of this proposal: its commitments open to it'],
  ['proposal/cancelled', 'nobody called it off, or a key of the owner did; who else may is not in the file'],
  ['proposal/anchors', 'the owner is in the trust file'],
  ['proposal/proof', 'it stands in a trusted log under a quorum of witnesses'],
] as const satisfies readonly (readonly [string, string])[]

/** A proposal that fits its statement and its entry; whose it is and where it stands is not judged. */
export interface ReadProposalBundle {
  readonly bundle: ProposalBundle
  readonly entry: ProposalEntry
  readonly statement: Signed<Statement>
}
export interface VerifiedProposalBundle extends ReadProposalBundle {
  readonly inclusion: VerifiedInclusion
}

type Made = Signed<Statement<'tenant'>>

async function verifyProposed({ change, tenant, statement }: ProposalBundle) {
  const made = await verifyTenantStatement(tenant)
  const signed: Signed<Statement> = await verifyStatement(change, statement, made.value.keys)
  if (signed.value.tenant !== made.value.tenant)
    throw refuse('client/bundle-splice', 'the statement is of another tenant than the one beside it')
  return { made, signed }
}

function verifyEntry(bundle: ProposalBundle, { value, digest }: Signed<Statement>): ProposalEntry {
  const entry = parseEntry(fromBase64(bundle.leaf))
  if (entry.kind !== 'proposal') throw refuse('client/bundle-splice', `entry is a ${entry.kind}, not a proposal`)
  const { openings } = bundle
  const model = 'model' in value ? value.model : null
  if ((model === null) !== (entry.model === null) || (model === null) !== (openings.model === null))
    throw refuse('client/bundle-splice', 'entry, openings and statement do not all name a model, or none')
  verifyCommitment(entry.tenant, 'tenant', value.tenant, openings.tenant)
  if (entry.model !== null && openings.model !== null) verifyCommitment(entry.model, 'model', model, openings.model)
  verifyCommitment(entry.statement, 'statement', digest, openings.statement)
  if (entry.at !== bundle.at || entry.change !== bundle.change || entry.act !== bundle.act)
    throw refuse('client/bundle-splice', 'entry has another time, kind or act than the file')
  if ((bundle.act === 'cancelled') !== (bundle.cancellation !== null))
    throw refuse('client/bundle-splice', 'what was called off shows by whom, and what was proposed does not')
  return entry
}

/** Whether the owner called it off, by the key that the envelope names: the set of approvers, who may too, is not in the file. */
const isByOwner = ({ cancellation }: ProposalBundle, { value }: Made): boolean =>
  cancellation === null ||
  cancellation.signatures.every(({ keyid }) => value.keys.some((key) => thumbprint(key) === keyid))

async function verifyCancelled({ cancellation }: ProposalBundle, made: Made, { digest }: Signed<Statement>) {
  if (cancellation === null) return
  const { value } = await verifyApprovalDocument('cancellation', cancellation, made.value.keys)
  if (value.tenant !== made.value.tenant || value.proposal !== digest)
    throw refuse('client/bundle-splice', 'what was called off is another proposal')
}

/** What the file alone shows. @throws client/bundle-splice, statement/..., dsse/..., commitment/..., entry/..., shape/... */
export async function readProposalBundle(file: Json, steps: Steps): Promise<ReadProposalBundle> {
  const bundle = await steps.step('proposal/form', () => proposalBundleShape(file, 'bundle'))
  const { made, signed } = await steps.step('proposal/statement', () => verifyProposed(bundle))
  const entry = await steps.step('proposal/entry', () => verifyEntry(bundle, signed))
  if (isByOwner(bundle, made)) await steps.step('proposal/cancelled', () => verifyCancelled(bundle, made, signed))
  return { bundle, entry, statement: signed }
}

/**
 * A change that an owner in the reader's trust file proposed, or that was called off, and that stands in a trusted log. It is in force
 * by neither.
 *
 * file    JSON as it came, unverified
 * throws  client/owner-unknown, tlog/..., and what readProposalBundle throws
 */
export async function verifyProposalBundle(file: Json, trust: Trust, steps: Steps): Promise<VerifiedProposalBundle> {
  const read = await readProposalBundle(file, steps)
  await steps.step('proposal/anchors', () => {
    const { tenant } = read.statement.value
    if (trust.owners.some(({ key }) => thumbprint(key) === tenant)) return
    throw refuse('client/owner-unknown', `no owner in the trust file has key ${tenant}`)
  })
  const { proof, leaf } = read.bundle
  const inclusion = await steps.step('proposal/proof', () =>
    verifyTlogProof(proof, fromBase64(leaf), { logVkeys: trust.logs, policy: trust.witnessPolicy }),
  )
  return { ...read, inclusion }
}
