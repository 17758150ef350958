import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chainPlaces } from '#cli/chain.js'
import { servicePlaces } from '#cli/service-state.js'
import { openSimulatedAttester } from '#cli/simulated-attester.js'
import { loadTrust } from '#cli/trust-store.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { openDatabase } from '#host/database.js'
import { packageRoot } from '#host/process.js'
import { inferRequest } from '#test/e2e/fixtures.js'
import {
  type ChainProcess,
  clientOf,
  familyOf,
  isAlive,
  nowSeconds,
  openOwner,
  prepareChain,
  spawnChain,
  until,
} from '#test/invariants/fixtures.js'
import { askingAt } from '#test/invariants/live.js'

const cleanups: (() => unknown)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

let chain: ChainProcess
let prepared: Awaited<ReturnType<typeof prepareChain>>
const open = async () => {
  const chain = await spawnChain(prepared.folder, prepared.options)
  cleanups.push(() => chain.service.kill())
  return chain
}
beforeAll(async () => {
  prepared = await prepareChain()
  cleanups.push(() => rm(prepared.folder, { recursive: true, force: true }))
  chain = await open()
  // The leases of killed nodes run on until they expire: here they must not use up those that the owner allows.
  const owner = await openOwner(prepared.options.folder, chain.at.brokerUrl)
  const { statement } = (await owner.heads()).find((head) => head.kind === 'registration')!
  const said = JSON.parse(Buffer.from(statement.payload, 'base64').toString())
  const { type: _t, tenant: _n, sequence: _s, previous: _p, issuedAt: _i, ...body } = said
  const answer = await owner.say('registration', { ...body, lease: { ...body.lease, nodes: 10_000 } })
  expect(answer.status).toBe(200)
})

/** A program of ours by the launcher, as its user starts it. */
function launchForGood(args: readonly string[]): { child: ChildProcess; out(): string } {
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, XDG_STATE_HOME: join(prepared.folder, 'state') }
  const child = spawn(process.execPath, [join(packageRoot(), 'claviger'), ...args], { cwd: packageRoot(), env })
  cleanups.push(() => child.kill('SIGKILL'))
  let out = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => {
      out += piece
    })
  }
  return { child, out: () => out }
}

/** The witness among the children of a chain's process. */
const witnessOf = (pid: number): number =>
  familyOf(pid).find((one) => readFileSync(`/proc/${one}/cmdline`, 'utf8').includes('witness/service/main.js')) ?? 0

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) =>
    child.exitCode === null && child.signalCode === null ? child.once('exit', () => resolve()) : resolve(),
  )

describe('the process of broker and log, killed', () => {
  test('in a burst of releases and changes: what was acknowledged stands, the log has no gap, nothing is left pending', async () => {
    const { folder } = prepared.options
    const attester = await openSimulatedAttester(chainPlaces(folder).platform, nowSeconds())
    const node = await askingAt(folder, { url: chain.at.brokerUrl, broker: chain.at.broker }, attester)
    const owner = await openOwner(folder, chain.at.brokerUrl)
    const { model } = owner
    const released: { leaf: string; request: ReleaseRequest }[] = []
    const unanswered: ReleaseRequest[] = []
    let sequence = 0
    const asks = async () => {
      for (;;) {
        const request = await node.request(await node.challenge())
        unanswered.push(request)
        const { status, body } = await node.release(request)
        if (status === 200) released.push({ leaf: body.leaf, request })
        unanswered.splice(unanswered.indexOf(request), 1)
      }
    }
    const says = async () => {
      for (let i = 0; ; i++) {
        const text = `@id("p${i}") permit (principal, action, resource);`
        const { status, body } = await owner.say('policy', { model, name: 'burst', language: 'cedar', text })
        if (status === 200)
          sequence = Math.max(sequence, body.accepted.find((one: { kind: string }) => one.kind === 'policy').sequence)
      }
    }
    const burst = [asks(), asks(), asks(), asks(), says()].map((each) => each.catch(() => undefined))
    await until(() => released.length >= 5 && sequence >= 4)
    await chain.service.kill()
    await Promise.all(burst)
    expect(released.length).toBeGreaterThanOrEqual(5)
    expect(sequence).toBeGreaterThanOrEqual(4)
    for (const pid of [chain.at.enginePid, chain.at.witnessPid]) {
      await until(() => !isAlive(pid))
      expect(isAlive(pid)).toBe(false)
    }

    const again = await open()
    const { trust } = await loadTrust(again.at.trustPath, nowSeconds())
    const { client } = await clientOf(again.at)
    const newest = (await client.node()).inclusion.index
    const leaves = await Promise.all(
      Array.from({ length: newest + 1 }, async (_, index) => {
        const answer = await fetch(new URL(`/v1/log/proofs/${index}`, again.at.brokerUrl))
        return answer.status === 200 ? answer.text() : null
      }),
    )
    expect(leaves.filter((proof) => proof === null)).toEqual([])
    const accepts = { logVkeys: trust.logs, policy: trust.witnessPolicy }
    for (const { leaf } of released) {
      const bytes = fromBase64(leaf)
      const found = await Promise.all(leaves.map((proof) => verifyTlogProof(proof!, bytes, accepts).catch(() => null)))
      expect(found.filter(Boolean)).toHaveLength(1)
    }
    const heads = await (await openOwner(folder, again.at.brokerUrl)).heads()
    expect(heads.find((head) => head.kind === 'policy')!.sequence).toBeGreaterThanOrEqual(sequence)
    expect((await client.request(inferRequest(prepared.width))).status).toBe(200)

    await again.service.stop()
    const database = await openDatabase({ folder: join(chainPlaces(folder).services, 'database') })
    const { rows } = (await database.db.execute(
      sql`select count(*)::int as all, count(entry_index)::int as told, count(distinct entry_index)::int as apart from keybroker.entries`,
    )) as unknown as { rows: [{ all: number; told: number; apart: number }] }
    await database.close()
    expect(rows[0].told).toBe(rows[0].all)
    expect(rows[0].apart).toBe(rows[0].all)
  }, 180_000)

  test('after its witness was: each append is refused until it runs again, none is half done', async () => {
    const { folder } = prepared.options
    const chain = await open()
    const attester = await openSimulatedAttester(chainPlaces(folder).platform, nowSeconds())
    const node = await askingAt(folder, { url: chain.at.brokerUrl, broker: chain.at.broker }, attester)
    const owner = await openOwner(folder, chain.at.brokerUrl)
    const { model } = owner
    const first = await node.request(await node.challenge())
    process.kill(chain.at.witnessPid, 'SIGKILL')
    const { status, body } = await node.release(first)
    expect([status, body.code, body.wrapped]).toEqual([503, 'log/witness-unavailable', undefined])
    // It is started again with its key and what it has seen, however often: the same broker goes on.
    const asked = async () => (await node.release(await node.request(await node.challenge()))).status
    await expect.poll(asked, { timeout: 60_000, interval: 500 }).toBe(200)
    const again = witnessOf(chain.service.pid)
    expect(again).not.toBe(chain.at.witnessPid)
    // One that cannot start is tried again and again: each append is refused meanwhile, and none is half done.
    const place = servicePlaces(chainPlaces(folder).services).witness
    await rename(place, `${place}.away`)
    process.kill(again, 'SIGKILL')
    await until(() => !isAlive(again))
    const text = '@id("after") permit (principal, action, resource);'
    const said = await owner.say('policy', { model, name: 'after', language: 'cedar', text })
    expect([said.status, said.body.code]).toEqual([503, 'log/witness-unavailable'])
    await until(() => chain.lines.some((line) => line.includes('the witness does not start')))
    // Broker, log and what was said before still answer.
    expect((await fetch(new URL('/checkpoint', chain.at.brokerUrl))).status).toBe(200)
    await rename(`${place}.away`, place)
    await expect.poll(asked, { timeout: 60_000, interval: 500 }).toBe(200)
    expect(chain.lines.filter((line) => line.includes('the witness runs again'))).toHaveLength(2)
    await chain.service.kill()

    const restarted = await open()
    const at = { url: restarted.at.brokerUrl, broker: restarted.at.broker }
    const fresh = await askingAt(folder, at, attester)
    const answer = await fresh.release(await fresh.request(await fresh.challenge()))
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    await restarted.service.stop()
  }, 180_000)
})

describe('a node, killed', () => {
  test('while requests run: its engine dies with it, no answer is half served, and a new node serves', async () => {
    const { folder } = prepared.options
    const chain = await open()
    const at = chainPlaces(folder)
    const args = ['run', '--model', chain.at.model, '--broker', chain.at.brokerUrl, '--sealed', chain.at.sealedPath]
    args.push('--trust', chain.at.trustPath, '--host-statement', at.host, '--dangerous-allow-simulated')
    args.push('--platform-state', at.platform, '--listen', '127.0.0.1:0')
    const start = async () => {
      const run = launchForGood(args)
      const url = () => /http:\/\/127\.0\.0\.1:[0-9]+/.exec(run.out().replaceAll(chain.at.brokerUrl, ''))?.[0]
      await until(() => url() !== undefined || run.child.exitCode !== null)
      expect(url(), run.out()).toBeDefined()
      return { ...run, url: url()! }
    }
    const first = await start()
    const { client } = await clientOf({ ...chain.at, nodeUrl: first.url })
    expect((await client.request(inferRequest(prepared.width))).status).toBe(200)
    const [, ...children] = familyOf(first.child.pid!)
    expect(children.length).toBeGreaterThan(0)

    const outcomes: (number | string)[] = []
    const callers = Array.from({ length: 8 }, async () => {
      for (;;) {
        const outcome = await client.request(inferRequest(prepared.width)).then(
          (answer) => answer.status,
          (error: { code?: string }) => String(error.code),
        )
        outcomes.push(outcome)
        if (outcome !== 200) return
      }
    })
    await until(() => outcomes.length >= 20)
    first.child.kill('SIGKILL')
    await ended(first.child)
    await Promise.all(callers)
    // Whole answers with receipts that verified, or a failure with a code of ours: nothing between.
    expect(outcomes.filter((one) => one === 200).length).toBeGreaterThanOrEqual(12)
    expect(outcomes.filter((one) => one !== 200)).toHaveLength(8)
    for (const one of outcomes) expect(String(one)).toMatch(/^(200|client\/unreachable|client\/answer|ohttp\/.+)$/)
    for (const pid of children) {
      await until(() => !isAlive(pid))
      expect(isAlive(pid)).toBe(false)
    }

    const second = await start()
    const { client: next } = await clientOf({ ...chain.at, nodeUrl: second.url })
    expect((await next.request(inferRequest(prepared.width))).status).toBe(200)
    second.child.kill('SIGTERM')
    await ended(second.child)
    await chain.service.stop()
  }, 180_000)
})

describe('npm start, killed', () => {
  test('and started again on the same folder: the lock that it left is taken over, and nothing of it is left running', async () => {
    const args = ['dev', '--folder', prepared.options.folder, '--model', prepared.options.modelFolder]
    args.push('--broker-port', '0', '--node-port', '0')
    const start = async () => {
      const run = launchForGood(args)
      await until(() => run.out().includes('Try:') || run.child.exitCode !== null)
      expect(run.out()).toContain('Try:')
      return run
    }
    const first = await start()
    // Three commands to try, the last a question that this model can answer: it is no speech model.
    await until(() => first.out().includes('through that proxy'))
    const tries = first
      .out()
      .split('Try:\n')[1]!
      .match(/^ {2}\S.*$/gm)!
    expect(tries.map((line) => line.trim().split(' ').slice(0, 2).join(' '))).toEqual([
      './claviger verify',
      './claviger proxy',
      'curl -s',
    ])
    expect(tries[2]).toContain('http://127.0.0.1:8787/v2/models/model ')
    const [, ...children] = familyOf(first.child.pid!)
    expect(children.length).toBeGreaterThanOrEqual(2)
    // Two at once on one folder: the second is told who has it, and takes nothing from the first.
    const second = launchForGood(args)
    await ended(second.child)
    expect(second.child.exitCode).not.toBe(0)
    expect(second.out()).toContain('another claviger process uses this folder')
    expect(second.out()).toContain('(chain/in-use)')
    expect(isAlive(first.child.pid!)).toBe(true)

    // Its engine alone: the node starts again, with new keys, at its address.
    const node = /^node +(\S+)/m.exec(first.out())![1]!
    const isReady = () =>
      fetch(new URL('/v2/health/ready', node)).then(
        (answer) => answer.status === 200,
        () => false,
      )
    process.kill(
      children.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/engine/child.js'))!,
      'SIGKILL',
    )
    await until(() => first.out().includes('the node runs again'))
    expect(await isReady()).toBe(true)

    first.child.kill('SIGKILL')
    await ended(first.child)
    const third = await start()
    for (const pid of children) {
      await until(() => !isAlive(pid))
      expect(isAlive(pid)).toBe(false)
    }
    const url = /^node +(\S+)/m.exec(third.out())![1]!
    expect((await fetch(new URL('/v2/health/ready', url))).status).toBe(200)
    third.child.kill('SIGTERM')
    await ended(third.child)
    expect(third.child.exitCode).toBe(0)
  }, 180_000)
})
