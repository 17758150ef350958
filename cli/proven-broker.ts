import { type Io, paint, printable } from '#cli/output.js'
import type { OwnerClient } from '#cli/owner-client.js'
import { demandOf, verifyBrokerByReader } from '#client/broker-proof.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { BrokerDocument } from '#core/wire/broker-document.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { Trust } from '#core/wire/trust-file.js'

/* Owners verify the broker before they hand anything over, by their own trust file (I16, TRUST 7). */

/**
 * The broker as its evidence for a fresh nonce shows it: its document, whose keys that evidence binds. Null where the trust
 * file demands nothing of it.
 *
 * trusts  that the trust file names the key of `document`
 * throws  broker-proof/..., broker/key, and what OwnerClient throws
 */
export async function proveToOwner(
  client: OwnerClient,
  document: BrokerDocument,
  trust: Trust,
  tenantClass: 'production' | 'development',
  at: UnixSeconds,
): Promise<BrokerDocument | null> {
  const broker = thumbprint(document.key)
  const demand = demandOf(trust, broker)
  if (demand === undefined) return null
  const nonce = toBase64Url(randomBytes(32))
  const proof = await client.prove(nonce)
  return (await verifyBrokerByReader(proof, { broker, nonce, demand, tenantClass }, { trust, at })).document
}

/**
 * The standing as an owner's command shows it. One that proves nothing is said to be so and is spoken with all the same: an
 * owner can always take something back, and what is signed is verified wherever it arrives.
 */
export async function standingShown(
  client: OwnerClient,
  document: BrokerDocument,
  trust: Trust,
  io: Io,
): Promise<BrokerStanding> {
  try {
    const proven = await proveToOwner(client, document, trust, 'development', io.now())
    return proven?.standing ?? 'UNATTESTED BROKER'
  } catch (error) {
    if (!isFailure(error)) throw error
    io.stderr(`${paint(io, 'yellow', 'UNATTESTED BROKER:')} ${printable(error.message)} (${error.code})\n`)
    return 'UNATTESTED BROKER'
  }
}
