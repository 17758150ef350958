import { fromBase64 } from '#core/bytes/bytes.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { proposalsMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { Acceptance, Accepted, ApprovalRule } from '#core/wire/approvals.js'
import type { Signed, Statement, StatementKind } from '#core/wire/statements.js'
import { writeProposal } from '#keybroker/approvals/entries.js'
import type { ApprovalsCode } from '#keybroker/approvals/failures.js'
import type { Broker } from '#keybroker/broker.js'
import type { StatedChange } from '#keybroker/entries.js'
import type { StoreTransaction } from '#keybroker/ports.js'
import type { StoredTenant } from '#keybroker/stored.js'

/** The failure of a change that loosens something, where it cannot wait. */
export function needed(kind: StatementKind, { threshold }: ApprovalRule): Failure<ApprovalsCode> {
  return new Failure<ApprovalsCode>(
    'approvals/needed',
    `this ${kind} loosens what stands: ${threshold} have to agree`,
    {
      detail: { hint: 'propose it by itself, have it approved (claviger approve), then send this again' },
    },
  )
}

/**
 * The change waits for approvals, and everybody can see that it does. The same once more changes nothing.
 *
 * throws  approvals/many
 */
export async function propose(
  tx: StoreTransaction,
  broker: Broker,
  tenant: StoredTenant,
  change: {
    readonly kind: StatementKind
    readonly signed: Signed<Statement>
    readonly made: Signed<Statement<'tenant'>>
  },
  at: UnixSeconds,
): Promise<void> {
  const { kind, signed } = change
  if ((await tx.loadProposal(tenant.id, signed.digest)) !== null) return
  await verifyRoom(tx, tenant.id)
  const entry = writeProposal({ ...change, cancellation: null }, tenant, at, broker)
  await tx.appendEntry(entry)
  const model = 'model' in signed.value ? signed.value.model : ''
  const { digest, envelope } = signed
  await tx.storeProposal(tenant.id, { digest, kind, model, envelope, entry: entry.id }, at)
}

/** One owner's key cannot fill the list that its approvers have to read. */
async function verifyRoom(tx: StoreTransaction, tenant: string): Promise<void> {
  const open = (await tx.listOpenProposals(tenant, proposalsMax)).length
  if (open < proposalsMax) return
  throw new Failure<ApprovalsCode>('approvals/many', `${open} proposals wait: call some off`)
}

/** What a change's bundle says of how it came to stand, for whoever judges that again. */
export async function approvedWith(
  tx: StoreTransaction,
  { kind, signed }: Pick<StatedChange, 'signed'> & { readonly kind: StatementKind },
  accepted: Accepted | null,
): Promise<StatedChange['approved']> {
  if (accepted === null) return undefined
  const { approvers } = parseCanonicalJson(fromBase64(accepted.acceptance.payload)) as unknown as Acceptance
  const set =
    kind === 'approvers' && approvers === signed.digest
      ? signed.envelope
      : (await tx.loadStatementOf(signed.value.tenant, approvers))?.envelope
  return set && { sets: [set], accepted }
}
