import { sql } from 'drizzle-orm'
import { afterEach, expect, test } from 'vitest'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { apiVersion, type ReleaseAnswer, type ReleaseRequest } from '#core/wire/release.js'
import { rowsOf } from '#host/database.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { openKey, request, testNode } from '../fixtures.js'
import { type Cluster, startBrokers } from './cluster.js'

const postgres = databasesUnderTest().find((one) => one.name === 'postgres')
let cluster: Cluster | undefined
afterEach(async () => cluster?.close(), 60_000)

/** More than a broker works on at a time (128), and more than one machine may ask in a minute (120). */
const requestsCount = 200

test.skipIf(postgres === undefined)(
  '[ci] more than a broker can do at once: it refuses with 429 or 503 and says when to come again, and finishes what it took',
  async () => {
    const { database, url } = await postgres!.openWithUrl!()
    cluster = await startBrokers(url, 1)
    const { chain, post } = cluster
    const [broker] = cluster.urls() as [string]
    const node = await testNode(chain)
    const asked: ReleaseRequest[] = []
    for (let i = 0; i < requestsCount; i++) {
      const body = { version: apiVersion, model: chain.owner.model, renewal: null }
      const challenge = await post(broker, '/v1/challenges', body)
      expect(challenge.status).toBe(200)
      const { nonce } = challenge.body as { nonce: string }
      asked.push(await request(chain, node, { nonce, requestId: i.toString(16).padStart(32, '0') }))
    }
    const answers = await Promise.all(
      asked.map(async (body) => {
        const answer = await fetch(`${broker}/v1/releases`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
        return { status: answer.status, wait: answer.headers.get('retry-after'), body: (await answer.json()) as never }
      }),
    )
    const taken = answers.filter(({ status }) => status === 200)
    const refused = answers.filter(({ status }) => status !== 200)
    expect(taken.length).toBeGreaterThan(20)
    expect(refused.length).toBeGreaterThan(0)
    for (const { status, wait } of refused) {
      expect([429, 503]).toContain(status)
      expect(Number(wait)).toBeGreaterThan(0)
    }
    process.stdout.write(
      `${taken.length} of ${requestsCount} taken, the others ${[...new Set(refused.map(({ status }) => status))].join(' and ')}\n`,
    )
    // What was taken is whole, and what was refused left nothing behind.
    const leaves = taken.map(({ body }) => toHex(fromBase64((body as ReleaseAnswer).leaf)))
    expect(await openKey(chain.owner, node, taken[0]!.body)).toEqual(chain.owner.dek)
    const logged = await rowsOf(database.db, sql`select leaf from transparency.entry`)
    const inLog = new Set(logged.map((row) => toHex(row.leaf as Uint8Array)))
    expect(leaves.filter((one) => !inLog.has(one))).toEqual([])
    const leases = await rowsOf(database.db, sql`select id from keybroker.leases where ended_at is null`)
    expect(leases).toHaveLength(taken.length)
    expect((await fetch(`${broker}/healthz`)).status).toBe(200)
  },
)
