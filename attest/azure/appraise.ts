import type { AzureSnpClaims, AzureTdxClaims, VtpmClaims } from '#attest/azure/claims.js'
import { check, trust } from '#attest/result.js'
import { appraiseSnp, type SnpAppraisal } from '#attest/snp/appraise.js'
import { appraiseTdx } from '#attest/tdx/appraise.js'
import { toHex } from '#core/bytes/bytes.js'
import { tpmExtraDataOf } from '#core/wire/binding.js'
import type { Check } from '#core/wire/ear.js'
import type {
  AzureSnpReferenceValues,
  AzureTdxReferenceValues,
  VtpmReferenceValues,
} from '#core/wire/reference-values.js'

type AzureAppraisal<R> = Omit<SnpAppraisal, 'values'> & {
  readonly values: R | null
  readonly expectedExtraData?: Uint8Array | undefined
}

/** The challenge, which the vTPM binds; everything else that is asked of an SNP report; then the vTPM. */
export function appraiseAzureSnp(
  claims: AzureSnpClaims,
  input: AzureAppraisal<AzureSnpReferenceValues>,
): readonly Check[] {
  const hardware = { ...input, expectedReportData: null, values: input.values?.snp ?? null }
  return [
    ...extraData(claims.vtpm, input),
    ...appraiseSnp(claims, hardware),
    ...appraiseVtpm(claims.vtpm, input.values),
  ]
}

/** As appraiseAzureSnp, for a TD. */
export function appraiseAzureTdx(
  claims: AzureTdxClaims,
  input: AzureAppraisal<AzureTdxReferenceValues>,
): readonly Check[] {
  const hardware = { ...input, expectedReportData: null, values: input.values?.tdx ?? null }
  return [
    ...extraData(claims.vtpm, input),
    ...appraiseTdx(claims, hardware),
    ...appraiseVtpm(claims.vtpm, input.values),
  ]
}

function appraiseVtpm(vtpm: VtpmClaims, values: VtpmReferenceValues | null): readonly Check[] {
  return [tpmEnabled(vtpm), ...(values ? [...registers(vtpm, values), ...configuration(vtpm, values)] : [])]
}

function extraData(
  vtpm: VtpmClaims,
  { expectedReportData, expectedExtraData }: Pick<AzureAppraisal<unknown>, 'expectedReportData' | 'expectedExtraData'>,
): readonly Check[] {
  if (expectedReportData === null) return []
  const wanted = toHex(expectedExtraData ?? tpmExtraDataOf(expectedReportData))
  // Absence is never success: a quote without extra data does not answer who asks for none.
  const good = wanted !== '' && vtpm.extraData === wanted
  return [
    check('report-data', 'configuration', good ? trust.approved : trust.verificationFailed, {
      expected: `extra data ${wanted} in the TPM quote`,
      found: vtpm.extraData === '' ? 'none' : vtpm.extraData,
      fix: 'quote with the qualifying data of this challenge: docs/spec/evidence-azure.md says how it is made',
    }),
  ]
}

/** A paravisor that says that the VM has no TPM, and quotes all the same, is not the one that we know. */
function tpmEnabled({ vm }: VtpmClaims): Check {
  return check('tpm-enabled', 'configuration', vm.tpmEnabled ? trust.approved : trust.untrustworthy, {
    expected: 'yes',
    found: vm.tpmEnabled ? 'yes' : 'no',
    fix: 'start the virtual machine with its vTPM enabled',
  })
}

/** The paravisor is in the launch measurement; firmware, boot loader, kernel and all else of the guest are here only. */
function registers({ pcrs }: VtpmClaims, values: VtpmReferenceValues): readonly Check[] {
  const named = Object.entries(values.pcrs).sort(([a], [b]) => Number(a) - Number(b))
  return named.map(([index, accepted]) => {
    const found = Object.hasOwn(pcrs, index) ? pcrs[index]! : null
    const good = found !== null && accepted.includes(found)
    return check(`pcr-${index}`, 'executables', good ? trust.approved : trust.untrustworthy, {
      expected: `one of ${accepted.slice(0, 8).join(', ')}${accepted.length > 8 ? ` and ${accepted.length - 8} more` : ''}`,
      found: found ?? 'not quoted',
      fix: 'boot what the owner approved and quote this PCR, or ask the owner to add this value',
    })
  })
}

function configuration({ vm }: VtpmClaims, values: VtpmReferenceValues): readonly Check[] {
  const console = vm.consoleEnabled === null ? 'not said' : vm.consoleEnabled ? 'on' : 'off'
  const known = vm.id !== null && values.vmIds?.includes(vm.id)
  return [
    check(
      'secure-boot',
      'configuration',
      vm.secureBoot || !values.requireSecureBoot ? trust.approved : trust.untrustworthy,
      {
        expected: values.requireSecureBoot ? 'on' : 'on or off',
        found: vm.secureBoot ? 'on' : 'off',
        fix: 'start the virtual machine with secure boot, or let the owner do without it',
      },
    ),
    check('console', 'configuration', console === 'off' || values.allowConsole ? trust.approved : trust.untrustworthy, {
      expected: values.allowConsole ? 'on or off' : 'off',
      found: console,
      fix: 'start the virtual machine without a serial console, or let the owner set allowConsole',
    }),
    ...(values.vmIds === undefined
      ? []
      : [
          check('vm-id', 'instance-identity', known ? trust.approved : trust.unrecognised, {
            expected: `one of ${values.vmIds.slice(0, 8).join(', ')}`,
            found: vm.id ?? 'none',
            fix: 'ask the owner to add this virtual machine, or run in one that the owner accepts',
          }),
        ]),
  ]
}
