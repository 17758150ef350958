import { type Architecture, opaque } from '#attest/gpu/layout.js'
import { concat, utf8 } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import { deviceNonceOf } from '#core/wire/binding.js'
import type { GpuReferenceValues } from '#core/wire/reference-values.js'
import { basicConstraints, keyUsage } from '#runtime/attester/simulated/certificate.js'
import { der, octets, oid, sequence } from '#runtime/attester/simulated/der.js'
import {
  board,
  firmwareExtension,
  goldenOf,
  gpuKeys,
  gpuReportData,
  type MintDevice,
  type OpaqueField,
  pdiOf,
  single,
  text,
  versions,
} from './gpu.js'
import type { MintRim } from './gpu-rim.js'
import { withLongLength, withoutLength } from './non-der.js'
import { type OcspChange, purposes, responderExtensions, trailing } from './ocsp.js'
import { p384Name, signsOnly } from './p384.js'
import { testTime, throwawayKeys } from './platform.js'

/** One minted case: good devices with one thing done differently, and what must come of it; see SnpCase. */
export interface GpuCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  /** steps that have to be skipped, and no others; absent where the case is not about that */
  readonly skips?: readonly string[]
  readonly devices: readonly MintDevice[]
  /** RIMs by their role in the case: `driverRim`, `vbiosRim`, `switchRim`, and `moreRim` of no device */
  readonly rims?: Readonly<Record<string, MintRim>>
  /** ids under which RIMs are sent, by role, where they are other than what the devices ask for */
  readonly rimIds?: Readonly<Record<string, string>>
  /** OCSP answers by their role in the case; `ocspMore` is a second one on the family of the device */
  readonly ocsp?: Readonly<Record<string, OcspChange>>
  readonly values?: Partial<GpuReferenceValues> | null
  readonly reportData?: Uint8Array
  readonly tenantClass?: 'production'
  readonly unknownRoot?: true
  /** what the reader saw of these certificates, by their role, and when */
  readonly seenRevoked?: Readonly<Record<string, UnixSeconds>>
  /** since when the signer of a RIM of this id counts that the reader saw */
  readonly seenRims?: Readonly<Record<string, UnixSeconds>>
}

type More = Pick<
  GpuCase,
  | 'values'
  | 'skips'
  | 'reportData'
  | 'tenantClass'
  | 'unknownRoot'
  | 'rims'
  | 'rimIds'
  | 'ocsp'
  | 'seenRevoked'
  | 'seenRims'
>
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
/** Where the nonce begins. */
const nonceAt = 4
/** Where the first block begins, and the fields of it. */
const firstBlock = 45
const boardValues = { devices: { HOPPER: 8, BLACKWELL: undefined, LS10: 4 } }

const only = (architecture: Architecture) => ({
  devices: { HOPPER: undefined, BLACKWELL: undefined, LS10: undefined, [architecture]: 1 },
})
const driverIndices = [7, 21, 22, 35]
const vbiosIndices = [0, 1, 8]
const products = { HOPPER: 'GH100', BLACKWELL: 'GB100', LS10: 'LS10' }
type RimChange = Partial<MintRim>
const driverRim = (architecture: 'HOPPER' | 'BLACKWELL', change: RimChange = {}): MintRim => ({
  version: versions[architecture].driver,
  product: products[architecture],
  // NVDEC0 is disabled on a good device: what it measures there does not count.
  golden: { ...goldenOf(architecture, driverIndices), 35: ['ee'.repeat(48)] },
  ...change,
})
const vbiosRim = (architecture: Architecture, change: RimChange = {}): MintRim => ({
  version: versions[architecture].vbios,
  product: products[architecture],
  golden: goldenOf(architecture, vbiosIndices),
  ...change,
})
const rimsOf = (driver: RimChange = {}, vbios: RimChange = {}) => ({
  driverRim: driverRim('HOPPER', driver),
  vbiosRim: vbiosRim('HOPPER', vbios),
})
/** A good device whose driver RIM is bad: the device verifies, the evidence does not. */
const badRim = (code: string, name: string, driver: RimChange, vbios: RimChange = {}): GpuCase =>
  refused(code, name, single(), { rims: rimsOf(driver, vbios) })
const inText = (from: string | RegExp, to: string) => (text: string) => {
  const changed = text.replace(from, to)
  if (changed === text) throw new Error(`nothing to replace: ${from}`)
  return changed
}

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
  unverified('gpu/request', 'nonce-of-31-bytes', {
    beforeSigning: (bytes) => concat(bytes.subarray(0, nonceAt + 31), bytes.subarray(nonceAt + 32)),
  }),
  unverified('gpu/response', 'nonce-of-33-bytes', {
    beforeSigning: (bytes) => concat(bytes.subarray(0, nonceAt + 32), new Uint8Array(1), bytes.subarray(nonceAt + 32)),
  }),
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
  unverified('x509/form', 'certificate-with-a-length-of-more-bytes', {
    chain: ([leaf, ...more]) => [withLongLength(leaf!), ...more],
  }),
  unverified('x509/form', 'authority-without-a-length', {
    chain: ([leaf, ...more]) => [leaf!, ...more.map(withoutLength)],
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

const paddedNonce = deviceNonceOf(gpuReportData).map((byte, i) => (i < 16 ? byte : 0))

const appraisals: readonly GpuCase[] = [
  refused('platform', 'simulated-for-a-production-tenant', single(), { tenantClass: 'production' }),
  refused('report-data', 'other-report-data', single(), { reportData: new Uint8Array(64) }),
  refused('report-data', 'bare-report-data-as-nonce', single({ nonce: new Uint8Array(32).fill(7) })),
  refused('report-data', 'nonce-cut-and-padded-with-zeros', single({ nonce: paddedNonce })),
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
  refused(
    'mode',
    'protected-pcie-beside-another-feature-flag',
    single({ opaque: withField(opaque.featureFlag, new Uint8Array([0, 0])) }),
    { values: { modes: ['SPT'] } },
  ),
  refused('mode', 'mode-not-said', single({ architecture: 'BLACKWELL', opaque: without(opaque.featureFlag) }), {
    values: { devices: { HOPPER: undefined, BLACKWELL: 1, LS10: undefined }, modes: ['MPT'] },
  }),
]

const rimCases: readonly GpuCase[] = [
  passes('hopper-with-rims', single(), { rims: rimsOf(), values: { rim: 'required' } }),
  passes('blackwell-with-rims', single({ architecture: 'BLACKWELL' }), {
    rims: { driverRim: driverRim('BLACKWELL'), vbiosRim: vbiosRim('BLACKWELL') },
    values: { ...only('BLACKWELL'), rim: 'required' },
  }),
  passes('switch-with-rim', single({ architecture: 'LS10' }), {
    rims: { vbiosRim: vbiosRim('LS10') },
    values: { ...only('LS10'), rim: 'required' },
  }),
  passes('board-with-rims', board(), {
    rims: { ...rimsOf(), switchRim: vbiosRim('LS10') },
    values: { ...boardValues, rim: 'required' },
    skips: ['gpu/ocsp'],
  }),
  passes('driver-rim-without-vbios-rim', single(), {
    rims: { driverRim: driverRim('HOPPER') },
    skips: ['gpu/rim', 'gpu/ocsp', 'gpu/golden'],
  }),
  passes('board-with-the-rim-of-its-switches-alone', board(), {
    rims: { switchRim: vbiosRim('LS10') },
    values: boardValues,
    skips: ['gpu/rim', 'gpu/ocsp', 'gpu/golden'],
  }),
  passes('board-without-the-rim-of-its-switches', board(), {
    rims: rimsOf(),
    values: boardValues,
    skips: ['gpu/rim', 'gpu/ocsp', 'gpu/golden'],
  }),
  passes('second-alternative', single(), {
    rims: rimsOf({ golden: { 7: ['00'.repeat(48), goldenOf('HOPPER', [7])[7]![0]!] } }),
  }),
  passes('rim-with-references-by-name', single(), {
    rims: rimsOf({ beforeSigning: inText('name="GH100"', 'name="&lt;&amp;&quot;>\'"') }),
  }),
  passes('nvdec0-enabled-and-equal', single({ opaque: withField(opaque.nvdec0Status, new Uint8Array([0xaa])) }), {
    rims: rimsOf({ golden: goldenOf('HOPPER', driverIndices) }),
  }),
  refused(
    'golden-values',
    'nvdec0-enabled-and-different',
    single({ opaque: withField(opaque.nvdec0Status, new Uint8Array([0xaa])) }),
    {
      rims: rimsOf(),
    },
  ),
  refused('golden-values', 'nvdec0-not-said-and-different', single({ opaque: without(opaque.nvdec0Status) }), {
    rims: rimsOf(),
  }),
  refused('golden-values', 'driver-measures-something-else', single({ blocks: { 22: new Uint8Array(48).fill(1) } }), {
    rims: rimsOf(),
  }),
  refused('golden-values', 'vbios-measures-something-else', single({ blocks: { 1: new Uint8Array(48) } }), {
    rims: rimsOf(),
  }),
  refused('golden-values', 'measurement-that-a-switch-has-not', single({ architecture: 'LS10' }), {
    rims: {
      vbiosRim: vbiosRim('LS10', {
        golden: goldenOf('LS10', vbiosIndices),
        beforeSigning: inText(
          'active="False" alternatives="1" index="30"',
          'active="True" alternatives="1" index="40"',
        ),
      }),
    },
    values: only('LS10'),
  }),
  refused(
    'golden-values',
    'one-switch-of-a-board-measures-something-else',
    board({ 9: { blocks: { 2: new Uint8Array(48) } } }),
    {
      rims: { ...rimsOf(), switchRim: vbiosRim('LS10') },
      values: boardValues,
    },
  ),
  refused('rim', 'rims-required-and-absent', single(), { values: { rim: 'required' } }),
  refused('rim', 'vbios-rim-required-and-absent', single(), {
    rims: { driverRim: driverRim('HOPPER') },
    values: { rim: 'required' },
  }),
  badRim('gpu/rim-form', 'rim-is-no-xml', { afterSigning: () => 'NOT HARDWARE' }),
  badRim('gpu/rim-form', 'rim-with-document-type', {
    afterSigning: (text) => `<!DOCTYPE SoftwareIdentity [<!ENTITY a "b">]>${text}`,
  }),
  badRim('gpu/rim-form', 'rim-with-comment', { afterSigning: inText('</ns0:Payload>', '</ns0:Payload><!-- a -->') }),
  badRim('gpu/rim-form', 'rim-of-another-root', {
    beforeSigning: (text) => text.replaceAll('SoftwareIdentity', 'ns0:Identity'),
    afterSigning: (text) => text,
  }),
  badRim('gpu/rim-form', 'rim-without-signature', { afterSigning: inText(/<ds:Signature .*<\/ds:Signature>/s, '') }),
  badRim('gpu/rim-form', 'rim-with-two-references', {
    signedInfo: inText(/(<ds:Reference.*<\/ds:Reference>)/, '$1$1'),
  }),
  badRim('gpu/rim-form', 'rim-reference-to-a-part', { signedInfo: inText('URI=""', 'URI="#a"') }),
  badRim('gpu/rim-form', 'rim-with-one-transform', {
    signedInfo: inText(/<ds:Transform Algorithm="[^"]*c14n11"><\/ds:Transform>/, ''),
  }),
  badRim('gpu/rim-form', 'rim-with-exclusive-canonicalization', {
    signedInfo: inText('2006/12/xml-c14n11"></ds:Canon', '2001/10/xml-exc-c14n#"></ds:Canon'),
  }),
  badRim('gpu/rim-form', 'rim-digest-of-sha256', {
    signedInfo: inText('xmldsig-more#sha384', 'xmlenc#sha256'),
  }),
  badRim('gpu/rim-form', 'rim-signature-by-hmac', { signedInfo: inText('ecdsa-sha384', 'hmac-sha384') }),
  badRim('gpu/rim-form', 'measurement-twice', { beforeSigning: inText('index="1"', 'index="0"') }),
  badRim('gpu/rim-form', 'measurement-64', { beforeSigning: inText('index="63"', 'index="64"') }),
  badRim('gpu/rim-form', 'active-in-lower-case', { beforeSigning: inText('active="True"', 'active="true"') }),
  badRim('gpu/rim-form', 'fewer-digests-than-alternatives', {
    beforeSigning: inText('alternatives="1"', 'alternatives="2"'),
  }),
  badRim('gpu/rim-form', 'digest-of-sha256', { beforeSigning: inText('size="48"', 'size="32"') }),
  badRim('gpu/rim-form', 'nothing-counts', { golden: {} }),
  badRim('gpu/rim-digest', 'golden-value-changed-after-signing', {
    afterSigning: (text) => text.replace(goldenOf('HOPPER', [7])[7]![0]!, '11'.repeat(48)),
  }),
  badRim('gpu/rim-digest', 'measurement-made-inactive-after-signing', {
    afterSigning: inText('active="True"', 'active="False"'),
  }),
  badRim('gpu/rim-certificate', 'rim-without-its-root', { chain: (chain) => chain.slice(0, 3) }),
  badRim('x509/form', 'rim-signer-with-a-length-of-more-bytes', {
    chain: ([signer, ...more]) => [withLongLength(signer!), ...more],
  }),
  badRim('x509/form', 'rim-root-without-a-length', {
    chain: (chain) => chain.map((der, i) => (i === 3 ? withoutLength(der) : der)),
  }),
  badRim('gpu/rim-certificate', 'rim-signer-is-an-authority', {
    certificates: { signer: { extensions: [basicConstraints(), signsOnly] } },
  }),
  badRim('gpu/rim-certificate', 'rim-signer-may-not-sign', {
    certificates: { signer: { extensions: [keyUsage(false)] } },
  }),
  badRim('gpu/rim-signature', 'rim-signed-by-another-key', { signatureBy: gpuKeys.other }),
  badRim('gpu/rim-signature', 'rim-signature-changed', {
    afterSigning: inText(/<ds:SignatureValue>..../, '<ds:SignatureValue>AAAA'),
  }),
  badRim('gpu/rim-product', 'rim-of-another-product', { product: 'GB100' }),
  badRim('gpu/rim-version', 'rim-of-another-driver', { version: '580.10.02' }),
  badRim('gpu/rim-version', 'rim-of-another-vbios', {}, { version: '96.00.A5.00.02' }),
  badRim('gpu/rim-version', 'vbios-rim-as-driver-rim', vbiosRim('HOPPER')),
  badRim('gpu/rim-index', 'index-in-both-rims', { golden: goldenOf('HOPPER', [...driverIndices, 8]) }),
  badRim('chain/expired', 'rim-signer-expired', { certificates: { signer: { notAfter: testTime - 1 } } }),
  badRim('chain/expired', 'rim-issuer-expired', { certificates: { issuer: { notAfter: testTime - 1 } } }),
  badRim('gpu/unknown-root', 'rim-under-a-root-that-nobody-named', {
    certificates: { root: { spki: gpuKeys.other.spki } },
  }),
  refused('gpu/collateral-unused', 'rim-of-no-device', single(), {
    rims: { moreRim: driverRim('HOPPER', { version: '1.0' }) },
  }),
  refused('gpu/collateral-unused', 'one-rim-twice', single(), {
    rims: { driverRim: driverRim('HOPPER'), moreRim: driverRim('HOPPER') },
  }),
]

/** A RIM is asked for by all that a device says of itself: what belongs to another board, version or chip is not its own. */
const otherBoards: readonly GpuCase[] = [
  ...[
    ['project', 'NV_GPU_VBIOS_G521_0200_885_9600A50001'],
    ['project-sku', 'NV_GPU_VBIOS_G520_0201_885_9600A50001'],
    ['chip-sku', 'NV_GPU_VBIOS_G520_0200_886_9600A50001'],
    ['vbios', 'NV_GPU_VBIOS_G520_0200_885_9600A50002'],
  ].map(([part, vbiosRim]) =>
    refused('gpu/collateral-unused', `rim-of-another-${part}`, single(), {
      rims: rimsOf(),
      rimIds: { vbiosRim: vbiosRim! },
    }),
  ),
  refused('gpu/collateral-unused', 'rim-of-another-chip', single(), {
    rims: rimsOf(),
    rimIds: { driverRim: 'NV_GPU_CC_DRIVER_GB100_580.10.01' },
  }),
  refused('gpu/rim-floor', 'rim-older-than-one-that-was-seen', single(), {
    rims: rimsOf(),
    seenRims: { 'NV_GPU_DRIVER_GH100_580.10.01': testTime - 60 },
  }),
  passes('rims-as-old-as-those-that-were-seen', single(), {
    rims: rimsOf(),
    seenRims: {
      'NV_GPU_DRIVER_GH100_580.10.01': testTime - 100 * 86_400,
      // Of another device; and what is seen later takes back nothing.
      NV_GPU_VBIOS_G520_0200_885_9600A50002: testTime - 60,
      NV_GPU_VBIOS_G520_0200_885_9600A50001: testTime + 60,
    },
    skips: ['gpu/ocsp'],
  }),
  refused('gpu/rim-version', 'vbios-rim-under-the-id-of-the-driver', single(), {
    rims: { vbiosRim: vbiosRim('HOPPER') },
    rimIds: { vbiosRim: 'NV_GPU_DRIVER_GH100_580.10.01' },
  }),
  refused(
    'rim',
    'rims-of-one-sku-for-devices-of-two',
    [...single(), ...single({ number: 1, opaque: withField(opaque.projectSku, text('0201')) })],
    {
      rims: rimsOf(),
      rimIds: { vbiosRim: 'NV_GPU_VBIOS_G520_0200_885_9600A50001' },
      values: { devices: { HOPPER: 2, BLACKWELL: undefined, LS10: undefined }, rim: 'required' },
    },
  ),
  refused('rim', 'device-that-does-not-say-its-sku', single({ opaque: without(opaque.projectSku) }), {
    rims: { driverRim: driverRim('HOPPER') },
    values: { rim: 'required' },
  }),
]

/** As the cases of Hopper, for what is other on Blackwell: id and product of the driver, firmware, no NVDEC0 in its RIM. */
const blackwell = (
  code: string,
  name: string,
  rims: NonNullable<GpuCase['rims']>,
  device: Partial<MintDevice> = {},
  more: More = {},
): GpuCase =>
  refused(code, `blackwell-${name}`, single({ architecture: 'BLACKWELL', ...device }), {
    rims,
    values: { ...only('BLACKWELL'), rim: 'required' },
    ...more,
  })
const blackwellRims = (driver: RimChange = {}, vbios: RimChange = {}) => ({
  driverRim: driverRim('BLACKWELL', driver),
  vbiosRim: vbiosRim('BLACKWELL', vbios),
})
const blackwellCases: readonly GpuCase[] = [
  passes(
    'blackwell-of-another-chip-with-rims',
    single({ architecture: 'BLACKWELL', opaque: withField(opaque.chipInfo, text('GB202')) }),
    { rims: blackwellRims({ product: 'GB202' }), values: { ...only('BLACKWELL'), rim: 'required' } },
  ),
  blackwell('golden-values', 'driver-measures-something-else', blackwellRims(), {
    blocks: { 22: new Uint8Array(48).fill(1) },
  }),
  blackwell('golden-values', 'vbios-measures-something-else', blackwellRims(), { blocks: { 1: new Uint8Array(48) } }),
  blackwell('gpu/rim-product', 'with-rims-of-hopper', blackwellRims({ product: 'GH100' }, { product: 'GH100' })),
  blackwell('gpu/rim-version', 'with-the-rim-of-another-driver', blackwellRims({ version: '590.48.02' })),
  blackwell('gpu/rim-version', 'with-the-rim-of-another-vbios', blackwellRims({}, { version: '97.00.E4.00.12' })),
  blackwell('gpu/rim-digest', 'rim-changed-after-signing', {
    ...blackwellRims(),
    vbiosRim: vbiosRim('BLACKWELL', { afterSigning: inText('active="True"', 'active="False"') }),
  }),
  blackwell(
    'gpu/collateral-unused',
    'with-the-driver-rim-of-another-chip',
    blackwellRims(),
    {},
    {
      rimIds: { driverRim: 'NV_GPU_CC_DRIVER_GB202_590.48.01' },
    },
  ),
  blackwell(
    'gpu/collateral-unused',
    'with-the-driver-rim-of-hopper',
    blackwellRims(),
    {},
    {
      rimIds: { driverRim: 'NV_GPU_DRIVER_GH100_590.48.01' },
    },
  ),
  blackwell(
    'gpu/collateral-unused',
    'with-the-vbios-rim-of-another-sku',
    blackwellRims(),
    {},
    {
      rimIds: { vbiosRim: 'NV_GPU_VBIOS_G520_0201_885_9700E40011' },
    },
  ),
  blackwell('rim', 'without-its-driver-rim', { vbiosRim: vbiosRim('BLACKWELL') }),
]

const pcieValues = { ...boardValues, topology: 'protected-pcie' as const }
const noBoard = (name: string, devices: readonly MintDevice[]): GpuCase =>
  refused('topology', name, devices, {
    values: {
      ...pcieValues,
      devices: {
        HOPPER: devices.filter((one) => one.architecture === 'HOPPER').length,
        BLACKWELL: undefined,
        LS10: devices.filter((one) => one.architecture === 'LS10').length || undefined,
      },
    },
  })
const stranger = new Uint8Array(8).fill(0x77)
const links = (...pdis: readonly Uint8Array[]) =>
  withField(opaque.switchPdi, concat(...Array.from({ length: 18 }, (_, i) => pdis[i % pdis.length]!)))
const switchPdi = (number: number) => pdiOf('LS10', number).toReversed()

const topologies: readonly GpuCase[] = [
  passes('board-in-protected-pcie', board(), { values: pcieValues }),
  noBoard('board-without-switches', board().slice(0, 8)),
  noBoard('board-of-seven-gpus', board().slice(1)),
  noBoard('gpu-of-another-board', board({ 3: { pdi: stranger } })),
  noBoard(
    'gpu-not-in-protected-pcie',
    board({
      2: {
        opaque: (fields) =>
          withField(
            opaque.featureFlag,
            new Uint8Array([1, 0]),
          )(withField(opaque.protectedPcieStatus, new Uint8Array([0x55]))(fields)),
      },
    }),
  ),
  noBoard('gpu-linked-to-three-switches', board({ 0: { opaque: links(switchPdi(8), switchPdi(9), switchPdi(10)) } })),
  noBoard(
    'gpu-linked-to-a-switch-elsewhere',
    board({ 7: { opaque: links(switchPdi(8), switchPdi(9), switchPdi(10), stranger) } }),
  ),
  noBoard('switch-of-another-board', board({ 11: { pdi: stranger, opaque: withField(opaque.switchPdi, stranger) } })),
  noBoard('switch-with-the-name-of-another', board({ 11: { opaque: withField(opaque.switchPdi, stranger) } })),
  noBoard(
    'switch-linked-to-a-gpu-elsewhere',
    board({
      9: {
        opaque: withField(
          opaque.switchGpuPdis,
          concat(stranger, ...[1, 2, 3, 4, 5, 6, 7].map((number) => pdiOf('HOPPER', number)), new Uint8Array(8)),
        ),
      },
    }),
  ),
]

const allAnswers = {
  ocspDeviceL2: {},
  ocspDeviceL3: {},
  ocspDeviceL4: {},
  ocspRimL2: {},
  ocspRimL3: {},
  ocspRimL4: {},
}
/** A good device of which one answer is other than it should be. */
/** A good device of which the reader knows better: its certificates do not verify, whatever comes along. */
const seenRevoked = (name: string, seen: NonNullable<GpuCase['seenRevoked']>): GpuCase => ({
  name,
  code: 'ocsp/revoked',
  crypto: 'fail',
  devices: single(),
  seenRevoked: seen,
})
const badAnswer = (code: string, name: string, change: OcspChange, role = 'ocspDeviceL4'): GpuCase =>
  refused(code, name, single(), { rims: rimsOf(), ocsp: { ...allAnswers, [role]: change } })
const unknownExtension = { oid: '1.2.3', critical: true, value: new Uint8Array([5, 0]) }

const answers: readonly GpuCase[] = [
  passes('all-answers-good', single(), {
    rims: rimsOf(),
    ocsp: allAnswers,
    values: { rim: 'required', ocsp: 'required' },
    skips: [],
  }),
  passes('answers-on-a-device-alone', single(), {
    ocsp: { ocspDeviceL2: {}, ocspDeviceL3: {}, ocspDeviceL4: {} },
    values: { ocsp: 'required' },
    skips: ['gpu/rim', 'gpu/golden'],
  }),
  passes('some-answers-when-given', single(), {
    ocsp: { ocspDeviceL4: {} },
    skips: ['gpu/rim', 'gpu/ocsp', 'gpu/golden'],
  }),
  passes('all-answers-but-that-on-the-device-when-given', single(), {
    rims: rimsOf(),
    ocsp: { ocspDeviceL2: {}, ocspDeviceL3: {}, ocspRimL2: {}, ocspRimL3: {}, ocspRimL4: {} },
    skips: ['gpu/ocsp'],
  }),
  refused('ocsp', 'all-answers-but-that-on-the-device-required', single(), {
    rims: rimsOf(),
    ocsp: { ocspDeviceL2: {}, ocspDeviceL3: {}, ocspRimL2: {}, ocspRimL3: {}, ocspRimL4: {} },
    values: { ocsp: 'required' },
  }),
  passes('no-answers-when-given', single(), { rims: rimsOf(), skips: ['gpu/ocsp'] }),
  passes('answer-with-a-nonce', single(), {
    ocsp: {
      ocspDeviceL4: {
        extensions: [{ oid: '1.3.6.1.5.5.7.48.1.2', critical: false, value: new Uint8Array([4, 1, 1]) }],
      },
    },
  }),
  passes('responder-by-name', single(), {
    ocsp: { ocspDeviceL4: { responderId: der(0xa1, p384Name('OCSP Responder')) } },
  }),
  passes('hash-without-parameters', single(), {
    ocsp: { ocspDeviceL4: { hash: sequence(oid('2.16.840.1.101.3.4.2.2')) } },
  }),
  refused('ocsp', 'answers-required-and-absent', single(), { values: { ocsp: 'required' } }),
  refused('ocsp', 'answer-on-rim-signer-required-and-absent', single(), {
    rims: rimsOf(),
    ocsp: { ocspDeviceL2: {}, ocspDeviceL3: {}, ocspDeviceL4: {}, ocspRimL2: {}, ocspRimL3: {} },
    values: { ocsp: 'required' },
  }),
  badAnswer('ocsp/form', 'answer-with-trailing-byte', { bytes: trailing }),
  badAnswer('ocsp/form', 'answer-of-another-type', { responseType: '1.2.3' }),
  badAnswer('ocsp/form', 'answer-with-a-length-of-more-bytes', { bytes: withLongLength }),
  badAnswer('ocsp/form', 'answer-without-a-length', { bytes: withoutLength }),
  badAnswer('ocsp/not-successful', 'responder-asks-to-try-later', { responseStatus: 3 }),
  badAnswer('ocsp/algorithm', 'answer-by-sha256', { hash: sequence(oid('2.16.840.1.101.3.4.2.1')) }),
  badAnswer('ocsp/critical-extension', 'answer-with-critical-extension', { extensions: [unknownExtension] }),
  badAnswer('ocsp/critical-extension', 'single-answer-with-critical-extension', {
    singleExtensions: [unknownExtension],
  }),
  badAnswer('ocsp/no-next-update', 'answer-without-next-update', { nextUpdate: null }),
  badAnswer('ocsp/responder', 'responder-of-another-authority', { appointedBy: gpuKeys.other }),
  badAnswer('ocsp/responder', 'responder-names-another-issuer', { responder: { issuer: p384Name('NVIDIA') } }),
  badAnswer('ocsp/responder', 'responder-without-purpose', {
    responder: { extensions: responderExtensions.slice(0, 1) },
  }),
  badAnswer('ocsp/responder', 'responder-for-another-purpose', {
    responder: { extensions: [signsOnly, purposes('1.3.6.1.5.5.7.3.1'), responderExtensions[2]!] },
  }),
  badAnswer('ocsp/responder', 'responder-is-an-authority', {
    responder: { extensions: [...responderExtensions, basicConstraints()] },
  }),
  badAnswer('ocsp/responder', 'responder-expired', { responder: { notAfter: testTime - 1 } }),
  badAnswer('ocsp/responder', 'answer-names-another-responder', {
    responderId: der(0xa2, octets(new Uint8Array(20))),
  }),
  badAnswer('ocsp/not-yet-valid', 'answer-of-tomorrow', { thisUpdate: testTime + day }),
  passes('answer-of-a-clock-a-minute-ahead', single(), { ocsp: { ocspDeviceL4: { thisUpdate: testTime + 60 } } }),
  badAnswer('ocsp/not-yet-valid', 'answer-of-a-clock-more-than-a-minute-ahead', { thisUpdate: testTime + 61 }),
  badAnswer('ocsp/not-yet-valid', 'answer-made-tomorrow', { producedAt: testTime + day }),
  badAnswer('ocsp/expired', 'answer-stale', { thisUpdate: testTime - 2 * day, nextUpdate: testTime - 1 }),
  badAnswer('ocsp/expired', 'answer-on-rim-signer-stale', { nextUpdate: testTime - 1 }, 'ocspRimL4'),
  badAnswer('ocsp/signature', 'answer-signed-by-another-key', { signedBy: gpuKeys.other }),
  badAnswer('ocsp/revoked', 'device-revoked', { status: { reason: 1 } }),
  badAnswer('ocsp/revoked', 'device-revoked-without-reason', { status: { reason: null } }),
  badAnswer('ocsp/revoked', 'device-on-hold', { status: { reason: 6 } }),
  badAnswer('ocsp/revoked', 'rim-signer-revoked', { status: { reason: 4 } }, 'ocspRimL4'),
  badAnswer('ocsp/unknown', 'device-not-known', { status: 'unknown' }),
  badAnswer('gpu/collateral-unused', 'answer-on-no-certificate-of-the-evidence', { serial: 9 }),
  refused('gpu/collateral-unused', 'two-answers-on-one-certificate', single(), {
    ocsp: { ocspDeviceL2: {}, ocspMore: { thisUpdate: testTime - 7200 } },
  }),
  refused('gpu/collateral-unused', 'answer-on-a-rim-that-did-not-come', single(), { ocsp: { ocspRimL4: {} } }),
  seenRevoked('revoked-device-without-answers', { ocspDeviceL4: testTime }),
  seenRevoked('revoked-authority-without-answers', { ocspDeviceL2: testTime }),
  refused('ocsp/revoked', 'good-answer-of-before-the-revocation', single(), {
    ocsp: { ocspDeviceL4: {} },
    seenRevoked: { ocspDeviceL4: testTime - 60 },
  }),
  refused('ocsp/revoked', 'good-answer-of-the-second-of-the-revocation', single(), {
    ocsp: { ocspDeviceL4: { thisUpdate: testTime - 60 } },
    seenRevoked: { ocspDeviceL4: testTime - 60 },
  }),
  refused('ocsp/revoked', 'good-answers-on-others-than-the-revoked-rim-signer', single(), {
    rims: rimsOf(),
    ocsp: { ocspDeviceL4: {}, ocspRimL3: {} },
    seenRevoked: { ocspRimL4: testTime - 7200 },
  }),
  passes('good-answer-of-after-the-revocation', single(), {
    ocsp: { ocspDeviceL4: { thisUpdate: testTime - 60 } },
    seenRevoked: { ocspDeviceL4: testTime - 3600 },
  }),
  passes('revocation-of-after-the-time-of-judgement', single(), { seenRevoked: { ocspDeviceL4: testTime + 1 } }),
  passes('revocation-of-a-certificate-of-others', single(), { seenRevoked: { ocspRimL4: testTime } }),
]

export const gpuCases: readonly GpuCase[] = [
  ...good,
  ...reports,
  ...chains,
  ...systems,
  ...appraisals,
  ...rimCases,
  ...otherBoards,
  ...blackwellCases,
  ...answers,
  ...topologies,
]
