import { beforeAll, describe, expect, test } from 'vitest'
import { fillGpu } from '#attest/assemble/gpu.js'
import { Collection } from '#attest/collateral/collect.js'
import type { Lookup } from '#attest/endorsements/choose.js'
import { completeEvidence } from '#attest/endorsements/complete.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { formatName } from '#attest/endorsements/names.js'
import { verifyEvidence } from '#attest/kinds.js'
import type { Pool } from '#attest/pool.js'
import { fromBase64, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import { formatTime } from '#core/time.js'
import type { GpuEvidence, MachineEvidence } from '#core/wire/evidence.js'
import { type OcspAnswer, parseOcsp } from '#core/x509/ocsp-answer.js'
import { mintAzureEvidence } from '#test/fakes/azure.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { dcapRootDigest, mintDcapEvidence } from '#test/fakes/dcap.js'
import { gpuKeys, gpuRootDigest, mintGpuEvidence, single, versions } from '#test/fakes/gpu.js'
import { rimRootDigest } from '#test/fakes/gpu-rim.js'
import type { OcspChange } from '#test/fakes/ocsp.js'
import { testTime, throwawayKeys } from '#test/fakes/platform.js'
import { answerDocument } from '#test/fakes/responder.js'
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

describe('devices', () => {
  const { driver, vbios } = versions.HOPPER
  const ids = [`NV_GPU_DRIVER_GH100_${driver}`, `NV_GPU_VBIOS_G520_0200_885_${vbios.replaceAll('.', '')}`]
  let rims: readonly CollateralItem[]
  let evidence: GpuEvidence
  const answersOn = (roles: readonly string[], change: OcspChange = {}) =>
    Promise.all(roles.map((role) => answerDocument(role, change)))
  const all = ['ocspDeviceL2', 'ocspDeviceL3', 'ocspDeviceL4', 'ocspRimL2', 'ocspRimL3', 'ocspRimL4']
  beforeAll(async () => {
    evidence = await mintGpuEvidence(single())
    rims = [
      { ...(await rimDocument({ version: driver })), name: { kind: 'nvidia-rim', id: ids[0]! } },
      {
        ...(await rimDocument({ version: vbios, golden: { 1: ['ab'.repeat(48)] } })),
        name: { kind: 'nvidia-rim', id: ids[1]! },
      },
    ]
  })
  const complete = async (sent: Partial<GpuEvidence>, items: readonly CollateralItem[], at = testTime) => {
    const lookup = await among(items)
    const document = { ...evidence, ...sent } as unknown as Json
    return { ...(await completeEvidence(document, lookup, { ...context, at })), asked: lookup.asked }
  }
  const statusesOf = (document: unknown) =>
    (document as GpuEvidence).ocsp.map((text) => parseOcsp(fromBase64(text)).status)

  test('get the RIMs that they ask for, and others stay away', async () => {
    const found = await complete({ rims: [] }, [rims[0]!, await rimDocument()])
    expect(found.used.map(({ name }) => name)).toEqual([`nvidia/rim/${ids[0]}`])
    expect(found.evidence).toMatchObject({
      kind: 'gpu',
      rims: [{ id: ids[0], rim: toBase64(rims[0]!.body) }],
      ocsp: [],
    })
  })

  test('get an answer on every certificate of theirs and of the signers of their RIMs, and verify with them', async () => {
    const found = await complete({ rims: [] }, [...rims, ...(await answersOn(all))])
    expect(found.used.map(({ name, how }) => `${how} ${name.split('/').slice(0, 2).join('/')}`)).toEqual([
      ...Array(2).fill('filled nvidia/rim'),
      ...Array(6).fill('filled nvidia/ocsp'),
    ])
    const { claims } = await verifies(found.evidence)
    expect(claims).toMatchObject({ ocsp: { needed: 6, answered: 6 } })
  })

  test('of whose RIMs one is bad get answers on all others; the verifier says what is bad', async () => {
    const bad = { id: ids[0]!, rim: toBase64(utf8('<x/>')) }
    const found = await complete({ rims: [bad] }, [rims[1]!, ...(await answersOn(all))])
    expect((found.evidence as unknown as GpuEvidence).ocsp.length).toBe(6)
    expect(await codeOfPromise(verifies(found.evidence))).toBe('gpu/rim-form')
  })

  // NVIDIA gives out several RIMs of one id, with other golden values: here each says who signed it, and nothing else is other.
  const issue = async (digest: string, notBefore: number): Promise<CollateralItem> => ({
    ...(await rimDocument({
      version: driver,
      golden: { 0: [digest.repeat(48)] },
      certificates: { signer: { notBefore } },
    })),
    name: { kind: 'nvidia-rim', id: ids[0]! },
  })
  const day = 86_400
  test.each([
    ['older than the one that is held', -9, -8, 'held'],
    ['of the same signer as the one that is held', -9, -9, 'held'],
    ['newer than the one that is held', -8, -9, 'sent'],
  ] as const)('that came with a RIM %s judge by the right one, in its place', async (_what, sentOf, heldOf, wins) => {
    const sent = await issue('aa', testTime + sentOf * day)
    const held = await issue('bb', testTime + heldOf * day)
    const own = [
      { id: ids[1]!, rim: toBase64(rims[1]!.body) },
      { id: ids[0]!, rim: toBase64(sent.body) },
    ]
    const found = await complete({ rims: own }, [held])
    const { body } = wins === 'held' ? held : sent
    expect((found.evidence as unknown as GpuEvidence).rims).toEqual([own[0], { id: ids[0], rim: toBase64(body) }])
    expect(found.used.map(({ name, how }) => `${how} ${name}`)).toEqual(
      wins === 'held' ? [`replaced nvidia/rim/${ids[0]}`] : [],
    )
    expect(await codeOfPromise(verifies(found.evidence))).toBe('ok')
  })

  test('that came with a bad RIM get the one that is held', async () => {
    const held = await issue('bb', testTime - 9 * day)
    const found = await complete({ rims: [{ id: ids[0]!, rim: toBase64(utf8('<x/>')) }] }, [held])
    expect((found.evidence as unknown as GpuEvidence).rims).toEqual([{ id: ids[0], rim: toBase64(held.body) }])
  })

  test('that came with a good RIM wait for nobody, and have it asked for', async () => {
    const needs: string[] = []
    const lookup: Lookup = async (name, _root, need) => {
      if (name.kind === 'nvidia-rim') needs.push(`${need} ${name.id}`)
      return null
    }
    const own = [{ id: ids[0]!, rim: toBase64(rims[0]!.body) }]
    const found = await completeEvidence({ ...evidence, rims: own } as unknown as Json, lookup, context)
    expect([needs.sort(), found.evidence]).toEqual([[`now ${ids[1]}`, `soon ${ids[0]}`], { ...evidence, rims: own }])
  })

  test('take a RIM of a bundle that is not older, by its very id alone', async () => {
    const [older, newer] = [await issue('aa', testTime - 9 * day), await issue('bb', testTime - 8 * day)]
    const filled = (sent: CollateralItem, own: CollateralItem, name = `nvidia/rim/${ids[0]}.rim`) => {
      const envelope = { ...evidence, rims: [{ id: ids[0]!, rim: toBase64(sent.body) }] } as unknown as Json
      const pool = { evidence: [], chains: [], others: [{ name, bytes: own.body }] } as unknown as Pool
      return fillGpu(envelope, pool).rims
    }
    const rim = ({ body }: CollateralItem) => ({ id: ids[0], rim: toBase64(body) })
    expect(filled(older, newer)).toEqual([rim(newer)])
    expect(filled(newer, older)).toEqual([rim(newer)])
    expect(filled(older, await issue('cc', testTime - 9 * day))).not.toEqual([rim(older)])
    expect(filled(older, newer, 'driver-rim.xml')).toEqual([rim(older)])
  })

  test('that came with current answers keep them', async () => {
    const own = (await answersOn(all.slice(0, 3))).map(({ body }) => toBase64(body))
    const held = await answersOn(all.slice(0, 3), { thisUpdate: testTime - 7200 })
    const found = await complete({ ocsp: own }, held)
    expect([found.used, (found.evidence as unknown as GpuEvidence).ocsp]).toEqual([[], own])
  })

  test.each<[string, OcspChange, OcspChange, OcspAnswer['status'] | 'revoked']>([
    ['an older one', { thisUpdate: testTime - 7200 }, {}, 'good'],
    ['one that is over', { thisUpdate: testTime - 7200, nextUpdate: testTime - 1 }, {}, 'good'],
    ['one that nobody signed', { signedBy: gpuKeys.other, thisUpdate: testTime - 60 }, {}, 'good'],
    ['a good one of before the revocation', { thisUpdate: testTime - 7200 }, { status: { reason: 1 } }, 'revoked'],
    ['a good one of the second of the revocation', {}, { status: { reason: 1 } }, 'revoked'],
  ])('that came with %s get the one that is held', async (_what, sent, held, status) => {
    const own = (await answersOn(['ocspDeviceL4'], sent)).map(({ body }) => toBase64(body))
    const found = await complete({ ocsp: own }, await answersOn(['ocspDeviceL4'], held))
    expect(found.used.map(({ how }) => how)).toEqual(['replaced'])
    const [now, ...more] = statusesOf(found.evidence)
    expect([typeof now === 'object' ? 'revoked' : now, more]).toEqual([status, []])
    expect(await codeOfPromise(verifies(found.evidence))).toBe(status === 'good' ? 'ok' : 'ocsp/revoked')
  })

  test('that came with an answer of after the revocation that is held keep it: a hold may be lifted', async () => {
    const own = (await answersOn(['ocspDeviceL4'], { thisUpdate: testTime - 60 })).map(({ body }) => toBase64(body))
    const held = await answersOn(['ocspDeviceL4'], { status: { reason: 6 } })
    const found = await complete({ ocsp: own }, held)
    expect([found.used, statusesOf(found.evidence)]).toEqual([[], ['good']])
  })

  test.each([
    [null, 'now'],
    [{ nextUpdate: testTime - 1 }, 'now'],
    [{ thisUpdate: testTime - 3600 }, 'soon'],
    [{ thisUpdate: testTime - 3599 }, 'no'],
    [{ thisUpdate: testTime - 3599, status: { reason: 1 } }, 'no'],
  ] as const)('that came with an answer that is %j need one %s', async (change, need) => {
    const own = change === null ? [] : (await answersOn(['ocspDeviceL4'], change)).map(({ body }) => toBase64(body))
    const needs: string[] = []
    const { name } = await answerDocument('ocspDeviceL4')
    const lookup: Lookup = async (one, _root, found) => {
      if (formatName(one) === formatName(name)) needs.push(found)
      return null
    }
    await completeEvidence({ ...evidence, ocsp: own } as unknown as Json, lookup, context)
    expect(needs).toEqual([need])
  })

  test('that came with what is no answer, or one on nobody, keep it for the verifier to refuse', async () => {
    const stray = toBase64((await answerDocument('ocspRimL4')).body)
    for (const ocsp of [['AAAA'], [stray]]) {
      const found = await complete({ ocsp }, await answersOn(['ocspDeviceL4']))
      expect((found.evidence as unknown as GpuEvidence).ocsp[0]).toBe(ocsp[0])
      expect(await codeOfPromise(verifies(found.evidence))).toMatch(/^(ocsp\/form|gpu\/collateral-unused)$/)
    }
  })

  test.each([[{ rims: 1, ocsp: 'x' }], [{ rims: [null], ocsp: [null, 1] }], [{ rims: [{ id: ids[0], rim: 1 }] }]])(
    '%j beside devices is refused by its form',
    async (members) => {
      const found = complete(members as never, await answersOn(['ocspDeviceL4']))
      expect(await codeOfPromise(found)).toMatch(/^shape\//)
    },
  )

  test('beside a machine stay as they were sent, and what is known of them is asked for all the same', async () => {
    const cpu = await mintDcapEvidence()
    const devices = [{ ...evidence, rims: [] }]
    const lookup = await among([...intel, ...(await answersOn(all, { status: { reason: 1 } }))])
    const document = { kind: 'composite', cpu, devices } as unknown as Json
    const found = await completeEvidence(document, lookup, context)
    expect([found.evidence, found.used]).toEqual([document, []])
    expect(lookup.asked.filter((kind) => kind === 'nvidia-ocsp').length).toBe(3)
  })

  test.each([[[]], [[null]], [[{ kind: 'gpu' }]], [[{ kind: 'gpu', devices: [{}] }]], [{}]])(
    'beside a machine that are none, %j, keep nobody from what the machine lacks',
    async (devices) => {
      const cpu = { ...(await mintDcapEvidence()), collateral: null }
      const lookup = await among(intel)
      await completeEvidence({ kind: 'composite', cpu, devices } as unknown as Json, lookup, context).catch(() => null)
      expect(lookup.asked).toContain('intel-tcb-info')
    },
  )
})
