import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { expect } from 'vitest'
import { adminTokenPath, createServices } from '#cli/service-state.js'
import { openSimulatedAttester, type SimulatedAttester } from '#cli/simulated-attester.js'
import { parseJson } from '#core/encoding/json.js'
import { type Entry, parseEntry } from '#core/wire/entries.js'
import { type HostDeclaration, hostDeclarationShape } from '#core/wire/release.js'
import { type Database, rowsOf } from '#host/database.js'
import { createSecretFile } from '#host/files.js'
import { type Service, spawnService } from '#host/process.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import type { SessionEvent } from '#runtime/ports.js'
import { type OneBroker, places, prepareOwner, runNode, type StartedNode, type } from '#test/e2e/quorum-fixtures.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'
import { type Piece, type PostgresProxy, proxyPostgres } from '#test/fakes/postgres-proxy.js'

/** A broker and its witness as processes of their own, Postgres behind a place that can fail, and an owner's model. */
export interface FaultWorld {
  readonly folder: string
  readonly url: string
  readonly proxy: PostgresProxy
  /** the broker as it runs now */
  broker(): Service
  /** It is killed, unless it is, and started again at its address; returns when it answers. */
  restartBroker(): Promise<void>
  readonly witness: { stop(): Promise<void>; start(): Promise<void> }
  node(events?: Parameters<typeof runNode>[5]): Promise<StartedNode>
  /** all entries of the log, in their order, past the broker */
  entries(): Promise<readonly Entry[]>
  /** those that were not given back */
  leases(): Promise<readonly string[]>
  close(): Promise<void>
}

const now = () => Math.floor(Date.now() / 1000)

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return port
}

async function owner(folder: string, url: string, broker: string): Promise<SimulatedAttester> {
  const at = (name: string) => join(folder, name)
  await mkdir(at('model'))
  writeModelFolder(at('model'), 'external')
  await createSecretFile(at('platform.json'), exportPlatform(await testPlatform({ at: now() })))
  const attester = await openSimulatedAttester(at('platform.json'), now())
  const known = [{ name: 'acme', stack: { url, broker } }] as unknown as readonly OneBroker[]
  await prepareOwner(folder, at('model'), known, attester)
  const words = ['--broker', url, '--trust', places(folder).trust, '--keys', at('keys'), '--lease-seconds', '60']
  const register = ['register', at('one'), ...words, '--policy', 'eu-development', '--class', 'development']
  await type(...register, '--nodes', '1', '--token', adminTokenPath(at('services')))
  const place = ['--name', 'node-1', '--country', 'DE', '--operator', 'Example GmbH', '--operator-country', 'DE']
  await type('host', 'statement', ...place, '--out', places(folder).host)
  return attester
}

/** The owner allows one node: a second lease would be refused, and is looked for as well. */
export async function faultWorld(direct: { readonly database: Database; readonly url: string }): Promise<FaultWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'claviger-faults-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  process.env.XDG_STATE_HOME = join(folder, 'state')
  const state = join(folder, 'services')
  const proxy = await proxyPostgres(direct.url)
  const made = await createServices({ folder: state, databaseUrl: proxy.url, origin: 'log.example/faults', at: now() })
  const ports = { witness: await freePort(), broker: await freePort() }
  const serve = (name: 'witness' | 'keybroker', ...more: string[]) =>
    spawnService('cli/main.js', {
      args: [
        'serve',
        name,
        '--state',
        state,
        '--listen',
        `127.0.0.1:${ports[name === 'witness' ? name : 'broker']}`,
        ...more,
      ],
      env: { CLAVIGER_DATABASE_URL: proxy.url },
      onLogLine: () => undefined,
    })
  let witness = await serve('witness')
  const policy = join(folder, 'policy')
  const witnessUrl = `http://127.0.0.1:${ports.witness}`
  await writeFile(policy, `log ${made.log}\nwitness own ${made.witness} ${witnessUrl}\nquorum own\n`)
  const start = () => serve('keybroker', '--witness-policy', policy)
  let broker = await start()
  const url = `http://127.0.0.1:${ports.broker}`
  const attester = await owner(folder, url, made.broker)
  const host: HostDeclaration = hostDeclarationShape(parseJson(await readFile(places(folder).host)), 'host statement')
  return {
    folder,
    url,
    proxy,
    broker: () => broker,
    async restartBroker() {
      await broker.kill()
      broker = await start()
    },
    witness: {
      stop: () => witness.kill(),
      async start() {
        witness = await serve('witness')
      },
    },
    node: (events) => runNode(folder, 'one', [url], attester, host, events),
    async entries() {
      const rows = await rowsOf(direct.database.db, sql`select leaf from transparency.entry order by index`)
      return rows.map((row) => parseEntry(row.leaf as Uint8Array))
    },
    async leases() {
      const rows = await rowsOf(direct.database.db, sql`select id from keybroker.leases where ended_at is null`)
      return rows.map((row) => String(row.id))
    },
    async close() {
      await broker.stop()
      await witness.stop()
      await proxy.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Statements of a release, as they pass to Postgres: by name alone once it knows them. */
const named = (name: string) => new RegExp(`${name}\0`)
export const decided = named('decisions')
export const entered = named('log_integrate')
export const published = named('log_checkpoint')

/** Does something at a moment of the next release, once: before a statement comes to Postgres, or once it was done. */
export function once(
  world: FaultWorld,
  when: 'before' | 'after',
  statement: RegExp,
  act: () => void,
): { readonly happened: Promise<void> } {
  let seen = false
  let over = false
  return {
    happened: new Promise((resolve) => {
      world.proxy.watch = ({ to, text }: Piece) => {
        if (over) return undefined
        if (to === 'server' && statement.test(text)) {
          seen = true
          if (when === 'after') return undefined
        } else if (!(to === 'client' && seen)) return undefined
        over = true
        act()
        resolve()
        return 'drop'
      }
    }),
  }
}

const troubles = (events: readonly SessionEvent[]) =>
  events.flatMap((one) => (one.kind === 'trouble' ? [one.failure.code] : []))
/** Entries and leases that were not there before. */
async function since(world: FaultWorld, before: { readonly entries: number; readonly leases: readonly string[] }) {
  const entries = (await world.entries()).slice(before.entries)
  const releases = entries.filter((one) => one.kind === 'release')
  const leases = (await world.leases()).filter((one) => !before.leases.includes(one))
  return { releases, leases }
}
export const mark = async (world: FaultWorld) => ({
  entries: (await world.entries()).length,
  leases: await world.leases(),
})

/** One node, one lease; its entries are about no other, but where the broker itself knew that nothing left and gave it back. */
export async function verifyOneLease(
  world: FaultWorld,
  { node }: StartedNode,
  before: Awaited<ReturnType<typeof mark>>,
  givenBack = false,
) {
  const { lease } = node.session.grant
  const { releases, leases } = await since(world, before)
  expect(leases).toEqual([lease.id])
  const named = new Set(releases.map((one) => one.lease_id))
  if (givenBack) expect(named).toContain(lease.id)
  else expect(named).toEqual(new Set([lease.id]))
  expect(node.session.isServing).toBe(true)
  await node.close()
}

/** Kills the broker at a moment of a node's first release: the node asks again, and gets the same lease. stand: releases in the log by then */
export async function killedInRelease(
  world: FaultWorld,
  when: 'before' | 'after',
  statement: RegExp,
  stand: number,
): Promise<void> {
  const before = await mark(world)
  const killed = once(world, when, statement, () => void world.broker().kill())
  const events: SessionEvent[] = []
  const starting = world.node(events)
  await killed.happened
  await world.broker().ended
  expect((await since(world, before)).releases).toHaveLength(stand)
  world.proxy.mend()
  await world.restartBroker()
  const started = await starting
  expect(troubles(events)).toContain('broker/unreachable')
  await verifyOneLease(world, started, before)
}
