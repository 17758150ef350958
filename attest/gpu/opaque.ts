import type { GpuCode } from '#attest/gpu/codes.js'
import {
  type DeviceKind,
  type Feature,
  featureFlags,
  featureFlagVersionMin,
  fwidSize,
  gpuLinks,
  gpusPerSwitch,
  opaque,
  opaqueTypeMax,
  opaqueVersionMax,
  pdiSize,
  status,
} from '#attest/gpu/layout.js'
import { isZero, toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

/** What is read of the opaque data; null where the device does not say it. */
export interface OpaqueData {
  /** GPU only */
  readonly driverVersion: string | null
  readonly vbiosVersion: string
  readonly project: string | null
  readonly projectSku: string | null
  readonly chipSku: string | null
  /** `GB100` */
  readonly chipInfo: string | null
  readonly nvdec0: 'enabled' | 'disabled' | null
  readonly fwid: Uint8Array | null
  readonly protectedPcie: boolean | null
  readonly version: number | null
  readonly feature: Feature | null
  /** hex of 8 bytes each: GPU, the switch behind each link, none for an unused one; switch, itself */
  readonly switchPdis: readonly string[]
  /** hex of 8 bytes each: the GPUs of a switch */
  readonly gpuPdis: readonly string[]
}

function refuse(code: GpuCode, message: string): Failure<GpuCode> {
  return new Failure<GpuCode>(code, message)
}

/**
 * The opaque data that type, length and value spell, in any order, no type twice and none that NVIDIA's verifiers do
 * not know.
 *
 * throws  gpu/opaque, gpu/opaque-duplicate, gpu/opaque-type, gpu/opaque-version
 * source  NVIDIA nvtrust, local_gpu_verifier and nv_switch_verifier, "OpaqueData"
 */
export function parseOpaqueData(bytes: Uint8Array, kind: DeviceKind): OpaqueData {
  const fields = readFields(bytes, kind)
  const isGpu = kind === 'gpu'
  const version = u16(fields, opaque.opaqueDataVersion)
  if (version !== null && version > opaqueVersionMax)
    throw refuse('gpu/opaque-version', `opaque data has version ${version}, at most ${opaqueVersionMax} is known`)
  const vbios = fields.get(opaque.vbiosVersion)
  if (!vbios) throw refuse('gpu/opaque', 'opaque data has no VBIOS version')
  const driverVersion = text(fields, opaque.driverVersion, driverForm)
  if (isGpu && driverVersion === null) throw refuse('gpu/opaque', 'opaque data of a GPU has no driver version')
  const nvdec0 = flag(fields, opaque.nvdec0Status)
  const pdis = fields.get(opaque.switchPdi)
  return {
    driverVersion,
    vbiosVersion: isGpu ? gpuVbios(vbios) : textOf(vbios, vbiosForm, opaque.vbiosVersion),
    project: text(fields, opaque.project, wordForm),
    projectSku: text(fields, opaque.projectSku, wordForm),
    chipSku: text(fields, opaque.chipSku, wordForm),
    chipInfo: text(fields, opaque.chipInfo, wordForm),
    nvdec0: nvdec0 === null ? null : nvdec0 ? 'enabled' : 'disabled',
    fwid: sized(fields, opaque.fwid, fwidSize),
    protectedPcie: flag(fields, opaque.protectedPcieStatus),
    version,
    feature: readFeature(fields, version),
    switchPdis: pdis ? readPdis(pdis, opaque.switchPdi, isGpu ? gpuLinks : 1) : [],
    gpuPdis: isGpu ? [] : readGpuPdis(fields.get(opaque.switchGpuPdis)),
  }
}

type Fields = ReadonlyMap<number, Uint8Array>

function readFields(bytes: Uint8Array, kind: DeviceKind): Fields {
  const fields = new Map<number, Uint8Array>()
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 4) throw refuse('gpu/opaque', 'opaque data end inside a type or length')
    const type = bytes[at]! + bytes[at + 1]! * 256
    const size = bytes[at + 2]! + bytes[at + 3]! * 256
    if (type === 0 || type > opaqueTypeMax[kind])
      throw refuse('gpu/opaque-type', `opaque type ${type} is not known for a ${kind}`)
    if (fields.has(type)) throw refuse('gpu/opaque-duplicate', `opaque type ${type} is there twice`)
    if (bytes.length - at - 4 < size) throw refuse('gpu/opaque', `opaque type ${type} goes on after the end`)
    fields.set(type, bytes.subarray(at + 4, at + 4 + size))
    at += 4 + size
  }
  return fields
}

const driverForm = /^\d{1,5}(\.\d{1,5}){1,3}$/
const vbiosForm = /^[0-9A-F]{2}(\.[0-9A-F]{2}){4}$/
/** What becomes part of the id of a RIM. */
const wordForm = /^[0-9A-Za-z-]{1,16}$/

/** Text up to the first NUL; NULs only fill it up. */
function textOf(bytes: Uint8Array, form: RegExp, type: number): string {
  const end = bytes.indexOf(0)
  const body = end < 0 ? bytes : bytes.subarray(0, end)
  const found = body.length > 64 ? '' : String.fromCharCode(...body)
  if (!form.test(found) || !isZero(bytes.subarray(body.length)))
    throw refuse('gpu/opaque', `opaque type ${type} does not hold text that matches ${form}`)
  return found
}

function text(fields: Fields, type: number, form: RegExp): string | null {
  const bytes = fields.get(type)
  return bytes ? textOf(bytes, form, type) : null
}

function sized(fields: Fields, type: number, size: number): Uint8Array | null {
  const bytes = fields.get(type)
  if (!bytes) return null
  if (bytes.length !== size)
    throw refuse('gpu/opaque', `opaque type ${type} has ${bytes.length} bytes, expected ${size}`)
  return bytes
}

function u16(fields: Fields, type: number): number | null {
  const bytes = sized(fields, type, 2)
  return bytes && bytes[0]! + bytes[1]! * 256
}

function flag(fields: Fields, type: number): boolean | null {
  const byte = sized(fields, type, 1)?.[0]
  if (byte === undefined) return null
  if (byte !== status.on && byte !== status.off)
    throw refuse('gpu/opaque', `opaque type ${type} says ${byte}, expected ${status.off} (off) or ${status.on} (on)`)
  return byte === status.on
}

/** `00 9f 00 96 01 00 00 00` is 96.00.9F.00.01: a number, little-endian, then one byte. */
function gpuVbios(bytes: Uint8Array): string {
  if (bytes.length !== 8 || !isZero(bytes.subarray(5)))
    throw refuse('gpu/opaque', 'VBIOS version of a GPU is not 5 bytes and 3 zeros')
  const parts = [...bytes.subarray(0, 4).toReversed(), bytes[4]!]
  return parts.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join('.')
}

/** The flag is there from version 1 on, and names one of the modes. */
function readFeature(fields: Fields, version: number | null): Feature | null {
  const number = u16(fields, opaque.featureFlag)
  if (number === null) return null
  const feature = featureFlags[number]
  if (!feature || (version ?? 0) < featureFlagVersionMin)
    throw refuse('gpu/opaque', `feature flag ${number} in opaque data of version ${version ?? 'none'} is not known`)
  return feature
}

function readPdis(bytes: Uint8Array, type: number, count: number): readonly string[] {
  if (bytes.length !== count * pdiSize)
    throw refuse('gpu/opaque', `opaque type ${type} has ${bytes.length} bytes, expected ${count} PDIs`)
  return Array.from({ length: count }, (_, i) => toHex(bytes.subarray(i * pdiSize, (i + 1) * pdiSize)))
}

/** PDIs of 8 GPUs; then, for each port, which of them it leads to. */
function readGpuPdis(bytes: Uint8Array | undefined): readonly string[] {
  if (!bytes) return []
  const size = gpusPerSwitch * pdiSize
  if (bytes.length < size) throw refuse('gpu/opaque', `opaque type ${opaque.switchGpuPdis} holds fewer than 8 PDIs`)
  for (const port of bytes.subarray(size)) {
    if (port >= gpusPerSwitch && port !== 0xff)
      throw refuse('gpu/opaque', `a port of the switch leads to GPU ${port}, expected 0 to 7 or none`)
  }
  return readPdis(bytes.subarray(0, size), opaque.switchGpuPdis, gpusPerSwitch)
}
