import { toBase64 } from '#core/bytes/bytes.js'
import type { Envelope } from '#core/dsse.js'
import { type Json, parseCanonicalJson } from '#core/encoding/json.js'
import { object, type Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { ProposalBundle } from '#core/wire/bundle.js'
import { commit, openingShape, verifyCommitment } from '#core/wire/commitment.js'
import { encodeEntry, type ProposalEntry, parseEntry } from '#core/wire/entries.js'
import type { Signed, Statement, StatementKind } from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import { type EntryWriter, newOpening, pendingEntry, verifyPending } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { StoreReader } from '#keybroker/ports.js'
import type { NewEntry, StoredProposal, StoredTenant } from '#keybroker/stored.js'

/** The entry of a proposal, or of its cancellation, and the bundle with which the owner recognises it. */
export function writeProposal(
  of: {
    readonly kind: StatementKind
    readonly signed: Signed<Statement>
    readonly made: Signed<Statement<'tenant'>>
    readonly cancellation: Envelope | null
  },
  tenant: StoredTenant,
  at: UnixSeconds,
  writer: EntryWriter,
): NewEntry {
  const { kind, signed, made, cancellation } = of
  const model = 'model' in signed.value ? signed.value.model : null
  const openings = {
    tenant: tenant.opening,
    model: model === null ? null : newOpening(writer.random),
    statement: newOpening(writer.random),
  }
  const act = cancellation === null ? 'proposed' : 'cancelled'
  const entry: ProposalEntry = {
    kind: 'proposal',
    type: 'claviger/entry/v1',
    at,
    tenant: commit('tenant', tenant.id, openings.tenant),
    act,
    change: kind,
    model: model === null || openings.model === null ? null : commit('model', model, openings.model),
    statement: commit('statement', signed.digest, openings.statement),
  }
  const leaf = encodeEntry(entry)
  const bundle: Omit<ProposalBundle, 'proof'> = {
    type: 'claviger/proposal-bundle/v1',
    at,
    act,
    change: kind,
    tenant: made.envelope,
    statement: signed.envelope,
    cancellation,
    openings,
    leaf: toBase64(leaf),
  }
  return pendingEntry(tenant.id, 'proposal', true, leaf, bundle, at, writer)
}

const openingOf: Shape<{ readonly statement: string }> = (value, path) => {
  const { openings } = value as { readonly openings: { readonly statement: Json } }
  return object({ statement: openingShape })({ statement: openings.statement }, path)
}

/**
 * When and where a proposal came into the log, by the sealed entry that a broker made of it: no row says so by itself (I18).
 *
 * returns  `index` null while the log has not confirmed it
 * throws   broker/record
 */
export async function proposedIn(
  reader: StoreReader,
  { callerSecret }: Pick<Broker, 'callerSecret'>,
  proposal: StoredProposal,
): Promise<{ readonly at: UnixSeconds; readonly index: number | null }> {
  const entry = await reader.loadEntry(proposal.entry)
  verifyPending(entry, callerSecret)
  try {
    const leaf = parseEntry(entry.leaf)
    if (leaf.kind !== 'proposal' || leaf.act !== 'proposed')
      throw new Failure<BrokerCode>('broker/record', 'the entry is not one of a proposal')
    const { statement } = openingOf(parseCanonicalJson(entry.bundle), 'bundle')
    verifyCommitment(leaf.statement, 'statement', proposal.digest, statement)
    return { at: leaf.at, index: entry.index }
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/record', 'the entry of a proposal is of another', { cause })
  }
}
