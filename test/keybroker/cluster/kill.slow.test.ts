import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { afterEach, expect, test } from 'vitest'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import { parseEntry } from '#core/wire/entries.js'
import { verifyLease } from '#core/wire/lease.js'
import { apiVersion, type ReleaseAnswer } from '#core/wire/release.js'
import { type Database, rowsOf } from '#host/database.js'
import { testPlatform } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { openKey, request, startTime, testNode } from '../fixtures.js'
import { type Cluster, startBrokers } from './cluster.js'

const brokersCount = 3
const clientsCount = 8
const postgres = databasesUnderTest().find((one) => one.name === 'postgres')
const clusters: Cluster[] = []
afterEach(async () => {
  for (const one of clusters.splice(0)) await one.close()
})

/** A request that was answered with a key; the id is the node's own. */
interface Acknowledged {
  readonly requestId: string
  readonly answer: ReleaseAnswer
  readonly tries: number
}

/** One node after the other asks for the key, each until it has it, of whichever broker answers. */
async function askAgainAndAgain(cluster: Cluster, which: number, until: AbortSignal, done: Acknowledged[]) {
  const { chain } = cluster
  const platform = await testPlatform({ at: startTime, guestSvn: which })
  while (!until.aborted) {
    const node = await testNode(chain, { platform })
    const requestId = toHex(randomBytes(16))
    for (let tries = 1; ; tries++) {
      const answer = await askOnce(cluster, node, requestId).catch(() => null)
      if (answer === null) await pause(100)
      else {
        expect(await openKey(chain.owner, node, answer)).toEqual(chain.owner.dek)
        done.push({ requestId, answer, tries })
        // A node that lost the answer asks once more: it must find its lease.
        if (done.length % 10 === 0) {
          const again = await askOnce(cluster, node, requestId).catch(() => null)
          if (again !== null) done.push({ requestId, answer: again, tries })
        }
        break
      }
    }
  }
}

async function askOnce({ chain, urls, post }: Cluster, node: Awaited<ReturnType<typeof testNode>>, requestId: string) {
  const any = () => urls()[Math.floor(Math.random() * urls().length)]!
  // No sticky sessions: challenge and answer go to whoever is there.
  const challenge = await post(any(), '/v1/challenges', {
    version: apiVersion,
    model: chain.owner.model,
    renewal: null,
  })
  if (challenge.status !== 200) return null
  const { nonce } = challenge.body as { nonce: string }
  const answer = await post(any(), '/v1/releases', await request(chain, node, { requestId, nonce }))
  if (answer.status === 200) return answer.body as ReleaseAnswer
  // What is refused for good would be asked for ever.
  expect([429, 503]).toContain(answer.status)
  return null
}

const integers = (rows: readonly Readonly<Record<string, unknown>>[]) => rows.map((row) => Number(row.value))

async function verifyRecords(cluster: Cluster, database: Database, done: readonly Acknowledged[]): Promise<void> {
  const { test: made } = cluster.chain
  const logged = await rowsOf(database.db, sql`select index, leaf from transparency.entry order by index`)
  const leaves = logged.map((row) => toHex(row.leaf as Uint8Array))
  expect(integers(logged.map(({ index }) => ({ value: index })))).toEqual(leaves.map((_, i) => i))
  const stored = await rowsOf(database.db, sql`select entry_index, leaf from keybroker.entries order by entry_index`)
  // Everything that was decided is in the log, once, and nothing else is.
  expect(stored.map((row) => toHex(row.leaf as Uint8Array))).toEqual(leaves)
  expect(integers(stored.map((row) => ({ value: row.entry_index })))).toEqual(leaves.map((_, i) => i))
  const places = new Map(leaves.map((leaf, i) => [leaf, i]))
  expect(places.size).toBe(leaves.length)
  const leases = new Map<string, Set<string>>()
  const trust = { logVkeys: [made.testLog.vkey], policy: made.testLog.quorumPolicy }
  for (const { requestId, answer } of done) {
    const leaf = fromBase64(answer.leaf)
    expect(await verifyTlogProof(answer.proof, leaf, trust)).toMatchObject({ index: places.get(toHex(leaf)) })
    const { id } = await verifyLease(answer.lease, [made.broker.signer.publicKey as Ed25519Jwk])
    leases.set(requestId, (leases.get(requestId) ?? new Set()).add(id))
  }
  // One request, one lease, whatever died between the entry and the answer.
  for (const ids of leases.values()) expect(ids.size).toBe(1)
  const ids = (await rowsOf(database.db, sql`select id from keybroker.leases`)).map((row) => String(row.id))
  expect(ids.toSorted()).toEqual([...leases.values()].flatMap((one) => [...one]).toSorted())
  const released = logged.map((row) => parseEntry(row.leaf as Uint8Array)).filter((one) => one.kind === 'release')
  for (const one of released) expect(ids).toContain(one.lease_id)
}

async function killAtRandom(seconds: number): Promise<void> {
  const { database, url } = await postgres!.openWithUrl!()
  const cluster = await startBrokers(url, brokersCount)
  clusters.push(cluster)
  const ending = new AbortController()
  const done: Acknowledged[] = []
  const clients = Array.from({ length: clientsCount }, (_, i) => askAgainAndAgain(cluster, i, ending.signal, done))
  const end = performance.now() + seconds * 1000
  let kills = 0
  const restarts: Record<number, Promise<void>> = {}
  while (performance.now() < end) {
    await pause(1000 + Math.random() * 2500)
    const which = Math.floor(Math.random() * brokersCount)
    // Those that are being started are left alone; it may well be that none answers for a while.
    if (restarts[which] !== undefined) continue
    kills++
    restarts[which] = cluster.killAndRestart(which).finally(() => delete restarts[which])
  }
  await Promise.all(Object.values(restarts))
  ending.abort()
  await Promise.all(clients)
  // A start brings to the log what those that died had stored and not logged.
  await cluster.killAndRestart(0)
  const retried = done.filter(({ tries }) => tries > 1).length
  process.stdout.write(`${kills} kills, ${done.length} answers, ${retried} after more than one try\n`)
  expect(done.length).toBeGreaterThan(10)
  await verifyRecords(cluster, database, done)
}

test.skipIf(postgres === undefined)('[ci] three brokers on one Postgres, killed at random for 8 s', () =>
  killAtRandom(8),
)
test.skipIf(postgres === undefined)('three brokers on one Postgres, killed at random for a minute', () =>
  killAtRandom(60),
)
