import type { DcapClaims } from '#attest/dcap/claims.js'
import { platformCheck, reportDataCheck } from '#attest/every-kind.js'
import { check, type TenantClass, trust } from '#attest/result.js'
import { toHex } from '#core/bytes/bytes.js'
import type { Check } from '#core/wire/ear.js'
import type { SgxReferenceValues, TdxReferenceValues } from '#core/wire/reference-values.js'

/** What an appraisal of a quote compares with. A null member is one that the appraisal policy leaves out by name. */
export interface DcapAppraisal<Values> {
  readonly platform: 'hardware' | 'simulated'
  readonly tenantClass: TenantClass
  readonly expectedReportData: Uint8Array | null
  readonly values: Values | null
}

type Common = Pick<
  TdxReferenceValues & SgxReferenceValues,
  'tcbStatuses' | 'advisories' | 'tcbEvaluationDataNumberMin' | 'fmspcs' | 'platformIds'
>

export function platform(input: DcapAppraisal<unknown>): Check {
  return platformCheck(input, {
    expected: 'a processor that chains to the root key of Intel',
    fix: 'run on a genuine machine; simulated evidence is for development tenants only',
  })
}

export function reportData(claims: { readonly reportData: string }, expected: Uint8Array | null): readonly Check[] {
  return expected === null ? [] : [reportDataCheck(claims.reportData, toHex(expected))]
}

/** The processor encrypts memory unless the guest or enclave is open to debugging. A simulation encrypts nothing. */
export function debug(claims: { readonly debug: boolean }, { platform }: DcapAppraisal<unknown>): readonly Check[] {
  const fix = 'start the guest or enclave without the debug attribute'
  const rows = [
    check('debug', 'configuration', claims.debug ? trust.untrustworthy : trust.approved, {
      expected: 'debugging off',
      found: claims.debug ? 'debugging on' : 'debugging off',
      fix,
    }),
  ]
  if (platform !== 'hardware') return rows
  return [
    ...rows,
    check('memory-encryption', 'runtime-opaque', claims.debug ? trust.untrustworthy : trust.approved, {
      expected: 'memory that the host cannot read',
      found: claims.debug ? 'the host may read the memory' : 'encrypted by the processor',
      fix,
    }),
  ]
}

/** Without reference values only `UpToDate` will do. What an owner accepts beyond it stays a warning. */
export function tcb(claims: DcapClaims, values: Common | null): readonly Check[] {
  const { platform, module, qe } = claims.tcbLevels
  const accepted: readonly string[] = values?.tcbStatuses ?? ['UpToDate']
  const status = claims.tcbStatus
  const parts = `platform ${platform.status}${module ? `, module ${module.status}` : ''}, quoting enclave ${qe.status}`
  if (status === 'NotSupported')
    return [
      check('tcb-not-supported', 'hardware', trust.untrustworthy, {
        expected: 'security versions that Intel lists',
        found: parts,
        fix: 'update BIOS, microcode, TDX module and quoting enclave: Intel lists no level as low as this one',
      }),
    ]
  const known = status === 'UpToDate' ? trust.approved : trust.knownVulnerabilities
  return [
    check('tcb-status', 'hardware', accepted.includes(status) ? known : trust.untrustworthy, {
      expected: `one of ${accepted.join(', ')}`,
      found: `${status} (${parts})${claims.advisories.length > 0 ? `: ${claims.advisories.join(', ')}` : ''}`,
      fix: tcbFix(status),
    }),
  ]
}

function tcbFix(status: string): string {
  if (status === 'Revoked') return 'replace the machine or its firmware: Intel revoked this TCB'
  if (status.startsWith('TDRelaunchAdvised')) return 'start the guest again: the host was updated since it was started'
  if (status.includes('Configuration') || status.includes('SWHardening'))
    return 'follow the advisories in BIOS and software, or let the owner add the status to tcbStatuses'
  return 'update BIOS, microcode, TDX module and quoting enclave, then start the guest or enclave again'
}

/** A value against a list that may be absent, in which case any value is accepted and nothing is said. */
export function listed(
  id: string,
  claim: Check['claim'],
  accepted: readonly string[] | undefined,
  found: string | null,
  text: { readonly none?: string; readonly fix: string; readonly good?: number; readonly bad?: number },
): readonly Check[] {
  if (accepted === undefined) return []
  const good = found !== null && accepted.includes(found)
  const shown = accepted.slice(0, 8).join(', ')
  return [
    check(id, claim, good ? (text.good ?? trust.approved) : (text.bad ?? trust.untrustworthy), {
      expected: `one of ${shown}${accepted.length > 8 ? ` and ${accepted.length - 8} more` : ''}`,
      found: found ?? text.none ?? 'none',
      fix: text.fix,
    }),
  ]
}

/** What an owner says of machine and collateral, whatever runs there. */
export function machine(claims: DcapClaims, values: Common): readonly Check[] {
  const number = claims.tcbEvaluationDataNumber
  const least = values.tcbEvaluationDataNumberMin
  const unknown = claims.advisories.filter((one) => values.advisories && !values.advisories.includes(one))
  return [
    check('tcb-evaluation-number', 'hardware', number >= least ? trust.approved : trust.untrustworthy, {
      expected: `at least ${least}`,
      found: String(number),
      fix: 'fetch TCB info and QE identity again: the owner asks for a later edition',
    }),
    ...(values.advisories === undefined
      ? []
      : [
          check('advisories', 'hardware', unknown.length === 0 ? trust.approved : trust.untrustworthy, {
            expected: 'no advisory but those that the owner accepts',
            found: unknown.length === 0 ? 'none other' : unknown.join(', '),
            fix: 'update the machine until these advisories no longer stand, or let the owner accept them',
          }),
        ]),
    ...listed('fmspc', 'hardware', values.fmspcs, claims.fmspc, {
      bad: trust.unrecognised,
      fix: 'run on a family of machines that the owner accepts, or ask the owner to add this one',
    }),
    ...listed('chip-id', 'instance-identity', values.platformIds, claims.chipId, {
      bad: trust.unrecognised,
      fix: 'ask the owner to add this machine, or run on one that the owner accepts',
    }),
  ]
}
