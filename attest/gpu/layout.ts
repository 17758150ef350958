/**
 * What belongs in attest/gpu: everything that knows NVIDIA GPUs and NVSwitches, from bytes to neutral claims. This file:
 * offsets, sizes and constants only, with the specification's field names. It decides nothing.
 *
 * source  DMTF DSP0274 SPDM 1.1, "GET_MEASUREMENTS request message", "MEASUREMENTS response message"; NVIDIA nvtrust,
 *         local_gpu_verifier, "OpaqueData" for the types of the opaque data
 */

export type DeviceKind = 'gpu' | 'switch'

/** The request that is signed with the response. Sizes and offsets in bytes. */
export const request = {
  size: 37,
  /** SPDMVersion 1.1, GET_MEASUREMENTS, signature asked for, all measurements */
  head: [0x11, 0xe0, 0x01, 0xff],
  nonce: [4, 32],
  slot: 36,
} as const

/** The response: 8 bytes of header, the record, the responder's nonce, opaque data, signature. */
export const response = {
  /** SPDMVersion 1.1, MEASUREMENTS */
  head: [0x11, 0x60],
  headerSize: 8,
  nonceSize: 32,
  signatureSize: 96,
} as const

/** One block: Index, MeasurementSpecification, MeasurementSize, ValueType, ValueSize, value. */
export const block = { size: 55, specification: 1, measurementSize: 51, valueType: 1, valueSize: 48 } as const
/** How many blocks a device reports: this tells a GPU from a switch, and the certificates must agree. */
export const blockCount: Readonly<Record<DeviceKind, number>> = { gpu: 64, switch: 31 }

/** Far above the 4274 bytes that are seen. */
export const reportSizeMax = 8192

/** Types of the opaque data (DataType), as NVIDIA numbers them. */
export const opaque = {
  driverVersion: 3,
  vbiosVersion: 6,
  nvdec0Status: 11,
  chipSku: 15,
  project: 17,
  projectSku: 18,
  fwid: 20,
  protectedPcieStatus: 21,
  /** GPU: the switch behind each of 18 links; switch: its own PDI */
  switchPdi: 22,
  /** switch: PDIs of 8 GPUs, then one byte a port */
  switchGpuPdis: 26,
  opaqueDataVersion: 34,
  chipInfo: 35,
  featureFlag: 36,
} as const
/** The highest type of each kind of device: NVIDIA's own verifiers refuse others. */
export const opaqueTypeMax: Readonly<Record<DeviceKind, number>> = { gpu: 36, switch: 27 }
export const opaqueVersionMax = 1
export const fwidSize = 48
export const pdiSize = 8
export const gpuLinks = 18
export const gpusPerSwitch = 8
export const switchesPerSystem = 4
/** From this version on the feature flag says in which mode a GPU runs. */
export const featureFlagVersionMin = 1

/** A byte that says off or on; any other is refused. */
export const status = { off: 0x55, on: 0xaa } as const
/** source: NVIDIA nvtrust, local_gpu_verifier, "parse_feature_flag" */
export const featureFlags = ['SPT', 'MPT', 'PPCIE'] as const
export type Feature = (typeof featureFlags)[number]

/** Index of the RIM, from 0, whose block is not measured while NVDEC0 is disabled. */
export const nvdec0Index = 35

/** Firmware, BROM, provisioner, family, root. */
export const chainSize = 5
export type Architecture = 'HOPPER' | 'BLACKWELL' | 'LS10'
/** First type byte of the serial number of a BROM certificate. */
export const serialType: Readonly<Record<DeviceKind, string>> = { gpu: '41', switch: '50' }

/** Extensions of the certificate of the firmware that signs. */
export const extensionOid = {
  /** Hopper, LS10: SEQUENCE { version 1, SubjectPublicKeyInfo, FWID { algorithm, digest } } */
  compositeDeviceId: '2.23.133.5.4.1',
  /** Blackwell: DiceTcbInfo */
  tcbInfo: '2.23.133.5.4.1.1',
  sha384: '2.16.840.1.101.3.4.2.2',
} as const

/** What the switch of every HGX board is called in the ids of its RIMs. */
export const switchRimProduct = '5612_0002_890'
