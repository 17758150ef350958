import { type DcapAppraisal, debug, listed, machine, platform, reportData, tcb } from '#attest/dcap/appraise.js'
import { check, trust } from '#attest/result.js'
import type { TdxClaims } from '#attest/tdx/claims.js'
import type { Check } from '#core/wire/ear.js'
import type { TdxReferenceValues } from '#core/wire/reference-values.js'

/**
 * Every comparison of verified claims with what the owner accepts. What no owner can accept, debug and untrusted guests,
 * a revoked TCB and simulated evidence in production, is refused here in code; no reference value reaches it.
 */
export function appraiseTdx(claims: TdxClaims, input: DcapAppraisal<TdxReferenceValues>): readonly Check[] {
  const { values } = input
  return [
    platform(input),
    ...reportData(claims, input.expectedReportData),
    ...debug(claims, input),
    untrusted(claims),
    ...tcb(claims, values),
    ...(values ? [...executables(claims, values), ...configuration(claims, values), ...machine(claims, values)] : []),
  ]
}

/** source: Intel TDX Module Base Architecture Specification, "ATTRIBUTES": bits 0 to 7, "TUD", TD under debug */
function untrusted(claims: TdxClaims): Check {
  const bad = claims.attributes.untrusted
  return check('td-attributes', 'configuration', bad ? trust.untrustworthy : trust.approved, {
    expected: 'attribute bits 0 to 7 clear',
    found: bad ? `attributes ${claims.attributes.raw}` : 'clear',
    fix: 'start the TD without debugging and profiling attributes',
  })
}

function executables(claims: TdxClaims, values: TdxReferenceValues): readonly Check[] {
  const registers = (['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'] as const).flatMap((name, i) =>
    listed(name, 'executables', values[name], claims.rtmrs[i]!, {
      fix: 'boot what the owner approved, or ask the owner to add this value',
    }),
  )
  const composed = claims.eventLog?.runtime['compose-hash'] ?? null
  const log = claims.eventLog !== null
  return [
    ...listed('measurement', 'executables', values.mrTds, claims.measurement, {
      good: trust.approvedBoot,
      fix: 'run an image that the owner approved, or ask the owner to add this measurement',
    }),
    ...registers,
    ...listed('mr-seam', 'executables', values.mrSeams, claims.mrSeam, {
      fix: 'update the TDX module of the host, or ask the owner to add this one',
    }),
    ...listed('compose-hash', 'executables', values.composeHashes, composed, {
      none: 'no event log that names one',
      fix: 'send the event log of a workload that the owner approved',
    }),
    check('event-log', 'executables', log || values.eventLog === 'when-given' ? trust.approved : trust.untrustworthy, {
      expected: values.eventLog === 'required' ? 'an event log' : 'an event log where one is given',
      found: log ? 'replays to the registers of the quote' : 'none',
      fix: 'send the event log with the evidence',
    }),
  ]
}

function configuration(claims: TdxClaims, values: TdxReferenceValues): readonly Check[] {
  const flag = (id: string, bad: boolean, expected: string, found: string, fix: string) =>
    check(id, 'configuration', bad ? trust.untrustworthy : trust.approved, { expected, found, fix })
  const { attributes, mrServiceTd } = claims
  const started = (what: string) => ({ fix: `start the TD with ${what} that the owner accepts` })
  return [
    flag(
      'sept-ve-disable',
      values.requireSeptVeDisable && !attributes.septVeDisable,
      values.requireSeptVeDisable ? 'set' : 'set or clear',
      attributes.septVeDisable ? 'set' : 'clear',
      'start the TD with SEPT_VE_DISABLE, or let the owner do without it',
    ),
    flag(
      'migration',
      attributes.migratable && !values.allowMigration,
      values.allowMigration ? 'allowed or forbidden' : 'forbidden',
      attributes.migratable ? 'allowed' : 'forbidden',
      'start the TD without MIGRATABLE',
    ),
    flag(
      'perfmon',
      attributes.perfmon && !values.allowPerfmon,
      values.allowPerfmon ? 'on or off' : 'off',
      attributes.perfmon ? 'on' : 'off',
      'start the TD without PERFMON',
    ),
    // A service TD may move the TD to another host: it must be one that the owner knows.
    flag(
      'service-td',
      mrServiceTd !== null && !(values.mrServiceTds ?? []).includes(mrServiceTd),
      values.mrServiceTds ? 'none, or one that the owner accepts' : 'none',
      mrServiceTd ?? 'none',
      'start the TD without a service TD, or ask the owner to add this one',
    ),
    ...listed('xfam', 'configuration', values.xfams, claims.xfam, started('extended features')),
    ...listed('mr-config-id', 'configuration', values.mrConfigIds, claims.mrConfigId, started('a configuration id')),
    ...listed('mr-owner', 'configuration', values.mrOwners, claims.mrOwner, started('an owner id')),
    ...listed(
      'mr-owner-config',
      'configuration',
      values.mrOwnerConfigs,
      claims.mrOwnerConfig,
      started('an owner configuration'),
    ),
  ]
}
