import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { openDatabase, rowsOf } from '#host/database.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { outside } from '#test/fakes/outside.js'
import { startCluster, startStandby } from '#test/fakes/postgres-cluster.js'
import { runFolder } from '#test/fakes/run-folder.js'

const place = outside('postgres')
const isOwn = place !== undefined && process.env.CLAVIGER_TEST_DATABASE_URL === undefined

test.skipIf(!isOwn)('a standby is refused, and is taken once it is the primary', async () => {
  await startCluster(runFolder(), place!)
  const standby = startStandby(runFolder(), place!)
  try {
    expect(await codeOfPromise(openDatabase({ url: standby.url }))).toBe('database/replica')
    standby.promote()
    const database = await openDatabase({ url: standby.url })
    expect(await rowsOf(database.db, sql`select 1 as one`)).toEqual([{ one: 1 }])
    await database.close()
  } finally {
    standby.stop()
  }
})
