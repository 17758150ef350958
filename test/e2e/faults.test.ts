import { afterEach, test } from 'vitest'
import { type FaultWorld, faultWorld, killedInRelease, published } from '#test/e2e/fault-fixtures.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

const postgres = databasesUnderTest().find((one) => one.name === 'postgres')
let world: FaultWorld
afterEach(async () => world?.close(), 60_000)

// Other moments, and what the broker stands on: faults.slow.test.ts.
test.skipIf(postgres === undefined)(
  'the broker is killed between the entry in the log and its answer: the node asks again and gets the same lease, not a second one',
  async () => {
    world = await faultWorld(await postgres!.openWithUrl!())
    await killedInRelease(world, 'after', published, 1)
  },
)
