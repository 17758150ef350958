import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import type { BrokerDocument } from '#core/wire/broker-document.js'
import { type BrokerProof, brokerBindingOf, brokerReportDataOf } from '#core/wire/broker-proof.js'
import { type BrokerStanding, standingOf } from '#core/wire/broker-standing.js'
import { payloadDigest, type Statement } from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { BrokerAttester } from '#keybroker/ports.js'

/**
 * What the broker shows of itself for a stranger's nonce (I16). It signs report data that say this broker, this document and
 * that nonce, and nothing that the asker chose beside it.
 *
 * attester  null outside a TEE
 * nonce     base64url of 32 bytes
 * throws    broker/unattested
 */
export async function proveBroker(
  attester: BrokerAttester | null,
  { document, envelope }: { readonly document: BrokerDocument; readonly envelope: Envelope },
  nonce: string,
): Promise<BrokerProof> {
  if (attester === null)
    throw new Failure<BrokerCode>('broker/unattested', 'UNATTESTED BROKER: it runs outside a TEE and has no evidence')
  const binding = brokerBindingOf(document, payloadDigest(envelope), nonce)
  return { binding, document: envelope, evidence: await attester.attest(brokerReportDataOf(binding)) }
}

/** What the broker says that it is, by what it makes evidence with. */
export function ownStanding(attester: BrokerAttester | null): BrokerStanding {
  return standingOf(attester?.platform ?? null)
}

/**
 * Returns only when this broker is what the owner's trust statement demands of it, as far as it knows itself: one that was
 * started outside its TEE neither takes keys nor gives any out in the name of the one that was inside.
 *
 * throws  broker/unattested, broker/simulated
 */
export function verifyFitFor(
  { signer, standing }: Pick<Broker, 'signer' | 'standing'>,
  trust: Statement<'trust'>,
): void {
  if (!trust.attestedBrokers?.some(({ broker }) => broker === signer.id)) return
  if (standing === 'UNATTESTED BROKER')
    throw new Failure<BrokerCode>('broker/unattested', 'the owner demands evidence of this broker, and it has none')
  if (standing !== 'ATTESTED BROKER' && trust.class === 'production')
    throw new Failure<BrokerCode>(
      'broker/simulated',
      "this broker's evidence is simulated, and the owner is in production",
    )
}
