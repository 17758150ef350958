import { sql } from 'drizzle-orm'
import { getTableConfig } from 'drizzle-orm/pg-core'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { type Database, rowsOf } from '#host/database.js'
import { loadPlaces, storeDecisions } from '#keybroker/store/decisions.js'
import {
  appendEntry,
  countRefusal,
  hasPendingState,
  loadEntry,
  loadEntryAt,
  loadPendingEntries,
  loadStateIndex,
  recordEntryIndex,
  recordEntryIndexes,
  takeRefusals,
} from '#keybroker/store/entries.js'
import { endLease, listLiveLeases, loadLease, renewLease } from '#keybroker/store/leases.js'
import { consumeNonces, forgetExpiredNonces, type PresentedNonce, storeNonces } from '#keybroker/store/nonces.js'
import { migrateStore } from '#keybroker/store/open.js'
import * as tables from '#keybroker/store/schema.js'
import {
  countOpenSessions,
  dropSession,
  finishSession,
  forgetExpiredSessions,
  loadAttestedSession,
  storeSession,
  takeSession,
} from '#keybroker/store/sessions.js'
import {
  appendStatement,
  createTenant,
  listModelKeys,
  listNewestStatements,
  listStatements,
  listTenants,
  loadModelKey,
  loadStatement,
  loadTenant,
  replaceModelKey,
  type StatementRow,
  storeModelKey,
} from '#keybroker/store/tenants.js'
import type { DecisionWrites, PlacesWanted } from '#keybroker/stored.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

const now = 1_764_000_000
const acme = {
  id: 'acme',
  class: 'development' as const,
  ownerKeys: utf8('[]'),
  ownerKeysDigest: 'd0',
  createdAt: now,
}
const leaseOf = (id: string) => ({
  id,
  tenant: 'acme',
  model: 'm',
  version: 1,
  platform: 'p',
  keysetDigest: 'k',
  entry: 'one',
  grantedAt: now,
  expiresAt: now + 60,
  terms: utf8('{}'),
})
const nothing: DecisionWrites = {
  entries: [],
  granted: [],
  renewed: [],
  devices: [],
  requests: [],
  account: null,
  contradictions: [],
}
const statement = (sequence: number, digest: string, predecessor: string | null): StatementRow => ({
  tenant: 'acme',
  kind: 'policy',
  model: 'whisper',
  sequence,
  digest,
  predecessor,
  envelope: utf8(`envelope ${digest}`),
  entry: null,
  accepted: null,
  recordedAt: now,
})
const entry = (id: string, isState = false) => ({
  id,
  tenant: 'acme',
  kind: isState ? 'policy' : 'release',
  isState,
  leaf: utf8(`leaf ${id}`),
  account: null,
  bundle: utf8(`bundle ${id}`),
  recordedAt: now,
})
const key = (model: string, version: number) => ({
  tenant: 'acme',
  model,
  version,
  manifestDigest: `m-${model}-${version}`,
  trustDigest: 't0',
  keyId: 'k0',
  wrapped: utf8(`wrapped ${model} ${version}`),
  share: null,
  createdAt: now,
})

/** How many of the promises were kept, and the codes of those that were not. */
async function outcomes(all: readonly Promise<unknown>[]) {
  const settled = await Promise.allSettled(all)
  const codes = settled.flatMap((one) => (one.status === 'rejected' ? [(one.reason as { code: string }).code] : []))
  return { kept: settled.length - codes.length, codes: [...new Set(codes)] }
}

describe.each(databasesUnderTest())('the store on $name', ({ open }) => {
  async function opened(): Promise<Database> {
    const database = await open()
    await migrateStore(database)
    await createTenant(database.db, acme)
    return database
  }

  test('has the columns that the schema describes', async () => {
    const database = await opened()
    const described = Object.values(tables)
      .filter((table) => typeof table === 'object')
      .flatMap((table) => {
        const { name, columns } = getTableConfig(table)
        return columns.map((one) => `${name}.${one.name} ${one.getSQLType()} ${one.notNull ? 'not null' : 'null'}`)
      })
    const actual = (
      await rowsOf(
        database.db,
        sql`select table_name || '.' || column_name || ' ' || data_type || case is_nullable when 'NO' then ' not null' else ' null' end as line
            from information_schema.columns where table_schema = 'keybroker' and table_name <> 'migrations'`,
      )
    ).map((row) => String(row.line))
    expect(described.toSorted()).toEqual(actual.toSorted())
    expect(described.length).toBeGreaterThan(50)
  })

  test('keeps tenants, each once, and their class for ever', async () => {
    const database = await opened()
    expect(await loadTenant(database.db, 'acme')).toEqual(acme)
    await expect(createTenant(database.db, { ...acme, class: 'production' })).rejects.toMatchObject({
      code: 'store/tenant-exists',
    })
    const flip = database.read((db) => db.execute(sql`update keybroker.tenants set class = 'production'`))
    await expect(flip).rejects.toMatchObject({ code: 'database/constraint' })
    expect((await listTenants(database.db)).map((one) => one.class)).toEqual(['development'])
    await expect(loadTenant(database.db, 'other')).rejects.toMatchObject({ code: 'store/tenant-unknown' })
  })

  test('appends statements in one chain only', async () => {
    const database = await opened()
    const append = (row: StatementRow) => appendStatement(database.db, row)
    const chain = { tenant: 'acme', kind: 'policy', model: 'whisper' }
    expect(await loadStatement(database.db, chain)).toBeUndefined()
    await expect(append(statement(2, 'd2', 'd1'))).rejects.toMatchObject({ code: 'store/statement-chain' })
    await append(statement(1, 'd1', null))
    await expect(append(statement(1, 'x', null))).rejects.toMatchObject({ code: 'store/statement-chain' })
    await expect(append(statement(2, 'x', 'other'))).rejects.toMatchObject({ code: 'store/statement-chain' })
    await expect(append(statement(3, 'x', 'd1'))).rejects.toMatchObject({ code: 'store/statement-chain' })
    await expect(append(statement(2, 'd1', 'd1'))).rejects.toMatchObject({ code: 'store/statement-chain' })
    await append(statement(2, 'd2', 'd1'))
    await append({ ...statement(1, 'e1', null), kind: 'trust', model: '' })
    expect(await loadStatement(database.db, chain)).toEqual(statement(2, 'd2', 'd1'))
    expect((await listStatements(database.db, chain)).map((row) => row.digest)).toEqual(['d1', 'd2'])
    expect((await listNewestStatements(database.db, 'acme')).map((row) => row.digest)).toEqual(['d2', 'e1'])
  })

  test('of statements that follow the same one, exactly one gets in', async () => {
    const database = await opened()
    const rivals = Array.from({ length: 8 }, (_, i) => appendStatement(database.db, statement(1, `r${i}`, null)))
    expect(await outcomes(rivals)).toEqual({ kept: 1, codes: ['store/statement-chain'] })
  })

  test('keeps one wrapped key a version', async () => {
    const database = await opened()
    await storeModelKey(database.db, key('whisper', 1))
    await storeModelKey(database.db, key('whisper', 2))
    await storeModelKey(database.db, key('other', 1))
    await expect(storeModelKey(database.db, key('whisper', 2))).rejects.toMatchObject({
      code: 'store/model-key-exists',
    })
    await replaceModelKey(database.db, { ...key('whisper', 1), wrapped: utf8('again'), keyId: 'k1', trustDigest: 't1' })
    expect(await loadModelKey(database.db, key('whisper', 1))).toEqual({
      ...key('whisper', 1),
      wrapped: utf8('again'),
      keyId: 'k1',
      trustDigest: 't1',
    })
    expect((await listModelKeys(database.db, 'acme', 'whisper')).map((row) => row.version)).toEqual([1, 2])
    expect(await listModelKeys(database.db, 'acme')).toHaveLength(3)
    await expect(loadModelKey(database.db, key('none', 1))).rejects.toMatchObject({ code: 'store/model-key-unknown' })
    await expect(replaceModelKey(database.db, key('none', 1))).rejects.toMatchObject({
      code: 'store/model-key-unknown',
    })
  })

  const waiting = { nonce: randomBytes(32), purpose: 'release', context: utf8('a'), expiresAt: now + 60, most: 9 }
  const presented: PresentedNonce = { ...waiting, purposes: ['x', 'release'], at: now }

  test('a nonce is used once: of many that present it at the same time exactly one wins', async () => {
    const database = await opened()
    expect(await storeNonces(database.db, [waiting], now)).toEqual([true])
    const all = Array.from({ length: 6 }, () => database.read((db) => consumeNonces(db, [presented, presented])))
    const codes = (await Promise.all(all)).flat().map((one) => one?.code ?? 'won')
    expect(codes.toSorted()).toEqual([...Array.from({ length: 11 }, () => 'store/nonce-unknown'), 'won'])
  })

  test('those who spend the same nonces in another order do not wait for each other', async () => {
    const database = await opened()
    const some = Array.from({ length: 40 }, () => ({ ...waiting, nonce: randomBytes(32), most: 1000 }))
    await storeNonces(database.db, some, now)
    const all = Array.from({ length: 8 }, (_, i) => {
      const order = some.map((one) => ({ ...presented, nonce: one.nonce }))
      return database.read((db) => consumeNonces(db, i % 2 === 0 ? order : order.toReversed()))
    })
    const won = (await Promise.all(all)).flat().filter((one) => one === null)
    expect(won).toHaveLength(40)
  })

  test.each(['another purpose', 'another context', 'too late'])('refuses a nonce for %s', async (how) => {
    const database = await opened()
    await storeNonces(database.db, [waiting], now)
    const wanted: PresentedNonce = {
      ...presented,
      purposes: how === 'another purpose' ? ['kbs', 'x'] : ['x', 'release'],
      context: how === 'another context' ? utf8('b') : waiting.context,
      at: how === 'too late' ? now + 60 : now,
    }
    const [refused, after] = await consumeNonces(database.db, [wanted, presented])
    expect(refused?.code).toBe('store/nonce-unknown')
    // Whoever shows it where it does not belong has spent it, but for one who drew it from another pot.
    expect(after?.code).toBe(how === 'another purpose' ? undefined : 'store/nonce-unknown')
  })

  test('no more nonces wait for a purpose than may', async () => {
    const database = await opened()
    const of = (purpose: string, most: number) => ({ ...waiting, nonce: randomBytes(32), purpose, most })
    const some = [of('a', 3), of('b', 1), of('a', 3), of('b', 1), of('a', 3), of('a', 3)]
    expect(await storeNonces(database.db, some, now)).toEqual([true, true, true, false, true, false])
    expect(await storeNonces(database.db, [of('a', 3), of('c', 1)], now)).toEqual([false, true])
    // Those that expired do not count.
    expect(await storeNonces(database.db, [of('a', 3)], now + 60)).toEqual([true])
  })

  test('forgets nonces that expired', async () => {
    const database = await opened()
    const one = { ...waiting, purpose: 'x', expiresAt: now }
    await storeNonces(database.db, [one, { ...one, nonce: randomBytes(32), expiresAt: now + 1 }], now)
    await forgetExpiredNonces(database.db, now)
    expect(await rowsOf(database.db, sql`select count(*)::int as n from keybroker.nonces`)).toEqual([{ n: 1 }])
  })

  test('a session is taken once, and ends attested or gone', async () => {
    const database = await opened()
    const id = randomBytes(32)
    await storeSession(database.db, { idDigest: id, tee: 'snp', nonce: 'n', expiresAt: now + 300 })
    expect(await countOpenSessions(database.db, now)).toBe(1)
    await expect(finishSession(database.db, id, 'token', now)).rejects.toMatchObject({ code: 'store/session-unknown' })
    const all = Array.from({ length: 8 }, () => takeSession(database.db, id, now))
    expect(await outcomes(all)).toEqual({ kept: 1, codes: ['store/session-unknown'] })
    expect(await loadAttestedSession(database.db, id, now)).toBeUndefined()
    await finishSession(database.db, id, 'token', now)
    expect(await loadAttestedSession(database.db, id, now)).toMatchObject({ token: 'token', tee: 'snp' })
    expect(await loadAttestedSession(database.db, id, now + 300)).toBeUndefined()
    await expect(takeSession(database.db, id, now)).rejects.toMatchObject({ code: 'store/session-unknown' })
    await dropSession(database.db, id)
    expect(await loadAttestedSession(database.db, id, now)).toBeUndefined()
    await storeSession(database.db, { idDigest: id, tee: 'snp', nonce: 'n', expiresAt: now })
    await forgetExpiredSessions(database.db, now)
    expect(await rowsOf(database.db, sql`select 1 from keybroker.sessions`)).toEqual([])
  })

  test('gives entries to the log in order and takes its index once', async () => {
    const database = await opened()
    await appendEntry(database.db, entry('one', true))
    await appendEntry(database.db, entry('two'))
    expect((await loadPendingEntries(database.db, 10)).map((row) => row.id)).toEqual(['one', 'two'])
    expect(await loadPendingEntries(database.db, 1)).toHaveLength(1)
    expect(await loadStateIndex(database.db, 'acme')).toBeNull()
    expect(await hasPendingState(database.db, 'acme')).toBe(true)
    await recordEntryIndex(database.db, 'one', 7)
    await recordEntryIndex(database.db, 'one', 7)
    await expect(recordEntryIndex(database.db, 'one', 8)).rejects.toMatchObject({ code: 'store/entry-index' })
    await expect(recordEntryIndex(database.db, 'none', 8)).rejects.toMatchObject({ code: 'store/entry-unknown' })
    // Together: one that has its index stays as it is, and so does one that is not there.
    const some = ['two', 'one', 'none', 'two'].map((id, i) => ({ id, entryIndex: 9 + i }))
    expect([...(await recordEntryIndexes(database.db, some))]).toEqual([{ id: 'two', entryIndex: 9 }])
    expect(await loadPendingEntries(database.db, 10)).toEqual([])
    expect(await loadStateIndex(database.db, 'acme')).toBe(7)
    expect(await hasPendingState(database.db, 'acme')).toBe(false)
    expect(await loadEntryAt(database.db, 9)).toMatchObject({ ...entry('two'), entryIndex: 9 })
    await expect(loadEntryAt(database.db, 10)).rejects.toMatchObject({ code: 'store/entry-unknown' })
    expect((await loadEntry(database.db, 'one')).leaf).toEqual(utf8('leaf one'))
  })

  test('an entry and the change that it reports are durable together', async () => {
    const database = await opened()
    const stopped = database.transaction(async (tx) => {
      await appendEntry(tx, entry('lost', true))
      await appendStatement(tx, { ...statement(1, 'd1', null), entry: 'lost' })
      throw new Error('stop')
    })
    await expect(stopped).rejects.toThrow('stop')
    expect(await loadPendingEntries(database.db, 10)).toEqual([])
    expect(await listNewestStatements(database.db, 'acme')).toEqual([])
  })

  test('stores decisions with all that follows from them, or nothing of it', async () => {
    const database = await opened()
    const lease = { ...leaseOf('l1'), entry: 'one' }
    const account = { id: 'a', state: utf8('state') }
    const counted = { ...entry('one'), account: 'a' }
    const request = { tenant: 'acme', id: 'r1', digest: 'd', lease: 'l1', entry: 'one', decidedAt: now }
    const first: DecisionWrites = {
      entries: [counted, entry('two')],
      granted: [lease],
      renewed: [],
      devices: [{ lease: 'l1', devices: ['d1', 'd2'] }],
      requests: [request],
      account,
      contradictions: [{ tenant: 'acme', platform: 'p1', seenAt: now, because: 'location/apart', entry: 'two' }],
    }
    await storeDecisions(database.db, first, now)
    expect((await loadPendingEntries(database.db, 10)).map((row) => row.id)).toEqual(['one', 'two'])
    const wanted: PlacesWanted = {
      tenant: 'acme',
      model: 'm',
      at: now,
      requests: ['r1', 'r2'],
      leases: ['l2'],
      devices: ['d2', 'd3'],
      platforms: ['p1', 'p2'],
      account: 'a',
    }
    expect(await loadPlaces(database.db, wanted)).toEqual({
      live: 1,
      granted: new Map([['r1', { digest: 'd', lease: 'l1' }]]),
      leases: new Map([['l1', { ...lease, endedAt: null, before: 0 }]]),
      devices: [{ lease: 'l1', device: 'd2' }],
      contradicted: new Map([['p1', now]]),
      account: { state: account.state, entry: 'one' },
    })
    // Renewed: one device stays, one goes, one comes; what the request was stays.
    const renewed = { id: 'l1', entry: 'three', expiresAt: now + 90, terms: utf8('{"n":2}'), keysetDigest: 'k2' }
    const second: DecisionWrites = {
      entries: [entry('three')],
      granted: [{ ...leaseOf('l2'), entry: 'three' }],
      renewed: [renewed],
      devices: [{ lease: 'l1', devices: ['d2', 'd3'] }],
      requests: [{ ...request, digest: 'other', entry: 'three' }],
      account: null,
      contradictions: [
        { tenant: 'acme', platform: 'p1', seenAt: now - 1, because: 'location/refuted', entry: 'three' },
        { tenant: 'acme', platform: 'p2', seenAt: now + 1, because: 'location/refuted', entry: 'three' },
      ],
    }
    await storeDecisions(database.db, second, now)
    const then = await loadPlaces(database.db, { ...wanted, account: null })
    expect(then.live).toBe(2)
    expect(then.granted.get('r1')?.digest).toBe('d')
    expect(then.leases.get('l1')).toEqual({ ...lease, ...renewed, endedAt: null, before: 0 })
    expect(then.leases.get('l2')?.before).toBe(1)
    expect(then.devices.map((one) => one.device).toSorted()).toEqual(['d2', 'd3'])
    expect(await rowsOf(database.db, sql`select 1 from keybroker.lease_devices`)).toHaveLength(2)
    // One that is over by then is not renewed, and with it nothing of the rest is stored.
    const late = { ...second, entries: [entry('four')], granted: [], requests: [] }
    await expect(database.transaction((tx) => storeDecisions(tx, late, now + 90))).rejects.toMatchObject({
      code: 'store/lease-unknown',
    })
    expect(await loadPendingEntries(database.db, 10)).toHaveLength(3)
    expect((await loadPlaces(database.db, { ...wanted, at: now + 90 })).live).toBe(0)
  })

  test('counts refusals and hands each count over once', async () => {
    const database = await opened()
    const refusal = { tenant: '', code: 'snp/signature', periodStart: now }
    await Promise.all(Array.from({ length: 5 }, () => countRefusal(database.db, refusal)))
    await countRefusal(database.db, { ...refusal, periodStart: now + 60 })
    expect(await takeRefusals(database.db, now + 60)).toEqual([{ ...refusal, count: 5 }])
    expect(await takeRefusals(database.db, now + 60)).toEqual([])
  })

  test('leases live until they end or expire', async () => {
    const database = await opened()
    await appendEntry(database.db, entry('one'))
    const lease = leaseOf('l1')
    await storeDecisions(database.db, { ...nothing, granted: [lease, { ...lease, id: 'l2', model: 'other' }] }, now)
    const of = { tenant: 'acme', model: 'm' }
    expect(await listLiveLeases(database.db, of, now)).toEqual([{ ...lease, endedAt: null }])
    expect(await listLiveLeases(database.db, { tenant: 'acme' }, now)).toHaveLength(2)
    expect(await listLiveLeases(database.db, of, now + 60)).toEqual([])
    const renewed = { id: 'l1', entry: 'one', expiresAt: now + 120, terms: utf8('{"n":2}'), keysetDigest: 'k2' }
    await renewLease(database.db, renewed, now + 59)
    expect(await loadLease(database.db, 'l1')).toEqual({ ...lease, ...renewed, endedAt: null })
    await endLease(database.db, 'l1', now + 61)
    await endLease(database.db, 'l1', now + 62)
    expect((await loadLease(database.db, 'l1')).endedAt).toBe(now + 61)
    await expect(renewLease(database.db, renewed, now + 61)).rejects.toMatchObject({ code: 'store/lease-unknown' })
    await expect(endLease(database.db, 'none', now)).rejects.toMatchObject({ code: 'store/lease-unknown' })
  })

  test('a limit counted and used in one serializable transaction is never passed', async () => {
    const database = await opened()
    await appendEntry(database.db, entry('one'))
    const grant = (id: string) =>
      database.transaction(
        async (tx) => {
          if ((await listLiveLeases(tx, { tenant: 'acme', model: 'm' }, now)).length >= 2) return false
          await storeDecisions(tx, { ...nothing, granted: [leaseOf(id)] }, now)
          return true
        },
        { isolation: 'serializable' },
      )
    const granted = await Promise.all(Array.from({ length: 8 }, (_, i) => grant(`l${i}`)))
    expect(granted.filter(Boolean)).toHaveLength(2)
  })
})
