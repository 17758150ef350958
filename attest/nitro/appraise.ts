import { platformCheck, reportDataCheck } from '#attest/every-kind.js'
import type { NitroClaims } from '#attest/nitro/claims.js'
import { check, type TenantClass, trust } from '#attest/result.js'
import { toHex } from '#core/bytes/bytes.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { Check } from '#core/wire/ear.js'
import type { NitroReferenceValues } from '#core/wire/reference-values.js'

/** What an appraisal compares with. A null member is one that the appraisal policy leaves out by name. */
export interface NitroAppraisal {
  readonly platform: 'hardware' | 'simulated'
  readonly tenantClass: TenantClass
  readonly expectedReportData: Uint8Array | null
  readonly values: NitroReferenceValues | null
  readonly at: UnixSeconds
}

/**
 * Every comparison of verified claims with what the owner accepts. What no owner can accept, debug enclaves and
 * simulated evidence in production, is refused here in code; no reference value reaches it.
 *
 * Nothing is claimed of `runtime-opaque`: that AWS and its hypervisor keep out of an enclave is AWS's word, and a
 * document says nothing of it.
 */
export function appraiseNitro(claims: NitroClaims, input: NitroAppraisal): readonly Check[] {
  const { values } = input
  return [
    platform(input),
    ...reportData(claims, input.expectedReportData),
    debug(claims),
    ...(values ? [age(claims, values, input.at), image(claims, values), ...registers(claims, values)] : []),
    ...(values?.moduleIds ? [moduleId(claims, values.moduleIds)] : []),
  ]
}

function platform(input: NitroAppraisal): Check {
  return platformCheck(input, {
    expected: 'a hypervisor that chains to the root key of AWS Nitro Enclaves',
    fix: 'run in an AWS Nitro enclave; simulated evidence is for development tenants only',
  })
}

/** All 64 bytes, whole: user data of another length are never those that were asked for. */
function reportData(claims: NitroClaims, expected: Uint8Array | null): readonly Check[] {
  return expected === null
    ? []
    : [
        reportDataCheck(
          claims.reportData,
          toHex(expected),
          'send evidence for this challenge, as the 64 bytes of user_data: nonce, keys, devices, settings and trust',
        ),
      ]
}

/** source: AWS Nitro Enclaves user guide, "nitro-cli run-enclave": PCRs of an enclave in debug mode are zeros */
function debug(claims: NitroClaims): Check {
  return check('debug', 'configuration', claims.debug ? trust.untrustworthy : trust.approved, {
    expected: 'an enclave that is not in debug mode: PCR0, PCR1 and PCR2 are not zero',
    found: claims.debug ? 'debug mode: the parent instance reads its console' : 'not in debug mode',
    fix: 'start the enclave without --debug-mode',
  })
}

function age(claims: NitroClaims, values: NitroReferenceValues, at: UnixSeconds): Check {
  const seconds = Math.max(0, at - claims.madeAt)
  const old = seconds > values.documentAgeSecondsMax
  return check('document-age', 'configuration', old ? trust.untrustworthy : trust.approved, {
    expected: `made at most ${values.documentAgeSecondsMax} seconds ago`,
    found: `made ${seconds} seconds ago, at ${formatTime(claims.madeAt)}`,
    fix: 'ask the hypervisor for a document anew and send that',
  })
}

const shown = (values: readonly string[]) =>
  `one of ${values.slice(0, 8).join(', ')}${values.length > 8 ? ` and ${values.length - 8} more` : ''}`

/** The three registers of one image together: a kernel of one and an application of another were never approved. */
function image(claims: NitroClaims, values: NitroReferenceValues): Check {
  const { pcrs } = claims
  const good = values.images.some(
    ({ pcr0, pcr1, pcr2 }) => pcrs['0'] === pcr0 && pcrs['1'] === pcr1 && pcrs['2'] === pcr2,
  )
  const images = values.images.map(({ pcr0, pcr1, pcr2 }) => `${pcr0} ${pcr1} ${pcr2}`)
  return check('measurement', 'executables', good ? trust.approvedBoot : trust.untrustworthy, {
    expected: `PCR0, PCR1, PCR2 ${shown(images)}`,
    found: `PCR0, PCR1, PCR2 ${pcrs['0']} ${pcrs['1']} ${pcrs['2']}`,
    fix: 'run an image that the owner approved, or ask the owner to add these three values',
  })
}

const roles = {
  pcr3: ['3', 'start the enclave on an instance whose IAM role the owner accepts'],
  pcr4: ['4', 'run on an instance that the owner accepts'],
  pcr8: ['8', 'run an image signed with a certificate that the owner accepts'],
} as const

/** A list that is absent accepts any value, and nothing is said. A register that the document lacks is not accepted. */
function registers(claims: NitroClaims, values: NitroReferenceValues): readonly Check[] {
  return (['pcr3', 'pcr4', 'pcr8'] as const).flatMap((id) => {
    const accepted = values[id]
    if (accepted === undefined) return []
    const [index, fix] = roles[id]
    const found = claims.pcrs[index]
    const good = found !== undefined && accepted.includes(found)
    const [claim, bad] =
      id === 'pcr4'
        ? (['instance-identity', trust.unrecognised] as const)
        : (['configuration', trust.untrustworthy] as const)
    return [
      check(id, claim, good ? trust.approved : bad, {
        expected: shown(accepted),
        found: found ?? 'not in the document',
        fix,
      }),
    ]
  })
}

function moduleId(claims: NitroClaims, accepted: readonly string[]): Check {
  const good = accepted.includes(claims.moduleId)
  return check('module-id', 'instance-identity', good ? trust.approved : trust.unrecognised, {
    expected: shown(accepted),
    found: claims.moduleId,
    fix: 'ask the owner to add this enclave, or run one that the owner accepts',
  })
}
