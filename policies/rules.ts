import type { Facts } from '#policies/facts.js'

/** A refusal that stands in code: no policy document can permit against it. */
export interface BuiltIn {
  readonly id: string
  readonly explain: string
  readonly remedy: string
  /** path below `context` of the fact that refuses, and the value that would not */
  readonly fact: string
  readonly wanted: string | boolean
}

/**
 * What is refused whatever a policy says.
 *
 * simulated-in-production  simulated evidence can never satisfy a production tenant (I6)
 * attestation-not-affirmed an attestation result of tier `none` or `contraindicated` is not a success (I4)
 * place-contradicted       who says where the node is contradicts who else says it, and a contradiction is no place (I13)
 * debug                    a node that can be debugged from outside keeps no secret (I1)
 */
export function builtInRefusals(facts: Facts): readonly BuiltIn[] {
  const { evidence, tenant, site } = facts
  const refusals: BuiltIn[] = []
  if (evidence.platform !== 'hardware' && tenant.class !== 'development') {
    refusals.push({
      id: 'claviger/simulated-in-production',
      explain: 'Simulated evidence is NOT HARDWARE and never satisfies a production tenant.',
      remedy: 'run on real TEE hardware',
      fact: 'evidence.platform',
      wanted: 'hardware',
    })
  }
  if (evidence.tier !== 'affirming' && evidence.tier !== 'warning') {
    refusals.push({
      id: 'claviger/attestation-not-affirmed',
      explain: 'The attestation result does not affirm this node.',
      remedy: 'mend what the attestation result names, and attest again',
      fact: 'evidence.tier',
      wanted: 'affirming',
    })
  }
  if (evidence.debug) {
    refusals.push({
      id: 'claviger/debug',
      explain: 'The TEE was started so that its host can debug it, and so read it.',
      remedy: 'start the TEE without debugging',
      fact: 'evidence.debug',
      wanted: false,
    })
  }
  if (site?.contradicted === true) {
    refusals.push({
      id: 'claviger/place-contradicted',
      explain: 'What is said of where this node stands contradicts itself, so that nothing of it is believed.',
      remedy:
        'present placements that agree with each other and with the host statement, or have their issuers correct them',
      fact: 'site.contradicted',
      wanted: false,
    })
  }
  return refusals
}
