import { sql } from 'drizzle-orm'
import { getTableConfig } from 'drizzle-orm/pg-core'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Collection } from '#attest/collateral/collect.js'
import { vendorSources } from '#attest/collateral/fetch/sources.js'
import type { CollateralStoreOptions } from '#attest/collateral/options.js'
import { itemsMax } from '#attest/collateral/rows.js'
import { collateral } from '#attest/collateral/schema.js'
import { CollateralStore } from '#attest/collateral/store.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { formatTime } from '#core/time.js'
import { type Database, rowsOf } from '#host/database.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { type DcapBreakage, dcapKeys, dcapRootDigest } from '#test/fakes/dcap.js'
import { testTime, throwawayKeys } from '#test/fakes/platform.js'
import { anyDatabase, databasesUnderTest } from '#test/fakes/postgres.js'
import {
  amdDocuments,
  gives,
  intelDocuments,
  serveAmd,
  serveIntel,
  startVendor,
  status,
  testFmspc,
  type VendorServer,
  vcekName,
} from '#test/fakes/vendors.js'

const day = 86_400
const amdRoot = toHex(sha256(throwawayKeys.ark.spki))
const tcbInfo: CollateralName = { kind: 'intel-tcb-info', tee: 'tdx', fmspc: testFmspc }
const rootCrl: CollateralName = { kind: 'intel-root-crl' }
const amdCrl: CollateralName = { kind: 'amd-crl', product: 'Genoa', key: 'vcek' }
const tcbPath = `/tdx/certification/v4/tcb?fmspc=${testFmspc}`
const stranger = { kind: 'stranger' } as const
const caller = { kind: 'credential', id: 'one' } as const
const operator = { kind: 'operator' } as const

let vendor: VendorServer
let intel: Awaited<ReturnType<typeof intelDocuments>>
let amd: readonly CollateralItem[]
beforeAll(async () => {
  intel = await intelDocuments()
  amd = (await amdDocuments()).items
})
beforeEach(async () => {
  vendor = await startVendor()
  serveIntel(vendor, intel.items)
  serveAmd(vendor, amd)
})
afterEach(() => vendor.close())

const clock = { at: testTime, ms: 0 }
beforeEach(() => Object.assign(clock, { at: testTime, ms: 0 }))
const pass = (seconds: number) => {
  clock.at += seconds
  clock.ms += seconds * 1000
}
const logged: string[] = []
const log = {
  info: (_: unknown, message: string) => void logged.push(message),
  warn: (_: unknown, message: string) => void logged.push(message),
  error: (_: unknown, message: string) => void logged.push(message),
}
beforeEach(() => void logged.splice(0))

function open(database: Database, more: Partial<CollateralStoreOptions> = {}): Promise<CollateralStore> {
  const sources = { intel: { url: vendor.url, rootCertificate: intel.root }, amd: { url: vendor.url } }
  return CollateralStore.open({
    database,
    fetchItem: vendorSources({ fetch, timeoutMs: 20_000 }, sources),
    simulatedRoots: [dcapRootDigest, amdRoot],
    now: () => clock.at,
    nowMs: () => clock.ms,
    log,
    limits: { syncMs: 0 },
    ...more,
  })
}
const named = (items: readonly CollateralItem[], name: CollateralName) =>
  items.find((item) => formatName(item.name) === formatName(name))!
/** Intel's documents as they are when one thing is different. */
const intelWith = async (broken: DcapBreakage) => (await intelDocuments(broken)).items
const edition =
  (number: number, issuedAt = testTime - day) =>
  (info: Record<string, unknown>) => {
    info.tcbEvaluationDataNumber = number
    info.issueDate = formatTime(issuedAt)
  }
/** Until renewals behind the caller's back have ended. */
async function settled(store: CollateralStore, isDone: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500 && !(await isDone()); i++) await new Promise((resolve) => setTimeout(resolve, 2))
  expect(await isDone(), JSON.stringify(await store.status())).toBe(true)
}

describe.each(databasesUnderTest())('the store on $name', ({ open: openDatabase }) => {
  let database: Database
  beforeEach(async () => {
    database = await openDatabase()
  })

  test('the migration makes the table that the code names', async () => {
    await open(database)
    const { columns, name, schema } = getTableConfig(collateral)
    const found = await rowsOf(
      database.db,
      sql`select column_name from information_schema.columns where table_schema = ${schema} and table_name = ${name}`,
    )
    expect(found.map((row) => row.column_name).sort()).toEqual(columns.map((column) => column.name).sort())
  })

  test('fetches what it lacks with what that stands on, once for many callers, and keeps it', async () => {
    const store = await open(database)
    const all = await Promise.all(Array.from({ length: 20 }, () => store.obtain(tcbInfo, null, caller)))
    expect(new Set(all).size).toBe(1)
    expect([...vendor.asked.values()]).toEqual([1, 1])
    await store.obtain(vcekName('Genoa'), null, caller)
    await store.obtain(amdCrl, null, caller)

    const again = await open(database, { fetchItem: null })
    for (const name of [rootCrl, tcbInfo, amdCrl, vcekName('Genoa')])
      expect((await again.obtain(name, null, stranger)).body).toEqual((await store.find(name, null))!.body)
    expect((await again.floors()).map(({ kind }) => kind)).toEqual(['amd-crl', 'amd-revoked', 'crl', 'tcb-info'])
  })

  test('a rolled back document is refused, in the process and after a restart, whoever brings it', async () => {
    const store = await open(database)
    serveIntel(vendor, await intelWith({ tcbInfo: edition(19) }))
    await store.obtain(tcbInfo, null, operator)
    serveIntel(vendor, intel.items)
    expect(await codeOfPromise(store.renew(tcbInfo))).toBe('collateral/rollback')
    expect((await store.find(tcbInfo, null))!.edition).toBe(19n)

    const again = await open(database)
    const [admitted] = await again.admit([named(intel.items, tcbInfo)])
    expect([admitted!.outcome, admitted!.failure?.code]).toEqual(['refused', 'collateral/rollback'])
    expect(await codeOfPromise(again.renew(tcbInfo))).toBe('collateral/rollback')
    expect(await again.floors()).toContainEqual({
      kind: 'tcb-info',
      fmspc: testFmspc,
      root: dcapRootDigest,
      tee: 'tdx',
      editionMin: 19,
      issuedAtMin: testTime - day,
    })
  })

  test('of two processes that store at the same time the older document loses', async () => {
    const [a, b] = [
      await open(database, { limits: { syncMs: 1e9 } }),
      await open(database, { limits: { syncMs: 1e9 } }),
    ]
    await a.admit([named(intel.items, rootCrl)])
    await b.admit([named(intel.items, rootCrl)])
    await a.admit([named(await intelWith({ tcbInfo: edition(20) }), tcbInfo)])
    const [late] = await b.admit([named(intel.items, tcbInfo)])
    expect(late!.failure?.code).toBe('collateral/rollback')
    expect(await codeOfPromise(b.obtain(tcbInfo, null, stranger))).not.toBe('ok')
    expect((await (await open(database)).find(tcbInfo, null))!.edition).toBe(20n)
  })

  test('what another process stored is seen', async () => {
    const [a, b] = [await open(database), await open(database, { fetchItem: null })]
    await a.obtain(tcbInfo, null, operator)
    expect((await b.find(tcbInfo, null))!.edition).toBe(18n)
  })

  test('the floor of a document that is over holds after a restart', async () => {
    const store = await open(database)
    await store.obtain(tcbInfo, null, operator)
    await store.obtain(amdCrl, null, operator)
    pass(40 * day)
    const again = await open(database, { fetchItem: null })
    expect(await again.find(tcbInfo, null)).toBeNull()
    expect((await again.floors()).map(({ kind }) => kind)).toEqual(['amd-crl', 'amd-revoked', 'crl', 'tcb-info'])
    expect((await again.status()).items.map(({ state }) => state)).toContain('expired')
    expect(await codeOfPromise(again.obtain(tcbInfo, null, stranger))).toBe('collateral/not-held')
  })

  test.each([
    ['a name that only a newer build knows', `'newer/kind/of/document', '\\x5b5d'`],
    ['a chain that is none', `'intel/pck-crl/processor', '\\x7b'`],
    ['a chain of too many', `'intel/pck-crl/processor', '${'\\x'}${toHex(utf8('["AA==","AA==","AA==","AA=="]'))}'`],
  ])('a row with %s is passed over, and keeps no other from being used', async (_what, values) => {
    const store = await open(database)
    await store.obtain(tcbInfo, null, operator)
    await database.db.execute(
      sql.raw(`insert into attest.collateral
        (name, chain, root, digest, body, issued_at, valid_until, received_at, origin)
        values (${values}, 'x', 'x', '', 0, 0, 0, 'fetched')`),
    )
    expect((await store.find(tcbInfo, null))!.edition).toBe(18n)
    const again = await open(database, { fetchItem: null })
    expect((await again.find(tcbInfo, null))!.edition).toBe(18n)
    expect(logged.filter((message) => message === 'collateral in the database is passed over').length).toBe(2)
  })

  test('no row that somebody wrote raises a floor, lowers one, or is used', async () => {
    const store = await open(database)
    await store.obtain(tcbInfo, null, operator)
    const before = await store.floors()
    await database.db.execute(
      sql`update attest.collateral set issued_at = 4000000000, edition = '99', digest = 'a', body = '\\x7b7d' where name like '%tcb-info%'`,
    )
    await database.db.execute(
      sql`update attest.collateral set digest = 'b', chain = '\\x5b5d' where name = 'intel/root-crl'`,
    )
    expect(await store.floors()).toEqual(before)
    expect((await store.find(tcbInfo, null))!.edition).toBe(18n)
    const again = await open(database, { fetchItem: null })
    expect(await again.floors()).toEqual([])
    expect(await again.find(tcbInfo, null)).toBeNull()
    expect(logged).toContain('collateral in the database is passed over')
    await database.db.execute(sql`delete from attest.collateral`)
    expect(await store.floors()).toEqual(before)
  })
})

describe('the store and its sources', () => {
  const { open: openAny } = anyDatabase()
  let database: Database
  beforeEach(async () => {
    database = await openAny()
  })
  const askedFor = (path: string) => vendor.asked.get(path) ?? 0

  test.each<[string, string, () => Promise<readonly CollateralItem[]>]>([
    [
      'dcap/collateral-signature',
      'is not signed',
      () => intelWith({ documentSigner: dcapKeys.other, tcbInfo: edition(99) }),
    ],
    ['dcap/collateral-not-yet-valid', 'is of the year 2096', () => intelWith({ tcbInfo: edition(99, 4_000_000_000) })],
    [
      'collateral/mismatch',
      'is for another family',
      () =>
        intelWith({
          tcbInfo: (info) => void Object.assign(info, { fmspc: '00806F050000', tcbEvaluationDataNumber: 99 }),
        }),
    ],
  ])('%s: a document that %s raises no floor and takes no place', async (code, _what, items) => {
    const store = await open(database)
    await store.obtain(tcbInfo, null, operator)
    const before = await store.floors()
    serveIntel(vendor, await items())
    expect(await codeOfPromise(store.renew(tcbInfo))).toBe(code)
    expect(await store.floors()).toEqual(before)
    expect((await store.find(tcbInfo, null))!.edition).toBe(18n)
    const item = (await store.status()).items.find(({ name }) => name.includes('tcb-info'))!
    expect([item.state, item.failure]).toEqual(['held-through-outage', code])
    pass(2)
    serveIntel(vendor, intel.items)
    await store.renew(tcbInfo)
    expect((await store.status()).items.map(({ state }) => state)).toEqual(['current', 'current'])
  })

  test('an outage is survived: nobody waits, the last good value serves to its end, and it is reported', async () => {
    const store = await open(database)
    await store.obtain(tcbInfo, null, caller)
    vendor.answers.clear()
    const waiting: (() => void)[] = []
    vendor.answers.set('*', (_, response) => void waiting.push(() => response.writeHead(503).end()))
    pass(13 * 3600)
    expect((await store.obtain(tcbInfo, null, stranger)).edition).toBe(18n) // while its source has not answered yet
    await settled(store, async () => waiting.length > 0)
    expect((await store.status()).sources.find(({ name }) => name === 'intel-families')).toMatchObject({ failures: 0 })
    for (const answer of waiting) answer()
    await settled(store, async () => (await store.status()).sources.some(({ state }) => state === 'failing'))
    const report = await store.status()
    expect(report.sources.find(({ name }) => name === 'intel-families')).toMatchObject({
      failures: 1,
      failure: { code: 'collateral/refused' },
      lastFailure: clock.at,
    })
    expect(report.items.find(({ name }) => name.includes('tcb-info'))!.state).toBe('held-through-outage')
    expect(logged).toContain('collateral source fails: what is held serves to its end')

    pass(31 * day)
    vendor.answers.set('*', status(500))
    expect(await codeOfPromise(store.obtain(tcbInfo, null, stranger))).toBe('collateral/refused')
    expect((await store.status()).items[0]!.state).toBe('expired')
    serveIntel(
      vendor,
      await intelDocuments({
        rootCrl: { thisUpdate: clock.at - 1, nextUpdate: clock.at + day },
        tcbInfo: (info) =>
          void Object.assign(info, { issueDate: formatTime(clock.at), nextUpdate: formatTime(clock.at + day) }),
      }).then(({ items }) => items),
    )
    pass(60)
    expect((await store.obtain(tcbInfo, null, stranger)).issuedAt).toBe(clock.at - 60)
    expect(logged).toContain('collateral source is back')
  })

  test('a failing source is left alone, longer each time, and as long as it asks for', async () => {
    const store = await open(database)
    vendor.answers.set(tcbPath, status(500))
    const attempt = () => codeOfPromise(store.obtain(tcbInfo, null, operator))
    expect(await attempt()).toBe('collateral/refused')
    expect(await attempt()).toBe('collateral/backing-off')
    expect(askedFor(tcbPath)).toBe(1)
    pass(1)
    expect(await attempt()).toBe('collateral/refused')
    pass(1)
    expect(await attempt()).toBe('collateral/backing-off')
    vendor.answers.set(tcbPath, status(429, { 'retry-after': '300' }))
    pass(1)
    expect(await attempt()).toBe('collateral/rate-limited')
    pass(299)
    expect(await attempt()).toBe('collateral/backing-off')
    expect(askedFor(tcbPath)).toBe(3)
    serveIntel(vendor, intel.items)
    pass(1)
    expect(await attempt()).toBe('ok')
  })

  test('what strangers can make up puts no source into a pause: a missing family is left alone by itself', async () => {
    const store = await open(database)
    const missing: CollateralName = { kind: 'intel-tcb-info', tee: 'tdx', fmspc: '000000000001' }
    expect(await codeOfPromise(store.obtain(missing, null, caller))).toBe('collateral/not-found')
    expect(await codeOfPromise(store.obtain(missing, null, caller))).toBe('collateral/backing-off')
    expect(await codeOfPromise(store.obtain(tcbInfo, null, caller))).toBe('ok')
  })

  test('a vendor that refuses chips still gives out its lists', async () => {
    const store = await open(database)
    const chip = vcekName('Genoa')
    vendor.answers.set('*', status(429))
    const other = { ...chip, hwId: '11'.repeat(64) }
    expect(await codeOfPromise(store.obtain(other, null, caller))).toBe('collateral/rate-limited')
    expect(await codeOfPromise(store.obtain(chip, null, caller))).toBe('collateral/backing-off')
    expect(await codeOfPromise(store.obtain(amdCrl, null, caller))).toBe('ok')
  })

  test('no vendor is asked for a stranger, and a credential has a budget of its own', async () => {
    const store = await open(database, { limits: { syncMs: 0, newPerMinute: 2, newPerMinuteOfAll: 3 } })
    const family = (i: number): CollateralName => ({ kind: 'intel-tcb-info', tee: 'tdx', fmspc: `00000000000${i}` })
    expect(await codeOfPromise(store.obtain(tcbInfo, null, stranger))).toBe('collateral/budget')
    expect(vendor.asked.size).toBe(0)
    const codes = async (id: string, from: number) => {
      const out: string[] = []
      for (let i = from; i < from + 3; i++)
        out.push(await codeOfPromise(store.obtain(family(i), null, { kind: 'credential', id })))
      return out
    }
    expect(await codes('one', 0)).toEqual(['collateral/not-found', 'collateral/not-found', 'collateral/budget'])
    expect(await codes('two', 3)).toEqual(['collateral/not-found', 'collateral/budget', 'collateral/budget'])
    expect(await codeOfPromise(store.obtain(tcbInfo, null, operator))).toBe('ok')
    expect(await codeOfPromise(store.obtain(tcbInfo, null, stranger))).toBe('ok')
  })

  test('fetches at the same time are bounded, and those that a fetch needs do not lock each other out', async () => {
    const store = await open(database, { limits: { syncMs: 0, fetchesMax: 2 } })
    const [one, two, three] = await Promise.all(
      [tcbInfo, { ...tcbInfo, tee: 'sgx' as const }, { kind: 'intel-qe-identity' as const, tee: 'tdx' as const }].map(
        (name) => codeOfPromise(store.obtain(name, null, operator)),
      ),
    )
    expect([one, two, three]).toEqual(['ok', 'ok', 'collateral/busy'])
  })

  test('without sources nothing is asked for, and what is missing is said', async () => {
    const store = await open(database, { fetchItem: null })
    expect(await codeOfPromise(store.obtain(tcbInfo, null, operator))).toBe('collateral/not-held')
    expect((await store.status()).fetching).toBe(false)
  })

  test('a document under another root than the evidence is not it', async () => {
    const store = await open(database)
    expect(await codeOfPromise(store.obtain(tcbInfo, '00'.repeat(32), operator))).toBe('collateral/not-held')
    expect(await store.find(tcbInfo, '00'.repeat(32))).toBeNull()
  })

  test('offered documents are taken in each by itself, in the order that they need; a dry run changes nothing', async () => {
    const store = await open(database, { fetchItem: null })
    const bad = { ...named(amd, amdCrl), body: new Uint8Array([1, 2, 3]) }
    const offered = [...[...intel.items].reverse(), ...amd.filter(({ name }) => name.kind !== 'amd-crl'), bad]
    const outcomes = async (dryRun: boolean) =>
      (await store.admit(offered, { dryRun })).map(({ outcome, failure }) => failure?.code ?? outcome)
    expect(await outcomes(true)).toEqual(['stored', 'crl/form', ...Array(6).fill('stored'), 'stored'])
    expect((await store.status()).items).toEqual([])
    expect(await outcomes(false)).toEqual(['stored', 'crl/form', ...Array(6).fill('stored'), 'stored'])
    expect(await outcomes(false)).toEqual(['unchanged', 'crl/form', ...Array(6).fill('unchanged'), 'unchanged'])
  })

  test('what is broken here is no refusal of a document, and goes up', async () => {
    const store = await open(database, { fetchItem: null })
    // A code alone makes no Failure.
    const bug = Object.assign(new Error('bug'), { code: 'crl/form' })
    const broken: CollateralItem = {
      ...named(amd, amdCrl),
      get body(): Uint8Array {
        throw bug
      },
    }
    await expect(store.admit([broken])).rejects.toBe(bug)
    const options = { simulatedRoots: [amdRoot], at: testTime, fetchItem: null }
    await expect(Collection.open([broken], options)).rejects.toBe(bug)
  })

  test('the lists of VCEKs and of VLEKs have a floor each', async () => {
    const store = await open(database, { fetchItem: null })
    const vlek: CollateralItem = { ...named(amd, amdCrl), name: { kind: 'amd-crl', product: 'Genoa', key: 'vlek' } }
    const newer = named((await amdDocuments({ crl: { thisUpdate: testTime } })).items, amdCrl)
    await store.admit([newer, vlek])
    const base = { kind: 'amd-crl', issuer: amdRoot }
    const revoked = { kind: 'amd-revoked', issuer: amdRoot, serial: '030000' }
    expect(await store.floors()).toEqual([
      { ...base, list: 'vcek', issuedAtMin: testTime },
      { ...revoked, issuedAtMin: testTime },
      { ...base, list: 'vlek', issuedAtMin: testTime - day },
      { ...revoked, issuedAtMin: testTime - day },
    ])
  })

  test('what one of AMD’s lists revoked stays so, for a store that opens later and whatever the next list says', async () => {
    const store = await open(database, { fetchItem: null })
    const listAt = async (thisUpdate: number, revoked: readonly number[], key: 'vcek' | 'vlek' = 'vlek') => ({
      ...named((await amdDocuments({ crl: { thisUpdate, revoked } })).items, amdCrl),
      name: { kind: 'amd-crl' as const, product: 'Genoa' as const, key },
    })
    const admit = async (to: CollateralStore, one: CollateralItem) => (await to.admit([one]))[0]!
    expect((await admit(store, await listAt(testTime - 10, [0x20101]))).outcome).toBe('stored')
    const revoked = { kind: 'amd-revoked', issuer: amdRoot, serial: '020101', issuedAtMin: testTime - 10 }
    expect(await store.floors()).toContainEqual(revoked)
    const forgetful = await listAt(testTime - 5, [])
    const again = await open(database, { fetchItem: null })
    for (const one of [store, again]) {
      expect((await admit(one, forgetful)).failure).toMatchObject({
        code: 'collateral/rollback',
        message: expect.stringContaining('020101'),
      })
      expect(await one.floors()).toContainEqual(revoked)
    }
    // By the row alone too: another process stored it, and this one has not read it yet.
    const late = await open(database, { fetchItem: null, limits: { syncMs: 1_000_000_000 } })
    expect((await admit(store, await listAt(testTime - 4, [0x20101, 0x20102]))).outcome).toBe('stored')
    expect((await admit(late, await listAt(testTime - 3, [0x20101]))).failure?.code).toBe('collateral/rollback')
    // The other kind's list says nothing of it, and stands beside it.
    expect((await admit(store, await listAt(testTime, [], 'vcek'))).outcome).toBe('stored')
    expect(await store.floors()).toContainEqual({ ...revoked, serial: '020102', issuedAtMin: testTime - 4 })
  })

  test('a full store takes nothing more, but in the place of the chip that was asked for longest ago', async () => {
    // What is written below is never read here: it only takes the room.
    const store = await open(database, { fetchItem: null, limits: { syncMs: 1_000_000_000 } })
    const fill = (from: number, to: number, name: string) =>
      database.db.execute(sql`insert into attest.collateral
        (root, name, digest, body, chain, issued_at, valid_until, received_at, origin)
        select 'x', ${name} || n, '', '', '', 0, 0, n, 'imported' from generate_series(${from}::int, ${to}::int) as n`)
    await fill(1, itemsMax, 'intel/tdx/')
    const admit = async () => (await store.admit([amdList])).map(({ outcome, failure }) => failure?.code ?? outcome)
    const amdList = named(amd, amdCrl)
    expect(await admit()).toEqual(['collateral/full'])
    await database.db.execute(sql`update attest.collateral set name = 'amd/genoa/vcek/' || received_at || '/0'
      where received_at > ${itemsMax - 2}`)
    expect(await admit()).toEqual(['stored'])
    const left = await rowsOf(
      database.db,
      sql`select name from attest.collateral where name like 'amd/%' order by name`,
    )
    expect(left.map(({ name }) => name)).toEqual([`amd/genoa/vcek/${itemsMax}/0`, formatName(amdCrl)].sort())
  })

  test('a truncated or wrong answer is the trouble of its document, and heals', async () => {
    const store = await open(database)
    vendor.answers.set(tcbPath, gives('{"tcbInfo":{', { 'TCB-Info-Issuer-Chain': 'x' }))
    expect(await codeOfPromise(store.obtain(tcbInfo, null, operator))).toBe('collateral/content')
    serveIntel(vendor, intel.items)
    pass(1)
    expect(await codeOfPromise(store.obtain(tcbInfo, null, operator))).toBe('ok')
  })
})
