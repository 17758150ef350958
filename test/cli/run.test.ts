import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { nodeClientOptions } from '#cli/client-options.js'
import * as host from '#cli/host.js'
import { parseListen } from '#cli/option-values.js'
import type { Io } from '#cli/output.js'
import { type RunArguments, run } from '#cli/run.js'
import type { RunningNode } from '#cli/start-node.js'
import { judgeNode, NodeClient } from '#client/node-client.js'
import { utf8 } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { encodeVkey } from '#core/tlog/vkey.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import {
  beatRequestShape,
  challengeRequestShape,
  hostDeclarationShape,
  releaseRequestShape,
} from '#core/wire/release.js'
import type { Trust } from '#core/wire/trust-file.js'
import { packageRoot } from '#host/process.js'
import { measureRuntime } from '#runtime/attester/simulated/measure.js'
import { createSimulatedPlatform, exportPlatform } from '#runtime/attester/simulated/platform.js'
import { BrokerDouble } from '../fakes/broker-double.js'
import { writeModelFolder } from '../fakes/graphs.js'
import { testAuthority, testReferenceValues, testRootDigest } from '../fakes/platform.js'
import { type SealedFixture, sealFixture } from '../fakes/sealed-model.js'

const now = () => Math.floor(Date.now() / 1000)
let work: string
let measurement: string
let state: string
let broker: BrokerDouble
let server: Server
let brokerUrl: string
let sealed: SealedFixture
let denial: object | null

/** The broker double behind the true routes of a broker. */
function brokerApp(): Hono {
  const app = new Hono()
  const port = broker.port()
  app.onError((error, c) => {
    if (!isFailure(error)) throw error
    return c.json({ code: error.code, detail: error.message }, 503)
  })
  app.use('*', async (c, next) => (denial === null ? next() : c.json(denial, 403)))
  app.get('/v1/owners/:owner/trust', (c) => c.json(broker.trust))
  app.post('/v1/challenges', async (c) => {
    const { model, renewal } = challengeRequestShape(await c.req.json(), '')
    return c.json(await port.challenge(model, renewal))
  })
  app.post('/v1/releases', async (c) => c.json(await port.release(releaseRequestShape(await c.req.json(), ''))))
  app.post('/v1/renewals', async (c) => c.json(await port.renew(releaseRequestShape(await c.req.json(), ''))))
  app.post('/v1/beats', async (c) => {
    const { lease, nonce } = beatRequestShape(await c.req.json(), '')
    return c.json(await port.beat(lease, nonce))
  })
  return app
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'claviger-run-'))
  measurement = await measureRuntime(join(packageRoot(), 'dist'))
  const at = now()
  const platform = await createSimulatedPlatform({ at, measurement, authority: await testAuthority('Genoa', at) })
  state = join(work, 'platform.json')
  writeFileSync(state, exportPlatform(platform))
  chmodSync(state, 0o600)
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

let folders = 0
beforeEach(async () => {
  denial = null
  broker = await BrokerDouble.create(now)
  broker.referenceValues = testReferenceValues({ measurements: [measurement] })
  const plain = join(work, `plain-${++folders}`)
  mkdirSync(plain)
  writeModelFolder(plain, 'matmul')
  sealed = await sealFixture(plain, join(work, `sealed-${folders}`), {
    owner: broker.owner,
    name: 'whisper',
    version: 1,
  })
  broker.dek = sealed.dek
  server = createAdaptorServer({ fetch: brokerApp().fetch, createServer }) as Server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  brokerUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

class TestIo implements Io {
  out = ''
  err = ''
  code: number | undefined
  readonly isTerminal = false
  stdout(text: string) {
    this.out += text
  }
  stderr(text: string) {
    this.err += text
  }
  now = now
  exit(code: number) {
    this.code = code
  }
  async ask() {
    return null
  }
}

const args = (changes: Partial<RunArguments> = {}): RunArguments => ({
  model: broker.model,
  broker: brokerUrl,
  sealed: sealed.folder,
  listen: '127.0.0.1:0',
  platformState: state,
  threads: 1,
  dangerousAllowSimulated: true,
  // The test's own process is not closed to inspection: a closed one cannot be opened again.
  dangerousAllowInspection: true,
  ...changes,
})

/** Runs a node, does something with it while it serves, and stops it. */
async function whileRunning(
  changes: Partial<RunArguments>,
  act: (node: RunningNode) => Promise<void>,
): Promise<{ code: number; io: TestIo }> {
  const io = new TestIo()
  let stop: () => void = () => {}
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  let failed: unknown
  const code = await run(args(changes), io, stopped, (node) => {
    act(node)
      .catch((error: unknown) => {
        failed = error
      })
      .finally(stop)
  })
  if (failed !== undefined) throw failed
  return { code, io }
}

const trust = (): Trust => ({
  type: 'claviger/trust/v1',
  name: 'test',
  version: 1,
  issuedAt: now(),
  expiresAt: now() + 1000,
  owners: [{ alias: 'acme', key: broker.owner.publicKey }],
  brokers: [{ alias: 'broker', key: broker.key.publicKey as Ed25519Jwk }],
  verifiers: [{ alias: 'verifier', key: broker.verifier.publicKey }],
  logs: [encodeVkey(broker.log.signer.verifier)],
  witnessPolicy: broker.log.policy,
  independentWitnesses: [],
  runtimes: [{ title: 'this build', values: testReferenceValues({ measurements: [measurement] }) }],
  runtimePublishers: [],
  registries: [],
  issuers: [],
  collateralFloors: [],
  simulatedRoots: [testRootDigest],
})
const policy = (changes: Partial<ClientPolicy> = {}): ClientPolicy => ({
  type: 'claviger/client-policy/v1',
  model: broker.model,
  manifests: null,
  versionMin: 1,
  countries: null,
  beatAgeSecondsMax: 300,
  witnessesMin: 0,
  dangerousAllowSimulated: true,
  ...changes,
})
const isRunning = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('claviger run', () => {
  test('serves a model that a client verifies, asks and gets a receipt from; then nothing of it is left', async () => {
    const hostFile = join(work, 'host.json')
    const about = { name: 'node-1', country: 'DE', operator: 'X GmbH', operatorCountry: 'DE', out: hostFile }
    expect(await host.run(about, new TestIo())).toBe(0)
    let pid = 0
    const { code, io } = await whileRunning({ hostStatement: hostFile }, async (node) => {
      pid = node.enginePid
      expect(isRunning(pid)).toBe(true)
      const options = nodeClientOptions(node.url, trust(), policy({ countries: ['DE'] }), null, new TestIo())
      const judged = await judgeNode(options)
      if (!judged.ok) throw judged.failure
      expect(judged.value.declared?.operator?.legalName).toBe('X GmbH')
      const data = Array.from({ length: 256 }, (_, i) => i / 256)
      const body = utf8(JSON.stringify({ inputs: [{ name: 'x', shape: [1, 256], datatype: 'FP32', data }] }))
      const headers = [['content-type', 'application/json']] as const
      const answer = await new NodeClient(options).request({
        method: 'POST',
        path: '/v2/models/whisper/infer',
        headers,
        body,
      })
      expect(answer.status).toBe(200)
      const parsed = parseJson(answer.body) as unknown as { outputs: [{ data: number[] }] }
      expect(parsed.outputs[0].data.length).toBe(256)
      expect(answer.receipt.receipt).toMatchObject({ notHardware: true, usage: { requests: 1 }, status: 200 })
    })
    expect(code).toBe(0)
    expect(isRunning(pid)).toBe(false)
    expect(io.out).toMatch(/^http:\/\/127\.0\.0\.1:[0-9]+\n$/)
    expect(io.err).toContain('NOT HARDWARE')
    expect(io.err).toContain('engine memory can be inspected')
    expect(io.err).toMatch(/engine[\s\S]*keyset[\s\S]*evidence[\s\S]*release[\s\S]*verify[\s\S]*load/)
  })

  test('is refused by a client that accepts no simulated node', async () => {
    await whileRunning({ json: true }, async (node) => {
      const options = nodeClientOptions(
        node.url,
        trust(),
        policy({ dangerousAllowSimulated: false }),
        null,
        new TestIo(),
      )
      const judged = await judgeNode(options)
      expect(judged.ok ? 'ok' : judged.failure.code).toBe('client/simulated')
    })
  })

  test('tells which rule refused, what it expected, and what would satisfy it', async () => {
    const reason = {
      id: 'eu-only',
      effect: 'forbid',
      explain: 'The owner allows nodes in the EU.',
      law: null,
      expected: 'place in the EU',
      actual: 'place not stated',
      remedy: 'start with --host-statement',
    }
    denial = { code: 'broker/denied', detail: 'denied by eu-only', reasons: [reason], entry: 17, simulated: true }
    const io = new TestIo()
    expect(await run(args({ trustStatement: writeTrust() }), io, new Promise(() => {}))).toBe(3)
    expect(io.err).toContain('denied: the broker did not release the key, log entry #17')
    expect(io.err).toMatch(
      /eu-only: The owner allows nodes in the EU\.\n {4}expected {2}place in the EU\n {4}found {5}place not stated\n {4}remedy {4}start with --host-statement/,
    )
  })

  test('ends when its lease is refused, and says so with exit 3', async () => {
    broker.beatSeconds = 8 // a busy machine has to load the model before the first is due
    const io = new TestIo()
    const code = await run(args(), io, new Promise(() => {}), () => {
      denial = { code: 'broker/lease-revoked', detail: 'lease is revoked' }
    })
    expect([code, io.err]).toEqual([3, expect.any(String)])
    expect(io.err).toContain('broker/lease-revoked: lease is revoked')
  })

  test('starts anew, with new keys and a new lease, when its engine is killed', async () => {
    const io = new TestIo()
    const nodes: RunningNode[] = []
    let stop: () => void = () => {}
    const stopped = new Promise<void>((resolve) => {
      stop = resolve
    })
    const code = await run(args(), io, stopped, (node) => {
      nodes.push(node)
      if (nodes.length === 1) process.kill(node.enginePid, 'SIGKILL')
      else stop()
    })
    expect(code).toBe(0)
    const [first, second] = nodes as [RunningNode, RunningNode]
    expect(second.url).toBe(first.url)
    expect(second.session.grant.lease.id).not.toBe(first.session.grant.lease.id)
    expect(second.session.own.keyset.release).not.toEqual(first.session.own.keyset.release)
    expect(second.session.own.keyset.request).not.toEqual(first.session.own.keyset.request)
    expect(io.err).toContain('(session/engine)')
  })

  const writeTrust = () => {
    const path = join(work, `trust-${folders}.json`)
    writeFileSync(path, JSON.stringify(broker.trust))
    return path
  }

  test.each<[string, () => Partial<RunArguments>, string]>([
    ['a simulated machine that nobody allowed', () => ({ dangerousAllowSimulated: false }), 'run/attester'],
    ['another model than the folder holds', () => ({ model: broker.model.replace(/[^/]+$/, 'other') }), 'node/model'],
    ['an alias that no trust file explains', () => ({ model: 'acme/whisper' }), 'run/model'],
    ['another owner than the folder names', () => ({ model: `${'A'.repeat(43)}/whisper` }), 'node/model'],
    ['a broker that is away', () => ({ broker: 'http://127.0.0.1:9' }), 'broker/unreachable'],
    ['a broker whom the owner does not trust', () => ({ brokerKey: 'A'.repeat(43) }), 'own/broker'],
    ['a trust statement that cannot be read', () => ({ trustStatement: '/nowhere' }), 'input/unreadable'],
    ['an address that is none', () => ({ listen: '127.0.0.1' }), 'usage/listen'],
  ])('refuses %s', async (_, changes, code) => {
    const io = new TestIo()
    expect(await run(args(changes()), io, new Promise(() => {}))).toBe(code === 'usage/listen' ? 2 : 1)
    expect(io.err).toContain(`(${code})`)
  })

  test('refuses a sealed folder whose manifest was changed', async () => {
    const path = join(sealed.folder, 'manifest.json')
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace('"version":1', '"version":2'))
    const io = new TestIo()
    expect(await run(args(), io, new Promise(() => {}))).toBe(1)
    expect(io.err).toContain('(sealed/statement)')
  })
})

test('as a process of its own it is closed to inspection, serves, and ends whole with SIGTERM', async () => {
  const options = args({ json: true })
  const child = spawn(
    process.execPath,
    [
      join(packageRoot(), 'dist/cli/main.js'),
      ...['run', '--model', options.model, '--broker', options.broker, '--sealed', options.sealed],
      ...['--platform-state', state, '--threads', '1', '--json', '--dangerous-allow-simulated'],
    ],
    { env: { PATH: process.env.PATH, HOME: work }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let complaint = ''
  child.stderr.on('data', (piece: Buffer) => {
    complaint += piece.toString()
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (piece: Buffer) => resolve(piece.toString()))
    child.once('exit', () => reject(new Error(complaint)))
  })
  const { url } = JSON.parse(line) as { url: string }
  const judged = await judgeNode(nodeClientOptions(url, trust(), policy(), null, new TestIo()))
  if (!judged.ok) throw judged.failure
  expect(judged.value.document.weakenings).not.toContain('engine memory can be inspected')
  // A process that closed itself says so in this way too; who may open its memory is tested with the engine.
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  expect(status).toMatch(/NoNewPrivs:\s+1/)
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ').map(Number)
  expect(children.length).toBe(1)
  child.kill('SIGTERM')
  expect(await exited).toBe(0)
  expect(isRunning(children[0]!)).toBe(false)
})

test('claviger host statement keeps its key and refuses half an operator', async () => {
  const io = new TestIo()
  const out = join(work, 'statement.json')
  await host.run({ name: 'node-2', country: 'FR', out }, io)
  const first = hostDeclarationShape(parseJson(readFileSync(out)), '')
  await host.run({ name: 'node-2', out }, io)
  expect(hostDeclarationShape(parseJson(readFileSync(out)), '').key).toEqual(first.key)
  expect(io.err).toContain('place not stated')
})

test('parses an address to listen on', () => {
  expect(parseListen('127.0.0.1:0')).toEqual({ host: '127.0.0.1', port: 0 })
  expect(parseListen('[::1]:8080')).toEqual({ host: '::1', port: 8080 })
  for (const wrong of ['localhost', ':1', '127.0.0.1:99999', '::1:80']) expect(() => parseListen(wrong)).toThrow()
})
