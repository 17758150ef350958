import {
  type Architecture,
  block,
  blockCount,
  type DeviceKind,
  extensionOid,
  opaque,
  request,
  serialType,
} from '#attest/gpu/layout.js'
import { concat, fromHex, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { Writer } from '#core/bytes/writer.js'
import { sha256, sha384 } from '#core/crypto/hash.js'
import { deviceNonceOf } from '#core/wire/binding.js'
import type { GpuEvidence } from '#core/wire/evidence.js'
import {
  basicConstraints,
  keyUsage,
  type MintExtension,
  type MintKey,
} from '#runtime/attester/simulated/certificate.js'
import { der, integer, octets, oid, sequence } from '#runtime/attester/simulated/der.js'
import keys from './gpu-keys.json' with { type: 'json' }
import type { OcspSubject } from './ocsp.js'
import { mintP384, type P384Certificate, p384Name, readKey, signP384, signsOnly } from './p384.js'
import { testTime } from './platform.js'

/** Keys of a throwaway vendor of devices; `other` is that of one whom nobody names. NOT HARDWARE. */
export const gpuKeys = {
  root: readKey(keys.root),
  family: readKey(keys.family),
  provisioner: readKey(keys.provisioner),
  brom: readKey(keys.brom),
  other: readKey(keys.other),
  devices: keys.devices.map(readKey),
}
export const gpuRootDigest = toHex(sha256(gpuKeys.root.spki))
export const gpuReportData = new Uint8Array(64).fill(7)
export const gpuSerials = { root: 1, family: 2, provisioner: 3, brom: 4, leaf: 5 }

const day = 86_400
const dates = { notBefore: testTime - 100 * day, notAfter: testTime + 1000 * day }
export type OpaqueField = readonly [type: number, value: Uint8Array]
type Part = 'leaf' | 'brom' | 'provisioner' | 'family' | 'root'
type Change = (bytes: Uint8Array) => Uint8Array

/** One device as it is minted. What is absent is as on a good machine. */
export interface MintDevice {
  readonly architecture: Architecture
  /** which of the keys, and which PDI */
  readonly number: number
  /** 8 bytes that its certificates name instead of its own */
  readonly pdi?: Uint8Array
  readonly nonce?: Uint8Array
  readonly opaque?: (fields: readonly OpaqueField[]) => readonly OpaqueField[]
  /** digests by block, from 1 */
  readonly blocks?: Readonly<Record<number, Uint8Array>>
  /** changes the bytes before they are signed, so that the signature stays good */
  readonly beforeSigning?: Change
  /** changes the whole report after it was signed */
  readonly afterSigning?: Change
  readonly signer?: MintKey
  readonly certificates?: Partial<Record<Part, Partial<P384Certificate>>>
  readonly certificateSigners?: Partial<Record<Part, MintKey>>
  /** changes the list of certificates */
  readonly chain?: (chain: readonly Uint8Array[]) => readonly Uint8Array[]
}

const chips: Readonly<Record<Architecture, string>> = { HOPPER: 'GH100', BLACKWELL: 'GB100', LS10: 'LS_10' }
export const kindOf = (architecture: Architecture): DeviceKind => (architecture === 'LS10' ? 'switch' : 'gpu')
/** 8 bytes that name a device of this number. */
export const pdiOf = (architecture: Architecture, number: number): Uint8Array =>
  sha256(utf8(`${architecture} ${number}`)).subarray(0, 8)
const fwidOf = (architecture: Architecture) => sha384(utf8(`firmware of ${architecture}`))
/** The digest of a block of a good device. */
export const blockOf = (architecture: Architecture, index: number): Uint8Array =>
  sha384(utf8(`block ${index} of ${architecture}`))

/** What a good device measures at these indices of a RIM, from 0. */
export const goldenOf = (
  architecture: Architecture,
  indices: readonly number[],
): Readonly<Record<number, readonly string[]>> =>
  Object.fromEntries(indices.map((index) => [index, [toHex(blockOf(architecture, index + 1))]]))

const fwid = (digest: Uint8Array) => sequence(oid(extensionOid.sha384), octets(digest))

/** The extension that says which firmware a certificate is for. */
export function firmwareExtension(architecture: Architecture, digest = fwidOf(architecture)): MintExtension {
  if (architecture !== 'BLACKWELL') {
    const value = sequence(integer(1), gpuKeys.brom.spki, fwid(digest))
    return { oid: extensionOid.compositeDeviceId, critical: false, value }
  }
  const value = sequence(der(0x80, utf8('NOT HARDWARE')), der(0xa6, fwid(digest), fwid(new Uint8Array(48))))
  return { oid: extensionOid.tcbInfo, critical: false, value }
}

function namesOf(
  architecture: Architecture,
  number: number,
  own = pdiOf(architecture, number),
): Readonly<Record<Part, Uint8Array>> {
  const chip = chips[architecture]
  const engine = architecture === 'LS10' ? 'FSP' : 'GSP'
  const pdi = toHex(own).toUpperCase()
  return {
    root: p384Name('NVIDIA Device Identity CA'),
    // As on hardware, switches stand under the family of GH100.
    family: p384Name(`NVIDIA ${architecture === 'LS10' ? 'GH100' : chip} Identity`),
    provisioner: p384Name(`NVIDIA ${chip} Provisioner ICA 1`),
    brom: p384Name(`${chip} A01 ${engine} BROM`, `${serialType[kindOf(architecture)]}${pdi}`),
    leaf: p384Name(`${chip} A01 ${engine} FMC LF`, toHex(sha256(gpuKeys.devices[number]!.spki)).slice(0, 40)),
  }
}
const serialOf = (part: Part, number: number) =>
  gpuSerials[part] + (part === 'brom' || part === 'leaf' ? 100 * (number + 1) : 0)

/** What OCSP answers on a device are about, by their role in a case. */
export function deviceSubjects(architecture: Architecture, number = 0): Readonly<Record<string, OcspSubject>> {
  const names = namesOf(architecture, number)
  const one = (part: 'family' | 'provisioner' | 'brom', issuer: 'root' | 'family' | 'provisioner'): OcspSubject => ({
    issuerName: names[issuer],
    issuer: gpuKeys[issuer],
    serial: serialOf(part, number),
  })
  return {
    ocspDeviceL2: one('family', 'root'),
    ocspDeviceL3: one('provisioner', 'family'),
    ocspDeviceL4: one('brom', 'provisioner'),
  }
}

async function mintChain({ architecture, number, ...broken }: MintDevice): Promise<readonly Uint8Array[]> {
  const names = namesOf(architecture, number, broken.pdi)
  const authority = [basicConstraints(), keyUsage(true)]
  const good = (part: Part, issuer: Part, spki: Uint8Array, extensions: readonly MintExtension[]): P384Certificate => ({
    ...dates,
    serial: serialOf(part, number),
    issuer: names[issuer],
    subject: names[part],
    spki,
    extensions,
    ...broken.certificates?.[part],
  })
  const leafKey = gpuKeys.devices[number]!
  const firmware = [signsOnly, firmwareExtension(architecture)]
  const parts: readonly (readonly [Part, P384Certificate, MintKey])[] = [
    ['leaf', good('leaf', 'brom', leafKey.spki, firmware), gpuKeys.brom],
    ['brom', good('brom', 'provisioner', gpuKeys.brom.spki, authority), gpuKeys.provisioner],
    ['provisioner', good('provisioner', 'family', gpuKeys.provisioner.spki, authority), gpuKeys.family],
    ['family', good('family', 'root', gpuKeys.family.spki, authority), gpuKeys.root],
    ['root', good('root', 'root', gpuKeys.root.spki, authority), gpuKeys.root],
  ]
  const chain = await Promise.all(
    parts.map(([part, fields, signer]) => mintP384(fields, broken.certificateSigners?.[part] ?? signer)),
  )
  return broken.chain?.(chain) ?? chain
}

export const text = (value: string): Uint8Array => concat(utf8(value), new Uint8Array(1))
const boardGpus = [0, 1, 2, 3, 4, 5, 6, 7]
const boardSwitches = [8, 9, 10, 11]
const boardPdis = {
  gpus: concat(...boardGpus.map((number) => pdiOf('HOPPER', number))),
  switches: boardSwitches.map((number) => pdiOf('LS10', number)),
}

export const versions = {
  HOPPER: { driver: '580.10.01', vbios: '96.00.A5.00.01' },
  BLACKWELL: { driver: '590.48.01', vbios: '97.00.E4.00.11' },
  LS10: { driver: null, vbios: '96.10.73.00.01' },
}

function goodOpaque(architecture: Architecture, number: number): readonly OpaqueField[] {
  const { driver, vbios } = versions[architecture]
  if (architecture === 'LS10')
    return [
      [opaque.vbiosVersion, utf8(vbios)],
      [opaque.switchPdi, pdiOf('LS10', number)],
      [opaque.switchGpuPdis, concat(boardPdis.gpus, new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7, 0xff]))],
    ]
  const [a, b, c, d, e] = fromHex(vbios.replaceAll('.', '').toLowerCase())
  const hopper: readonly OpaqueField[] = [
    [opaque.protectedPcieStatus, new Uint8Array([0xaa])],
    // A GPU writes the PDI of a switch the other way round, twice or more, and zeros for a link that is not used.
    [
      opaque.switchPdi,
      concat(...Array.from({ length: 16 }, (_, i) => boardPdis.switches[i % 4]!.toReversed()), new Uint8Array(16)),
    ],
  ]
  return [
    [opaque.vbiosVersion, new Uint8Array([d!, c!, b!, a!, e!, 0, 0, 0])],
    [opaque.chipSku, concat(text('885'), new Uint8Array(4))],
    [opaque.project, text('G520')],
    [opaque.projectSku, text('0200')],
    [opaque.driverVersion, text(driver!)],
    [opaque.nvdec0Status, new Uint8Array([0x55])],
    [opaque.fwid, fwidOf(architecture)],
    ...(architecture === 'HOPPER' ? hopper : [[opaque.chipInfo, text('GB100')] as const]),
    [opaque.opaqueDataVersion, new Uint8Array([1, 0])],
    [opaque.featureFlag, new Uint8Array([architecture === 'HOPPER' ? 2 : 1, 0])],
  ]
}

async function mintReport(device: MintDevice): Promise<Uint8Array> {
  const { architecture, number } = device
  const count = blockCount[kindOf(architecture)]
  const fields = goodOpaque(architecture, number)
  const record = new Writer()
  for (let index = 1; index <= count; index++) {
    record.u8(index).u8(block.specification).u16le(block.measurementSize).u8(block.valueType).u16le(block.valueSize)
    record.bytes(device.blocks?.[index] ?? blockOf(architecture, index))
  }
  const data = new Writer()
  for (const [type, value] of device.opaque?.(fields) ?? fields) data.u16le(type).u16le(value.length).bytes(value)
  const [measurements, opaqueData] = [record.done(), data.done()]
  const good = new Writer()
    .bytes(new Uint8Array(request.head))
    .bytes(device.nonce ?? deviceNonceOf(gpuReportData))
    .u8(0)
    .bytes(fromHex('11600000'))
    .u8(count)
    .bytes(new Uint8Array([measurements.length & 0xff, measurements.length >> 8, 0]))
    .bytes(measurements)
    .bytes(new Uint8Array(32).fill(number + 1))
    .u16le(opaqueData.length)
    .bytes(opaqueData)
    .done()
  const signed = device.beforeSigning?.(good) ?? good
  const report = concat(signed, await signP384(signed, device.signer ?? gpuKeys.devices[number]!))
  return device.afterSigning?.(report) ?? report
}

/** A device alone, good but for what is said. */
export const single = (device: Partial<MintDevice> = {}): readonly MintDevice[] => [
  { architecture: 'HOPPER', number: 0, ...device },
]
/** An HGX board in protected PCIe: 8 GPUs and 4 switches, some of them other than they should be. */
export const board = (changes: Readonly<Record<number, Partial<MintDevice>>> = {}): readonly MintDevice[] =>
  [...boardGpus, ...boardSwitches].map((number) => ({
    architecture: number < 8 ? 'HOPPER' : 'LS10',
    number,
    ...changes[number],
  }))

/** Evidence of simulated devices. */
export async function mintGpuEvidence(devices: readonly MintDevice[]): Promise<GpuEvidence> {
  return {
    kind: 'gpu',
    rims: [],
    ocsp: [],
    devices: await Promise.all(
      devices.map(async (device) => ({
        report: toBase64(await mintReport(device)),
        chain: (await mintChain(device)).map(toBase64),
      })),
    ),
  }
}
