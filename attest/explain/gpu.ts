import { type ExplainedField, type ExplainedPart, field, number } from '#attest/explain/part.js'
import { block, opaque, reportSizeMax, request, response } from '#attest/gpu/layout.js'
import { toHex } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { isFailure } from '#core/failure.js'

const spdm = 'DMTF DSP0274 SPDM, 1.1'
const nvtrust = 'NVIDIA nvtrust, local_gpu_verifier, commit 028173093d43'

/** Types of the opaque data as NVIDIA names them; those without a meaning here keep their number. */
const opaqueNames: Readonly<Record<number, string>> = {
  1: 'CERT_ISSUER_NAME',
  2: 'CERT_AUTHORITY_KEY_IDENTIFIER',
  [opaque.driverVersion]: 'DRIVER_VERSION',
  4: 'GPU_INFO',
  5: 'SKU',
  [opaque.vbiosVersion]: 'VBIOS_VERSION',
  7: 'MANUFACTURER_ID',
  8: 'TAMPER_DETECTION',
  9: 'SMC',
  10: 'VPR',
  [opaque.nvdec0Status]: 'NVDEC0_STATUS',
  12: 'MSRSCNT',
  13: 'CPRINFO',
  14: 'BOARD_ID',
  [opaque.chipSku]: 'CHIP_SKU',
  16: 'CHIP_SKU_MOD',
  [opaque.project]: 'PROJECT',
  [opaque.projectSku]: 'PROJECT_SKU',
  19: 'PROJECT_SKU_MOD',
  [opaque.fwid]: 'FWID',
  [opaque.protectedPcieStatus]: 'PROTECTED_PCIE_STATUS',
  [opaque.switchPdi]: 'SWITCH_PDI',
  23: 'FLOORSWEPT_PORTS',
  24: 'POSITION_ID',
  25: 'LOCK_SWITCH_STATUS',
  [opaque.switchGpuPdis]: 'SWITCH_GPU_PDIS',
  32: 'GPU_LINK_CONN',
  33: 'SYS_ENABLE_STATUS',
  [opaque.opaqueDataVersion]: 'OPAQUE_DATA_VERSION',
  [opaque.chipInfo]: 'CHIP_INFO',
  [opaque.featureFlag]: 'FEATURE_FLAG',
}
const textTypes: readonly number[] = [
  opaque.driverVersion,
  opaque.chipSku,
  16,
  opaque.project,
  opaque.projectSku,
  19,
  opaque.chipInfo,
]

/**
 * Bytes of a device report: request, response, every block, every opaque field, as far as lengths add up. What is longer
 * than any report is cut off, since its lengths are a stranger's to write.
 */
export function explainGpu(bytes: Uint8Array): readonly ExplainedPart[] {
  const [asked, answered, blocks, data]: ExplainedField[][] = [[], [], [], []]
  try {
    const reader = new Reader(bytes.subarray(0, reportSizeMax))
    const take = (to: ExplainedField[], name: string, size: number, show: (one: Uint8Array) => string = toHex) => {
      const offset = reader.at
      const value = reader.bytes(size)
      to.push(field(name, show(value), offset, size))
      return value
    }
    const length = (to: ExplainedField[], name: string, size: number) => Number(number(take(to, name, size, number)))
    for (const name of ['SPDMVersion', 'RequestResponseCode', 'Param1', 'Param2']) take(asked!, name, 1)
    take(asked!, 'Nonce', request.nonce[1])
    take(asked!, 'SlotIDParam', 1)
    for (const name of ['SPDMVersion', 'RequestResponseCode', 'Param1', 'Param2']) take(answered!, name, 1)
    length(answered!, 'NumberOfBlocks', 1)
    const end = length(answered!, 'MeasurementRecordLength', 3) + reader.at
    while (reader.at < end) {
      const [index] = take(blocks!, 'Index, MeasurementSpecification, MeasurementSize', 4)
      take(blocks!, `Measurement ${index}: DMTFSpecMeasurementValueType, ValueSize`, 3)
      take(blocks!, `Measurement ${index}: DMTFSpecMeasurementValue`, block.valueSize)
    }
    take(answered!, 'Nonce', response.nonceSize)
    const opaqueEnd = length(answered!, 'OpaqueDataLength', 2) + reader.at
    while (reader.at < opaqueEnd) {
      const type = reader.u16le()
      take(data!, opaqueNames[type] ?? `type ${type}`, reader.u16le(), textTypes.includes(type) ? shown : toHex)
    }
    take(answered!, 'Signature', response.signatureSize)
  } catch (error) {
    if (!isFailure(error)) throw error
    answered!.push(field('(cut off)', `lengths do not add up: ${error.message}`))
  }
  return [
    { title: 'GET_MEASUREMENTS request', document: spdm, fields: asked! },
    { title: 'MEASUREMENTS response', document: spdm, fields: answered! },
    { title: 'MeasurementRecordData', document: spdm, fields: blocks! },
    { title: 'OpaqueData', document: nvtrust, fields: data! },
  ]
}

/** Text ends at its first zero byte. */
function shown(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return String.fromCharCode(...bytes.subarray(0, end === -1 ? bytes.length : end))
}
