/**
 * `release [--nodes 1,10,100,1000] [--rounds 7]`: from a node's challenge to the key in its hands, beside the sum of the primitives
 * that no release can do without, timed in the same round. A simulated machine (NOT HARDWARE) and a witness in this process, no
 * network; the node's own work (its keys, its evidence) is not timed. `N` nodes hold a lease and ask again, each once a round.
 *
 * `latency`  at most 4 ask at a time: sum over median of a release, and eight medians over the 99th of a hundred
 * `rate`     at most 32 ask at a time: releases a second over 1/sum
 * `processor`  milliseconds of processor time of this process: those of the sum over those of a release, of the rate's rounds. What other
 *            work on the machine does to the lines above, it does less to this one; Postgres is another process, PGlite is not
 * `scaling`  the rate at 1,000 nodes over that at 10
 * Lines of PGlite end in `/pglite`: it calls no fsync, and they count towards no goal.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { sql } from 'drizzle-orm'
import { randomBytes } from '#core/crypto/hash.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import { sign, verifySignature } from '#core/crypto/sign.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { backend } from '#crypto-backend'
import { type Database, openDatabase } from '#host/database.js'
import { challenge } from '#keybroker/challenge.js'
import { release } from '#keybroker/release.js'
import { budgetOf } from '../fakes/broker-double.js'
import { clusterUrl, postgresBinaries, startCluster, stopCluster } from '../fakes/postgres-cluster.js'
import { granted, type Registered, registered, request, type TestNode, testNode } from '../keybroker/fixtures.js'
import { comparisonLine } from './compare.js'

const latencyAtATime = 4
const rateAtATime = 32
/** So many are challenged before the first of them asks: their nonces live two minutes, and the machine may be slow. */
const portion = 100
/** Rounds of a few nodes are repeated until so many releases were timed. */
const releasesMin = 32

const now = () => performance.now()
const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b)
const quantile = (values: readonly number[], part: number) =>
  sorted(values)[Math.min(values.length - 1, Math.floor(values.length * part))]!

/** Milliseconds that this process had a processor, all of its threads taken together. */
function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Milliseconds: by the clock, and of processor time. */
interface Cost {
  readonly clock: number
  readonly processor: number
}

/** Of one call: by the clock the middle of many, of processor time their mean, since it is counted in coarse steps. */
async function timed(calls: number, work: () => unknown, times = 1): Promise<Cost> {
  const clocks: number[] = []
  const from = processorMs()
  for (let i = 0; i < calls; i++) {
    const start = now()
    await work()
    clocks.push(now() - start)
  }
  return { clock: times * quantile(clocks, 0.5), processor: (times * (processorMs() - from)) / calls }
}

/** What a release cannot do without, one after the other: milliseconds each. */
async function primitives({ test, owner }: Registered, database: Database): Promise<Record<string, Cost>> {
  const { broker } = test
  const message = randomBytes(300)
  const p384 = await backend.generateKey('ES384')
  const p384Key = await backend.importPrivateKey('ES384', p384.pkcs8)
  const report = randomBytes(672)
  const reportSignature = await backend.sign(p384Key, report)
  const ownerSignature = await sign(owner.key, message)
  const aad = randomBytes(300)
  const wrapped = await broker.kek.wrapDek(owner.dek, aad)
  await database.db.execute(
    sql`create table if not exists bench_commit (id bigint generated always as identity, body bytea)`,
  )
  const body = Buffer.from(randomBytes(4096))
  return {
    // The chain above it is kept; what the machine signed is not.
    'P-384 verify': await timed(20, () => backend.verify('ES384', p384.spki, report, reportSignature)),
    'P-256 verify': await timed(20, () => verifySignature(owner.key.publicKey, message, ownerSignature, 'it')),
    'ES256 sign (EAR)': await timed(20, () => sign(test.verifier, message)),
    'Ed25519 sign, twice (lease, beat)': await timed(20, () => sign(broker.signer, message), 2),
    'HPKE seal (X-Wing)': await timed(20, () => hpkeSeal(broker.wrappingHybrid.publicKey, message, aad, owner.dek)),
    unwrap: await timed(20, () => broker.kek.unwrapDek(wrapped, aad, broker.kek.keyId)),
    // Nonce, decision, log: each has to be durable before the next begins.
    'one-row commit, three times': await timed(
      20,
      () => database.db.execute(sql`insert into bench_commit (body) values (${body})`),
      3,
    ),
  }
}

interface Timed {
  readonly seconds: number
  /** of processor time, of all */
  readonly processorMs: number
  readonly latencies: readonly number[]
}

/** Each node asks once, `atATime` of them together. Challenges and releases are timed, what the nodes do is not. */
async function askAll(chain: Registered, nodes: readonly TestNode[], atATime: number): Promise<Timed> {
  const portions: Timed[] = []
  for (let from = 0; from < nodes.length; from += portion)
    portions.push(await askSome(chain, nodes.slice(from, from + portion), atATime))
  const sum = (kind: 'seconds' | 'processorMs') => portions.reduce((total, one) => total + one[kind], 0)
  return {
    seconds: sum('seconds'),
    processorMs: sum('processorMs'),
    latencies: portions.flatMap((one) => one.latencies),
  }
}

async function askSome(chain: Registered, nodes: readonly TestNode[], atATime: number): Promise<Timed> {
  const { broker, clock } = chain.test
  const latencies: number[] = new Array(nodes.length).fill(0)
  let [spent, processor] = [0, 0]
  const step = async <T>(work: (node: TestNode, i: number) => Promise<T>): Promise<readonly T[]> => {
    const out: T[] = []
    let next = 0
    const one = async () => {
      for (let i = next++; i < nodes.length; i = next++) {
        clock.now = Math.floor(Date.now() / 1000) // the witness has the real one
        const start = now()
        out[i] = await work(nodes[i]!, i)
        latencies[i]! += now() - start
      }
    }
    const [from, processorFrom] = [now(), processorMs()]
    await Promise.all(Array.from({ length: atATime }, one))
    spent += now() - from
    processor += processorMs() - processorFrom
    return out
  }
  const nonces = await step(async () => (await challenge(broker, chain.owner.model, null)).nonce)
  const requests: ReleaseRequest[] = []
  for (const [i, node] of nodes.entries()) requests.push(await request(chain, node, { nonce: nonces[i]! }))
  await step(async (_, i) => granted(await release(broker, requests[i]!)))
  return { seconds: spent / 1000, processorMs: processor, latencies }
}

async function benchNodes(
  chain: Registered,
  database: Database,
  count: number,
  rounds: number,
  suffix: string,
): Promise<number> {
  const nodes = await Promise.all(Array.from({ length: count }, () => testNode(chain)))
  const asking = Array.from({ length: Math.ceil(releasesMin / count) }, () => nodes).flat()
  await askAll(chain, asking, Math.min(count, rateAtATime)) // warm
  const figures = {
    sum: [] as number[],
    p50: [] as number[],
    p99: [] as number[],
    rate: [] as number[],
    processorSum: [] as number[],
    processor: [] as number[],
  }
  for (let round = 0; round < rounds; round++) {
    const parts = await primitives(chain, database)
    const sumOf = (kind: keyof Cost) => Object.values(parts).reduce((sum, cost) => sum + cost[kind], 0)
    figures.sum.push(sumOf('clock'))
    figures.processorSum.push(sumOf('processor'))
    const { latencies } = await askAll(chain, asking, Math.min(count, latencyAtATime))
    figures.p50.push(quantile(latencies, 0.5))
    figures.p99.push(quantile(latencies, 0.99))
    const together = await askAll(chain, asking, Math.min(count, rateAtATime))
    figures.rate.push(asking.length / together.seconds)
    figures.processor.push(together.processorMs / asking.length)
    if (round === rounds - 1)
      process.stderr.write(
        `${Object.entries(parts)
          .map(([name, { clock, processor }]) => `${name} ${clock.toFixed(3)} (${processor.toFixed(3)}) ms`)
          .join(', ')}\n`,
      )
  }
  const { sum, p50, p99, rate, processorSum, processor } = figures
  const line = (name: string, ours: readonly number[], peer: readonly number[], goal: number) =>
    process.stdout.write(comparisonLine({ name: `release-${name}/${count}${suffix}`, ours, peer, goal }))
  line('sum-over-p50', sum, p50, 1 / 3)
  line('p50-over-p99', p50, p99, 1 / 8)
  line(
    'rate-over-1/sum',
    rate,
    sum.map((ms) => 1000 / ms),
    0.5,
  )
  line('processor', processorSum, processor, 0.5)
  return quantile(rate, 0.5)
}

async function benchOn(database: Database, suffix: string, counts: readonly number[], rounds: number): Promise<void> {
  const lease = { seconds: 300, budget: budgetOf(100), nodes: 100_000 }
  const rates = new Map<number, number>()
  const chain = await registered(database, { registration: { lease } })
  for (const count of counts) rates.set(count, await benchNodes(chain, database, count, rounds, suffix))
  const [few, many] = [rates.get(10), rates.get(1000)]
  if (few !== undefined && many !== undefined)
    process.stdout.write(
      comparisonLine({ name: `release-scaling/1000${suffix}`, ours: [many], peer: [few], goal: 0.9 }),
    )
  await chain.test.close()
}

function option(args: readonly string[], name: string, otherwise: string): string {
  const at = args.indexOf(name)
  return at < 0 ? otherwise : (args[at + 1] ?? otherwise)
}

export async function run(args: readonly string[]): Promise<void> {
  const counts = option(args, '--nodes', '1,10,100,1000').split(',').map(Number)
  const rounds = Number(option(args, '--rounds', '7'))
  const on = option(args, '--on', 'postgres,pglite').split(',')
  const binaries = postgresBinaries()
  if (!on.includes('postgres')) process.stderr.write('Postgres was not asked for\n')
  else if (binaries === undefined) process.stderr.write('no Postgres here: skipped\n')
  else {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-bench-'))
    writeFileSync(join(folder, 'pid'), String(process.pid))
    await startCluster(folder, binaries)
    const database = await openDatabase({ url: clusterUrl(folder, 'postgres') })
    await benchOn(database, '', counts, rounds)
    await database.close()
    stopCluster(folder)
    rmSync(folder, { recursive: true })
  }
  if (!on.includes('pglite')) return
  const pglite = await openDatabase({ memory: true })
  await benchOn(pglite, '/pglite', counts, rounds)
  await pglite.close()
}
