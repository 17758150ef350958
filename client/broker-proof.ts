import { appraiseEvidence } from '#attest/appraise.js'
import type { NodeTrust } from '#client/node-trust.js'
import { refuse } from '#client/steps.js'
import { thumbprint } from '#core/crypto/jwk.js'
import {
  type AppraiseBroker,
  type BrokerProof,
  brokerNonceOf,
  insistOnProof,
  type ProvenBroker,
  verifyBrokerProof,
} from '#core/wire/broker-proof.js'
import type { BrokerDemand, BrokerStanding } from '#core/wire/broker-standing.js'
import { keysetDigest } from '#core/wire/keyset.js'
import type { Lease } from '#core/wire/lease.js'
import type { NodeDocument } from '#core/wire/node-document.js'
import type { Statement } from '#core/wire/statements.js'
import type { CollateralFloor, Trust } from '#core/wire/trust-file.js'

/** The verifier for evidence of brokers. floors: the oldest that collateral may be; none where nobody keeps them */
export function brokerAppraiser(collateralFloors: readonly CollateralFloor[] = []): AppraiseBroker {
  return async (evidence, { reportData, values, simulatedRoots, tenantClass, at }) => {
    const result = await appraiseEvidence(
      evidence,
      { simulatedRoots, collateralFloors },
      { expectedReportData: reportData, referenceValues: values, tenantClass, at },
    )
    const { platform, status, checks } = result
    if (status === 'affirming' || status === 'warning') return { platform, refused: null }
    const { id, expected, found } = checks.find((one) => one.status === 'contraindicated' || one.status === 'none') ?? {
      id: 'status',
      expected: 'affirming',
      found: status,
    }
    return { platform, refused: { id, expected, found } }
  }
}

/** What the reader demands of a broker; undefined for nothing, and of one that the reader does not know. */
export function demandOf(trust: Trust, broker: string): BrokerDemand | undefined {
  return trust.brokers.find(({ key }) => thumbprint(key) === broker)?.demand
}

/**
 * The broker is what the reader's own trust file demands of it, as its evidence for this nonce shows.
 *
 * throws  broker-proof/..., broker/key, dsse/..., crypto/signature, json/..., shape/...
 */
export function verifyBrokerByReader(
  proof: BrokerProof | null | undefined,
  expected: {
    readonly broker: string
    readonly nonce: string
    readonly demand: BrokerDemand
    readonly tenantClass: 'production' | 'development'
  },
  { trust, at }: Pick<NodeTrust, 'trust' | 'at'>,
): Promise<ProvenBroker> {
  const appraise = brokerAppraiser(trust.collateralFloors)
  const asked = { ...expected, simulatedRoots: trust.simulatedRoots, at }
  return verifyBrokerProof(insistOnProof(proof, expected.broker), asked, appraise)
}

/**
 * What the broker of a grant proved to the node that it is, judged by the reader's own values. Whatever a broker says of itself,
 * one of which the reader demands nothing is unattested (I16).
 *
 * throws  client/broker-standing, client/simulated, broker-proof/..., broker/key, dsse/..., crypto/signature
 */
export async function verifyGrantBroker(
  document: NodeDocument,
  lease: Lease,
  tenantClass: Statement<'trust'>['class'],
  input: NodeTrust,
): Promise<BrokerStanding> {
  const demand = demandOf(input.trust, lease.broker)
  if (demand === undefined) return 'UNATTESTED BROKER'
  const { salt, proof } = document.broker ?? { salt: '', proof: null }
  const nonce = brokerNonceOf(keysetDigest(document.keyset), salt)
  const { standing, platform } = await verifyBrokerByReader(
    proof,
    { broker: lease.broker, nonce, demand, tenantClass },
    input,
  )
  if (platform === 'simulated' && !input.policy.dangerousAllowSimulated)
    throw refuse('client/simulated', 'evidence of the broker is simulated: NOT HARDWARE', {
      hint: 'add --dangerous-allow-simulated to accept it, for development only',
    })
  if (lease.standing !== standing)
    throw refuse('client/broker-standing', `lease says ${lease.standing}, the broker proved ${standing}`)
  return standing
}
