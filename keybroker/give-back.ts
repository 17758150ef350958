import { readAccount, storeAccount } from '#keybroker/accounts.js'
import type { Broker } from '#keybroker/broker.js'
import type { Recorded } from '#keybroker/grant.js'
import { verifyTerms } from '#keybroker/lease.js'
import type { Judged } from '#keybroker/place.js'
import { accountId, withoutDebit } from '#keybroker/usage.js'

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
