import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { type Database, rowsOf } from '#host/database.js'
import { sharedRates, type TakenRate } from '#keybroker/rates.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { migrateStore } from '#keybroker/store/open.js'
import { forgetRates } from '#keybroker/store/rates.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

/** A minute that the test ends, and how often it was asked for. */
class Minute {
  used = 0
  asked = 0
  nowMs = 0
  ends = 60_000

  take = async (_name: string, most: number, wanted: number): Promise<TakenRate> => {
    this.asked++
    const secondsLeft = (this.ends - this.nowMs) / 1000
    const taken = this.used + wanted <= most
    if (taken) this.used += wanted
    return { taken, secondsLeft }
  }
  /** one of the processes that keep the bound */
  process() {
    return sharedRates({ take: this.take, nowMs: () => this.nowMs })
  }
  next(): void {
    this.nowMs = this.ends
    this.ends += 60_000
    this.used = 0
  }
}

/** How often it may happen before the wait begins. */
async function allowed(
  processes: readonly ReturnType<typeof sharedRates>[],
  most: number,
  name = 'a',
): Promise<number> {
  let count = 0
  for (let i = 0; i < 4 * most; i++) if ((await processes[i % processes.length]!.wait(name, most)) === 0) count++
  return count
}

describe('a bound on a minute that processes share', () => {
  test.each([1, 2, 7, 30, 100, 3000])(
    'of %i holds for one of them exactly, and for all of them together',
    async (most) => {
      const minute = new Minute()
      expect(await allowed([minute.process()], most)).toBe(most)
      minute.next()
      const three = [minute.process(), minute.process(), minute.process()]
      expect(await allowed(three, most)).toBe(most)
      minute.next()
      expect(await allowed(three, most)).toBe(most)
    },
  )

  test('costs a write for a twentieth of it, and none once it is used up', async () => {
    const minute = new Minute()
    const one = minute.process()
    expect(await allowed([one], 3000)).toBe(3000)
    expect(minute.asked).toBeLessThanOrEqual(22)
    const before = minute.asked
    for (let i = 0; i < 100; i++) expect(await one.wait('a', 3000)).toBe(60)
    expect(minute.asked).toBe(before)
    minute.nowMs += 59_500
    expect(await one.wait('a', 3000)).toBe(1)
  })

  test('lends nothing of one minute to the next', async () => {
    const minute = new Minute()
    const one = minute.process()
    expect(await one.wait('a', 100)).toBe(0) // four more are this process's until the minute ends
    minute.next()
    minute.used = 100 // others were quicker
    expect(await one.wait('a', 100)).toBe(60)
  })

  test('that its owner raises holds as it is now', async () => {
    const minute = new Minute()
    const one = minute.process()
    expect(await allowed([one], 2)).toBe(2)
    expect(await allowed([one], 5)).toBe(3)
    expect(await one.wait('a', 2)).toBe(60)
    expect(await one.wait('a', 0)).toBe(0)
  })

  test('is asked for once by all who come at the same time', async () => {
    const minute = new Minute()
    const one = minute.process()
    const waits = await Promise.all(Array.from({ length: 40 }, () => one.wait('a', 100)))
    expect(waits.filter((seconds) => seconds === 0).length).toBe(40)
    expect(minute.asked).toBe(8)
    // A database that is away is nobody's permission, and is asked again.
    const broken = sharedRates({
      take: async () => {
        throw new TypeError('away')
      },
      nowMs: () => 0,
    })
    await expect(broken.wait('a', 1)).rejects.toThrow('away')
    await expect(broken.wait('a', 1)).rejects.toThrow('away')
  })
})

describe.each(databasesUnderTest())('on $name', ({ open }) => {
  const usedOf = async ({ db }: Database, name: string) => {
    const rows = await rowsOf(db, sql`select minute, used from keybroker.rates where name = ${name}`)
    return rows.map((row) => ({ minute: Number(row.minute), used: Number(row.used) }))
  }

  test('all or none is taken, in the minute of the database, and another process sees it', async () => {
    const database = await open()
    await migrateStore(database)
    const { takeRate } = brokerStore(database)
    const whole = () => takeRate('a', 10, 6)
    let [one, two] = [await whole(), await whole()]
    // The minute may have ended in between, once.
    if (two.taken) [one, two] = [two, await whole()]
    expect([one.taken, two.taken]).toEqual([true, false])
    expect(one.secondsLeft).toBeGreaterThan(0)
    expect(one.secondsLeft).toBeLessThanOrEqual(60)
    expect(await takeRate('b', 10, 10)).toMatchObject({ taken: true })
    expect(await takeRate('c', 1, 2)).toMatchObject({ taken: false })
    expect(await usedOf(database, 'c')).toEqual([])
    const { minute } = (await usedOf(database, 'b'))[0]!
    // A clock that stepped back by less than a minute opens no second one; a minute that is over counts no more.
    await database.db.execute(sql`update keybroker.rates set minute = minute + 1 where name = 'b'`)
    expect(await takeRate('b', 10, 1)).toMatchObject({ taken: false })
    await database.db.execute(sql`update keybroker.rates set minute = ${minute - 5} where name = 'b'`)
    expect(await takeRate('b', 10, 10)).toMatchObject({ taken: true })
    await database.db.execute(sql`update keybroker.rates set minute = ${minute - 20} where name = 'a'`)
    await database.read((db) => forgetRates(db))
    expect(await usedOf(database, 'a')).toEqual([])
    expect((await usedOf(database, 'b')).length).toBe(1)
  })

  test('brokers that ask at the same time are never given more than the bound', async () => {
    const database = await open()
    await migrateStore(database)
    const brokers = Array.from({ length: 3 }, () =>
      sharedRates({ take: brokerStore(database).takeRate, nowMs: () => performance.now() }),
    )
    const minutes = async () => (await usedOf(database, 'a')).map((one) => one.minute)
    const waits = await Promise.all(Array.from({ length: 300 }, (_, i) => brokers[i % 3]!.wait('a', 60)))
    const [from] = await minutes()
    await brokers[0]!.wait('a', 60)
    const [to] = await minutes()
    const most = from === to ? 60 : 120
    const given = waits.filter((seconds) => seconds === 0).length
    expect(given).toBeLessThanOrEqual(most)
    expect(given).toBeGreaterThanOrEqual(60)
  })
})
