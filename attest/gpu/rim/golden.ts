import type { DeviceIdentity } from '#attest/gpu/chain.js'
import { nvdec0Index, switchRimProduct } from '#attest/gpu/layout.js'
import type { GpuReport } from '#attest/gpu/parse.js'
import type { Rim } from '#attest/gpu/rim/rim.js'
import { refuse } from '#attest/gpu/rim/signature.js'
import { equal } from '#core/bytes/bytes.js'

export type RimPart = 'driver' | 'vbios'

/** A RIM that is about this device, and what came of the comparison. */
export interface Golden {
  readonly id: string
  readonly rim: Rim
  /** indices, from 0, that were compared, and those of them at which the device measured something else */
  readonly compared: readonly number[]
  readonly differing: readonly number[]
}

/**
 * The ids by which NVIDIA's service knows the RIMs of a device; null for a part that the device has not, or does not
 * name.
 *
 * source  NVIDIA nvtrust, local_gpu_verifier, "get_driver_rim_file_id", "get_vbios_rim_file_id"; nv_switch_verifier,
 *         "get_bios_rim_file_id"
 */
export function rimIds(
  { kind, opaque }: GpuReport,
  { architecture }: Pick<DeviceIdentity, 'architecture'>,
): Readonly<Record<RimPart, string | null>> {
  const vbios = opaque.vbiosVersion.replaceAll('.', '')
  if (kind === 'switch') return { driver: null, vbios: `NV_SWITCH_BIOS_${switchRimProduct}_${vbios}` }
  const driver =
    architecture === 'HOPPER'
      ? `NV_GPU_DRIVER_GH100_${opaque.driverVersion}`
      : `NV_GPU_CC_DRIVER_${opaque.chipInfo ?? 'GB100'}_${opaque.driverVersion}`
  const { project, projectSku, chipSku } = opaque
  const named = project !== null && projectSku !== null && chipSku !== null
  return { driver, vbios: named ? `NV_GPU_VBIOS_${project}_${projectSku}_${chipSku}_${vbios}` : null }
}

const products: Readonly<Record<DeviceIdentity['architecture'], RegExp>> = {
  HOPPER: /^GH1\d\d$/,
  BLACKWELL: /^GB[12]\d\d$/,
  LS10: /^LS10$/,
}

/** The RIM is about the product and the version that the device reports. @throws gpu/rim-product, gpu/rim-version */
export function verifyRimSubject(rim: Rim, part: RimPart, { opaque }: GpuReport, identity: DeviceIdentity): void {
  if (!products[identity.architecture].test(rim.product))
    throw refuse('gpu/rim-product', `RIM is for ${rim.product.slice(0, 40)}, the device is a ${identity.chip}`)
  const version = part === 'driver' ? opaque.driverVersion : opaque.vbiosVersion
  if (rim.version.toUpperCase() !== version)
    throw refuse('gpu/rim-version', `${part} RIM is for ${rim.version.slice(0, 40)}, the device reports ${version}`)
}

/** No index counts in both RIMs of a device. @throws gpu/rim-index */
export function verifyDisjoint(driver: Rim, vbios: Rim): void {
  for (const index of driver.golden.keys()) {
    if (vbios.golden.has(index)) throw refuse('gpu/rim-index', `measurement ${index} is active in both RIMs`)
  }
}

/**
 * Compares what a device measured with what its maker expects: RIM index i is block i + 1, one of the alternatives is
 * enough, a block that is not there differs. The block of NVDEC0 is not measured while that engine is disabled.
 *
 * source  NVIDIA nvtrust, local_gpu_verifier, "Verifier.verify"
 */
export function compareGolden(rim: Rim, { blocks, opaque }: GpuReport): Pick<Golden, 'compared' | 'differing'> {
  const compared = [...rim.golden.keys()].filter((index) => index !== nvdec0Index || opaque.nvdec0 !== 'disabled')
  const differing = compared.filter((index) => {
    const block = blocks[index]
    return block === undefined || !rim.golden.get(index)!.some((digest) => equal(digest, block))
  })
  return { compared, differing }
}
