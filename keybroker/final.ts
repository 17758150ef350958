import { fromBase64 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import {
  type CounterCode,
  claimedCounter,
  type FinalAnswer,
  type FinalRequest,
  verifyCounter,
} from '#core/wire/counter.js'
import { keysetDigest } from '#core/wire/keyset.js'
import { apiVersion } from '#core/wire/release.js'
import { readAccount, storeAccount } from '#keybroker/accounts.js'
import type { Broker } from '#keybroker/broker.js'
import { insist } from '#keybroker/changes.js'
import { writeUsage } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { encodeTerms, type Terms, verifyTerms } from '#keybroker/lease.js'
import { publish, publishPending } from '#keybroker/outbox.js'
import type { StoreTransaction } from '#keybroker/ports.js'
import type { NewEntry, StoredLease } from '#keybroker/stored.js'
import { accountId, withFinal } from '#keybroker/usage.js'

/**
 * A node's last word on its lease: the lease is over, its place free, and what the node did not use is its owner's again.
 *
 * The TEE that held the key signed it, after it ended key use; nothing else brings anything back, and silence counts as used
 * (TRUST 16). The same word again changes nothing.
 * throws  broker/unknown-lease, broker/record, broker/lease-closed, broker/counter-lowered, broker/counter-beyond, counter/...,
 *         dsse/..., json/..., shape/..., log/..., database/...
 */
export async function acceptFinal(broker: Broker, { keyset, counter }: FinalRequest): Promise<FinalAnswer> {
  const claimed = claimedCounter(fromBase64(counter.payload))
  const expected = { broker: broker.signer.id, lease: claimed.lease, nonce: null }
  const { inferences, keysetDigest: signedBy } = await verifyCounter(counter, keyset, expected)
  const done = await insist(broker, async (tx) => {
    const since = broker.heads.now()
    const row = await tx.loadLease(claimed.lease)
    if (row === null) throw new Failure<BrokerCode>('broker/unknown-lease', 'there is no such lease here')
    await tx.shareTenant(row.tenant)
    const terms = verifyTerms(row, broker.callerSecret)
    verifyHolder(terms, signedBy, keysetDigest(keyset))
    const said = lastWord(terms, inferences)
    if (said.isSaid) return { ...said, tenant: row.tenant, entry: null }
    const entry = await storeFinal(tx, broker, { row, terms, counter, ...said }, since)
    return { ...said, tenant: row.tenant, entry }
  })
  // Said before: its entry may still wait for the log.
  if (done.entry === null) await publishPending(broker, done.tenant)
  else await publish(broker, done.entry)
  return { version: apiVersion, lease: claimed.lease, used: done.used, returned: done.returned }
}

/** The keyset is the one that the lease was granted to. @throws counter/keyset */
function verifyHolder({ lease }: Terms, signedBy: string, given: string): void {
  if (signedBy === lease.keysetDigest && given === lease.keysetDigest) return
  throw new Failure<CounterCode>('counter/keyset', 'counter is that of another node than the lease is')
}

function lastWord({ usage }: Terms, used: number) {
  const returned = usage.debited - used
  if (usage.returned !== null) {
    if (usage.used === used) return { used, returned, isSaid: true }
    throw new Failure<BrokerCode>('broker/lease-closed', 'the node has said its last word on the lease')
  }
  if (used < usage.used)
    throw new Failure<BrokerCode>('broker/counter-lowered', `the node counted ${usage.used} before, now ${used}`)
  if (used > usage.debited)
    throw new Failure<BrokerCode>('broker/counter-beyond', `${usage.debited} were granted, the node counts ${used}`)
  return { used, returned, isSaid: false }
}

interface Final {
  readonly row: StoredLease
  readonly terms: Terms
  readonly counter: FinalRequest['counter']
  readonly used: number
  readonly returned: number
}

async function storeFinal(tx: StoreTransaction, broker: Broker, final: Final, since: number): Promise<NewEntry> {
  const { row, terms, counter, used, returned } = final
  const at = broker.clock()
  const tenant = await tx.loadTenant(row.tenant)
  if (tenant === null) throw new Failure<BrokerCode>('broker/record', 'the tenant of a stored lease is gone')
  const of = { tenant: row.tenant, model: row.model, version: row.version }
  const id = accountId(of)
  const { state, entry: last } = await tx.loadAccount(id)
  // The row says that nothing came back yet; the account, which no row talks out of it, whether something still can.
  const account = state === null && last === null ? null : await readAccount(tx, broker, of, since)
  const closed = account && withFinal(account, row.id, used)
  const entry = writeUsage(terms.lease, counter, tenant, at, closed && id, broker)
  await tx.appendEntry(entry)
  await tx.endLease(row.id, at)
  await tx.storeDevices(row.id, [])
  const usage = { debited: terms.usage.debited, used, returned }
  await tx.storeTerms(row.id, encodeTerms({ ...terms, usage }, broker.callerSecret))
  if (closed !== null) await storeAccount(tx, closed, entry.id, broker.callerSecret)
  return entry
}
