import type { Shape, Shaped } from '#core/encoding/shape.js'
import { boolean, list, object, oneOf, optional } from '#core/encoding/shape.js'
import { modelIdShape } from '#core/wire/names.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'

/**
 * What a broker runs in (I16). Its own word, wherever it signs it: whoever wants to know verifies its evidence
 * (`verifyBrokerProof`).
 *
 * UNATTESTED BROKER                 outside a TEE: its operator can read every key that it holds
 * ATTESTED BROKER                   in a TEE of a vendor
 * SIMULATED BROKER (NOT HARDWARE)   it shows simulated evidence, for development (I6)
 */
export const brokerStandings = ['UNATTESTED BROKER', 'ATTESTED BROKER', 'SIMULATED BROKER (NOT HARDWARE)'] as const
export type BrokerStanding = (typeof brokerStandings)[number]
export const brokerStandingShape: Shape<BrokerStanding> = oneOf(...brokerStandings)

/** The standing of a broker whose evidence is of this platform; null where it shows none. */
export function standingOf(platform: 'hardware' | 'simulated' | null): BrokerStanding {
  if (platform === null) return 'UNATTESTED BROKER'
  return platform === 'hardware' ? 'ATTESTED BROKER' : 'SIMULATED BROKER (NOT HARDWARE)'
}

/**
 * What a broker has to show before anything is sent to it, or believed of it.
 *
 * values             reference values of its evidence
 * allowOperatorKek   it may keep model keys under a key that its operator can use: the evidence then says little (TRUST 7)
 * keks               ids of the key-encryption keys that may be released to it. Whose owners the asker does not know, they are
 *                    none: their owner has the key too, and may be the operator
 */
export const brokerDemandShape = object({
  values: referenceValuesShape,
  allowOperatorKek: boolean,
  keks: optional(list(modelIdShape, { min: 1, max: 16 })),
})
export type BrokerDemand = Shaped<typeof brokerDemandShape>
