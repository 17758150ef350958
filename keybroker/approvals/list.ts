import { ruleFor } from '#core/wire/approvals.js'
import type { ApprovalsAnswer } from '#core/wire/owner-query.js'
import { apiVersion } from '#core/wire/release.js'
import type { Signed, Statement } from '#core/wire/statements.js'
import { type Standing, standingOf, standingSet } from '#keybroker/approvals/admit.js'
import { proposedIn } from '#keybroker/approvals/entries.js'
import type { Broker } from '#keybroker/broker.js'
import type { StoreReader } from '#keybroker/ports.js'
import { readTenant } from '#keybroker/standing.js'
import type { StoredProposal } from '#keybroker/stored.js'
import type { StandingSet } from '#policies/approvals/approved.js'
import { verifyOne } from '#policies/release/statements.js'

const shownMax = 200

/** What waits for agreement at an owner's, and what became of what did. @throws broker/unknown-tenant, broker/record, judge/statement-false */
export async function listApprovals(broker: Broker, tenant: string): Promise<ApprovalsAnswer> {
  return broker.store.read(async (reader) => {
    const { made } = await readTenant(reader, tenant)
    const set = await standingSet(reader, broker, made)
    const proposals: ApprovalsAnswer['proposals'][number][] = []
    for (const proposal of await reader.listProposals(tenant, shownMax)) {
      const signed = await verifyOne(proposal.kind, proposal.envelope, made, null)
      proposals.push(await shown(reader, broker, proposal, signed, set))
    }
    return { version: apiVersion, approvers: set?.envelope ?? null, proposals }
  })
}

async function shown(
  reader: StoreReader,
  broker: Broker,
  proposal: StoredProposal,
  signed: Signed<Statement>,
  set: StandingSet | null,
): Promise<ApprovalsAnswer['proposals'][number]> {
  const { tenant } = signed.value
  const head = (await reader.loadStatements(tenant, proposal.model)).find((row) => row.kind === proposal.kind)
  const follows = (head?.digest ?? null) === signed.value.previous
  const inForce = (await reader.loadStatementOf(tenant, proposal.digest)) !== null
  const { at, index } = await proposedIn(reader, broker, proposal)
  const rule = set && ruleFor(set.value, proposal.kind)
  const standing = set && rule && (await standingOf(reader, broker, proposal, signed, set, rule, broker.clock()))
  return {
    digest: proposal.digest,
    kind: proposal.kind,
    model: proposal.model === '' ? null : proposal.model,
    statement: proposal.envelope,
    previous: follows ? (head?.envelope ?? null) : null,
    state: inForce ? 'in force' : proposal.cancelledEntry !== null ? 'cancelled' : stateOf(standing, follows),
    entry: index,
    proposedAt: at,
    threshold: rule?.threshold ?? null,
    notBefore: standing?.notBefore ?? null,
    lapsesAt: standing?.lapsesAt ?? null,
    agreed: standing?.agreed.map((one) => one.approver.id) ?? [],
  }
}

function stateOf(standing: Standing | null, follows: boolean): ApprovalsAnswer['proposals'][number]['state'] {
  if (standing === null || !follows || standing.state === 'lapsed') return 'over'
  return standing.state
}
