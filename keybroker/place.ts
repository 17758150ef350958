import { grantableLimit } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { accountFrom } from '#keybroker/accounts.js'
import type { Broker } from '#keybroker/broker.js'
import { newTerm, retriedTerm, type Term, verifyTerms } from '#keybroker/lease.js'
import { Ledger } from '#keybroker/ledger.js'
import type { StoreReader } from '#keybroker/ports.js'
import type { Standing } from '#keybroker/standing.js'
import type { StoredLease, StoredPlaces } from '#keybroker/stored.js'
import { type Account, accountId, debitedOf, type LeaseUsage, noUsage, sliceOf } from '#keybroker/usage.js'
import { clearedBefore } from '#policies/credentials/sources.js'
import { codeReason, type Reason } from '#policies/explain.js'
import type { Appraised } from '#policies/release/appraised.js'
import type { Decided } from '#policies/release/judge.js'
import type { BrokerDenial } from '#policies/release/replay.js'

/** A request with what was judged of it, and by what. */
export interface Judged {
  readonly verdict: Decided<Appraised>
  readonly standing: Standing
  readonly request: ReleaseRequest
  readonly at: UnixSeconds
  /** made for a verdict that allows */
  readonly ear: string
}

/** Where a lease comes from: `held` is the one that runs on, null for a new one. */
export interface Place {
  readonly held: StoredLease | null
  readonly term: Term
  /** what the lease has of inferences from now on */
  readonly usage: LeaseUsage
  /** of an owner who counts over all nodes, before the debit; null for one who does not */
  readonly account: Account | null
}
export type Refused = { readonly refusal: Reason }

/** What must be the same in a retry: everything but the challenge and its evidence. */
export function retryDigest({ request, verdict }: Pick<Judged, 'request' | 'verdict'>): string {
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

const noPlaces: StoredPlaces = {
  live: 0,
  granted: new Map(),
  leases: new Map(),
  devices: [],
  contradicted: new Map(),
  account: { state: null, entry: null },
}

/**
 * Where the leases stand that these requests ask for, all about one model and judged by the same statements, which allow them.
 *
 * since   of `HeadMemory.now`, from before the reader's snapshot was taken
 * throws  broker/record
 */
export async function openLedger(
  reader: StoreReader,
  broker: Pick<Broker, 'heads' | 'callerSecret'>,
  judged: readonly Judged[],
  since: number,
): Promise<Ledger> {
  const [first] = judged
  if (first === undefined) return new Ledger(noPlaces, null, 0)
  const { allowance, tenant, model, version } = first.verdict.statements.registration.value
  const of = { tenant, model, version }
  const counts = (allowance?.inferences ?? null) !== null
  const at = Math.max(...judged.map((one) => one.at))
  const places = await reader.loadPlaces({
    tenant,
    model,
    at,
    requests: judged.map((one) => one.request.requestId),
    leases: judged.flatMap((one) => one.request.lease ?? []),
    devices: judged.flatMap((one) => one.verdict.node.devices),
    platforms: judged.flatMap((one) => one.verdict.node.platformId ?? []),
    account: counts ? accountId(of) : null,
  })
  const account = counts ? await accountFrom(places.account, reader, broker, of, since) : null
  return new Ledger(places, account, at)
}

/** Where a lease would come from, or why there is no place. It reads, and changes nothing. @throws store/request-reused, broker/record */
export function placeFor(ledger: Ledger, broker: Pick<Broker, 'callerSecret'>, judged: Judged): Place | Refused {
  const { request, verdict, at } = judged
  const registration = verdict.statements.registration.value
  const { tenant, model } = registration
  const nodes = grantableLimit(registration.lease.nodes, registration.quorum)
  if (isContradicted(ledger, verdict)) {
    const why =
      'What was said of where this platform stands contradicted itself before, and its owner did not clear that.'
    return refuse('broker/place-contradicted', why, 'ask the owner to look into it')
  }
  const before = ledger.grantedBefore(request.requestId, retryDigest(judged))
  const wanted = before ?? request.lease
  if (ledger.isElsewhere(verdict.node.devices, wanted)) {
    const why = 'A device of this node is in another lease that runs. One device is in one machine.'
    return refuse('broker/device-leased', why, 'end the other node; its lease ends by itself within minutes')
  }
  const { account } = ledger
  if (wanted === null) {
    if (ledger.countLive() < nodes) return priced({ held: null, term: newTerm(verdict, at), account }, noUsage, judged)
    const why = `The owner allows ${nodes} nodes at a time, and as many hold a lease.`
    return refuse('broker/node-limit', why, 'stop another node, or ask the owner for more')
  }
  const held = ledger.lease(wanted)
  const runs = held?.tenant === tenant && held.model === model && ledger.lives(held)
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
  if (ledger.countLive(held) >= nodes)
    return refuse('broker/node-limit', `The owner allows ${nodes} nodes at a time now.`, 'ask the owner for more')
  // A retry is paid already: the same term, and nothing debited twice.
  if (before !== null) return { held, term: retriedTerm(verdict, lease, at), usage, account }
  return priced({ held, term: newTerm(verdict, at), account }, usage, judged)
}

/** A host can hide a contradiction that was seen once, by adding delay or showing less: so it stands until a person clears it. */
function isContradicted(ledger: Ledger, { node, statements }: Decided<Appraised>): boolean {
  const seen = node.platformId === null ? null : ledger.contradictedAt(node.platformId)
  if (seen === null || node.platformId === null) return false
  const before = statements.sources === null ? null : clearedBefore(statements.sources.value, node.platformId)
  return before === null || seen >= before
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

function refuse(code: BrokerDenial, explain: string, remedy: string): Refused {
  return { refusal: codeReason(code, explain, remedy) }
}
