import { equal } from '#core/bytes/bytes.js'
import type { Envelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { Lease } from '#core/wire/lease.js'
import type { Statement } from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { callersOf, makeBeat, revocableOf, verifyTerms } from '#keybroker/lease.js'
import { readStanding, verifyTenantRow } from '#keybroker/standing.js'
import { revocationRefusals } from '#policies/release/revocation.js'
import { verifyOwnerStatements } from '#policies/release/statements.js'

/**
 * A sign of life that answers the runtime's own nonce, for a lease that lives and that its owner has not taken back: the
 * owner's statements are read and verified each time (I15, I18).
 *
 * nonce   base64url of 32 bytes, the runtime's
 * throws  broker/unknown-lease, broker/lease-over, broker/lease-revoked, broker/lease-stale, broker/record, judge/..., database/...
 */
export async function beat(
  broker: Broker,
  asked: { readonly lease: string; readonly nonce: string },
): Promise<Envelope> {
  const at = broker.clock()
  const { row, standing } = await broker.store.read(async (reader) => {
    const found = await reader.loadLease(asked.lease)
    if (found === null) throw new Failure<BrokerCode>('broker/unknown-lease', 'there is no such lease here')
    return { row: found, standing: await readStanding(reader, broker, found.model) }
  })
  if (row.endedAt !== null || row.expiresAt <= at) throw new Failure<BrokerCode>('broker/lease-over', 'lease is over')
  const statements = await verifyOwnerStatements(standing.statements, row.model, broker.signer.id, broker.kept)
  verifyTenantRow(standing.tenant, statements.tenant)
  const terms = verifyTerms(row, broker.callerSecret)
  const { lease } = terms
  const [refusal] = revocationRefusals(statements.revocation, revocableOf(terms))
  if (refusal) throw new Failure<BrokerCode>('broker/lease-revoked', `lease is revoked (${refusal.policyId})`)
  verifyCallers(lease, statements.registration.value, broker.callerSecret)
  verifyLicence(lease, statements.registration.value)
  return makeBeat(lease, asked.nonce, at, broker.signer)
}

/**
 * The lease lists the callers whom the owner lists now. A node without a sign of life stops within a minute, so one that
 * goes on with an older list does not serve whom the owner took off it.
 *
 * throws  broker/lease-stale
 */
function verifyCallers(lease: Lease, registration: Statement<'registration'>, callerSecret: Uint8Array): void {
  const now = canonicalJson(callersOf(registration, callerSecret))
  if (equal(canonicalJson(lease.callers), now)) return
  throw new Failure<BrokerCode>('broker/lease-stale', 'the owner changed who may call: ask for a renewal')
}

/** The lease ends with the licence that the owner gives now. @throws broker/lease-stale */
function verifyLicence(lease: Lease, { allowance }: Statement<'registration'>): void {
  if (lease.expiresAt <= (allowance?.expiresAt ?? Number.MAX_SAFE_INTEGER)) return
  throw new Failure<BrokerCode>('broker/lease-stale', 'the owner ended the licence earlier: ask for a renewal')
}
