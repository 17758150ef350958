import { describe, expect, test } from 'vitest'
import { equal, isZero, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { kekOf } from '#core/sealed/keys.js'
import type { Broker } from '#keybroker/broker.js'
import { createTenant } from '#keybroker/changes.js'
import { kekIdOf, kekOver } from '#keybroker/kek/file.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'
import { openKek } from '#keybroker/kek/open.js'
import { type KekRight, ReleasedKek } from '#keybroker/kek/released.js'
import { kekRing } from '#keybroker/kek/ring.js'
import { parseKekSetting } from '#keybroker/kek/setting.js'
import { readinessOf } from '#keybroker/service/readiness.js'
import { rotateKeks } from '#keybroker/service/rotate.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  ask,
  change,
  gist,
  granted,
  type Registered,
  registered,
  tenantStatement,
  testBroker,
  testNode,
  testOwner,
} from '../fixtures.js'

const { open } = anyDatabase()
const about = { broker: 'A'.repeat(43), model: `${'B'.repeat(43)}/kek`, class: 'production' } as const
const over = () => new Failure<KekCode>('kek/lease-over', 'the lease is over')

/** A key that was released under a right that a test takes away. */
function releasedKey(dek = randomBytes(32), released: NonNullable<OpenKek['released']> = about) {
  const state = { isOver: false, paid: [] as number[], closed: false }
  const alive = () => {
    if (state.isOver) throw over()
  }
  const right: KekRight = {
    pay(bytes) {
      alive()
      state.paid.push(bytes)
    },
    verifyAlive: alive,
    close: async () => void (state.closed = true),
  }
  const held = new ReleasedKek()
  const bytes = kekOf(dek)
  held.take(bytes)
  return { state, held, bytes, dek, kek: held.open(released, right) }
}
const aad = utf8('aad')

describe('a key that another broker released', () => {
  test('wraps as a key of a file does, and says whose it is', async () => {
    const { kek, dek, state } = releasedKey()
    expect(kek).toMatchObject({ provider: 'broker', holder: 'broker', released: about, keyId: kekIdOf(dek) })
    const secret = randomBytes(32)
    const wrapped = await kek.wrapDek(secret, aad)
    expect(equal(await kekOver(kekOf(dek)).unwrapDek(wrapped, aad, kek.keyId), secret)).toBe(true)
    expect(equal(await kek.unwrapDek(wrapped, aad, kek.keyId), secret)).toBe(true)
    expect(await codeOfPromise(kek.unwrapDek(wrapped, utf8('other'), kek.keyId))).toBe('kek/unwrap')
    expect(await codeOfPromise(kek.unwrapDek(wrapped, aad, 'A'.repeat(22)))).toBe('kek/key-id')
    expect(state.paid).toEqual([32, 109, 109, 109])
    await kek.close()
    expect(state.closed).toBe(true)
  })

  test('is not used once its lease is over, is overwritten, and comes back as the same key or not at all', async () => {
    const { kek, dek, held, bytes, state } = releasedKey()
    const wrapped = await kek.wrapDek(randomBytes(32), aad)
    state.isOver = true
    expect(await codeOfPromise(kek.wrapDek(randomBytes(32), aad))).toBe('kek/lease-over')
    expect(await codeOfPromise(kek.unwrapDek(wrapped, aad, kek.keyId))).toBe('kek/lease-over')
    expect(codeOf(() => kek.verifyUsable())).toBe('kek/lease-over')
    held.drop()
    expect(isZero(bytes)).toBe(true)
    const strange = kekOf(randomBytes(32))
    expect(codeOf(() => held.take(strange))).toBe('kek/key-id')
    expect(isZero(strange)).toBe(true)
    held.take(kekOf(dek))
    state.isOver = false
    await kek.unwrapDek(wrapped, aad, kek.keyId)
  })

  test('is opened only by what makes evidence', async () => {
    const setting = parseKekSetting('broker:https://a.example?sealed=/kek')
    expect(await codeOfPromise(openKek(setting))).toBe('kek/attester')
    const { kek } = releasedKey()
    expect(await openKek(setting, { obtain: async () => kek })).toBe(kek)
  })
})

describe('a ring with such a key', () => {
  test('goes on to a next key of the same owner, and to no key of anybody else', async () => {
    const to = (name: string, owner = 'B') =>
      releasedKey(randomBytes(32), { ...about, model: `${owner.repeat(43)}/${name}` }).kek
    const own = () => kekOver(kekOf(randomBytes(32)))
    expect((await kekRing(to('kek-2'), [to('kek')])).usableBy).toBe('broker')
    const closed = { current: false }
    const current = { ...own(), close: async () => void (closed.current = true) }
    await expect(kekRing(current, [to('kek')])).rejects.toMatchObject({
      code: 'kek/holder',
      detail: { hint: expect.stringContaining('kek seal') },
    })
    expect(closed.current).toBe(true)
    expect(await codeOfPromise(kekRing(to('kek', 'C'), [to('kek')]))).toBe('kek/holder')
  })

  test('is usable by an operator as long as a key is open that the operator has', async () => {
    const ring = await kekRing(releasedKey().kek, [kekOver(kekOf(randomBytes(32)))])
    expect(ring).toMatchObject({ holder: 'broker', usableBy: 'operator' })
    expect((await kekRing(releasedKey().kek)).usableBy).toBe('broker')
  })
})

describe('a broker under such a key', () => {
  test('of a development tenant takes in no production tenant (I6)', async () => {
    const { broker, close } = await testBroker(await open())
    const statement = async () => tenantStatement(await testOwner(), 'production')
    const { kek } = releasedKey(randomBytes(32), { ...about, class: 'development' })
    expect(await codeOfPromise(createTenant({ ...broker, kek }, await statement()))).toBe('kek/class')
    expect(await codeOfPromise(createTenant({ ...broker, kek: releasedKey().kek }, await statement()))).toBe('ok')
    await close()
  })

  /** The stored key of a registered model under a key that is released. */
  async function world(): Promise<Registered & { readonly state: { isOver: boolean }; readonly kek: OpenKek }> {
    const chain = await registered(await open())
    const { broker, database } = chain.test
    const { kek, state } = releasedKey()
    const ring = await kekRing(kek, [broker.kek as OpenKek])
    await rotateKeks({ database, kek: ring, clock: broker.clock, callerSecret: broker.callerSecret, dryRun: false })
    const moved: Broker = { ...broker, kek: ring }
    return { ...chain, test: { ...chain.test, broker: moved }, state, kek }
  }

  test('releases and renews while the lease lives; then neither, nor is it ready', async () => {
    const chain = await world()
    const { broker, database } = chain.test
    const node = await testNode(chain)
    const { lease } = granted(await ask(chain, node))
    const id = (JSON.parse(atob(lease.payload)) as { id: string }).id
    expect(gist(await ask(chain, node, { lease: id }))).toBe('granted')
    const ready = readinessOf({ broker, database, refresh: async () => undefined, nowMs: () => 0, keptMs: 0 })
    expect((await ready()).key).toBe('ok')
    chain.state.isOver = true
    expect(await codeOfPromise(ask(chain, node, { lease: id }))).toBe('kek/lease-over')
    expect(await codeOfPromise(testNode(chain).then((one) => ask(chain, one)))).toBe('kek/lease-over')
    expect((await ready()).key).toBe('kek/lease-over')
    const live = await broker.store.read((reader) => reader.listLiveLeases(chain.owner.id, null, broker.clock()))
    expect(live).toHaveLength(1)
    chain.state.isOver = false
    expect(gist(await ask(chain, node, { lease: id }))).toBe('granted')
    await chain.test.close()
  })

  test('keeps no model key of an owner who names other keys, and goes on once the owner names it', async () => {
    const chain = await world()
    const before = chain.test.broker.kek.keyId
    await change(chain, 'kek', { keys: ['A'.repeat(22)] })
    expect(await codeOfPromise(testNode(chain).then((one) => ask(chain, one)))).toBe('broker/kek')
    const { broker, database } = chain.test
    const target = await kekRing(releasedKey().kek, [chain.kek])
    const work = { database, kek: target, clock: broker.clock, callerSecret: broker.callerSecret, dryRun: false }
    expect(await codeOfPromise(rotateKeks(work))).toBe('kek/not-approved')
    await change(chain, 'kek', { keys: ['A'.repeat(22), before] })
    expect(gist(await ask(chain, await testNode(chain)))).toBe('granted')
    await chain.test.close()
  })
})
