import { platformCheck, reportDataCheck } from '#attest/every-kind.js'
import type { GpuClaims, GpuDeviceClaims, RimClaims } from '#attest/gpu/claims.js'
import { check, type TenantClass, trust } from '#attest/result.js'
import { toHex } from '#core/bytes/bytes.js'
import { deviceNonceOf } from '#core/wire/binding.js'
import type { Check } from '#core/wire/ear.js'
import type { GpuReferenceValues } from '#core/wire/reference-values.js'

/** What an appraisal of devices compares with. A null member is one that the appraisal policy leaves out by name. */
export interface GpuAppraisal {
  readonly platform: 'hardware' | 'simulated'
  readonly tenantClass: TenantClass
  readonly expectedReportData: Uint8Array | null
  readonly values: GpuReferenceValues | null
}

/** Every comparison of verified claims with what the owner accepts; one a row, over all devices. */
export function appraiseGpu(claims: GpuClaims, input: GpuAppraisal): readonly Check[] {
  const { values } = input
  return [
    platform(input),
    ...reportData(claims, input.expectedReportData),
    ...goldenValues(claims),
    rims(claims, values),
    ...mode(claims, values),
    ...(values
      ? [
          ...revocation(claims, values),
          count(claims, values),
          ...versions(claims, values),
          ...identity(claims, values),
          ...topology(claims, values),
        ]
      : []),
  ]
}

function platform(input: GpuAppraisal): Check {
  return platformCheck(input, {
    expected: 'devices that chain to the root key of NVIDIA',
    fix: 'use genuine devices; simulated evidence is for development tenants only',
  })
}

function reportData(claims: GpuClaims, expected: Uint8Array | null): readonly Check[] {
  return expected === null
    ? []
    : [
        reportDataCheck(
          claims.nonce,
          toHex(deviceNonceOf(expected)),
          'ask the devices with the nonce that belongs to this challenge',
        ),
      ]
}

/** What is missing of the RIMs of a device; a switch has none of a driver. */
function missing({ kind, driverRim, vbiosRim }: GpuDeviceClaims): string | null {
  const driver = kind === 'gpu' && driverRim === null
  if (!driver && vbiosRim !== null) return null
  return `without ${[...(driver ? ['driver RIM'] : []), ...(vbiosRim === null ? ['VBIOS RIM'] : [])].join(' and ')}`
}

/** A device that measured something else than its maker expects is refused, whatever the owner says. */
function goldenValues({ devices }: GpuClaims): readonly Check[] {
  if (devices.every((device) => device.driverRim === null && device.vbiosRim === null)) return []
  const differing = (part: string, rim: RimClaims | null) =>
    rim && rim.differing.length > 0 ? [`${part} RIM at ${rim.differing.join(', ')}`] : []
  return [
    each(
      'golden-values',
      'executables',
      devices,
      ({ driverRim, vbiosRim }) =>
        [...differing('driver', driverRim), ...differing('VBIOS', vbiosRim)].join(' and ') || null,
      {
        expected: 'every measurement equal to one of the golden values of its RIM',
        fix: 'install the driver and VBIOS that NVIDIA released under these versions, and fetch their current RIMs',
      },
    ),
  ]
}

/**
 * No field of a report says that confidential computing is on and developer mode off: NVIDIA's own verifier asks the driver
 * for both, and calls debugging disabled where measurements match. A device in developer mode measures other values than
 * those that NVIDIA signs: with golden values that match it is not in that mode, without them nobody knows. The owner may
 * live with that as a warning.
 *
 * source  NVIDIA nvtrust, local_gpu_verifier, "NvmlHandler.is_cc_enabled", "NvmlHandler.is_cc_dev_mode", "ClaimsUtils"
 */
function rims({ devices }: GpuClaims, values: GpuReferenceValues | null): Check {
  return each('rim', 'executables', devices, (device) => missing(device), {
    expected: 'RIMs of driver and VBIOS, which show that developer mode is off: no field of a report does',
    fix: 'send the RIMs of driver and VBIOS with the evidence',
    bad: values?.rim === 'required' ? trust.untrustworthy : trust.knownVulnerabilities,
  })
}

/**
 * An owner who takes answers as they come asks for nothing here: while one is missing nothing is compared, since nobody
 * knows, and the step `gpu/ocsp` names what was not known. One that is there and bad has failed before.
 */
function revocation({ ocsp }: GpuClaims, values: GpuReferenceValues): readonly Check[] {
  const isWhole = ocsp.answered === ocsp.needed
  if (!isWhole && values.ocsp === 'when-given') return []
  return [
    check('ocsp', 'hardware', isWhole ? trust.approved : trust.untrustworthy, {
      expected: 'a current OCSP answer on every certificate of devices and RIMs',
      found: `${ocsp.answered} of ${ocsp.needed}, all good`,
      fix: 'send the OCSP answers on every certificate but roots and firmware with the evidence, or have them fetched for it',
    }),
  ]
}

/** How many there are of each architecture, as `8 HOPPER, 4 LS10`. */
function counted(devices: readonly GpuDeviceClaims[]): string {
  const counts = new Map<string, number>()
  for (const { architecture } of devices) counts.set(architecture, (counts.get(architecture) ?? 0) + 1)
  return spelled(counts)
}
const spelled = (counts: Iterable<readonly [string, number]>) =>
  [...counts]
    .map(([name, number]) => `${number} ${name}`)
    .sort()
    .join(', ')

/** Exactly the devices that the owner asks for: one more is one that nobody accepted. */
function count(claims: GpuClaims, values: GpuReferenceValues): Check {
  const wanted = spelled(Object.entries(values.devices).filter((one): one is [string, number] => one[1] !== undefined))
  const found = counted(claims.devices)
  return check('devices', 'hardware', found === wanted ? trust.approved : trust.untrustworthy, {
    expected: wanted || 'none',
    found,
    fix: 'send evidence of exactly the devices that the owner asks for',
  })
}

/** One row over all devices: what is wrong with each that is not as it should be. */
function each(
  id: string,
  claim: Check['claim'],
  devices: readonly GpuDeviceClaims[],
  problem: (device: GpuDeviceClaims) => string | null,
  text: { readonly expected: string; readonly good?: string; readonly fix: string; readonly bad?: number },
): Check {
  const problems = devices.flatMap((device) => {
    const found = problem(device)
    return found === null ? [] : [`${device.chip} ${device.deviceId}: ${found}`]
  })
  return check(id, claim, problems.length === 0 ? trust.approved : (text.bad ?? trust.untrustworthy), {
    expected: text.expected,
    found: problems.length === 0 ? (text.good ?? 'all devices') : problems.join('; '),
    fix: text.fix,
  })
}

const list = (accepted: readonly string[]) =>
  `one of ${accepted.slice(0, 8).join(', ')}${accepted.length > 8 ? ` and ${accepted.length - 8} more` : ''}`

/** Part by part as numbers, never as text: 96.00.9F is below 96.00.A5, and 570 below 1000. */
function isBelow(version: string, floor: string, radix: 10 | 16): boolean {
  const [a, b] = [version, floor].map((text) => text.split('.').map((part) => Number.parseInt(part, radix)))
  for (let i = 0; i < Math.max(a!.length, b!.length); i++) {
    const difference = (a![i] ?? 0) - (b![i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

function versions({ devices }: GpuClaims, values: GpuReferenceValues): readonly Check[] {
  const { driverVersions, driverVersionMin, vbiosVersions, vbiosVersionMin } = values
  const gpus = devices.filter((device) => device.driverVersion !== null)
  const fix = 'install a version that the owner accepts, or ask the owner to add this one'
  return [
    ...(driverVersions || driverVersionMin
      ? [
          each(
            'driver-version',
            'executables',
            gpus,
            ({ driverVersion }) => {
              const listed = driverVersions?.includes(driverVersion!) ?? true
              const below = driverVersionMin !== undefined && isBelow(driverVersion!, driverVersionMin, 10)
              return listed && !below ? null : driverVersion
            },
            {
              expected: driverVersions ? list(driverVersions) : `at least ${driverVersionMin}`,
              fix,
            },
          ),
        ]
      : []),
    ...(vbiosVersions || vbiosVersionMin
      ? [
          each(
            'vbios-version',
            'executables',
            devices,
            ({ vbiosVersion, architecture }) => {
              const listed = vbiosVersions?.includes(vbiosVersion) ?? true
              const floor = vbiosVersionMin?.[architecture]
              const below = floor !== undefined && isBelow(vbiosVersion, floor, 16)
              return listed && !below ? null : vbiosVersion
            },
            {
              expected: vbiosVersions ? list(vbiosVersions) : 'at least the floor of the architecture',
              fix,
            },
          ),
        ]
      : []),
  ]
}

function identity({ devices }: GpuClaims, values: GpuReferenceValues): readonly Check[] {
  const { deviceIds } = values
  return [
    ...(deviceIds
      ? [
          each(
            'device-id',
            'instance-identity',
            devices,
            ({ deviceId }) => (deviceIds.includes(deviceId) ? null : 'not listed'),
            {
              expected: list(deviceIds),
              fix: 'ask the owner to add this device, or use one that the owner accepts',
              bad: trust.unrecognised,
            },
          ),
        ]
      : []),
  ]
}

/**
 * The mode that every GPU names for itself. One that names none, as with drivers before 580, is not known to be in any: refused
 * where the owner lists modes, and else a warning unless golden values of driver and VBIOS stand in for it. That confidential
 * computing is on no name shows; golden values stand in for that too, see `rims`.
 */
function mode({ devices }: GpuClaims, values: GpuReferenceValues | null): readonly Check[] {
  const gpus = devices.filter((device) => device.kind === 'gpu')
  if (gpus.length === 0) return []
  const modes = values?.modes
  return [
    each(
      'mode',
      'configuration',
      gpus,
      (device) => {
        if (device.mode !== null) return (modes?.includes(device.mode) ?? true) ? null : device.mode
        return modes === undefined && missing(device) === null ? null : 'not said'
      },
      {
        expected: modes ? list(modes) : 'a mode that the GPU names',
        good: [...new Set(gpus.map(({ mode: said }) => said ?? 'not said, golden values match'))].join(', '),
        fix: modes
          ? 'set the GPUs to a mode that the owner accepts'
          : 'send the RIMs of driver and VBIOS, or install a driver whose reports name the mode of a GPU, as those of 580.159.03 do',
        bad: modes ? trust.untrustworthy : trust.knownVulnerabilities,
      },
    ),
  ]
}

/**
 * Links between GPUs are not encrypted in protected PCIe: what goes over them is safe only while they lead to switches
 * of the same board. Where the owner does not ask for that to be shown, it stays a warning.
 */
function topology({ devices, topologyProblem: problem }: GpuClaims, values: GpuReferenceValues): readonly Check[] {
  const wanted = values.topology === 'protected-pcie'
  if (!wanted && !devices.some((device) => device.mode === 'PPCIE')) return []
  const bad = wanted ? trust.untrustworthy : trust.knownVulnerabilities
  return [
    check('topology', 'configuration', problem === null ? trust.approved : bad, {
      expected: '8 GPUs and 4 switches in protected PCIe, linked to one another and to nobody else',
      found: problem ?? 'one protected-PCIe board',
      fix: 'send evidence of every GPU and switch of the board, all for one nonce',
    }),
  ]
}
