import { opaque } from '#attest/gpu/layout.js'
import { concat, utf8 } from '#core/bytes/bytes.js'
import type { GpuReferenceValues } from '#core/wire/reference-values.js'
import { basicConstraints, keyUsage } from '#runtime/attester/simulated/certificate.js'
import { board, firmwareExtension, gpuKeys, type MintDevice, type OpaqueField, single, text } from './gpu.js'
import { p384Name, signsOnly } from './p384.js'
import { testTime, throwawayKeys } from './platform.js'

/** One minted case: good devices with one thing done differently, and what must come of it; see SnpCase. */
export interface GpuCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  readonly devices: readonly MintDevice[]
  readonly values?: Partial<GpuReferenceValues> | null
  readonly reportData?: Uint8Array
  readonly tenantClass?: 'production'
  readonly unknownRoot?: true
}

type More = Pick<GpuCase, 'values' | 'reportData' | 'tenantClass' | 'unknownRoot'>
const passes = (name: string, devices: readonly MintDevice[], more: More = {}): GpuCase => ({
  name,
  code: null,
  crypto: 'pass',
  devices,
  ...more,
})
const unverified = (code: string, name: string, device: Partial<MintDevice>): GpuCase => ({
  name,
  code,
  crypto: 'fail',
  devices: single(device),
})
const refused = (code: string, name: string, devices: readonly MintDevice[], more: More = {}): GpuCase => ({
  name,
  code,
  crypto: 'pass',
  devices,
  ...more,
})

const day = 86_400
const set = (at: number, value: number) => (bytes: Uint8Array) => {
  const out = bytes.slice()
  out[at] = value
  return out
}
const flip = (at: number) => (bytes: Uint8Array) => set(at, bytes[at]! ^ 1)(bytes)
type Fields = readonly OpaqueField[]
const withField = (type: number, value: Uint8Array) => (fields: Fields) =>
  fields.some(([one]) => one === type)
    ? fields.map((one) => (one[0] === type ? ([type, value] as const) : one))
    : [...fields, [type, value] as const]
const without =
  (...types: readonly number[]) =>
  (fields: Fields) =>
    fields.filter(([type]) => !types.includes(type))
/** Where the first block begins, and the fields of it. */
const firstBlock = 45
const boardValues = { devices: { HOPPER: 8, BLACKWELL: undefined, LS10: 4 } }

const good: readonly GpuCase[] = [
  passes('hopper-good', single()),
  passes('blackwell-good', single({ architecture: 'BLACKWELL' }), {
    values: { devices: { HOPPER: undefined, BLACKWELL: 1, LS10: undefined } },
  }),
  passes('switch-good', single({ architecture: 'LS10' }), {
    values: { devices: { HOPPER: undefined, BLACKWELL: undefined, LS10: 1 } },
  }),
  passes('board-good', board(), { values: boardValues }),
  passes(
    'driver-535-without-fwid',
    single({
      opaque: (fields) => withField(opaque.driverVersion, text('535.86.09'))(without(opaque.fwid)(fields)),
    }),
  ),
  passes('versions-and-mode-listed', single(), {
    values: {
      driverVersions: ['580.10.01'],
      driverVersionMin: '580.9.99',
      vbiosVersions: ['96.00.A5.00.01'],
      vbiosVersionMin: { HOPPER: '96.00.9F.00.02', BLACKWELL: undefined, LS10: undefined },
      modes: ['PPCIE'],
    },
  }),
  passes(
    'protected-pcie-without-feature-flag',
    single({ opaque: without(opaque.featureFlag, opaque.opaqueDataVersion) }),
    {
      values: { modes: ['PPCIE'] },
    },
  ),
]

const reports: readonly GpuCase[] = [
  unverified('gpu/size', 'report-cut-off', { afterSigning: (bytes) => bytes.slice(0, -1) }),
  unverified('gpu/size', 'report-of-60-bytes', { afterSigning: (bytes) => bytes.slice(0, 60) }),
  unverified('gpu/trailing', 'trailing-byte', { afterSigning: (bytes) => concat(bytes, new Uint8Array([0x20])) }),
  unverified('gpu/request', 'request-for-one-block', { beforeSigning: set(3, 1) }),
  unverified('gpu/request', 'request-without-signature', { beforeSigning: set(2, 0) }),
  unverified('gpu/request', 'request-of-slot-1', { beforeSigning: set(36, 1) }),
  unverified('gpu/response', 'response-is-an-error', { beforeSigning: set(38, 0x7f) }),
  unverified('gpu/blocks', 'number-of-blocks-is-63', { beforeSigning: set(41, 63) }),
  unverified('gpu/blocks', 'record-is-longer', { beforeSigning: flip(42) }),
  unverified('gpu/blocks', 'blocks-out-of-order', { beforeSigning: set(firstBlock, 2) }),
  unverified('gpu/blocks', 'block-of-another-specification', { beforeSigning: set(firstBlock + 1, 2) }),
  unverified('gpu/blocks', 'block-of-another-size', { beforeSigning: set(firstBlock + 2, 50) }),
  unverified('gpu/blocks', 'block-of-raw-bits', { beforeSigning: set(firstBlock + 4, 0x81) }),
  unverified('gpu/blocks', 'block-value-of-another-size', { beforeSigning: set(firstBlock + 5, 32) }),
  unverified('gpu/opaque', 'opaque-field-goes-on', { beforeSigning: (bytes) => set(bytes.length - 4, 3)(bytes) }),
  unverified('gpu/opaque', 'opaque-data-end-in-a-length', {
    beforeSigning: (bytes) => {
      const at = firstBlock + 64 * 55 + 32
      const size = bytes[at]! + bytes[at + 1]! * 256 + 2
      return concat(
        bytes.subarray(0, at),
        new Uint8Array([size & 0xff, size >> 8]),
        bytes.subarray(at + 2),
        new Uint8Array(2),
      )
    },
  }),
  unverified('gpu/opaque', 'no-vbios-version', { opaque: without(opaque.vbiosVersion) }),
  unverified('gpu/opaque', 'no-driver-version', { opaque: without(opaque.driverVersion) }),
  unverified('gpu/opaque', 'driver-version-is-a-path', { opaque: withField(opaque.driverVersion, text('../1.2')) }),
  unverified('gpu/opaque', 'text-after-its-end', { opaque: withField(opaque.project, utf8('G520\0x')) }),
  unverified('gpu/opaque', 'nvdec0-is-neither-on-nor-off', {
    opaque: withField(opaque.nvdec0Status, new Uint8Array(1)),
  }),
  unverified('gpu/opaque', 'short-fwid', { opaque: withField(opaque.fwid, new Uint8Array(32)) }),
  unverified('gpu/opaque', 'vbios-version-of-9-bytes', { opaque: withField(opaque.vbiosVersion, new Uint8Array(9)) }),
  unverified('gpu/opaque', 'unknown-feature-flag', { opaque: withField(opaque.featureFlag, new Uint8Array([3, 0])) }),
  unverified('gpu/opaque', 'feature-flag-in-version-0', {
    opaque: withField(opaque.opaqueDataVersion, new Uint8Array(2)),
  }),
  unverified('gpu/opaque', '17-links', { opaque: withField(opaque.switchPdi, new Uint8Array(17 * 8)) }),
  unverified('gpu/opaque', 'port-to-gpu-8', {
    architecture: 'LS10',
    opaque: withField(opaque.switchGpuPdis, concat(new Uint8Array(64), new Uint8Array([8]))),
  }),
  unverified('gpu/opaque', 'seven-gpus-of-a-switch', {
    architecture: 'LS10',
    opaque: withField(opaque.switchGpuPdis, new Uint8Array(56)),
  }),
  unverified('gpu/opaque-duplicate', 'opaque-type-twice', { opaque: (fields) => [...fields, fields[0]!] }),
  unverified('gpu/opaque-type', 'opaque-type-37', { opaque: withField(37, new Uint8Array(2)) }),
  unverified('gpu/opaque-type', 'opaque-type-invalid', { opaque: withField(255, new Uint8Array(2)) }),
  unverified('gpu/opaque-type', 'opaque-type-28-of-a-switch', {
    architecture: 'LS10',
    opaque: withField(28, new Uint8Array(2)),
  }),
  unverified('gpu/opaque-version', 'opaque-version-2', {
    opaque: withField(opaque.opaqueDataVersion, new Uint8Array([2, 0])),
  }),
  unverified('gpu/signature', 'measurement-changed-after-signing', { afterSigning: flip(firstBlock + 7) }),
  unverified('gpu/signature', 'nonce-changed-after-signing', { afterSigning: flip(4) }),
  unverified('gpu/signature', 'signed-by-another-device', { signer: gpuKeys.devices[1]! }),
  unverified('gpu/fwid', 'other-firmware', { opaque: withField(opaque.fwid, new Uint8Array(48).fill(1)) }),
  unverified('gpu/fwid', 'driver-580-without-fwid', { opaque: without(opaque.fwid) }),
  unverified('gpu/fwid', 'blackwell-of-other-firmware', {
    architecture: 'BLACKWELL',
    opaque: withField(opaque.fwid, new Uint8Array(48).fill(1)),
  }),
]

const authority = [basicConstraints(), keyUsage(true)]
const firmware = [signsOnly, firmwareExtension('HOPPER')]
const chains: readonly GpuCase[] = [
  { ...unverified('gpu/unknown-root', 'root-that-nobody-named', {}), unknownRoot: true },
  unverified('gpu/certificate', 'chain-without-leaf', { chain: (chain) => chain.slice(1) }),
  unverified('gpu/certificate', 'firmware-certificate-is-an-authority', {
    certificates: { leaf: { extensions: [...authority, firmwareExtension('HOPPER')] } },
  }),
  unverified('gpu/certificate', 'firmware-certificate-may-not-sign', {
    certificates: { leaf: { extensions: [keyUsage(false), firmwareExtension('HOPPER')] } },
  }),
  unverified('gpu/certificate', 'firmware-key-is-not-on-p384', {
    certificates: { leaf: { spki: throwawayKeys.other.spki } },
  }),
  unverified('gpu/certificate', 'no-firmware-extension', { certificates: { leaf: { extensions: [signsOnly] } } }),
  unverified('gpu/certificate', 'firmware-extension-of-blackwell', {
    certificates: { leaf: { extensions: [signsOnly, firmwareExtension('BLACKWELL')] } },
  }),
  unverified('gpu/certificate', 'short-firmware-digest', {
    certificates: { leaf: { extensions: [signsOnly, firmwareExtension('HOPPER', new Uint8Array(32))] } },
  }),
  unverified('gpu/device-name', 'unknown-chip', {
    certificates: { leaf: { subject: p384Name('GR100 A01 GSP FMC LF', '00') } },
  }),
  unverified('gpu/device-name', 'provisioner-of-another-chip', {
    certificates: {
      provisioner: { subject: p384Name('NVIDIA GB100 Provisioner ICA 1') },
      brom: { issuer: p384Name('NVIDIA GB100 Provisioner ICA 1') },
    },
  }),
  unverified('gpu/device-name', 'serial-number-of-a-switch', {
    certificates: {
      brom: { subject: p384Name('GH100 A01 GSP BROM', '500011223344556677') },
      leaf: { issuer: p384Name('GH100 A01 GSP BROM', '500011223344556677') },
    },
  }),
  unverified('gpu/device-name', 'report-of-a-gpu-under-a-switch', {
    certificates: {
      provisioner: { subject: p384Name('NVIDIA LS_10 Provisioner ICA 1') },
      brom: {
        issuer: p384Name('NVIDIA LS_10 Provisioner ICA 1'),
        subject: p384Name('LS_10 A01 FSP BROM', '500011223344556677'),
      },
      leaf: {
        issuer: p384Name('LS_10 A01 FSP BROM', '500011223344556677'),
        subject: p384Name('LS_10 A01 FSP FMC LF', '00'),
      },
    },
  }),
  unverified('chain/expired', 'firmware-certificate-expired', { certificates: { leaf: { notAfter: testTime - 1 } } }),
  unverified('chain/not-yet-valid', 'brom-certificate-of-tomorrow', {
    certificates: { brom: { notBefore: testTime + day } },
  }),
  unverified('chain/signature', 'firmware-certificate-signed-by-another-key', {
    certificateSigners: { leaf: gpuKeys.other },
  }),
  unverified('chain/not-a-ca', 'brom-is-no-authority', {
    certificates: { brom: { extensions: [keyUsage(false)] } },
  }),
  unverified('x509/critical-extension', 'unknown-critical-extension-in-leaf', {
    certificates: {
      leaf: { extensions: [...firmware, { oid: '1.2.3', critical: true, value: new Uint8Array([5, 0]) }] },
    },
  }),
]

const systems: readonly GpuCase[] = [
  { ...refused('gpu/duplicate-device', 'one-device-twice', [...single(), ...single()]), crypto: 'fail' },
  {
    ...refused('gpu/nonces-differ', 'board-with-mixed-nonces', board({ 5: { nonce: new Uint8Array(32) } })),
    crypto: 'fail',
  },
]

const appraisals: readonly GpuCase[] = [
  refused('platform', 'simulated-for-a-production-tenant', single(), { tenantClass: 'production' }),
  refused('report-data', 'other-report-data', single(), { reportData: new Uint8Array(64) }),
  refused('report-data', 'bare-report-data-as-nonce', single({ nonce: new Uint8Array(32).fill(7) })),
  refused('reference-values', 'no-reference-values-for-the-kind', single(), { values: null }),
  refused('devices', 'one-gpu-too-few', single(), {
    values: { devices: { HOPPER: 2, BLACKWELL: undefined, LS10: undefined } },
  }),
  refused('devices', 'one-gpu-too-many', [...single(), ...single({ number: 1 })]),
  refused('devices', 'gpu-of-another-architecture', single({ architecture: 'BLACKWELL' })),
  refused('devices', 'switch-that-nobody-asked-for', [...single(), ...single({ architecture: 'LS10', number: 8 })]),
  refused('driver-version', 'driver-not-listed', single(), { values: { driverVersions: ['580.10.02'] } }),
  refused('driver-version', 'driver-below-floor', single(), { values: { driverVersionMin: '580.11' } }),
  refused('vbios-version', 'vbios-not-listed', single(), { values: { vbiosVersions: ['96.00.A5.00.02'] } }),
  refused('vbios-version', 'vbios-below-floor', single(), {
    values: { vbiosVersionMin: { HOPPER: '96.00.A5.01.00', BLACKWELL: undefined, LS10: undefined } },
  }),
  refused('device-id', 'device-not-listed', single(), { values: { deviceIds: ['00'.repeat(8)] } }),
  refused('mode', 'mode-not-listed', single(), { values: { modes: ['SPT'] } }),
  refused('mode', 'mode-not-said', single({ architecture: 'BLACKWELL', opaque: without(opaque.featureFlag) }), {
    values: { devices: { HOPPER: undefined, BLACKWELL: 1, LS10: undefined }, modes: ['MPT'] },
  }),
]

export const gpuCases: readonly GpuCase[] = [...good, ...reports, ...chains, ...systems, ...appraisals]
