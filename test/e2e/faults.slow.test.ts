import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import {
  decided,
  entered,
  type FaultWorld,
  faultWorld,
  killedInRelease,
  mark,
  once,
  published,
  verifyOneLease,
} from '#test/e2e/fault-fixtures.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

const postgres = databasesUnderTest().find((one) => one.name === 'postgres')
let world: FaultWorld
afterEach(async () => {
  vi.restoreAllMocks()
  await world?.close()
}, 60_000)

test.skipIf(postgres === undefined)(
  'a broker that is killed in a release, at each of its moments',
  async () => {
    world = await faultWorld(await postgres!.openWithUrl!())
    await killedInRelease(world, 'before', decided, 0)
    await killedInRelease(world, 'before', entered, 0)
    await killedInRelease(world, 'after', published, 1)
  },
  120_000,
)

test.skipIf(postgres === undefined)(
  '[ci] in the middle of a release database, log or witness go: the broker says so and when to ask again, lives on, and nothing is granted twice',
  async () => {
    world = await faultWorld(await postgres!.openWithUrl!())
    const { pid } = world.broker()
    const answers: { status: number; code?: string; retryAfter: string | null }[] = []
    const direct = globalThis.fetch
    vi.spyOn(globalThis, 'fetch').mockImplementation(async (...given) => {
      const answer = await direct(...given)
      if (String(given[0]).endsWith('/v1/releases')) {
        const { code } = (await answer.clone().json()) as { code?: string }
        answers.push({ status: answer.status, retryAfter: answer.headers.get('retry-after'), ...(code && { code }) })
      }
      return answer
    })
    const gone = [
      ['database', 'before', decided, world.proxy.cut, async () => world.proxy.mend(), /^database\//],
      ['log', 'before', entered, world.proxy.cut, async () => world.proxy.mend(), /^(log|database)\//],
      [
        'log, its entry written',
        'after',
        published,
        world.proxy.cut,
        async () => world.proxy.mend(),
        /^(log|database)\//,
      ],
      ['witness', 'before', entered, null, () => world.witness.start(), /^log\/witness-unavailable$/],
    ] as const
    for (const [what, when, statement, act, mend, code] of gone) {
      const before = await mark(world)
      answers.splice(0)
      if (act === null) {
        await world.witness.stop()
        world.proxy.mend()
      }
      const happened = act === null ? pause(1500) : once(world, when, statement, act).happened
      const starting = world.node()
      await happened
      while (answers.length === 0) await pause(100)
      await mend()
      const started = await starting
      expect(answers[0], what).toMatchObject({ status: 503, code: expect.stringMatching(code) })
      expect(Number(answers[0]?.retryAfter), what).toBeGreaterThan(0)
      expect(answers.at(-1)).toMatchObject({ status: 200 })
      await verifyOneLease(world, started, before, act === null)
    }
    expect(world.broker().pid).toBe(pid)
    expect((await direct(`${world.url}/readyz`)).status).toBe(200)
  },
  120_000,
)
