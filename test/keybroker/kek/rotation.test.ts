import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { equal } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { parseEntry } from '#core/wire/entries.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { type Database, rowsOf } from '#host/database.js'
import type { Broker } from '#keybroker/broker.js'
import { parseResourcePath } from '#keybroker/kbs/resource.js'
import { createKek, openKek } from '#keybroker/kek/open.js'
import { type KekRing, kekRing } from '#keybroker/kek/ring.js'
import type { KekSetting } from '#keybroker/kek/setting.js'
import { publishAbandoned } from '#keybroker/outbox.js'
import { registerModel } from '#keybroker/register.js'
import { type RotationOptions, rotateKeks } from '#keybroker/service/rotate.js'
import { verifyKeksOpen } from '#keybroker/service/stored-keys.js'
import { kbsResources } from '#keybroker/store/kbs-store.js'
import { listWrapped, loadWrapped } from '#keybroker/store/wrapped.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { startVault, type Vault } from '#test/fakes/vault.js'
import {
  ask,
  gist,
  nextVersion,
  type Registered,
  registered,
  registration,
  testNode,
} from '#test/keybroker/fixtures.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-rotation-'))
let vault: Vault
beforeAll(async () => {
  vault = await startVault()
  vault.addKey('claviger')
})
afterAll(async () => {
  await vault.close()
  rmSync(folder, { recursive: true, force: true })
})
let count = 0
/** A new key in a file of its own. */
async function another(): Promise<KekSetting> {
  const setting: KekSetting = { provider: 'file', path: join(folder, `kek-${count++}`) }
  await createKek(setting)
  return setting
}

describe.each(databasesUnderTest())('rotation of the key-encryption key: $name', ({ open }) => {
  const path = parseResourcePath('default/secret/one')
  const secret = randomBytes(48)

  /** Two versions of a model and a resource, under the key that the broker was made with. */
  async function stored(): Promise<{ chain: Registered; database: Database; old: KekRing }> {
    const database = await open()
    const chain = await registered(database)
    const { broker } = chain.test
    callerSecret = broker.callerSecret
    const next = await nextVersion(chain.owner, 2)
    const lease = { seconds: 20, budget: budgetOf(1), nodes: 99 }
    await registerModel(
      broker,
      await registration(chain.test, next, chain.platform, { registration: { version: 2, lease } }),
    )
    await kbsResources(database, broker.kek, broker.clock).store(path, secret)
    return { chain: { ...chain, owner: next }, database, old: broker.kek as KekRing }
  }
  let now = 1_790_000_000
  let callerSecret: Uint8Array
  const optionsOf = (database: Database, kek: KekRing, more: Partial<RotationOptions> = {}): RotationOptions => ({
    database,
    kek,
    clock: () => now++,
    callerSecret,
    dryRun: false,
    ...more,
  })
  const keyIdsOf = async (database: Database) => {
    const names = await database.read(listWrapped)
    const rows = await Promise.all(names.map((name) => database.read((db) => loadWrapped(db, name))))
    return rows.map((row) => row!.keyId)
  }
  const entriesOf = async (database: Database) => {
    const rows = await rowsOf(
      database.db,
      sql`select leaf from keybroker.entries where kind = 'kek-rotation' order by position`,
    )
    return rows.map((row) => parseEntry(new Uint8Array(row.leaf as Uint8Array)))
  }
  /** A release and the resource come out as before. */
  async function works(chain: Registered, kek: KekRing): Promise<void> {
    const broker: Broker = { ...chain.test.broker, kek }
    const made = { ...chain, test: { ...chain.test, broker } }
    const node = await testNode(made)
    const second = { change: (asked: ReleaseRequest) => ({ ...asked, modelVersion: 2 }) }
    expect(gist(await ask(made, node, second))).toBe('granted')
    const opened = await kbsResources(chain.test.database, kek, broker.clock).load(path)
    expect(equal(opened!, secret)).toBe(true)
  }

  test('every row is wrapped by the new key, nothing else changes, and the log says so', async () => {
    const { chain, database, old } = await stored()
    const target = await openKek(await another())
    expect(await codeOfPromise(verifyKeksOpen(database, await kekRing(target)))).toBe('kek/key-id')
    expect(await codeOfPromise(rotateKeks(optionsOf(database, await kekRing(target))))).toBe('kek/key-id')
    const ring = await kekRing(target, [old])
    await works(chain, ring)
    const tried = await rotateKeks(optionsOf(database, ring, { dryRun: true }))
    expect(tried).toEqual({ total: 3, rewrapped: 3, bad: [], finished: false })
    expect(new Set(await keyIdsOf(database))).toEqual(new Set([old.keyId]))
    expect(await entriesOf(database)).toEqual([])

    const seen: number[] = []
    const onProgress = (done: number, total: number) => void seen.push(done / total)
    const done = await rotateKeks(optionsOf(database, ring, { onProgress }))
    expect(done).toEqual({ total: 3, rewrapped: 3, bad: [], finished: true })
    expect(seen.at(-1)).toBe(1)
    expect(new Set(await keyIdsOf(database))).toEqual(new Set([target.keyId]))
    const alone = await kekRing(target)
    await verifyKeksOpen(database, alone)
    await works(chain, alone)
    expect(await codeOfPromise(verifyKeksOpen(database, old))).toBe('kek/key-id')

    const entry = { kind: 'kek-rotation', from: [old.keyId], to: target.keyId, provider: 'file', holder: 'operator' }
    expect(await entriesOf(database)).toMatchObject([entry])
    await publishAbandoned(chain.test.broker)
    expect(await rowsOf(database.db, sql`select 1 from keybroker.entries where entry_index is null`)).toEqual([])
    expect(await rotateKeks(optionsOf(database, alone))).toEqual({ total: 3, rewrapped: 0, bad: [], finished: true })
    expect(await entriesOf(database)).toHaveLength(1)
    // What somebody else puts among the entries that wait never reaches the log (I18).
    await database.db.execute(sql`insert into keybroker.entries (id, kind, is_state, leaf, bundle, recorded_at)
      select repeat('0', 32), kind, is_state, leaf, bundle, recorded_at from keybroker.entries where kind = 'kek-rotation'`)
    expect(await codeOfPromise(publishAbandoned(chain.test.broker))).toBe('broker/record')
    await chain.test.close()
  })

  test('a run that is cut short has lost nothing, and the next one goes on', async () => {
    const { chain, database, old } = await stored()
    const target = await openKek(await another())
    const ring = await kekRing(target, [old])
    for (let left = 2; left >= 1; left--) {
      const stop = () => {
        throw new Failure('test/killed', 'killed after one row')
      }
      expect(
        await codeOfPromise(
          rotateKeks(optionsOf(database, ring, { onProgress: (done) => done === 4 - left - 1 && stop() })),
        ),
      ).toBe('test/killed')
      expect((await keyIdsOf(database)).filter((id) => id === old.keyId)).toHaveLength(left)
      await works(chain, ring)
    }
    expect(await rotateKeks(optionsOf(database, ring))).toMatchObject({ rewrapped: 1, finished: true })
    await works(chain, await kekRing(target))
    expect(await entriesOf(database)).toHaveLength(3)
    await chain.test.close()
  })

  test('a provider that fails in between has changed no row that it did not finish', async () => {
    const { chain, database, old } = await stored()
    const target = await openKek(await another())
    const ring = await kekRing(target, [old])
    let calls = 0
    const failing: KekRing = {
      ...ring,
      unwrapDek: async (...given) => {
        if (++calls === 4) throw new Failure('kek/vault-sealed', 'sealed')
        return ring.unwrapDek(...given)
      },
    }
    expect(await codeOfPromise(rotateKeks(optionsOf(database, failing)))).toBe('kek/vault-sealed')
    expect((await keyIdsOf(database)).filter((id) => id === old.keyId)).toHaveLength(2)
    await works(chain, ring)
    await chain.test.close()
  })

  test('nothing is stored that does not unwrap', async () => {
    const { chain, database, old } = await stored()
    const target = await openKek(await another())
    const ring = await kekRing(target, [old])
    const broken: KekRing = {
      ...ring,
      wrapDek: async (dek, aad) => (await ring.wrapDek(dek, aad)).map((byte, i) => (i === 100 ? byte ^ 1 : byte)),
    }
    const result = await rotateKeks(optionsOf(database, broken))
    expect(result).toMatchObject({ rewrapped: 0, finished: false })
    expect(result.bad).toHaveLength(3)
    await works(chain, old)
    await chain.test.close()
  })

  test('a row that somebody changed is named, stays as it is, and keeps the key before needed', async () => {
    const { chain, database, old } = await stored()
    await database.db.execute(sql`update keybroker.model_keys set trust_digest = repeat('0', 64) where version = 2`)
    const target = await openKek(await another())
    const result = await rotateKeks(optionsOf(database, await kekRing(target, [old])))
    expect(result).toMatchObject({ total: 3, rewrapped: 2, finished: false })
    expect(result.bad).toMatchObject([{ name: { kind: 'model', version: 2 }, code: 'kek/unwrap' }])
    expect((await keyIdsOf(database)).filter((id) => id === old.keyId)).toHaveLength(1)
    await chain.test.close()
  })

  test('a row that a broker changes meanwhile is not overwritten, and is taken up again', async () => {
    const { chain, database, old } = await stored()
    const target = await openKek(await another())
    const ring = await kekRing(target, [old])
    const newer = randomBytes(48)
    let once = true
    const racing: KekRing = {
      ...ring,
      wrapDek: async (dek, aad) => {
        const wrapped = await ring.wrapDek(dek, aad)
        // A broker that still wraps by the key before puts another resource there.
        if (once && Buffer.from(aad).includes('default/secret/one')) {
          once = false
          await kbsResources(database, old, () => 1).store(path, newer)
        }
        return wrapped
      },
    }
    expect(await rotateKeks(optionsOf(database, racing))).toMatchObject({ rewrapped: 3, finished: true })
    expect(once).toBe(false)
    const opened = await kbsResources(database, await kekRing(target), () => 1).load(path)
    expect(equal(opened!, newer)).toBe(true)
    await chain.test.close()
  })

  test('to Vault, and there from one version to the next', async () => {
    const { chain, database, old } = await stored()
    const target = await openKek(vault.setting())
    expect(await rotateKeks(optionsOf(database, await kekRing(target, [old])))).toMatchObject({
      rewrapped: 3,
      finished: true,
    })
    await works(chain, await kekRing(target))
    vault.rotate('claviger')
    const later = await openKek(vault.setting())
    const ring = await kekRing(later)
    expect(await rotateKeks(optionsOf(database, ring, { dryRun: true }))).toMatchObject({ rewrapped: 3 })
    expect(await rotateKeks(optionsOf(database, ring))).toMatchObject({ rewrapped: 3, finished: true })
    vault.keys.get('claviger')!.minDecryption = vault.keys.get('claviger')!.versions.length
    await works(chain, ring)
    expect((await entriesOf(database)).at(-1)).toMatchObject({
      from: [target.keyId],
      to: target.keyId,
      provider: 'vault',
    })
    await target.close()
    await later.close()
    await chain.test.close()
  })
})
