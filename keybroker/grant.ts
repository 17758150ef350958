import { Failure } from '#core/failure.js'
import { grantableLimit } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import type { Lease } from '#core/wire/lease.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import type { NamedMachine } from '#core/wire/revoked.js'
import type { Broker } from '#keybroker/broker.js'
import { newId, type WrittenEntry, writeDecision } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { encodeTerms, makeLease, newTerm, retriedTerm, type Term, verifyTerms } from '#keybroker/lease.js'
import type { StoredLease, StoredModelKey, StoreTransaction } from '#keybroker/ports.js'
import { readStanding, type Standing } from '#keybroker/standing.js'
import { codeReason, type Reason } from '#policies/explain.js'
import type { Appraised } from '#policies/release/appraised.js'
import type { Decided } from '#policies/release/judge.js'
import { type BrokerDenial, withRefusals } from '#policies/release/replay.js'

/** A decision that is stored, with its lease if there is one. It is nobody's yet: the log does not have it. */
export type Recorded =
  | {
      readonly kind: 'granted'
      readonly written: WrittenEntry
      readonly lease: Lease
      readonly key: StoredModelKey
      /** the lease as it was before; null for a new one */
      readonly before: StoredLease | null
    }
  | { readonly kind: 'denied'; readonly written: WrittenEntry; readonly verdict: Decided<Appraised> }
  /** the owner's statements changed after they were judged; `pending`: and the log has not heard of it */
  | { readonly kind: 'changed' | 'pending' }

export interface Judged {
  readonly verdict: Decided<Appraised>
  readonly standing: Standing
  readonly request: ReleaseRequest
  readonly at: UnixSeconds
  /** made for a verdict that allows */
  readonly ear: string
}

/** What must be the same in a retry: everything but the challenge and its evidence. */
function retryDigest(request: ReleaseRequest): string {
  const { keyset, config, modelVersion, manifestDigest, lease } = request
  return documentDigest({ model: request.binding.model, keyset, config, modelVersion, manifestDigest, lease })
}

/**
 * The decision is stored together with everything that follows from it, as one step (TRUST 10): statements as they were
 * judged, leases counted, lease granted or renewed, entry for the log.
 *
 * A retry of a request that was granted finds its lease again: a new entry, the same term, nothing debited twice.
 * throws  store/request-reused, broker/record, broker/key, database/...
 */
export async function recordDecision(broker: Broker, judged: Judged): Promise<Recorded> {
  const { verdict, standing, request } = judged
  const { model } = request.binding
  const tenant = standing.tenant.id
  return broker.store.transaction(async (tx): Promise<Recorded> => {
    const since = broker.heads.now()
    await tx.shareTenant(tenant) // 1 no change of the owner's comes between here and the end
    const now = await readStanding(tx, broker, model, since)
    if (now.mark.pending) return { kind: 'pending' }
    if (now.heads !== standing.heads) return { kind: 'changed' } // 2 judged by what is true now (I5)
    const stateIndex = now.mark.index
    if (stateIndex === null) throw new Failure<BrokerCode>('broker/record', 'no change of the tenant is in the log')
    const place = verdict.allow ? await placeFor(tx, judged, broker.callerSecret) : null // 3 a lease to grant or renew
    if (place === null || 'refusal' in place) {
      const denied = place === null ? verdict : withRefusals(verdict, [place.refusal])
      const written = writeDecision({ ...judged, verdict: denied, ...standing }, null, stateIndex, broker)
      await tx.appendEntry(written.entry)
      return { kind: 'denied', written, verdict: denied }
    }
    const key = await tx.loadModelKey(tenant, model, request.modelVersion)
    if (key === null) throw new Failure<BrokerCode>('broker/key', 'there is no key of this version')
    const id = place.held?.id ?? newId(broker.random)
    const lease = makeLease(verdict, request, { ...broker, id, broker: broker.signer.id, term: place.term })
    const granted = { leaseId: id, expiresAt: lease.expiresAt, ear: judged.ear }
    const written = writeDecision({ ...judged, ...standing }, granted, stateIndex, broker)
    await tx.appendEntry(written.entry) // 4 the entry, and with it the right to the key
    await storeGrant(tx, judged, lease, written.entry.id, place, broker.callerSecret) // 5 the debit
    return { kind: 'granted', written, lease, key, before: place.held }
  })
}

/** Where a lease comes from: `held` is the one that runs on, null for a new one. */
interface Place {
  readonly held: StoredLease | null
  readonly term: Term
}

async function placeFor(
  tx: StoreTransaction,
  judged: Judged,
  secret: Uint8Array,
): Promise<Place | { readonly refusal: Reason }> {
  const { request, standing, verdict, at } = judged
  const tenant = standing.tenant.id
  const terms = verdict.statements.registration.value
  const nodes = grantableLimit(terms.lease.nodes, terms.quorum)
  const before = await tx.loadGranted(tenant, request.requestId, retryDigest(request))
  const wanted = before ?? request.lease
  const of = { tenant, model: request.binding.model }
  if (wanted === null) {
    if ((await tx.countLiveLeases(of, at)) < nodes) return { held: null, term: newTerm(verdict, at) }
    const why = `The owner allows ${nodes} nodes at a time, and as many hold a lease.`
    return refuse('broker/node-limit', why, 'stop another node, or ask the owner for more')
  }
  const held = await tx.loadLease(wanted)
  const runs = held?.tenant === tenant && held.model === of.model && held.endedAt === null && held.expiresAt > at
  if (!held || !runs) return refuse('broker/lease-ended', 'The lease has ended.', 'ask for a new release')
  const { lease } = verifyTerms(held, secret)
  if (lease.version !== request.modelVersion)
    return refuse('broker/lease-ended', 'The lease is for another version of the model.', 'ask for a new release')
  if (held.keysetDigest !== request.binding.keyset_digest)
    return refuse('broker/lease-keyset', 'The lease is that of another node.', 'ask for a new release')
  // The owner may have lowered the number since: whoever came last goes first.
  if ((await tx.countLiveLeases(of, at, held)) >= nodes)
    return refuse('broker/node-limit', `The owner allows ${nodes} nodes at a time now.`, 'ask the owner for more')
  if (before === null) return { held, term: newTerm(verdict, at) }
  return { held, term: retriedTerm(verdict, lease, at) }
}

function refuse(code: BrokerDenial, explain: string, remedy: string): { readonly refusal: Reason } {
  return { refusal: codeReason(code, explain, remedy) }
}

async function storeGrant(
  tx: StoreTransaction,
  { verdict, standing, request, at }: Judged,
  lease: Lease,
  entry: string,
  place: Place,
  secret: Uint8Array,
): Promise<void> {
  const { id, model, version, keysetDigest, expiresAt } = lease
  const tenant = standing.tenant.id
  const terms = encodeTerms(lease, machineOf(verdict.node), secret)
  if (place.held === null) {
    const platform = verdict.node.platformId ?? ''
    await tx.storeLease({ id, tenant, model, version, platform, keysetDigest, entry, grantedAt: at, expiresAt, terms })
  } else {
    await tx.renewLease({ id, entry, expiresAt, terms, keysetDigest }, at)
  }
  const digest = retryDigest(request)
  await tx.recordGranted({ tenant, id: request.requestId, digest, lease: id, entry }, at)
}

/**
 * What was granted and never left is taken back, in one step: a new lease ends and gives its place to others, a renewed one is
 * what it was, and the request may be made again. Its entry stays: the log says more than left, never less.
 *
 * Does nothing when the lease has gone on meanwhile: another answer to the same request may have left with the key.
 * trusts  that no answer made of this decision leaves, now or later
 * throws  database/...
 */
export async function giveBack(
  broker: Broker,
  { request, standing }: Judged,
  { lease, written, before }: Recorded & { readonly kind: 'granted' },
): Promise<void> {
  const entry = written.entry.id
  const tenant = standing.tenant.id
  await broker.store.transaction(async (tx) => {
    const at = broker.clock()
    await tx.forgetGranted({ tenant, id: request.requestId, entry })
    const row = await tx.loadLease(lease.id)
    if (row === null || row.entry !== entry || row.endedAt !== null || row.expiresAt <= at) return
    if (before === null) await tx.endLease(row.id, at)
    else {
      const { id, expiresAt, terms, keysetDigest } = before
      await tx.renewLease({ id, entry: before.entry, expiresAt, terms, keysetDigest }, at)
    }
  })
}

/** The part of what names a node that its evidence says. */
function machineOf(node: Decided<Appraised>['node']): NamedMachine {
  const { measurements, platformId, devices, drivers, vbioses, advisories, advisoriesTold } = node
  return { measurements, platformId, devices, drivers, vbioses, advisories, advisoriesTold }
}
