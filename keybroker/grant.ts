import { Failure } from '#core/failure.js'
import { grantableLimit } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import type { Lease } from '#core/wire/lease.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import type { NamedMachine } from '#core/wire/revoked.js'
import { readAccount, storeAccount } from '#keybroker/accounts.js'
import { verifyKek } from '#keybroker/approvals/kek.js'
import type { Broker } from '#keybroker/broker.js'
import { newId, type WrittenEntry, writeDecision } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { encodeTerms, makeLease, newTerm, retriedTerm, type Term, verifyTerms } from '#keybroker/lease.js'
import type { StoredLease, StoredModelKey, StoreTransaction } from '#keybroker/ports.js'
import { readStanding, type Standing } from '#keybroker/standing.js'
import {
  type Account,
  accountId,
  debitedOf,
  type LeaseUsage,
  noUsage,
  sliceOf,
  withDebit,
  withoutDebit,
} from '#keybroker/usage.js'
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
function retryDigest({ request, verdict }: Pick<Judged, 'request' | 'verdict'>): string {
  const { keyset, config, modelVersion, manifestDigest, lease } = request
  const { inferences } = verdict
  return documentDigest({
    model: request.binding.model,
    keyset,
    config,
    modelVersion,
    manifestDigest,
    lease,
    inferences,
  })
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
    const place = verdict.allow ? await placeFor(tx, broker, judged, since) : null // 3 a lease to grant or renew, and its price
    if (place === null || 'refusal' in place) {
      const denied = place === null ? verdict : withRefusals(verdict, [place.refusal])
      const written = writeDecision({ ...judged, verdict: denied, ...standing }, null, stateIndex, broker)
      await tx.appendEntry(written.entry)
      return { kind: 'denied', written, verdict: denied }
    }
    const key = await tx.loadModelKey(tenant, model, request.modelVersion)
    if (key === null) throw new Failure<BrokerCode>('broker/key', 'there is no key of this version')
    verifyKek(verdict.statements.kek, key)
    const id = place.held?.id ?? newId(broker.random)
    const lease = makeLease(verdict, request, { ...broker, id, broker: broker.signer.id, term: place.term })
    const account = place.account && accountId(place.account)
    const granted = { leaseId: id, expiresAt: lease.expiresAt, ear: judged.ear, account }
    const written = writeDecision({ ...judged, ...standing }, granted, stateIndex, broker)
    await tx.appendEntry(written.entry) // 4 the entry, and with it the right to the key
    await storeGrant(tx, judged, lease, written.entry.id, place, broker.callerSecret) // 5 the debit
    return { kind: 'granted', written, lease, key, before: place.held }
  }, model)
}

/** Where a lease comes from: `held` is the one that runs on, null for a new one. */
interface Place {
  readonly held: StoredLease | null
  readonly term: Term
  /** what the lease has of inferences from now on */
  readonly usage: LeaseUsage
  /** of an owner who counts over all nodes, before the debit; null for one who does not */
  readonly account: Account | null
}
type Refused = { readonly refusal: Reason }

/** Where a lease would come from, or why there is no place. It reads, and changes nothing. */
export async function placeFor(
  tx: StoreTransaction,
  broker: Broker,
  judged: Judged,
  since: number,
): Promise<Place | Refused> {
  const { request, standing, verdict, at } = judged
  const tenant = standing.tenant.id
  const registration = verdict.statements.registration.value
  const nodes = grantableLimit(registration.lease.nodes, registration.quorum)
  const before = await tx.loadGranted(tenant, request.requestId, retryDigest(judged))
  const wanted = before ?? request.lease
  const of = { tenant, model: request.binding.model }
  const elsewhere = (await tx.listLeasesWith(verdict.node.devices, at)).filter((id) => id !== wanted)
  if (elsewhere.length > 0) {
    const why = 'A device of this node is in another lease that runs. One device is in one machine.'
    return refuse('broker/device-leased', why, 'end the other node; its lease ends by itself within minutes')
  }
  const counts = (registration.allowance?.inferences ?? null) !== null
  const account = counts ? await readAccount(tx, broker, { ...of, version: request.modelVersion }, since) : null
  if (wanted === null) {
    if ((await tx.countLiveLeases(of, at)) < nodes)
      return priced({ held: null, term: newTerm(verdict, at), account }, noUsage, judged)
    const why = `The owner allows ${nodes} nodes at a time, and as many hold a lease.`
    return refuse('broker/node-limit', why, 'stop another node, or ask the owner for more')
  }
  const held = await tx.loadLease(wanted)
  const runs = held?.tenant === tenant && held.model === of.model && held.endedAt === null && held.expiresAt > at
  if (!held || !runs) return refuse('broker/lease-ended', 'The lease has ended.', 'ask for a new release')
  const { lease, usage, breakGlass } = verifyTerms(held, broker.callerSecret)
  if (breakGlass === true && before === null)
    return refuse(
      'broker/lease-break-glass',
      'What was granted while the glass was broken is not renewed.',
      'ask the owner',
    )
  if (lease.version !== request.modelVersion)
    return refuse('broker/lease-ended', 'The lease is for another version of the model.', 'ask for a new release')
  if (held.keysetDigest !== request.binding.keyset_digest)
    return refuse('broker/lease-keyset', 'The lease is that of another node.', 'ask for a new release')
  // The owner may have lowered the number since: whoever came last goes first.
  if ((await tx.countLiveLeases(of, at, held)) >= nodes)
    return refuse('broker/node-limit', `The owner allows ${nodes} nodes at a time now.`, 'ask the owner for more')
  // A retry is paid already: the same term, and nothing debited twice.
  if (before !== null) return { held, term: retriedTerm(verdict, lease, at), usage, account }
  return priced({ held, term: newTerm(verdict, at), account }, usage, judged)
}

/** The place with the inferences that the owner's allowance pays for, by what the node says that it used (I15, TRUST 16). */
function priced(place: Omit<Place, 'usage'>, before: LeaseUsage, { verdict }: Judged): Place | Refused {
  const { inferences: used, statements } = verdict
  const { account, term } = place
  const counted = 'renew with the count that this node signs'
  if (used < before.used) return refuse('broker/counter-lowered', 'The node counted more before.', counted)
  if (used > before.debited)
    return refuse('broker/counter-beyond', 'The node counts more than it was granted.', counted)
  const { allowance, quorum } = statements.registration.value
  const inferences = allowance?.inferences ?? null
  const allowed = inferences === null ? null : grantableLimit(inferences, quorum)
  const remaining = account === null || allowed === null ? null : allowed - debitedOf(account)
  const slice = sliceOf(before, used, term.budget.requests, remaining)
  if (slice.inferences < 1) return refuseSpent(allowed ?? 0, account)
  const budget = { ...term.budget, requests: slice.inferences }
  return { ...place, term: { ...term, budget }, usage: { debited: slice.debited, used, returned: null } }
}

/** The owner reads the numbers; a host reads that there is nothing left (`reasonsForHost`). */
function refuseSpent(allowed: number, account: Account | null): Refused {
  const actual =
    account === null ? 'all are debited' : `${debitedOf(account)} are debited, ${account.spent} of them for good`
  const unmet = { expected: `fewer than ${allowed} inferences debited`, actual, facts: [], head: false }
  const why = 'The inferences that the owner allows are spent, or given out to nodes that run.'
  return {
    refusal: codeReason('broker/allowance-spent' satisfies BrokerDenial, why, 'ask the owner for more', [unmet]),
  }
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
  const { usage, account } = place
  const terms = encodeTerms(
    { lease, machine: machineOf(verdict.node), usage, breakGlass: verdict.brokenUntil === null ? undefined : true },
    secret,
  )
  if (place.held === null) {
    const platform = verdict.node.platformId ?? ''
    await tx.storeLease({ id, tenant, model, version, platform, keysetDigest, entry, grantedAt: at, expiresAt, terms })
  } else {
    await tx.renewLease({ id, entry, expiresAt, terms, keysetDigest }, at)
  }
  await tx.storeDevices(id, verdict.node.devices)
  if (account !== null) {
    const debited = withDebit(account, { id, debited: usage.debited, expiresAt }, at)
    await storeAccount(tx, debited, entry, secret)
  }
  const digest = retryDigest({ verdict, request })
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
    const since = broker.heads.now()
    await tx.forgetGranted({ tenant, id: request.requestId, entry })
    const row = await tx.loadLease(lease.id)
    if (row === null || row.entry !== entry || row.endedAt !== null || row.expiresAt <= at) return
    if (before === null) await tx.endLease(row.id, at)
    else {
      const { id, expiresAt, terms, keysetDigest } = before
      await tx.renewLease({ id, entry: before.entry, expiresAt, terms, keysetDigest }, at)
    }
    const of = { tenant, model: lease.model, version: lease.version }
    const kept = await tx.loadAccount(accountId(of))
    if (kept.state === null) return
    const account = await readAccount(tx, broker, of, since)
    const debited = before && verifyTerms(before, broker.callerSecret).usage.debited
    await storeAccount(tx, withoutDebit(account, lease.id, debited), account.entry, broker.callerSecret)
  }, request.binding.model)
}

/** The part of what names a node that its evidence says. */
function machineOf(node: Decided<Appraised>['node']): NamedMachine {
  const { measurements, platformId, devices, drivers, vbioses, advisories, advisoriesTold } = node
  return { measurements, platformId, devices, drivers, vbioses, advisories, advisoriesTold }
}
