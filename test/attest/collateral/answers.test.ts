import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { vendorSources } from '#attest/collateral/fetch/sources.js'
import type { CollateralStoreOptions } from '#attest/collateral/options.js'
import { itemsMax } from '#attest/collateral/rows.js'
import { CollateralStore } from '#attest/collateral/store.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { formatName, type OcspName } from '#attest/endorsements/names.js'
import { type Database, rowsOf } from '#host/database.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { gpuKeys, gpuRootDigest } from '#test/fakes/gpu.js'
import { rimRootDigest } from '#test/fakes/gpu-rim.js'
import { testTime } from '#test/fakes/platform.js'
import { anyDatabase, databasesUnderTest } from '#test/fakes/postgres.js'
import { answerDocument, type Responder, serveOcsp, subjectsOf } from '#test/fakes/responder.js'
import {
  floods,
  gives,
  hangs,
  rimDocument,
  serveRim,
  startVendor,
  status,
  type VendorServer,
} from '#test/fakes/vendors.js'

const day = 86_400
const hour = 3600
const caller = { kind: 'credential', id: 'one' } as const
const operator = { kind: 'operator' } as const
const stranger = { kind: 'stranger' } as const

let vendor: VendorServer
let responder: Responder
beforeEach(async () => {
  vendor = await startVendor()
  responder = await serveOcsp(vendor)
})
afterEach(() => vendor.close())

const clock = { at: testTime, ms: 0 }
beforeEach(() => Object.assign(clock, { at: testTime, ms: 0 }))
const pass = (seconds: number) => {
  clock.at += seconds
  clock.ms += seconds * 1000
}
const logged: string[] = []
beforeEach(() => void logged.splice(0))
const note = (_: unknown, message: string) => void logged.push(message)

function open(database: Database, more: Partial<CollateralStoreOptions> = {}, timeoutMs = 20_000) {
  const unused = { url: 'http://127.0.0.1:1', rootCertificate: new Uint8Array() }
  const nvidia = { rimUrl: vendor.url, ocspUrl: vendor.url }
  return CollateralStore.open({
    database,
    fetchItem: vendorSources({ fetch, timeoutMs }, { intel: unused, amd: unused, nvidia }),
    simulatedRoots: [gpuRootDigest, rimRootDigest],
    now: () => clock.at,
    nowMs: () => clock.ms,
    log: { info: note, warn: note, error: note },
    limits: { syncMs: 0 },
    ...more,
  })
}
const named = async (role = 'ocspDeviceL4') => {
  const { name, chain } = await answerDocument(role)
  return { name: name as OcspName, chain }
}
const revokes = { status: { reason: 1 } } as const
const isRevoked = async (store: CollateralStore, name: OcspName) => (await store.find(name, null))?.revoked
/** Until renewals behind the caller's back have ended. */
async function settled(isDone: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 500 && !(await isDone()); i++) await new Promise((resolve) => setTimeout(resolve, 2))
  expect(await isDone()).toBe(true)
}

describe.each(databasesUnderTest())('answers in the store on $name', ({ open: openDatabase }) => {
  let database: Database
  beforeEach(async () => {
    database = await openDatabase()
  })

  test('are asked for once for many callers, and kept over a restart', async () => {
    const store = await open(database)
    const { name, chain } = await named()
    const all = await Promise.all(Array.from({ length: 20 }, () => store.obtain(name, gpuRootDigest, caller, chain)))
    expect([new Set(all).size, responder.asked.get('ocspDeviceL4')]).toEqual([1, 1])
    const again = await open(database, { fetchItem: null })
    expect(await again.obtain(name, gpuRootDigest, stranger)).toMatchObject({ revoked: false, chain })
    expect(await again.floors()).toEqual([])
  })

  test('that revoke are kept, and no older one, nor one of the same second, makes the certificate good again', async () => {
    const store = await open(database)
    const { name, chain } = await named()
    await store.obtain(name, null, operator, chain)
    await responder.says('ocspDeviceL4', { ...revokes, thisUpdate: testTime - 60 })
    await store.renew(name)
    expect(await isRevoked(store, name)).toBe(true)
    for (const thisUpdate of [testTime - 61, testTime - 60]) {
      await responder.says('ocspDeviceL4', { thisUpdate })
      pass(1000)
      expect(await codeOfPromise(store.renew(name))).toBe('collateral/rollback')
      const [admitted] = await store.admit([await answerDocument('ocspDeviceL4', { thisUpdate })])
      expect(admitted!.failure?.code).toBe('collateral/rollback')
    }
    const again = await open(database)
    expect(await isRevoked(again, name)).toBe(true)
    expect(await again.floors()).toMatchObject([
      { kind: 'nvidia-revoked', serial: name.serial, issuedAtMin: testTime - 60 },
    ])
    expect(await codeOfPromise(again.renew(name))).toBe('collateral/rollback')

    await responder.says('ocspDeviceL4', { thisUpdate: testTime - 59 })
    pass(1000)
    await again.renew(name)
    expect([await isRevoked(again, name), await again.floors()]).toEqual([false, []])
  })

  test('of one second: the one that revokes takes the place of the one that does not', async () => {
    const store = await open(database)
    const { name, chain } = await named()
    await store.obtain(name, null, operator, chain)
    await responder.says('ocspDeviceL4', revokes)
    await store.renew(name)
    expect(await isRevoked(store, name)).toBe(true)
  })

  test('a RIM of an older signer never takes the place of a newer one, whoever brings it, after a restart too', async () => {
    const issue = (digest: string, days: number) =>
      rimDocument({
        golden: { 0: [digest.repeat(48)] },
        certificates: { signer: { notBefore: testTime - days * day } },
      })
    const [older, newer, same] = [await issue('aa', 9), await issue('bb', 8), await issue('cc', 8)]
    const store = await open(database)
    const { name } = newer
    const bodyIn = async (one: CollateralStore) => (await one.find(name, null))!.body
    await store.admit([older])
    serveRim(vendor, newer)
    await store.renew(name)
    expect(await bodyIn(store)).toEqual(newer.body)
    serveRim(vendor, older)
    pass(1000)
    expect(await codeOfPromise(store.renew(name))).toBe('collateral/rollback')
    const again = await open(database)
    const [admitted] = await again.admit([older])
    expect([admitted!.outcome, admitted!.failure?.code]).toEqual(['refused', 'collateral/rollback'])
    expect(await bodyIn(again)).toEqual(newer.body)
    // Two of one signer have no order: what NVIDIA gives out now is the current one.
    serveRim(vendor, same)
    pass(1000)
    await again.renew(name)
    expect(await bodyIn(again)).toEqual(same.body)
  })

  test('of two processes that store at the same time the older answer loses', async () => {
    const limits = { syncMs: 1e9 }
    const [a, b] = [await open(database, { limits }), await open(database, { limits })]
    const older = await answerDocument('ocspDeviceL4', { thisUpdate: testTime - 2 * hour })
    await b.admit([older])
    await a.admit([await answerDocument('ocspDeviceL4', revokes)])
    const [late] = await b.admit([await answerDocument('ocspDeviceL4', { thisUpdate: testTime - hour })])
    expect(late!.failure?.code).toBe('collateral/rollback')
    expect((await (await open(database)).floors()).length).toBe(1)
  })

  test('that revoke hold after their time, after a restart, and when somebody takes them out of the database', async () => {
    const { name } = await named()
    const store = await open(database, { fetchItem: null })
    // The certificate of this responder ends before its answer does.
    const short = await answerDocument('ocspDeviceL3', { ...revokes, responder: { notAfter: testTime + hour } })
    await store.admit([await answerDocument('ocspDeviceL4', revokes), short])
    const floors = await store.floors()
    expect(floors.length).toBe(2)
    pass(2 * hour)
    expect(await (await open(database, { fetchItem: null })).floors()).toEqual(floors)
    pass(3 * day)
    const again = await open(database, { fetchItem: null })
    expect([await again.find(name, null), await again.floors()]).toEqual([null, floors])
    expect((await again.status()).items.map(({ state, revoked }) => [state, revoked])).toEqual([
      ['expired', true],
      ['expired', true],
    ])
    await database.db.execute(sql`update attest.collateral set revoked = false`)
    expect(await (await open(database, { fetchItem: null })).floors()).toEqual(floors)
    await database.db.execute(sql`delete from attest.collateral`)
    expect(await again.floors()).toEqual(floors)
  })
})

describe('answers and their responder', () => {
  const { open: openAny } = anyDatabase()
  let database: Database
  beforeEach(async () => {
    database = await openAny()
  })

  test('a held one is asked for again every hour, behind the caller’s back, with the certificates that it came with', async () => {
    const store = await open(database)
    const { name, chain } = await named()
    await store.obtain(name, null, caller, chain)
    await responder.says('ocspDeviceL4', { ...revokes, thisUpdate: testTime })
    pass(hour - 1)
    expect((await store.obtain(name, null, stranger)).revoked).toBe(false)
    expect(responder.asked.get('ocspDeviceL4')).toBe(1)
    pass(1)
    expect((await store.find(name, null))!.revoked).toBe(false)
    await settled(async () => (await isRevoked(store, name)) === true)
  })

  test('an outage is survived and reported: what is held serves to its end, and then there is none', async () => {
    const store = await open(database)
    const { name, chain } = await named()
    await store.obtain(name, null, caller, chain)
    await responder.says('ocspDeviceL4', status(500))
    pass(2 * hour)
    expect((await store.obtain(name, null, stranger)).revoked).toBe(false)
    await settled(async () => (await store.status()).sources.some(({ state }) => state === 'failing'))
    expect(await store.status()).toMatchObject({
      items: [{ name: formatName(name), state: 'held-through-outage', revoked: false }],
      sources: [{ name: 'nvidia-ocsp', failures: 1, failure: { code: 'collateral/refused' } }],
    })
    expect(logged).toContain('collateral source fails: what is held serves to its end')
    pass(day)
    expect(await store.find(name, null)).toBeNull()
    expect(await codeOfPromise(store.obtain(name, null, caller, chain))).toBe('collateral/refused')
    expect((await store.status()).items[0]!.state).toBe('expired')
  })

  test.each([
    ['ocsp/unknown', { status: 'unknown', thisUpdate: testTime - 60 }],
    ['ocsp/expired', { thisUpdate: testTime - 2 * day, nextUpdate: testTime - day }],
    ['ocsp/not-yet-valid', { thisUpdate: testTime + day }],
    ['ocsp/signature', { signedBy: gpuKeys.other, thisUpdate: testTime - 60 }],
    ['ocsp/signature', { signedBy: gpuKeys.other, thisUpdate: testTime - 60, ...revokes }],
    ['ocsp/responder', { appointedBy: gpuKeys.other, thisUpdate: testTime - 60 }],
    ['collateral/mismatch', { serial: 99, thisUpdate: testTime - 60 }],
    ['collateral/rollback', { thisUpdate: testTime - 2 * hour }],
    ['ocsp/not-successful', { responseStatus: 3 }],
    ['ocsp/form', gives('nonsense', { 'content-type': 'application/ocsp-response' })],
    ['collateral/content', gives('<html>', { 'content-type': 'text/html' })],
    ['collateral/too-large', floods],
  ] as const)('%s: an answer that is none takes no place and revokes nothing', async (code, what) => {
    const store = await open(database)
    const { name, chain } = await named()
    await store.obtain(name, null, operator, chain)
    await responder.says('ocspDeviceL4', what)
    expect(await codeOfPromise(store.renew(name))).toBe(code)
    expect(await store.find(name, null)).toMatchObject({ revoked: false, issuedAt: testTime - hour })
    const { items } = await store.status()
    expect(items).toMatchObject([{ state: 'held-through-outage' }])
  })

  test('one that hangs holds nobody up for longer than its time, and one outage counts as one', async () => {
    await responder.saysOfAll(hangs)
    const store = await open(database, {}, 100)
    const roles = [...subjectsOf().keys()]
    const asks = roles.map(async (role) => {
      const { name, chain } = await named(role)
      return codeOfPromise(store.obtain(name, null, caller, chain))
    })
    const codes = new Set(await Promise.all(asks))
    expect([...codes].every((code) => ['collateral/timeout', 'collateral/backing-off'].includes(code))).toBe(true)
    expect((await store.status()).sources).toMatchObject([{ name: 'nvidia-ocsp', failures: 1 }])
  })

  test('a responder that fails leaves RIMs and other vendors as they are', async () => {
    const store = await open(database)
    await responder.saysOfAll(status(503))
    const { name, chain } = await named()
    expect(await codeOfPromise(store.obtain(name, null, caller, chain))).toBe('collateral/refused')
    const rim = { kind: 'nvidia-rim', id: 'NV_NONE' } as const
    expect(await codeOfPromise(store.obtain(rim, null, caller))).toBe('collateral/not-found')
  })

  test('nobody is asked for a stranger; a board has its budget, of which other documents have no part', async () => {
    const store = await open(database, { limits: { syncMs: 0, newPerMinute: 1, newAnswersPerMinute: 3 } })
    const ask = async (role: string, asker: Parameters<CollateralStore['obtain']>[2]) => {
      const { name, chain } = await named(role)
      return codeOfPromise(store.obtain(name, null, asker, chain))
    }
    expect([await ask('ocspDeviceL4', stranger), responder.asked.size]).toEqual(['collateral/budget', 0])
    const codes: string[] = []
    for (const role of ['ocspDeviceL2', 'ocspDeviceL3', 'ocspDeviceL4', 'ocspRimL4'])
      codes.push(await ask(role, caller))
    expect(codes).toEqual(['ok', 'ok', 'ok', 'collateral/budget'])
    const rim = { kind: 'nvidia-rim', id: 'NV_NONE' } as const
    expect(await codeOfPromise(store.obtain(rim, null, caller))).toBe('collateral/not-found')
  })

  test('without the certificates above it, one that is not held cannot be asked for', async () => {
    const store = await open(database)
    const { name } = await named()
    expect(await codeOfPromise(store.renew(name))).toBe('collateral/content')
    expect(responder.asked.size).toBe(0)
  })

  test('one under another root than the evidence is not it', async () => {
    const store = await open(database)
    const { name, chain } = await named()
    expect(await codeOfPromise(store.obtain(name, rimRootDigest, caller, chain))).toBe('collateral/not-held')
    expect(await codeOfPromise(open(database, { simulatedRoots: [] }).then((one) => one.renew(name, chain)))).toBe(
      'gpu/unknown-root',
    )
  })

  test('of a full store those that are good make room, and those that revoke do not', async () => {
    const store = await open(database, { fetchItem: null, limits: { syncMs: 1_000_000_000 } })
    await store.admit([await answerDocument('ocspDeviceL4', revokes), await answerDocument('ocspDeviceL2')])
    const { name } = await named('ocspDeviceL2')
    // What is written below is never read here: it only takes the room.
    await database.db.execute(sql`insert into attest.collateral
      (root, name, digest, body, chain, issued_at, valid_until, received_at, origin)
      select 'x', 'intel/tdx/' || n, '', '', '', 0, 0, n, 'imported' from generate_series(3, ${itemsMax}::int) as n`)
    const admit = async (item: CollateralItem) =>
      (await store.admit([item])).map(({ outcome, failure }) => failure?.code ?? outcome)
    expect(await admit(await answerDocument('ocspRimL4', revokes))).toEqual(['stored'])
    expect(await admit(await answerDocument('ocspRimL3'))).toEqual(['collateral/full'])
    const left = await rowsOf(database.db, sql`select name from attest.collateral where name like 'nvidia/%'`)
    expect(left.length).toBe(2)
    expect(left.map((row) => row.name)).not.toContain(formatName(name))
  })
})
