import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { makeBeat, parseTerms } from '#keybroker/lease.js'
import type { StoredLease } from '#keybroker/ports.js'
import { readStanding, verifyTenantRow } from '#keybroker/standing.js'
import type { Revocable } from '#policies/release/request.js'
import { revocationRefusals } from '#policies/release/request.js'
import { verifyOwnerStatements } from '#policies/release/statements.js'

/**
 * A sign of life that answers the runtime's own nonce, for a lease that lives and that its owner has not taken back: the
 * owner's statements are read and verified each time (I15, I18).
 *
 * nonce   base64url of 32 bytes, the runtime's
 * throws  broker/unknown-lease, broker/lease-over, broker/lease-revoked, broker/record, judge/..., database/...
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
  const statements = await verifyOwnerStatements(standing.statements, row.model)
  verifyTenantRow(standing.tenant, statements.tenant)
  const [refusal] = revocationRefusals(statements.revocation, revocableOf(row))
  if (refusal) throw new Failure<BrokerCode>('broker/lease-revoked', `lease is revoked (${refusal.policyId})`)
  return makeBeat(row, asked.nonce, at, broker.signer)
}

/** What an owner may revoke a stored lease by. */
export function revocableOf(row: StoredLease): Revocable {
  return {
    measurement: parseTerms(row).measurement,
    chipId: row.platform,
    keysetDigest: row.keysetDigest,
    version: row.version,
    leaseId: row.id,
  }
}
