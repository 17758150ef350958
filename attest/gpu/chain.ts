import type { Anchors } from '#attest/anchors.js'
import { type Caches, keyOf, noCaches, type Remembered, remembered, type Slot, whileAll } from '#attest/caches.js'
import type { GpuCode } from '#attest/gpu/codes.js'
import {
  type Architecture,
  chainSize,
  type DeviceKind,
  extensionOid,
  fwidSize,
  serialType,
} from '#attest/gpu/layout.js'
import { nvidiaRoots } from '#attest/gpu/roots.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { hasKeyForm } from '#core/crypto/spki.js'
import { type Der, type DerReader, derInteger, derOid, derTag, parseDer } from '#core/encoding/der.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type Certificate, commonName, nameText, parseCertificate, withCode } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'
import { keyDigest } from '#core/x509/digests.js'

/** Who a device is, by certificates that go back to a root. Byte members are views. */
export interface DeviceIdentity {
  readonly platform: 'hardware' | 'simulated'
  /** leaf first: firmware, BROM, provisioner, family, root */
  readonly chain: readonly Certificate[]
  /** as in the names of the certificates: `GH100`, `GB100`, `LS_10` */
  readonly chip: string
  readonly architecture: Architecture
  /** 8 bytes, hex: names one device */
  readonly pdi: string
  /** SHA-384 of the firmware that holds the signing key */
  readonly fwid: Uint8Array
}

function refuse(code: GpuCode, message: string): Failure<GpuCode> {
  return new Failure<GpuCode>(code, message)
}

/** Says which of the roots a key is, vendor's or named by the caller. @throws gpu/unknown-root */
export function rootPlatform(
  root: Certificate,
  vendor: string,
  anchors: Anchors,
  what: string,
): 'hardware' | 'simulated' {
  const digest = keyDigest(root)
  if (digest === vendor) return 'hardware'
  if (anchors.simulatedRoots.includes(digest)) return 'simulated'
  throw refuse('gpu/unknown-root', `root key ${digest} of ${what} is not NVIDIA's`)
}

/** Certificates by their text, for one run: devices of one system share three. */
type Certificates = Map<string, Certificate>

/** The certificate that a text spells. @throws x509/... */
function readCertificate(text: string, what: string, cache: Certificates): Certificate {
  const known = cache.get(text)
  if (known) return known
  const certificate = parseCertificate(fromBase64(text), what)
  cache.set(text, certificate)
  return certificate
}

const names = ['firmware certificate', 'BROM certificate', 'provisioner certificate', 'family certificate', 'root']

/**
 * The identity of the device whose certificates these are: five of them, each issued by the next, up to NVIDIA's device
 * root or a simulated one, all on P-384, all but family and root named after one chip.
 *
 * throws  gpu/certificate, gpu/unknown-root, gpu/device-name, and those of core/x509: x509/..., chain/...
 * source  RFC 5280, "Basic Path Validation"; NVIDIA nvtrust, local_gpu_verifier, "verify_gpu_certificate_chain"
 */
export async function verifyDeviceChain(
  texts: readonly string[],
  kind: DeviceKind,
  anchors: Anchors,
  at: UnixSeconds,
  certificates: Certificates,
  caches: Caches = noCaches(),
): Promise<DeviceIdentity> {
  const key = () => keyOf(kind, ...texts)
  const device = await remembered(caches, deviceSlot, key, at, () =>
    verifyDevice(texts, kind, anchors, at, certificates, caches),
  )
  return { platform: rootPlatform(device.chain.at(-1)!, nvidiaRoots.device, anchors, 'the device'), ...device }
}

const deviceSlot: Slot<Omit<DeviceIdentity, 'platform'>> = { name: 'gpu/device' }

async function verifyDevice(
  texts: readonly string[],
  kind: DeviceKind,
  anchors: Anchors,
  at: UnixSeconds,
  certificates: Certificates,
  caches: Caches,
): Promise<Remembered<Omit<DeviceIdentity, 'platform'>>> {
  if (texts.length !== chainSize)
    throw refuse('gpu/certificate', `device has ${texts.length} certificates, expected ${chainSize}`)
  const chain = texts.map((text, i) => readCertificate(text, names[i]!, certificates))
  const [leaf, brom, , , root] = chain as [Certificate, Certificate, Certificate, Certificate, Certificate]
  rootPlatform(root, nvidiaRoots.device, anchors, 'the device')
  await verifyChain(chain, names, at, caches.links)
  if (leaf.isCa || leaf.keyUsage?.digitalSignature !== true)
    throw refuse('gpu/certificate', 'firmware certificate is that of an authority, or may not sign')
  for (const [i, one] of chain.entries()) {
    if (one.algorithm !== 'ES384' || !hasKeyForm('ES384', one.spki))
      throw refuse('gpu/certificate', `${names[i]} is not on P-384`)
  }
  const { chip, architecture } = readChip(chain, kind)
  return {
    value: { chain, chip, architecture, pdi: readPdi(brom, kind), fwid: readFwid(leaf, architecture) },
    ...whileAll(chain.map(({ notBefore, notAfter }) => ({ from: notBefore, until: notAfter }))),
    size: texts.reduce((size, text) => size + text.length, 0),
  }
}

const architectures: readonly (readonly [RegExp, DeviceKind, Architecture])[] = [
  [/^GH1\d\d$/, 'gpu', 'HOPPER'],
  [/^GB[12]\d\d$/, 'gpu', 'BLACKWELL'],
  [/^LS_10$/, 'switch', 'LS10'],
]

/**
 * The chip in the names. The family certificate does not count: that of GH100 stands above LS10 switches too.
 */
function readChip(
  chain: readonly Certificate[],
  kind: DeviceKind,
): { readonly chip: string; readonly architecture: Architecture } {
  const nameOf = (i: number) => commonName(chain[i]!.subject) ?? ''
  const chip = /^([A-Z]{2}_?\d{2,3}) [A-Z]\d\d (?:GSP|FSP) FMC LF$/.exec(nameOf(0))?.[1] ?? ''
  const found = architectures.find(([form]) => form.test(chip))
  if (!found) throw refuse('gpu/device-name', `${names[0]} is not named after a chip that is known`)
  const others = [
    /^([A-Z]{2}_?\d{2,3}) [A-Z]\d\d (?:GSP|FSP) BROM$/,
    /^NVIDIA ([A-Z]{2}_?\d{2,3}) Provisioner ICA \d+$/,
  ]
  for (const [i, form] of others.entries()) {
    if (form.exec(nameOf(i + 1))?.[1] !== chip)
      throw refuse('gpu/device-name', `${names[i + 1]} is not named after ${chip}, as ${names[0]} is`)
  }
  const [, kindOfChip, architecture] = found
  if (kindOfChip !== kind) throw refuse('gpu/device-name', `report is of a ${kind}, its certificates are of a ${chip}`)
  return { chip, architecture }
}

/** A byte for the kind of device, then its PDI. */
function readPdi(brom: Certificate, kind: DeviceKind): string {
  const serial = nameText(brom.subject, 'serialNumber', 'serial number') ?? ''
  if (!/^[0-9A-F]{18}$/.test(serial) || serial.slice(0, 2) !== serialType[kind])
    throw refuse('gpu/device-name', `serial number of the BROM certificate is not that of a ${kind}`)
  return serial.slice(2).toLowerCase()
}

/** The digest of the firmware, in the extension of the architecture. */
function readFwid(leaf: Certificate, architecture: Architecture): Uint8Array {
  const oid = architecture === 'BLACKWELL' ? extensionOid.tcbInfo : extensionOid.compositeDeviceId
  const extension = leaf.extensions.get(oid)
  if (!extension) throw refuse('gpu/certificate', `firmware certificate has no extension ${oid}`)
  return withCode<GpuCode, Uint8Array>('gpu/certificate', 'digest of the firmware', () => {
    const reader = parseDer(extension.value, derTag.sequence, 'firmware id').reader()
    return architecture === 'BLACKWELL' ? readTcbInfo(reader) : readCompositeId(reader)
  })
}

/** source: TCG Implicit Identity Based Device Attestation, "CompositeDeviceID" */
function readCompositeId(reader: DerReader): Uint8Array {
  if (derInteger(reader.next(derTag.integer, 'version'), 255, 'version') !== 1)
    throw refuse('gpu/certificate', 'firmware id is not of version 1')
  reader.next(derTag.sequence, 'device key')
  const fwid = readDigest(reader.next(derTag.sequence, 'FWID'))
  reader.end('firmware id')
  return fwid
}

/** The first of `fwids`, member [6]. source: TCG DICE Attestation Architecture 1.1, "TCB Info Evidence Extension" */
function readTcbInfo(reader: DerReader): Uint8Array {
  let fwids: Der | undefined
  let last = -1
  while (!reader.done) {
    const member = reader.next(reader.tag!, 'member of the firmware id')
    const number = member.tag & 0x1f
    if (number <= last) throw refuse('gpu/certificate', 'members of the firmware id are out of order')
    last = number
    if (member.tag === 0xa6) fwids = member
  }
  if (!fwids) throw refuse('gpu/certificate', 'firmware id holds no digests')
  return readDigest(fwids.reader().next(derTag.sequence, 'FWID'))
}

function readDigest(sequence: Der): Uint8Array {
  const reader = sequence.reader()
  const algorithm = derOid(reader.next(derTag.oid, 'hash'), 'hash')
  const { body } = reader.next(derTag.octetString, 'digest')
  reader.end('FWID')
  if (algorithm !== extensionOid.sha384 || body.length !== fwidSize)
    throw refuse('gpu/certificate', 'digest of the firmware is not one of SHA-384')
  return body
}
