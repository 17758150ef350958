import type { CcaClaims } from '#attest/cca/claims.js'
import { platformCheck, reportDataCheck } from '#attest/every-kind.js'
import { check, type TenantClass, trust } from '#attest/result.js'
import { toHex } from '#core/bytes/bytes.js'
import type { Check } from '#core/wire/ear.js'
import type { CcaReferenceValues } from '#core/wire/reference-values.js'

/** What an appraisal compares with. A null member is one that the appraisal policy leaves out by name. */
export interface CcaAppraisal {
  readonly platform: 'hardware' | 'simulated'
  readonly tenantClass: TenantClass
  readonly expectedReportData: Uint8Array | null
  readonly values: CcaReferenceValues | null
}

/**
 * Every comparison of verified claims with what the owner accepts. What no owner can accept, a platform that is open to
 * debugging or not secured, and simulated evidence in production, is refused here in code; no reference value reaches it.
 */
export function appraiseCca(claims: CcaClaims, input: CcaAppraisal): readonly Check[] {
  const { values } = input
  return [
    platform(input),
    ...reportData(claims, input.expectedReportData),
    debug(claims),
    lifecycle(claims),
    ...(values ? [...realm(claims, values), software(claims, values), ...machine(claims, values)] : []),
  ]
}

function platform(input: CcaAppraisal): Check {
  return platformCheck(input, {
    expected: 'a platform whose key is compiled in: none is, since no maker has published one',
    simulated: 'a platform key that the reader named',
    fix: 'run on another kind of machine; CCA evidence is for development tenants only, until a maker publishes keys',
  })
}

function reportData(claims: CcaClaims, expected: Uint8Array | null): readonly Check[] {
  return expected === null ? [] : [reportDataCheck(claims.reportData, toHex(expected))]
}

const shownState = (claims: CcaClaims) =>
  `${claims.lifecycleState} (0x${claims.lifecycle.toString(16).padStart(4, '0')})`

function debug(claims: CcaClaims): Check {
  return check('debug', 'configuration', claims.debug ? trust.untrustworthy : trust.approved, {
    expected: 'a platform that is not open to debugging',
    found: shownState(claims),
    fix: 'run on a platform whose root of trust is not being debugged',
  })
}

/** source: Arm DEN0137, "CCA platform lifecycle claim" */
function lifecycle(claims: CcaClaims): Check {
  const secured = claims.lifecycleState === 'secured'
  return check('lifecycle', 'hardware', secured ? trust.approved : trust.untrustworthy, {
    expected: 'secured (0x3000 to 0x30ff)',
    found: shownState(claims),
    fix: 'run on a platform that has been secured',
  })
}

const shown = (values: readonly string[]) =>
  `one of ${values.slice(0, 8).join(', ')}${values.length > 8 ? ` and ${values.length - 8} more` : ''}`

/** A value against a list that may be absent, in which case any value is accepted and nothing is said. */
function listed(
  id: string,
  claim: Check['claim'],
  accepted: readonly string[] | undefined,
  found: string,
  text: { readonly fix: string; readonly good?: number; readonly bad?: number },
): readonly Check[] {
  if (accepted === undefined) return []
  const value = accepted.includes(found) ? (text.good ?? trust.approved) : (text.bad ?? trust.untrustworthy)
  return [check(id, claim, value, { expected: shown(accepted), found, fix: text.fix })]
}

function realm(claims: CcaClaims, values: CcaReferenceValues): readonly Check[] {
  const registers = (['rem0', 'rem1', 'rem2', 'rem3'] as const).flatMap((name, i) =>
    listed(name, 'executables', values[name], claims.extensibleMeasurements[i]!, {
      fix: 'boot what the owner approved, or ask the owner to add this value',
    }),
  )
  return [
    ...listed('measurement', 'executables', values.initialMeasurements, claims.measurement, {
      good: trust.approvedBoot,
      fix: 'run an image that the owner approved, or ask the owner to add this measurement',
    }),
    ...registers,
    ...listed('personalization-value', 'configuration', values.personalizationValues, claims.personalizationValue, {
      fix: 'start the realm with a personalization value that the owner accepts',
    }),
    ...listed('realm-hash', 'configuration', values.realmHashAlgorithms, claims.realmHashAlgorithm, {
      fix: 'start the realm with a hash algorithm that the owner accepts',
    }),
  ]
}

type Component = CcaReferenceValues['platforms'][number]['components'][number]
const spelled = (one: Pick<Component, 'measurement' | 'signerId'> & { readonly type?: string | null | undefined }) =>
  `${one.type ?? ''} ${one.measurement} ${one.signerId}`

/** All components of one firmware together, none missing and none more: a mixture of two was never approved. */
function software(claims: CcaClaims, values: CcaReferenceValues): Check {
  const found = claims.components.map(spelled).sort()
  const good = values.platforms.some(({ implementationId, components }) => {
    const wanted = components.map(spelled).sort()
    return (
      implementationId === claims.implementationId &&
      wanted.length === found.length &&
      wanted.every((one, i) => one === found[i])
    )
  })
  return check('platform-software', 'hardware', good ? trust.approved : trust.untrustworthy, {
    expected: `${values.platforms.length} implementations with the components of their firmware`,
    found: `implementation ${claims.implementationId} with ${found.length} components: ${found.join('; ')}`,
    fix: 'update the firmware of the platform to one that the owner approved, or ask the owner to add this one',
  })
}

function machine(claims: CcaClaims, values: CcaReferenceValues): readonly Check[] {
  return [
    ...listed('platform-config', 'hardware', values.configs, claims.platformConfig, {
      fix: 'run on a platform that is configured as the owner accepts',
    }),
    ...listed('chip-id', 'instance-identity', values.instanceIds, claims.chipId, {
      bad: trust.unrecognised,
      fix: 'ask the owner to add this platform, or run on one that the owner accepts',
    }),
  ]
}
