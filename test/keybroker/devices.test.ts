import { describe, expect, test } from 'vitest'
import type { Binding } from '#core/wire/binding.js'
import type { GpuReferenceValues } from '#core/wire/reference-values.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { mintDevices } from '#test/fakes/composite.js'
import { gpuRootDigest, type MintDevice } from '#test/fakes/gpu.js'
import { testGpuValues } from '#test/fakes/gpu-vectors.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { type Ask, ask, gist, granted, registered, startTime, testNode } from './fixtures.js'

const { open } = anyDatabase()
const one: Partial<GpuReferenceValues> = { devices: { HOPPER: 1, BLACKWELL: undefined, LS10: undefined } }
// The broker of these tests lives now, whenever that is: so do the certificates of its devices.
const dates = { notBefore: startTime - 86_400, notAfter: startTime + 86_400 }
const device: Partial<MintDevice> = {
  certificates: { leaf: dates, brom: dates, provisioner: dates, family: dates, root: dates },
}
const withDevices = (count: number, change: Partial<Binding> = {}): Ask => ({
  devices: async (binding) => [
    await mintDevices(
      { ...binding, ...change },
      Array.from({ length: count }, () => device),
    ),
  ],
})
const withDevice = (change: Partial<Binding> = {}) => withDevices(1, change)

describe('a model whose owner asks for a GPU', () => {
  test('is released to the machine that binds one, and to no other', async () => {
    const values = { ...testReferenceValues(), ...testGpuValues(one) }
    const chain = await registered(await open(), { values, simulatedRoots: [gpuRootDigest] })
    const node = await testNode(chain)
    expect(gist(await ask(chain, node))).toContain('attest/devices')
    expect(gist(await ask(chain, node, withDevice({ keyset_digest: '99'.repeat(32) })))).toContain(
      'attest/devices/report-data',
    )
    expect(gist(await ask(chain, node, withDevices(2)))).toContain('attest/devices/devices')
    expect(granted(await ask(chain, node, withDevice())).ear).toMatch(/^ey/)
    await chain.test.close()
  })

  test('is not asked for by evidence whose devices the binding does not name', async () => {
    const chain = await registered(await open(), { simulatedRoots: [gpuRootDigest] })
    const node = await testNode(chain)
    const exchanged: Ask = {
      ...withDevice(),
      change: (made) => ({ ...made, evidence: made.evidence.kind === 'composite' ? made.evidence.cpu : made.evidence }),
    }
    expect(await codeOfPromise(ask(chain, node, exchanged))).toBe('judge/devices-digest')
    // An owner who asks for no devices takes none.
    expect(gist(await ask(chain, node, withDevice()))).toContain('attest/devices/reference-values')
    await chain.test.close()
  })
})
