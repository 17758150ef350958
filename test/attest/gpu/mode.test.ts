import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { opaque } from '#attest/gpu/layout.js'
import type { GpuReferenceValues } from '#core/wire/reference-values.js'
import { gpuReportData, gpuRootDigest, type MintDevice, mintGpuEvidence } from '../../fakes/gpu.js'
import { testGpuValues } from '../../fakes/gpu-vectors.js'
import { testTime } from '../../fakes/platform.js'

async function modeOf(device: Partial<MintDevice>, values: Partial<GpuReferenceValues> = {}) {
  const evidence = await mintGpuEvidence([{ architecture: 'HOPPER', number: 0, ...device }])
  const { checks, claims } = await appraiseEvidence(
    evidence,
    { simulatedRoots: [gpuRootDigest] },
    {
      expectedReportData: gpuReportData,
      referenceValues: testGpuValues(values),
      tenantClass: 'development',
      at: testTime,
    },
  )
  const found = checks.filter(({ id }) => id === 'mode').map((one) => `${one.status}: ${one.found}`)
  return { found, mode: claims?.devices[0]?.mode }
}

type Change = NonNullable<MintDevice['opaque']>
const field = (type: number, ...bytes: readonly number[]): Change => {
  return (fields) => [...fields.filter(([one]) => one !== type), [type, new Uint8Array(bytes)]]
}
const silent: Change = (fields) =>
  fields.filter(([type]) => type !== opaque.featureFlag && type !== opaque.protectedPcieStatus)

describe('the mode of a GPU', () => {
  test('is told where the owner lists no modes', async () => {
    expect(await modeOf({})).toEqual({ found: ['affirming: PPCIE'], mode: 'PPCIE' })
  })

  test('that the GPU does not name is a warning where it is without RIMs, and refused where the owner lists modes', async () => {
    const quiet = await modeOf({ opaque: silent })
    expect([quiet.mode, quiet.found.length]).toEqual([null, 1])
    expect(quiet.found[0]).toMatch(/^warning: .*not said$/)
    const { found } = await modeOf({ opaque: silent }, { modes: ['SPT', 'MPT', 'PPCIE'] })
    expect(found[0]).toMatch(/^contraindicated: .*not said$/)
  })

  test('is not known of a GPU that says only that protected PCIe is off', async () => {
    const off: Change = (fields) => field(opaque.protectedPcieStatus, 0x55)(silent(fields))
    expect((await modeOf({ opaque: off })).found[0]).toMatch(/^warning: .*not said$/)
  })

  test('is protected PCIe where either field says so', async () => {
    expect((await modeOf({ opaque: field(opaque.featureFlag, 0, 0) })).mode).toBe('PPCIE')
    expect((await modeOf({ opaque: field(opaque.protectedPcieStatus, 0x55) })).mode).toBe('PPCIE')
  })

  test('is not asked of switches', async () => {
    expect(
      (await modeOf({ architecture: 'LS10' }, { devices: { HOPPER: undefined, BLACKWELL: undefined, LS10: 1 } })).found,
    ).toEqual([])
  })
})
