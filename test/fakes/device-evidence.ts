import type { CollateralItem } from '#attest/endorsements/item.js'
import { toBase64 } from '#core/bytes/bytes.js'
import type { GpuEvidence } from '#core/wire/evidence.js'
import { goldenOf, gpuRootDigest, mintGpuEvidence, single, versions } from './gpu.js'
import { mintRim, rimRootDigest } from './gpu-rim.js'

export const deviceRoots = [gpuRootDigest, rimRootDigest]

/** The RIMs of a good device, under the ids that it asks for. */
export async function rimDocuments(): Promise<readonly CollateralItem[]> {
  const { driver, vbios } = versions.HOPPER
  const one = async (id: string, version: string, indices: readonly number[]): Promise<CollateralItem> => ({
    name: { kind: 'nvidia-rim', id },
    body: await mintRim({ version, product: 'GH100', golden: goldenOf('HOPPER', indices) }),
    chain: [],
  })
  return [
    await one(`NV_GPU_DRIVER_GH100_${driver}`, driver, [7, 21, 22]),
    await one(`NV_GPU_VBIOS_G520_0200_885_${vbios.replaceAll('.', '')}`, vbios, [0, 1, 8]),
  ]
}

/** A good device with its RIMs, without any answer. */
export async function deviceWithRims(): Promise<GpuEvidence> {
  const rims = (await rimDocuments()).map(({ name, body }) => ({
    id: name.kind === 'nvidia-rim' ? name.id : '',
    rim: toBase64(body),
  }))
  return { ...(await mintGpuEvidence(single())), rims }
}
