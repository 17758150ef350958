import { describe, expect, test, vi } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { parsePolicy } from '#core/tlog/policy.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import type { Database } from '#host/database.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { origin, type TestLog, testLog, testWitness, vkeyOf } from '#test/transparency/fixtures.js'
import { Sequencer } from '#transparency/append.js'
import { defaultLimits, openLog } from '#transparency/storage/open.js'
import { databaseLogStore } from '#transparency/storage/store.js'
import type { LogStore } from '#transparency/store.js'
import { Witnesses } from '#transparency/witnesses.js'

const leafOf = (i: number) => utf8(`entry ${i}`)
type Step = 'head' | 'integrate' | 'survey' | 'entries' | 'publish' | 'published'
type Fault = { readonly step: Step; readonly mode: 'lost' | 'done, but reported as failed' }

/** A sequencer on a store whose next call of one step fails once, as it is told. */
function faultySequencer(database: Database, made: TestLog) {
  const inner = databaseLogStore(database)
  let fault: Fault | undefined
  const around =
    <A extends unknown[], T>(step: Step, call: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      if (fault?.step !== step) return call(...args)
      const { mode } = fault
      fault = undefined
      if (mode !== 'lost') await call(...args)
      throw new Failure('database/unreachable', 'connection broke')
    }
  const store: LogStore = {
    ...inner,
    head: around('head', inner.head),
    integrate: around('integrate', inner.integrate),
    survey: around('survey', inner.survey),
    entries: around('entries', inner.entries),
    publish: around('publish', inner.publish),
    published: around('published', inner.published),
  }
  const sequencer = new Sequencer(
    {
      store,
      witnesses: new Witnesses(made.witnesses, parsePolicy(made.quorumPolicy)),
      signer: makeNoteSigner(origin, 'log', made.signer),
      now: () => Math.floor(Date.now() / 1000),
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          const timer = setTimeout(resolve, ms)
          signal.addEventListener('abort', () => [clearTimeout(timer), resolve()], { once: true })
        }),
    },
    { ...defaultLimits, cosignMs: 500, retryMs: 20 },
  )
  const fail = (next: Fault) => {
    fault = next
  }
  return { sequencer, inner, fail, isPending: () => fault !== undefined }
}

/** The witness was never asked to cosign two roots of one size. */
function expectOneRootPerSize(made: TestLog): void {
  for (const witness of made.witnesses) {
    const roots = new Map<string, string>()
    for (const one of witness.asked) {
      const [size = '', root = ''] = one.split(' ')
      expect(roots.get(size) ?? root).toBe(root)
      roots.set(size, root)
    }
  }
}

describe.each(databasesUnderTest())('faults of storage on $name', (under) => {
  const steps: readonly Step[] = ['head', 'integrate', 'survey', 'entries', 'publish', 'published']
  const modes = ['lost', 'done, but reported as failed'] as const
  test.each(steps.flatMap((step) => modes.map((mode) => ({ step, mode }))))(
    '$step $mode: asking again settles it, without a gap or a second root',
    async (fault) => {
      const database = await under.open()
      const made = await testLog(database)
      const log = await made.open(database)
      await log.append(leafOf(0))
      await log.close()
      const { sequencer, inner, fail, isPending } = faultySequencer(database, made)
      fail(fault)
      const leaves = [1, 2, 3].map(leafOf)
      const first = await Promise.allSettled(leaves.map((leaf) => sequencer.append(leaf)))
      for (const one of first) {
        if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'log/storage' })
      }
      expect(isPending()).toBe(false)
      expect(first.some((one) => one.status === 'rejected')).toBe(true)
      const second = await Promise.all(leaves.map((leaf) => sequencer.append(leaf)))
      for (const [i, one] of second.entries()) {
        expect((await verifyTlogProof(one.proof, leaves[i]!, made.trust)).index).toBe(one.index)
      }
      const size = (await inner.head())!.size
      expect(new Set(second.map((one) => one.index)).size).toBe(3)
      expect((await inner.entries(0, 256)).length).toBe(size)
      expect(Math.max(...second.map((one) => one.index))).toBe(size - 1)
      expectOneRootPerSize(made)
      await sequencer.close()
    },
  )

  test('damaged rows are noticed at the start', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await Promise.all([0, 1, 2].map((i) => log.append(leafOf(i))))
    await log.close()
    await database.db.execute('alter table transparency.entry disable trigger all')
    await database.db.execute(`update transparency.entry set leaf_hash = sha256('other') where index = 1`)
    await expect(made.open(database)).rejects.toMatchObject({ code: 'log/state' })
    await database.db.execute('delete from transparency.entry where index = 1')
    await expect(made.open(database)).rejects.toMatchObject({ code: 'log/state' })
  })

  test('the database itself refuses to change or delete what the log has said', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await log.append(leafOf(0))
    await log.close()
    for (const statement of [
      `update transparency.entry set leaf = 'other'`,
      'delete from transparency.entry',
      'delete from transparency.checkpoint',
      `update transparency.checkpoint set root_hash = sha256('other')`,
      'update transparency.log set size = 0',
      'delete from transparency.log',
    ]) {
      await expect(database.read((db) => db.execute(statement))).rejects.toMatchObject({ code: 'database/constraint' })
    }
  })
})

describe.each(databasesUnderTest().slice(0, 1))('faults of witnesses', (under) => {
  test('an absent witness refuses the append, keeps the entry, and answers when it is back', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await log.append(leafOf(0))
    made.witnesses[0]!.away = true
    await expect(log.append(leafOf(1))).rejects.toMatchObject({ code: 'log/witness-unavailable' })
    expect((await databaseLogStore(database).head())!.size).toBe(2)
    expect(log.size()).toBe(1)
    // What an earlier checkpoint covers needs no witness.
    expect((await log.append(leafOf(0))).index).toBe(0)
    made.witnesses[0]!.away = false
    const answer = await log.append(leafOf(1))
    expect(answer.index).toBe(1)
    await verifyTlogProof(answer.proof, leafOf(1), made.trust)
    await log.close()
  })

  test('what was integrated before a crash is published by the next start, without being asked', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await log.append(leafOf(0))
    made.witnesses[0]!.away = true
    await expect(log.append(leafOf(1))).rejects.toMatchObject({ code: 'log/witness-unavailable' })
    await log.close()
    made.witnesses[0]!.away = false
    const again = await made.open(database)
    expect(again.size()).toBe(2)
    await verifyTlogProof(await again.proof(1), leafOf(1), made.trust)
    await again.close()
  })

  test('what was integrated while the witness was away is published when it is back, without being asked', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    made.witnesses[0]!.away = true
    await expect(log.append(leafOf(0))).rejects.toMatchObject({ code: 'log/witness-unavailable' })
    made.witnesses[0]!.away = false
    await vi.waitUntil(() => log.size() === 1, { timeout: 20_000 })
    await verifyTlogProof(await log.proof(0), leafOf(0), made.trust)
    await log.close()
  })

  test('while it starts without its witness nothing is integrated', async () => {
    const database = await under.open()
    const made = await testLog(database)
    made.witnesses[0]!.away = true
    const log = await made.open(database)
    await expect(log.append(leafOf(0))).rejects.toMatchObject({ code: 'log/witness-unavailable' })
    expect((await databaseLogStore(database).head())!.size).toBe(0)
    made.witnesses[0]!.away = false
    expect((await log.append(leafOf(0))).index).toBe(0)
    await log.close()
  })

  test('an answer that is lost is asked for again', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    made.witnesses[0]!.losesAnswers = true
    await expect(log.append(leafOf(0))).rejects.toMatchObject({ code: 'log/witness-unavailable' })
    made.witnesses[0]!.losesAnswers = false
    expect((await log.append(leafOf(0))).index).toBe(0)
    expectOneRootPerSize(made)
    await log.close()
  })

  test('a quorum is enough, and fewer are not', async () => {
    const database = await under.open()
    const made = await testLog(database, 3, 2)
    const log = await made.open(database)
    made.witnesses[0]!.away = true
    await verifyTlogProof((await log.append(leafOf(0))).proof, leafOf(0), made.trust)
    made.witnesses[1]!.away = true
    await expect(log.append(leafOf(1))).rejects.toMatchObject({ code: 'log/witness-unavailable' })
    made.witnesses[0]!.away = false
    await verifyTlogProof((await log.append(leafOf(1))).proof, leafOf(1), made.trust)
    await log.close()
  })

  test('a database set back to an earlier state neither starts nor grows (TRUST, item 8)', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await log.append(leafOf(0))
    await log.append(leafOf(1))
    await log.close()
    for (const table of ['entry', 'log', 'checkpoint']) {
      await database.db.execute(`alter table transparency.${table} disable trigger all`)
    }
    const { rows } = (await database.db.execute(
      'select root_hash from transparency.checkpoint where size = 1',
    )) as unknown as { rows: { root_hash: Uint8Array }[] }
    expect(rows.length).toBe(1)
    await database.db.execute('delete from transparency.checkpoint where size = 2')
    await database.db.execute('delete from transparency.entry where index = 1')
    await database.db.execute(
      'update transparency.log set size = 1, root_hash = (select root_hash from transparency.checkpoint where size = 1)',
    )
    await expect(made.open(database)).rejects.toMatchObject({ code: 'log/rollback' })
  })

  test('set back while it runs, it stops before it grows a second branch', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await log.append(leafOf(0))
    // The witness has seen more than this storage: as after a failover to an old copy.
    const seen = made.witnesses[0]!.seen.get(origin)!
    made.witnesses[0]!.seen.set(origin, { ...seen, size: seen.size + 5 })
    await expect(log.refresh()).rejects.toMatchObject({ code: 'log/rollback' })
    await expect(log.append(leafOf(1))).rejects.toMatchObject({ code: 'log/rollback' })
    expect((await databaseLogStore(database).head())!.size).toBe(1)
    await log.close()
  })

  test('a witness that has seen another tree says so', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await log.append(leafOf(0))
    made.witnesses[0]!.seen.set(origin, { size: 1, rootHash: new Uint8Array(32) })
    await expect(log.refresh()).rejects.toMatchObject({ code: 'log/forked' })
    await expect(log.append(leafOf(1))).rejects.toMatchObject({ code: 'log/forked' })
    expect((await databaseLogStore(database).head())!.size).toBe(1)
    await log.close()
  })

  test('a witness that the policy does not name, and the log as its own witness, are refused', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const stranger = await testWitness('witness.example/stranger', made.vkey)
    const options = { database, origin, signer: made.signer, quorumPolicy: made.quorumPolicy }
    await expect(openLog({ ...options, witnesses: [stranger] })).rejects.toMatchObject({ code: 'log/policy' })
    const self = encodeVkey(makeNoteSigner('witness.example/self', 'cosigner', made.signer).verifier)
    const quorumPolicy = `witness self ${self}\nquorum self\n`
    await expect(openLog({ ...options, witnesses: [], quorumPolicy })).rejects.toMatchObject({ code: 'log/policy' })
    const others = `log ${vkeyOf('log.example/other', (await generateSigningKey('Ed25519')).key)}\nquorum none\n`
    await expect(openLog({ ...options, witnesses: [], quorumPolicy: others })).rejects.toMatchObject({
      code: 'log/policy',
    })
  })
})
