import { type Done, inBatches } from '#core/batches.js'
import { Failure, isFailure } from '#core/failure.js'
import type { Lease } from '#core/wire/lease.js'
import type { NamedMachine } from '#core/wire/revoked.js'
import { verifyKek } from '#keybroker/approvals/kek.js'
import type { Broker } from '#keybroker/broker.js'
import { newId, type WrittenEntry, writeDecision } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { encodeTerms, makeLease } from '#keybroker/lease.js'
import type { Ledger } from '#keybroker/ledger.js'
import { type Judged, openLedger, type Place, placeFor, retryDigest } from '#keybroker/place.js'
import type { StoreTransaction } from '#keybroker/ports.js'
import { holdStanding, isSameStanding, type Standing } from '#keybroker/standing.js'
import type { StoredContradiction, StoredLease, StoredModelKey } from '#keybroker/stored.js'
import { accountId, withDebit } from '#keybroker/usage.js'
import type { Appraised } from '#policies/release/appraised.js'
import type { Decided } from '#policies/release/judge.js'
import { withRefusals } from '#policies/release/replay.js'

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

/** Decisions that one transaction stores: what it holds up others by grows with them. */
const decisionsMax = 64

/** Decisions of a broker that wait for a transaction, as long as the broker lives. */
const queues = new WeakMap<Broker, (model: string, judged: Judged) => Promise<Recorded>>()

/**
 * The decision is stored together with everything that follows from it, as one step (TRUST 10): statements as they were
 * judged, leases counted, lease granted or renewed, entry for the log.
 *
 * Decisions about one model that come at the same time share a transaction. To each it is as if it had one of its own: it is
 * decided by what the one before left, and fails alone.
 * A retry of a request that was granted finds its lease again: a new entry, the same term, nothing debited twice.
 * throws  store/request-reused, broker/record, broker/key, database/...
 */
export function recordDecision(broker: Broker, judged: Judged): Promise<Recorded> {
  let queue = queues.get(broker)
  if (queue === undefined) {
    queue = inBatches((model, some) => recordAll(broker, model, some), decisionsMax)
    queues.set(broker, queue)
  }
  return queue(judged.request.binding.model, judged)
}

/** Failures that one decision may have brought upon all of its transaction. */
const ownFailures: readonly string[] = [
  'database/duplicate',
  'database/constraint',
  'database/failed',
  'store/lease-unknown',
]

async function recordAll(broker: Broker, model: string, some: readonly Judged[]): Promise<readonly Done<Recorded>[]> {
  // A retry beside its own request comes after it.
  const first = new Map(some.map((one) => [one.request.requestId, one] as const).toReversed())
  const now = some.filter((one) => first.get(one.request.requestId) === one)
  const done = new Map<Judged, Done<Recorded>>()
  try {
    const results = await broker.store.transaction((tx) => decideAll(tx, broker, model, now), model)
    for (const [i, one] of now.entries()) done.set(one, results[i]!)
  } catch (error) {
    if (now.length === 1 || !isFailure(error) || !ownFailures.includes(error.code)) throw error
    for (const one of now) done.set(one, await alone(broker, model, one))
  }
  for (const one of some) if (!done.has(one)) done.set(one, await alone(broker, model, one))
  return some.map((one) => done.get(one)!)
}

async function alone(broker: Broker, model: string, one: Judged): Promise<Done<Recorded>> {
  try {
    const [done] = await recordAll(broker, model, [one])
    return done!
  } catch (error) {
    return { error }
  }
}

async function decideAll(
  tx: StoreTransaction,
  broker: Broker,
  model: string,
  some: readonly Judged[],
): Promise<readonly Done<Recorded>[]> {
  const since = broker.heads.now()
  const version = some.find((one) => one.verdict.allow)?.verdict.statements.registration.value.version ?? null
  const now = await holdStanding(tx, broker, model, version, since) // 1 no change of the owner's comes between here and the end
  if (now.mark.pending) return some.map(() => ({ value: { kind: 'pending' } }))
  if (now.mark.index === null) throw new Failure<BrokerCode>('broker/record', 'no change of the tenant is in the log')
  const current = some.filter((one) => isSameStanding(now, one.standing)) // 2 judged by what is true now (I5)
  const ledger = await openLedger(
    tx,
    broker,
    current.filter((one) => one.verdict.allow),
    since,
  )
  const results: Done<Recorded>[] = []
  for (const one of some) {
    const isCurrent = current.includes(one)
    results.push(isCurrent ? await decided(tx, broker, ledger, one, now) : { value: { kind: 'changed' } })
  }
  const writes = ledger.writes(broker.callerSecret)
  if (writes !== null) await tx.storeDecisions(writes, ledger.at) // 5 all of it, or nothing
  return results
}

/** One decision, and what is wrong with it alone. */
async function decided(
  tx: StoreTransaction,
  broker: Broker,
  ledger: Ledger,
  judged: Judged,
  now: Standing,
): Promise<Done<Recorded>> {
  try {
    return { value: await decideOne(tx, broker, ledger, judged, now) }
  } catch (error) {
    // What the database refused has ended the transaction, for all.
    if (!isFailure(error) || error.code.startsWith('database/')) throw error
    return { error }
  }
}

async function decideOne(
  tx: StoreTransaction,
  broker: Broker,
  ledger: Ledger,
  judged: Judged,
  now: Standing,
): Promise<Recorded> {
  const { verdict, standing, request } = judged
  const stateIndex = now.mark.index ?? 0
  const place = verdict.allow ? placeFor(ledger, broker, judged) : null // 3 a lease to grant or renew, and its price
  if (place === null || 'refusal' in place) {
    const denied = place === null ? verdict : withRefusals(verdict, [place.refusal])
    const written = writeDecision({ ...judged, verdict: denied, ...standing }, null, stateIndex, broker)
    ledger.deny(written.entry, contradictionOf(judged))
    return { kind: 'denied', written, verdict: denied }
  }
  const key = await keyOf(tx, judged, now)
  verifyKek(verdict.statements.kek, key)
  const id = place.held?.id ?? newId(broker.random)
  const lease = makeLease(verdict, request, { ...broker, id, broker: broker.signer.id, term: place.term })
  const account = place.account && accountId(place.account)
  const granted = { leaseId: id, expiresAt: lease.expiresAt, ear: judged.ear, account }
  const written = writeDecision({ ...judged, ...standing }, granted, stateIndex, broker)
  recordGrant(ledger, judged, lease, written, place, broker.callerSecret) // 4 the entry, and with it the right to the key; the debit
  return { kind: 'granted', written, lease, key, before: place.held }
}

/** What is to be kept of a place that contradicts itself. A platform that hides itself has no place. */
function contradictionOf({ verdict, at }: Judged): Omit<StoredContradiction, 'entry'> | null {
  const { contradiction: because, node, statements } = verdict
  if (because === null || node.platformId === null) return null
  return { tenant: statements.tenant.value.tenant, platform: node.platformId, seenAt: at, because }
}

/** The stored key of the version that the request names. @throws broker/key */
async function keyOf(tx: StoreTransaction, { request }: Judged, now: Standing): Promise<StoredModelKey> {
  const { tenant, key } = now
  const { modelVersion, binding } = request
  const known = key?.version === modelVersion ? key : await tx.loadModelKey(tenant.id, binding.model, modelVersion)
  if (known !== null) return known
  throw new Failure<BrokerCode>('broker/key', 'there is no key of this version')
}

function recordGrant(
  ledger: Ledger,
  judged: Judged,
  lease: Lease,
  { entry }: WrittenEntry,
  { held, usage, account }: Place,
  secret: Uint8Array,
): void {
  const { verdict, request, at } = judged
  const { id, tenant, model, version, keysetDigest, expiresAt } = lease
  const breakGlass = verdict.brokenUntil === null ? undefined : (true as const)
  const terms = encodeTerms({ lease, machine: machineOf(verdict.node), usage, breakGlass }, secret)
  const renewed = { entry: entry.id, keysetDigest, expiresAt, terms }
  const platform = verdict.node.platformId ?? ''
  const row = held ?? { id, tenant, model, version, platform, grantedAt: at, endedAt: null }
  ledger.grant(
    {
      entry,
      lease: { ...row, ...renewed },
      isNew: held === null,
      devices: [...new Set(verdict.node.devices)],
      request: { id: request.requestId, digest: retryDigest(judged) },
      account: account && withDebit(account, { id, debited: usage.debited, expiresAt }, at),
    },
    at,
  )
}

/** The part of what names a node that its evidence says. */
function machineOf(node: Decided<Appraised>['node']): NamedMachine {
  const { measurements, platformId, devices, drivers, vbioses, advisories, advisoriesTold } = node
  return { measurements, platformId, devices, drivers, vbioses, advisories, advisoriesTold }
}
