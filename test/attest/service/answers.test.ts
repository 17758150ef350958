import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { vendorSources } from '#attest/collateral/fetch/sources.js'
import { CollateralStore } from '#attest/collateral/store.js'
import { collateralSupply } from '#attest/collateral/supply.js'
import { authorizeByToken } from '#attest/service/authorize.js'
import { createKeyFolder, type KeySet } from '#attest/service/keys.js'
import { createAttestApp } from '#attest/service/routes.js'
import { verifierPort } from '#cli/verifier-port.js'
import { toBase64, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { reportDataOf } from '#core/wire/binding.js'
import type { GpuEvidence } from '#core/wire/evidence.js'
import type { Database } from '#host/database.js'
import { createLog } from '#host/log.js'
import { mintComposite } from '#test/fakes/composite.js'
import { deviceRoots, deviceWithRims, rimDocuments } from '#test/fakes/device-evidence.js'
import { board, mintGpuEvidence } from '#test/fakes/gpu.js'
import { testGpuValues } from '#test/fakes/gpu-vectors.js'
import { testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { answerDocument, type Responder, serveOcsp, subjectsOf } from '#test/fakes/responder.js'
import { hangs, serveRim, startVendor, status, type VendorServer } from '#test/fakes/vendors.js'

/** What a service with a store does about certificates of devices that may have been revoked. */
const folder = mkdtempSync(join(tmpdir(), 'claviger-attest-answers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const hour = 3600
const token = 'a-token'
const silent = createLog('attest', 'silent')
const roots = [testRootDigest, ...deviceRoots]
const [pglite] = databasesUnderTest()

let keys: KeySet
let vendor: VendorServer
let responder: Responder
let database: Database
let device: GpuEvidence
const clock = { at: testTime, ms: 0 }
beforeAll(async () => {
  keys = await createKeyFolder(join(folder, 'keys'), testTime)
  device = await deviceWithRims()
})
beforeEach(async () => {
  Object.assign(clock, { at: testTime, ms: 0 })
  vendor = await startVendor()
  responder = await serveOcsp(vendor)
  for (const rim of await rimDocuments()) serveRim(vendor, rim)
  database = await pglite!.open()
})
afterEach(() => vendor.close())
const pass = (seconds: number) => {
  clock.at += seconds
  clock.ms += seconds * 1000
}

interface Answer {
  readonly status: string
  readonly failure: string | null
  readonly claims: { readonly ocsp: { readonly needed: number; readonly answered: number } } | null
  readonly steps: readonly { readonly id: string; readonly verdict: string }[]
  readonly collateral: {
    readonly used: readonly { readonly name: string; readonly how: string }[]
    readonly unavailable: readonly { readonly name: string; readonly code: string }[]
  }
}

async function service(fetching = true) {
  const unused = { url: 'http://127.0.0.1:1', rootCertificate: new Uint8Array() }
  const nvidia = { rimUrl: vendor.url, ocspUrl: vendor.url }
  const store = await CollateralStore.open({
    database,
    fetchItem: fetching ? vendorSources({ fetch, timeoutMs: 20_000 }, { intel: unused, amd: unused, nvidia }) : null,
    simulatedRoots: roots,
    now: () => clock.at,
    nowMs: () => clock.ms,
    log: silent,
    limits: { syncMs: 0 },
  })
  const { hono } = createAttestApp({
    issuer: 'https://verifier.example',
    build: 'test',
    keys: async () => keys,
    anchors: async () => ({ simulatedRoots: roots }),
    authorize: authorizeByToken([sha256(utf8(token))]),
    collateral: collateralSupply(store),
    now: () => clock.at,
    log: silent,
  })
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
  const verify = async (evidence: unknown, ocsp: 'required' | 'when-given' = 'required') => {
    const referenceValues = { ...testReferenceValues(), ...testGpuValues({ rim: 'required', ocsp }) }
    const body = JSON.stringify({ evidence, referenceValues, tenantClass: 'development' })
    const response = await hono.request('/v1/verify', { method: 'POST', headers, body })
    expect(response.status).toBe(200)
    return (await response.json()) as Answer
  }
  return { store, verify }
}
const failing = ({ steps }: Answer) => steps.filter(({ verdict }) => verdict === 'fail').map(({ id }) => id)
const names = (of: readonly { readonly name: string }[]) => new Set(of.map(({ name }) => name.split('/')[1]))
/** Until renewals behind the caller's back have ended. */
async function settled(isDone: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await isDone()) return
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  throw new Error('nothing was renewed')
}
const revokes = { status: { reason: 1 } } as const

describe('evidence of devices without answers of its own', () => {
  test('is completed with RIMs and an answer on every certificate, each asked for once, and passes where they are required', async () => {
    const { verify } = await service()
    const bare = { ...device, rims: [] }
    const found = await verify(bare)
    expect([found.failure, failing(found), found.claims?.ocsp]).toMatchObject([null, [], { needed: 6, answered: 6 }])
    expect([names(found.collateral.used), found.collateral.unavailable]).toEqual([new Set(['rim', 'ocsp']), []])
    await verify(bare)
    expect([responder.asked.size, new Set(responder.asked.values())]).toEqual([6, new Set([1])])
  })

  test.each([['ocspDeviceL4'], ['ocspDeviceL2'], ['ocspRimL4']])(
    'fails when the responder revokes %s',
    async (role) => {
      await responder.says(role, revokes)
      const { verify } = await service()
      for (const policy of ['required', 'when-given'] as const) {
        const found = await verify(device, policy)
        expect([found.failure, failing(found)]).toEqual(['ocsp/revoked', ['gpu/ocsp']])
      }
    },
  )

  test.each([
    ['unknown', { status: 'unknown' }, 'ocsp/unknown'],
    ['over', { thisUpdate: testTime - 50 * hour, nextUpdate: testTime - 26 * hour }, 'ocsp/expired'],
    ['answered by nobody', status(500), 'collateral/refused'],
  ] as const)(
    'of which one certificate is %s never passes where answers are required, and it is said why',
    async (_what, says, code) => {
      await responder.says('ocspDeviceL4', says)
      const { verify } = await service()
      const found = await verify(device)
      expect([found.status, failing(found)]).toEqual(['contraindicated', ['ocsp']])
      expect(found.collateral.unavailable.map((one) => one.code)).toContain(code)
    },
  )

  test('an outage with nothing held: refused where answers are required, a skip where they are not, and reported', async () => {
    await responder.saysOfAll(status(503))
    const { verify } = await service()
    const strict = await verify(device)
    expect([strict.status, failing(strict)]).toEqual(['contraindicated', ['ocsp']])
    const { steps, collateral } = await verify(device, 'when-given')
    expect(steps.find(({ id }) => id === 'gpu/ocsp')!.verdict).toBe('skip')
    expect([collateral.unavailable.length, names(collateral.unavailable)]).toEqual([6, new Set(['ocsp'])])
  })

  test('an outage with answers held is survived to their end, and shows', async () => {
    const { verify, store } = await service()
    await verify(device)
    await responder.saysOfAll(status(503))
    pass(2 * hour)
    expect((await verify(device)).failure).toBeNull()
    await settled(async () => (await store.status()).sources.some(({ failures }) => failures > 0))
    // RIMs have a source of their own, which answers.
    const answers = (await store.status()).items.filter(({ name }) => name.startsWith('nvidia/ocsp/'))
    expect(new Set(answers.map(({ state }) => state))).toEqual(new Set(['held-through-outage']))
    pass(20 * hour)
    const over = await verify(device)
    expect([over.status, failing(over)]).toEqual(['contraindicated', ['ocsp']])
  })
})

test('a whole board, 8 GPUs and 4 switches, is completed in one request within what a caller may ask for', async () => {
  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
  const subjects = new Map([...subjectsOf('LS10', numbers(8, 12)), ...subjectsOf('HOPPER', numbers(0, 8))])
  responder = await serveOcsp(vendor, subjects)
  const evidence = await mintGpuEvidence(board())
  const { verify } = await service()
  const found = await verify(evidence)
  // 12 devices, who stands above them, and the signers of two RIMs; nobody gives out the RIM of the switches.
  expect(found.collateral.used.filter(({ name }) => name.startsWith('nvidia/ocsp/')).length).toBe(17)
  expect(found.claims?.ocsp).toMatchObject({ needed: 17, answered: 17 })
  expect(found.collateral.unavailable.map(({ name, code }) => [name.split('_')[1], code])).toEqual([
    ['SWITCH', 'collateral/not-found'],
  ])
  await responder.says('ocspDeviceL47', { ...revokes, thisUpdate: testTime - 60 })
  pass(2 * hour)
  await settled(async () => (await verify(evidence)).failure === 'ocsp/revoked')
})

describe('evidence with good answers of its own', () => {
  const roles = ['ocspDeviceL2', 'ocspDeviceL3', 'ocspDeviceL4', 'ocspRimL2', 'ocspRimL3', 'ocspRimL4']
  const answersOf = async (ago: number) =>
    Promise.all(roles.map(async (role) => toBase64((await answerDocument(role, { thisUpdate: testTime - ago })).body)))

  test('of less than an hour has nobody asked', async () => {
    const { verify } = await service()
    expect((await verify({ ...device, ocsp: await answersOf(hour - 1) })).failure).toBeNull()
    expect(responder.asked.size).toBe(0)
  })

  test('of more than that passes, waits for nobody, and is refused once the responder that was asked revokes', async () => {
    await responder.says('ocspDeviceL4', { ...revokes, thisUpdate: testTime - 60 })
    await responder.says('ocspDeviceL2', hangs)
    const { verify } = await service()
    const old = { ...device, ocsp: await answersOf(hour) }
    expect(await verify(old)).toMatchObject({ failure: null, collateral: { used: [], unavailable: [] } })
    await settled(async () => (await verify(old)).failure === 'ocsp/revoked')
  })

  test('passes while the responder is away, which is left alone meanwhile', async () => {
    await responder.saysOfAll(status(503))
    const { verify, store } = await service()
    const old = { ...device, ocsp: await answersOf(2 * hour) }
    expect((await verify(old)).failure).toBeNull()
    await settled(async () => (await store.status()).sources.some(({ failures }) => failures > 0))
    const asked = [...responder.asked.values()].reduce((sum, count) => sum + count, 0)
    expect((await verify(old)).failure).toBeNull()
    expect([...responder.asked.values()].reduce((sum, count) => sum + count, 0)).toBe(asked)
  })
})

describe('what was seen to be revoked', () => {
  test('stays so through an outage, after its time, after a restart, whatever came along', async () => {
    await responder.says('ocspDeviceL4', revokes)
    await (await service()).verify(device)
    await responder.saysOfAll(status(503))
    const older = toBase64((await answerDocument('ocspDeviceL4', { thisUpdate: testTime - 2 * hour })).body)
    for (const [wait, ocsp] of [
      [hour, []],
      [hour, [older]],
      [40 * hour, []],
    ] as const) {
      pass(wait)
      const { verify } = await service()
      for (const policy of ['required', 'when-given'] as const)
        expect((await verify({ ...device, ocsp }, policy)).failure).toBe('ocsp/revoked')
    }
  })

  test('is good again once a newer answer says so', async () => {
    await responder.says('ocspDeviceL4', { status: { reason: 6 } })
    const { verify } = await service()
    expect((await verify(device)).failure).toBe('ocsp/revoked')
    await responder.says('ocspDeviceL4', { thisUpdate: testTime + hour, nextUpdate: testTime + 10 * hour })
    pass(2 * hour)
    await settled(async () => (await verify(device)).failure === null)
  })
})

describe('devices beside a machine', () => {
  test('stay as they were sent, and are refused when the responder that was asked revokes one', async () => {
    const { evidence } = await mintComposite('snp', [{}])
    const { verify } = await service()
    const good = await verify(evidence, 'when-given')
    expect([good.failure, good.collateral.used]).toEqual([null, []])
    expect(new Set(responder.asked.keys())).toEqual(new Set(['ocspDeviceL2', 'ocspDeviceL3', 'ocspDeviceL4']))
    await responder.says('ocspDeviceL3', { ...revokes, thisUpdate: testTime - 60 })
    pass(2 * hour)
    await settled(async () => (await verify(evidence, 'when-given')).failure === 'ocsp/revoked')
  })

  test('of a platform that is known are asked for, and refused at its next request', async () => {
    const { evidence, binding } = await mintComposite('snp', [{}])
    const { store } = await service()
    const supply = collateralSupply(store)
    await responder.says('ocspDeviceL4', revokes)
    await supply.learn(evidence, { simulatedRoots: [], at: clock.at })
    expect(responder.asked.size).toBe(0) // simulated, and nobody named its root
    await supply.learn(evidence, { simulatedRoots: roots, at: clock.at })
    await settled(async () => (await store.floors()).some(({ kind }) => kind === 'nvidia-revoked'))
    const appraise = verifierPort(async () => keys, supply, silent)
    const input = {
      expectedReportData: reportDataOf(binding),
      binding,
      referenceValues: { ...testReferenceValues(), ...testGpuValues() },
      tenantClass: 'development' as const,
      at: testTime,
    }
    expect(await appraise(evidence, { simulatedRoots: roots }, input)).toMatchObject({ failure: 'ocsp/revoked' })
  })

  test('get no release from the broker in this process once one is known to be revoked', async () => {
    const { evidence, binding } = await mintComposite('snp', [{}])
    const { store } = await service(false)
    const appraise = verifierPort(async () => keys, collateralSupply(store), silent)
    const input = {
      expectedReportData: reportDataOf(binding),
      binding,
      referenceValues: { ...testReferenceValues(), ...testGpuValues() },
      tenantClass: 'development' as const,
      at: testTime,
    }
    expect(await appraise(evidence, { simulatedRoots: roots }, input)).toMatchObject({ failure: null })
    await store.admit([await answerDocument('ocspDeviceL4', revokes)])
    expect(await appraise(evidence, { simulatedRoots: roots }, input)).toMatchObject({ failure: 'ocsp/revoked' })
  })
})
