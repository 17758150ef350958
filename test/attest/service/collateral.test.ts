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
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import { verifyEar } from '#core/wire/ear.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import type { Keyset } from '#core/wire/keyset.js'
import type { Database } from '#host/database.js'
import { createLog } from '#host/log.js'
import { testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { mintEvidence } from '#test/fakes/snp.js'
import { amdDocuments, serveAmd, startVendor, status, type VendorServer } from '#test/fakes/vendors.js'
import { newNode } from './fixtures.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-attest-collateral-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const day = 86_400
const token = 'a-token'
const { open } = anyDatabase()

let keys: KeySet
let keyset: Keyset
let binding: Binding
let whole: SnpEvidence
let vendor: VendorServer
let database: Database
const clock = { at: testTime, ms: 0 }
beforeAll(async () => {
  keys = await createKeyFolder(join(folder, 'keys'), testTime)
  ;({ keyset, binding } = await newNode())
  whole = await evidenceWith({})
})
const evidenceWith = (broken: Parameters<typeof mintEvidence>[0]) =>
  mintEvidence({ ...broken, report: { reportData: reportDataOf(binding), ...broken?.report } })
beforeEach(async () => {
  Object.assign(clock, { at: testTime, ms: 0 })
  vendor = await startVendor()
  serveAmd(vendor, (await amdDocuments()).items)
  database = await open()
})
afterEach(() => vendor.close())

const silent = createLog('attest', 'silent')
async function service(fetching = true) {
  const store = await CollateralStore.open({
    database,
    fetchItem: fetching
      ? vendorSources(
          { fetch, timeoutMs: 20_000 },
          { intel: { url: vendor.url, rootCertificate: new Uint8Array() }, amd: { url: vendor.url } },
        )
      : null,
    simulatedRoots: [testRootDigest],
    now: () => clock.at,
    nowMs: () => clock.ms,
    log: silent,
    limits: { syncMs: 0 },
  })
  const app = createAttestApp({
    issuer: 'https://verifier.example',
    build: 'test',
    keys: async () => keys,
    anchors: async () => ({ simulatedRoots: [testRootDigest] }),
    authorize: authorizeByToken([sha256(utf8(token))]),
    collateral: collateralSupply(store),
    now: () => clock.at,
    log: silent,
  }).hono
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
  const post = async (evidence: unknown) => {
    const body = { evidence, binding, keyset, referenceValues: testReferenceValues(), tenantClass: 'development' }
    const response = await app.request('/v1/attest', { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: response.status, body: (await response.json()) as Answer }
  }
  return { store, app, post, headers }
}
interface Answer {
  readonly ear: string
  readonly code?: string
  readonly info?: { readonly reason?: string }
  readonly collateral: { used: { name: string; how: string }[]; unavailable: { name: string; code: string }[] }
}
const judged = async (ear: string) => {
  const { status: tier, checks } = await verifyEar(ear, keys.publicKeys, { at: clock.at, ...about() })
  return { tier, checks: checks.filter((one) => one.status !== 'affirming').map(({ id }) => id) }
}
const about = () => ({ audience: binding.audience, nonce: binding.nonce })
const bare = () => ({ ...whole, vek: null, ask: null, ark: null, crl: null })

describe('POST /v1/attest with a store', () => {
  test('takes a bare report, fetches what it needs once, and says so', async () => {
    const { post } = await service()
    const first = await post(bare())
    expect([first.status, first.body.collateral.unavailable]).toEqual([200, []])
    expect(
      first.body.collateral.used.map(({ how, name }) => `${how} ${name.split('/').slice(0, 4).join('/').slice(0, 24)}`),
    ).toEqual(['filled amd/genoa/vcek/5a5a5a5a5', 'filled amd/genoa/vcek/crl'])
    await post(bare())
    expect(new Set(vendor.asked.values())).toEqual(new Set([1]))
  })

  test('judges a bare report as it judges the same with everything', async () => {
    const { post } = await service()
    expect(await judged((await post(bare())).body.ear)).toEqual(await judged((await post(whole)).body.ear))
  })

  test('asks no vendor for evidence that came with everything', async () => {
    const { post } = await service()
    expect((await post(whole)).body.collateral).toEqual({ used: [], unavailable: [] })
    expect(vendor.asked.size).toBe(0)
  })

  test('says what cannot be had, and that it cannot judge without it', async () => {
    vendor.answers.clear()
    vendor.answers.set('*', status(503))
    const { post } = await service()
    const found = await post(bare())
    expect([found.status, found.body.code, found.body.info?.reason]).toEqual([
      422,
      'attest/collateral',
      'collateral/absent',
    ])
    const listless = await post({ ...whole, crl: null })
    expect(listless.status).toBe(200)
    expect(listless.body.collateral.unavailable.map(({ name }) => name)).toEqual(['amd/genoa/vcek/crl'])
    expect((await judged(listless.body.ear)).checks).toContain('crl')
  })

  test('serves through an outage from what is held', async () => {
    const { post } = await service()
    await post(bare())
    vendor.answers.clear()
    clock.at += 13 * 3600
    clock.ms += 13 * 3600_000
    expect((await post(bare())).status).toBe(200)
  })

  test.each([
    ['snp/size', 'AAAA'],
    ['snp/version', Buffer.alloc(1184).toString('base64')],
  ])('answers with %s as the reason to a bare report that cannot be read', async (reason, report) => {
    const { status: found, body } = await (await service()).post({ ...bare(), report })
    expect([found, body.code, body.info?.reason]).toEqual([422, 'attest/evidence', reason])
  })

  test.each([[null], ['x'], [{}], [{ kind: 'snp' }]])('%j is no evidence', async (document) => {
    const { status: found, body } = await (await service()).post(document)
    expect([found, body.code?.slice(0, 6)]).toEqual([400, 'shape/'])
  })

  test('what is wrong with evidence that came whole stays a result', async () => {
    const { post } = await service()
    const flipped = Buffer.from(whole.report, 'base64')
    flipped[0] = 9
    const found = await post({ ...whole, report: flipped.toString('base64') })
    expect([found.status, (await judged(found.body.ear)).checks]).toEqual([200, ['snp/version']])
  })
})

describe('POST /v1/verify with a store', () => {
  const ask = async (body: object, fetching = true) => {
    const { app, headers } = await service(fetching)
    const response = await app.request('/v1/verify', {
      method: 'POST',
      headers,
      body: JSON.stringify({ tenantClass: 'development', ...body }),
    })
    return {
      status: response.status,
      body: (await response.json()) as Answer & { failure: string | null; kind: string },
    }
  }

  test.each([
    ['a bare report', () => ({ raw: { evidence: whole.report, collateral: [] } })],
    ['an envelope without its collateral', () => ({ evidence: bare() })],
  ])('completes %s', async (_what, body) => {
    const found = await ask(body())
    expect(found).toMatchObject({ status: 200, body: { kind: 'snp', failure: null } })
    expect(found.body.collateral.used.map(({ how }) => how)).toEqual(['filled', 'filled'])
  })

  test('says that a bare report cannot be completed', async () => {
    const found = await ask({ raw: { evidence: whole.report, collateral: [] } }, false)
    expect([found.status, found.body.code]).toEqual([422, 'attest/collateral'])
  })
})

describe('floors of a store', () => {
  const newer = async () => (await amdDocuments({ crl: { thisUpdate: testTime, nextUpdate: testTime + day } })).items

  test('evidence with an older list is judged by the newer one', async () => {
    const { post, store } = await service(false)
    await store.admit(await newer())
    const found = await post(whole)
    expect(found.body.collateral.used).toMatchObject([{ name: 'amd/genoa/vcek/crl', how: 'replaced' }])
    expect((await judged(found.body.ear)).tier).toBe('warning')
  })

  test('once the newer list is over, the older one still does not count', async () => {
    const { post, store } = await service(false)
    await store.admit(await newer())
    clock.at += 2 * day
    const found = await post(whole)
    expect(await judged(found.body.ear)).toEqual({ tier: 'contraindicated', checks: ['snp/crl-floor'] })
  })

  test('hold for releases of the broker in this process', async () => {
    const { store } = await service(false)
    await store.admit(await newer())
    const appraise = verifierPort(async () => keys, collateralSupply(store), silent)
    const input = {
      expectedReportData: reportDataOf(binding),
      referenceValues: testReferenceValues(),
      tenantClass: 'development' as const,
      at: testTime,
    }
    const anchors = { simulatedRoots: [testRootDigest] }
    expect(await appraise(whole, anchors, input)).toMatchObject({ failure: 'snp/crl-floor' })
    const fresh = await evidenceWith({ crl: { thisUpdate: testTime, nextUpdate: testTime + day } })
    expect(await appraise(fresh, anchors, input)).toMatchObject({ failure: null, status: 'warning' })
  })
})

test('GET /v1/collateral is the operator’s', async () => {
  const { app, post, headers } = await service()
  expect((await app.request('/v1/collateral')).status).toBe(401)
  await post(bare())
  const response = await app.request('/v1/collateral', { headers })
  expect(response.status).toBe(200)
  expect(await response.json()).toMatchObject({
    fetching: true,
    items: [{ name: 'amd/genoa/vcek/5a', state: 'current' }, {}, {}].map(() =>
      expect.objectContaining({ state: 'current' }),
    ),
    sources: [
      expect.objectContaining({ name: 'amd', state: 'ok' }),
      expect.objectContaining({ name: 'amd-chips', state: 'ok' }),
    ],
  })
})
