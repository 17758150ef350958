import { toBase64Url } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { type BrokerProof, brokerNonceOf, insistOnProof, verifyBrokerProof } from '#core/wire/broker-proof.js'
import { keysetDigest } from '#core/wire/keyset.js'
import type { Broker, BrokerCode, SessionPorts } from '#runtime/ports.js'
import type { OwnValues, ProvenToNode } from '#runtime/verify-grant.js'

/** What the owner demands of the broker that this is about; undefined for nothing. */
export function demandOf({ trust, broker }: Pick<OwnValues, 'trust' | 'broker'>) {
  return trust.value.attestedBrokers?.find((one) => one.broker === broker)?.demand
}

/**
 * The broker is what the owner's trust statement demands of it, now: for each release and each renewal anew, so that one that
 * left its TEE meanwhile is sent nothing more (I16). Of one of which nothing is demanded nothing is asked: it is unattested.
 *
 * throws  broker-proof/..., broker/..., dsse/..., crypto/signature, json/..., shape/...
 */
export async function proveToNode(
  ports: Pick<SessionPorts, 'random' | 'now' | 'appraiseBroker'>,
  broker: Pick<Broker, 'prove'>,
  own: OwnValues,
): Promise<ProvenToNode> {
  const demand = demandOf(own)
  if (demand === undefined) return { standing: 'UNATTESTED BROKER', shown: null }
  const salt = toBase64Url(ports.random(32))
  const nonce = brokerNonceOf(keysetDigest(own.keyset), salt)
  const proof = insistOnProof(await proofOf(broker, nonce), own.broker)
  const { simulatedRoots, class: tenantClass } = own.trust.value
  const expected = { broker: own.broker, nonce, demand, simulatedRoots, tenantClass, at: ports.now() }
  const { standing } = await verifyBrokerProof(proof, expected, ports.appraiseBroker)
  return { standing, shown: { salt, proof } }
}

/** Null of a broker that says itself that it has none. */
async function proofOf(broker: Pick<Broker, 'prove'>, nonce: string): Promise<BrokerProof | null> {
  try {
    return await broker.prove(nonce)
  } catch (error) {
    if (isFailure(error) && error.code === ('broker/unattested' satisfies BrokerCode)) return null
    throw error
  }
}
