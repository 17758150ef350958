import { beforeAll, describe, expect, test } from 'vitest'
import { Collection } from '#attest/collateral/collect.js'
import type { Lookup } from '#attest/endorsements/choose.js'
import { completeEvidence } from '#attest/endorsements/complete.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { verifyEvidence } from '#attest/kinds.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import { formatTime } from '#core/time.js'
import type { MachineEvidence } from '#core/wire/evidence.js'
import { mintAzureEvidence } from '#test/fakes/azure.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { dcapRootDigest, mintDcapEvidence } from '#test/fakes/dcap.js'
import { gpuRootDigest, mintGpuEvidence, single, versions } from '#test/fakes/gpu.js'
import { rimRootDigest } from '#test/fakes/gpu-rim.js'
import { testTime, throwawayKeys } from '#test/fakes/platform.js'
import { mintEvidence } from '#test/fakes/snp.js'
import { amdDocuments, intelDocuments, rimDocument } from '#test/fakes/vendors.js'

const amdRoot = toHex(sha256(throwawayKeys.ark.spki))
const roots = { simulatedRoots: [dcapRootDigest, amdRoot, gpuRootDigest, rimRootDigest] }
const context = { ...roots, at: testTime }

/** Looks up in these documents, each verified; `asked` are the names. */
async function among(items: readonly CollateralItem[]): Promise<Lookup & { asked: string[] }> {
  const collection = await Collection.open(items, { ...context, fetchItem: null })
  expect(collection.refused).toEqual([])
  const asked: string[] = []
  const lookup: Lookup = async (name, root) => {
    asked.push(name.kind)
    return collection.find(name, root)
  }
  return Object.assign(lookup, { asked })
}
const verifies = (evidence: unknown) => verifyEvidence(evidence as MachineEvidence, roots, testTime)

let intel: readonly CollateralItem[]
let amd: readonly CollateralItem[]
beforeAll(async () => {
  intel = (await intelDocuments()).items
  amd = (await amdDocuments()).items
})

describe('a quote', () => {
  test.each(['tdx', 'sgx'] as const)(
    'of %s without collateral is filled from what is held, and verifies',
    async (tee) => {
      const whole = await mintDcapEvidence({ tee })
      const { evidence, used } = await completeEvidence(
        { ...whole, collateral: null } as Json,
        await among(intel),
        context,
      )
      await verifies(evidence)
      expect(used.map(({ name, how }) => `${how} ${name}`)).toEqual([
        'filled intel/root-crl',
        'filled intel/pck-crl/platform',
        `filled intel/${tee}/tcb-info/90c06f000000`,
        `filled intel/${tee}/qe-identity`,
      ])
    },
  )

  test('that came with everything, as new as what is held, stays as it came', async () => {
    const whole = await mintDcapEvidence()
    expect(await completeEvidence(whole, await among(intel), context)).toEqual({ evidence: whole, used: [] })
    expect(await completeEvidence(whole, await among([]), context)).toEqual({ evidence: whole, used: [] })
  })

  const newer = { issueDate: formatTime(testTime), tcbEvaluationDataNumber: 19 }
  test('with an older document gets the newer one that is held', async () => {
    const held = (await intelDocuments({ tcbInfo: (info) => void Object.assign(info, newer) })).items
    const { evidence, used } = await completeEvidence(await mintDcapEvidence(), await among(held), context)
    expect(used.map(({ name, how }) => `${how} ${name}`)).toEqual(['replaced intel/tdx/tcb-info/90c06f000000'])
    await verifies(evidence)
  })

  test('with a newer document than what is held keeps it', async () => {
    const whole = await mintDcapEvidence({ tcbInfo: (info) => void Object.assign(info, newer) })
    expect((await completeEvidence(whole, await among(intel), context)).used).toEqual([])
  })

  test('with a document that is over, or forged, gets the one that is held', async () => {
    for (const broken of [
      { tcbInfo: (info: Record<string, unknown>) => void (info.nextUpdate = formatTime(testTime - 1)) },
      { tcbInfoBytes: (bytes: Uint8Array) => bytes.map((byte, i) => (i === 20 ? byte ^ 1 : byte)) },
      { rootCrl: { nextUpdate: testTime - 1 } },
    ]) {
      const { evidence, used } = await completeEvidence(await mintDcapEvidence(broken), await among(intel), context)
      expect(used.map(({ how }) => how)).toContain('replaced')
      await verifies(evidence)
    }
  })

  test('of a family that is not held says what is missing', async () => {
    const bare = { ...(await mintDcapEvidence()), collateral: null } as Json
    const lists = intel.filter(({ name }) => name.kind.endsWith('crl'))
    await expect(completeEvidence(bare, await among(lists), context)).rejects.toMatchObject({
      code: 'collateral/absent',
      message: expect.stringContaining('intel/tdx/tcb-info/90c06f000000'),
    })
  })

  test('that is none is refused by its reader', async () => {
    const bare = { kind: 'tdx', quote: toBase64(new Uint8Array(700)), collateral: null, eventLog: null }
    expect(await codeOfPromise(completeEvidence(bare, await among(intel), context))).toMatch(/^dcap\//)
  })
})

describe('a report', () => {
  const bare = { vek: null, ask: null, ark: null, crl: null }

  test.each(['Genoa', 'Turin'] as const)('of %s alone is filled, and verifies', async (product) => {
    const { items, evidence: whole } = await amdDocuments({ product })
    const { evidence } = await completeEvidence({ ...whole, ...bare }, await among(items), context)
    expect(evidence).toEqual(whole)
    await verifies(evidence)
  })

  test('without a list gets the one that is held; without one it stays without', async () => {
    const { crl, ...rest } = await mintEvidence()
    expect(await completeEvidence({ ...rest, crl: null }, await among(amd), context)).toMatchObject({
      evidence: { crl },
    })
    expect(await completeEvidence({ ...rest, crl: null }, await among([]), context)).toEqual({
      evidence: { ...rest, crl: null },
      used: [],
    })
  })

  test('with an older list gets the newer one, under which its authority is revoked', async () => {
    const held = (await amdDocuments({ crl: { thisUpdate: testTime, revoked: [0x20002] } })).items
    const lists = held.filter(({ name }) => name.kind === 'amd-crl')
    const { evidence } = await completeEvidence(await mintEvidence(), await among(lists), context)
    expect(await codeOfPromise(verifies(evidence))).toBe('crl/revoked')
  })

  test('inside an Azure report is completed as any other', async () => {
    const whole = await mintAzureEvidence({ hardware: 'snp' })
    expect((await completeEvidence({ ...whole, crl: null } as Json, await among(amd), context)).evidence).toMatchObject(
      {
        kind: 'azure-snp',
        crl: toBase64(amd[1]!.body),
      },
    )
  })

  test.each([
    ['of no product', async () => mintEvidence({ product: 'Milan', report: { version: 2 } })],
    ['under a provider’s key', async () => mintEvidence({ cspId: 'CN=cc' })],
    ['of a masked chip', async () => mintEvidence({ report: { chipId: new Uint8Array(64) } })],
  ])('%s does not say which certificate it needs', async (_what, mint) => {
    const evidence = { ...(await mint()), ...bare }
    expect(await codeOfPromise(completeEvidence(evidence, await among(amd), context))).toBe('collateral/undetermined')
  })

  test('of a chip that is not held says so', async () => {
    const evidence = { ...(await mintEvidence()), ...bare }
    expect(await codeOfPromise(completeEvidence(evidence, await among([]), context))).toBe('collateral/absent')
  })

  test('under a provider’s key, whose authority is not held, says so', async () => {
    const evidence = { ...(await mintEvidence({ cspId: 'CN=cc' })), ask: null, ark: null, crl: null }
    expect(await codeOfPromise(completeEvidence(evidence, await among([]), context))).toBe('collateral/absent')
  })

  test.each([['x'], [null], [[]], [{}], [{ kind: 'snp' }], [{ kind: 'tdx', quote: 1 }], [{ kind: 'other' }]])(
    '%j is no evidence',
    async (document) => {
      expect(await codeOfPromise(completeEvidence(document as Json, await among([]), context))).toMatch(/^shape\//)
    },
  )
})

test('of composite evidence the machine is completed, and its devices, whose digest it binds, stay as they were sent', async () => {
  const cpu = await mintDcapEvidence()
  const devices = [{ ...(await mintGpuEvidence(single())), rims: [] }]
  const bare = { kind: 'composite', cpu: { ...cpu, collateral: null }, devices } as Json
  const lookup = await among(intel)
  expect((await completeEvidence(bare, lookup, context)).evidence).toEqual({ kind: 'composite', cpu, devices })
  expect(lookup.asked).not.toContain('nvidia-rim')
  const nested = { kind: 'composite', cpu: bare, devices } as Json
  expect(await codeOfPromise(completeEvidence(nested, lookup, context))).toMatch(/^shape\//)
})

test('devices get the RIMs that they ask for, and others stay away', async () => {
  const evidence = await mintGpuEvidence(single())
  const version = versions.HOPPER.driver
  const id = `NV_GPU_DRIVER_GH100_${version}`
  const rim = await rimDocument({ version })
  const own: CollateralItem = { ...rim, name: { kind: 'nvidia-rim', id } }
  const lookup = await among([own, await rimDocument()])
  const completed = await completeEvidence({ ...evidence, rims: [] } as Json, lookup, context)
  expect(completed.used.map(({ name }) => name)).toEqual([`nvidia/rim/${id}`])
  expect(completed.evidence).toMatchObject({ kind: 'gpu', rims: [{ id, rim: toBase64(rim.body) }] })
  expect(new Set(lookup.asked)).toEqual(new Set(['nvidia-rim']))
})
