import type { Golden, VerifiedAnswers } from '#attest/gpu/collateral.js'
import type { Architecture, DeviceKind, Feature } from '#attest/gpu/layout.js'
import { topologyProblem } from '#attest/gpu/topology.js'
import type { VerifiedDevice, VerifiedGpu } from '#attest/gpu/verify.js'
import type { Subject } from '#attest/subject.js'
import { toHex } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import { certificateDigest } from '#core/x509/digests.js'

/** What a RIM of a device says, and what came of the comparison. Indices are those of the RIM, from 0. */
export interface RimClaims {
  readonly id: string
  readonly version: string
  readonly compared: number
  readonly differing: readonly number[]
  readonly validUntil: UnixSeconds
}

/** What one verified device says, in neutral words. Byte strings are lowercase hex. */
export interface GpuDeviceClaims {
  readonly kind: DeviceKind
  /** as its certificates name it: `GH100`, `GB100`, `LS_10` */
  readonly chip: string
  readonly architecture: Architecture
  /** PDI, 8 bytes: names one device */
  readonly deviceId: string
  /** null for a switch */
  readonly driverVersion: string | null
  readonly vbiosVersion: string
  readonly project: string | null
  readonly projectSku: string | null
  readonly chipSku: string | null
  /** null where the device does not say it */
  readonly chipInfo: string | null
  /** how the GPU says that it is passed through, null where it does not; not that confidential computing is on */
  readonly mode: Feature | null
  readonly protectedPcie: boolean | null
  readonly nvdec0: 'enabled' | 'disabled' | null
  readonly opaqueDataVersion: number | null
  /** SHA-384 of the firmware that signs */
  readonly fwid: string
  /** SHA-256 of the certificate of that firmware */
  readonly certificate: string
  /** ids by which NVIDIA's service knows the RIMs of this device; null for a part that it has not */
  readonly rimIds: { readonly driver: string | null; readonly vbios: string | null }
  /** null when it did not come along */
  readonly driverRim: RimClaims | null
  readonly vbiosRim: RimClaims | null
}

/** What verified devices say. */
export interface GpuClaims {
  readonly product: 'NVIDIA'
  /** the 32 bytes that every device answered */
  readonly nonce: string
  readonly devices: readonly GpuDeviceClaims[]
  /** certificates of devices and RIMs: how many could be revoked, and of how many an answer says that they are good */
  readonly ocsp: VerifiedAnswers
  /** why these are not shown to be one protected-PCIe board and nothing else; null when they are */
  readonly topologyProblem: string | null
}

/** The claims of verified devices. */
export function gpuClaims({ nonce, devices, ocsp }: VerifiedGpu): GpuClaims {
  return {
    product: 'NVIDIA',
    nonce: toHex(nonce),
    devices: devices.map(deviceClaims),
    ocsp,
    topologyProblem: topologyProblem(devices),
  }
}

/** What names the devices, and what runs on them. */
export function gpuDevices({ devices }: GpuClaims): Omit<Subject, 'machine'> {
  const once = (values: readonly (string | null)[]) => [...new Set(values.filter((one) => one !== null))]
  return {
    devices: devices.map((one) => one.deviceId),
    drivers: once(devices.map((one) => one.driverVersion)),
    vbioses: once(devices.map((one) => one.vbiosVersion)),
  }
}

function rimClaims(golden: Golden | null): RimClaims | null {
  if (golden === null) return null
  const { id, rim, compared, differing } = golden
  const validUntil = Math.min(...rim.chain.map((one) => one.notAfter))
  return { id, version: rim.version, compared: compared.length, differing, validUntil }
}

function deviceClaims({ report, identity, rims }: VerifiedDevice): GpuDeviceClaims {
  const { opaque } = report
  return {
    kind: report.kind,
    chip: identity.chip,
    architecture: identity.architecture,
    deviceId: identity.pdi,
    driverVersion: opaque.driverVersion,
    vbiosVersion: opaque.vbiosVersion,
    project: opaque.project,
    projectSku: opaque.projectSku,
    chipSku: opaque.chipSku,
    chipInfo: opaque.chipInfo,
    // Drivers before 580 write the byte alone. Should the two ever differ, the one that asks for more counts.
    mode: opaque.protectedPcie === true ? 'PPCIE' : opaque.feature,
    protectedPcie: opaque.protectedPcie,
    nvdec0: opaque.nvdec0,
    opaqueDataVersion: opaque.version,
    fwid: toHex(identity.fwid),
    certificate: certificateDigest(identity.chain[0]!),
    rimIds: rims.ids,
    driverRim: rimClaims(rims.driver),
    vbiosRim: rimClaims(rims.vbios),
  }
}
