import { sql } from 'drizzle-orm'
import { getTableConfig } from 'drizzle-orm/pg-core'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { type Database, rowsOf } from '#host/database.js'
import {
  appendEntry,
  countRefusal,
  hasPendingState,
  loadEntry,
  loadEntryAt,
  loadPendingEntries,
  loadRequest,
  loadStateIndex,
  recordEntryIndex,
  recordRequest,
  takeRefusals,
} from '#keybroker/store/entries.js'
import { endLease, listLiveLeases, loadLease, renewLease, storeLease } from '#keybroker/store/leases.js'
import { consumeNonce, countNonces, forgetExpiredNonces, storeNonce } from '#keybroker/store/nonces.js'
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
import { databasesUnderTest } from '#test/fakes/postgres.js'

const now = 1_764_000_000
const acme = {
  id: 'acme',
  class: 'development' as const,
  ownerKeys: utf8('[]'),
  ownerKeysDigest: 'd0',
  createdAt: now,
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

  test('a nonce is used once: of many that present it at the same time exactly one wins', async () => {
    const database = await opened()
    const nonce = randomBytes(32)
    const wanted = { nonce, purpose: 'release', context: utf8('acme/whisper') }
    await storeNonce(database.db, { ...wanted, expiresAt: now + 60 })
    expect([await countNonces(database.db, 'release', now), await countNonces(database.db, 'kbs', now)]).toEqual([1, 0])
    const all = Array.from({ length: 12 }, () =>
      consumeNonce(database.db, { ...wanted, purposes: ['x', 'release'] }, now),
    )
    expect(await outcomes(all)).toEqual({ kept: 1, codes: ['store/nonce-unknown'] })
  })

  test.each(['another purpose', 'another context', 'too late'])('refuses a nonce for %s', async (how) => {
    const database = await opened()
    const nonce = { nonce: randomBytes(32), purpose: 'release', context: utf8('a') }
    await storeNonce(database.db, { ...nonce, expiresAt: now + 60 })
    const wanted = {
      ...nonce,
      purposes: how === 'another purpose' ? ['kbs', 'x'] : ['release'],
      ...(how === 'another context' ? { context: utf8('b') } : {}),
    }
    const consumed = consumeNonce(database.db, wanted, how === 'too late' ? now + 60 : now)
    await expect(consumed).rejects.toMatchObject({ code: 'store/nonce-unknown' })
  })

  test('forgets nonces that expired', async () => {
    const database = await opened()
    await storeNonce(database.db, { nonce: randomBytes(32), purpose: 'x', context: utf8(''), expiresAt: now })
    await storeNonce(database.db, { nonce: randomBytes(32), purpose: 'x', context: utf8(''), expiresAt: now + 1 })
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
    await recordEntryIndex(database.db, 'two', 9)
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

  test('knows a retry of a request from its first try', async () => {
    const database = await opened()
    await appendEntry(database.db, entry('one'))
    const row = { tenant: 'acme', id: 'r1', digest: 'd', lease: null, entry: 'one', decidedAt: now }
    expect(await loadRequest(database.db, row)).toBeUndefined()
    const tries = await Promise.all(
      Array.from({ length: 6 }, () => database.transaction((tx) => recordRequest(tx, row))),
    )
    expect(tries.toSorted()).toEqual(['again', 'again', 'again', 'again', 'again', 'first'])
    expect(await loadRequest(database.db, row)).toEqual(row)
    await expect(recordRequest(database.db, { ...row, digest: 'other' })).rejects.toMatchObject({
      code: 'store/request-reused',
    })
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
    const lease = {
      id: 'l1',
      tenant: 'acme',
      model: 'whisper',
      version: 1,
      platform: 'p',
      keysetDigest: 'k',
      entry: 'one',
      grantedAt: now,
      expiresAt: now + 60,
      terms: utf8('{}'),
    }
    await storeLease(database.db, lease)
    await storeLease(database.db, { ...lease, id: 'l2', model: 'other' })
    const of = { tenant: 'acme', model: 'whisper' }
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
          await storeLease(tx, {
            id,
            tenant: 'acme',
            model: 'm',
            version: 1,
            platform: id,
            keysetDigest: 'k',
            entry: 'one',
            grantedAt: now,
            expiresAt: now + 60,
            terms: utf8('{}'),
          })
          return true
        },
        { isolation: 'serializable' },
      )
    const granted = await Promise.all(Array.from({ length: 8 }, (_, i) => grant(`l${i}`)))
    expect(granted.filter(Boolean)).toHaveLength(2)
  })
})
