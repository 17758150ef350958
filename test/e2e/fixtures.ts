/**
 * What belongs in test/e2e: chains of real parts, by the commands that users type, and killing them. What one part does by
 * itself is tested in its own folder.
 */
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Chain, type ChainOptions, chainPlaces, openChain } from '#cli/chain.js'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy, type PolicyArguments } from '#cli/client-policy.js'
import type { Io } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { NodeClient } from '#client/node-client.js'
import { utf8 } from '#core/bytes/bytes.js'
import { createSecretFile } from '#host/files.js'
import { packageRoot } from '#host/process.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'
import { anyDatabaseUrl } from '#test/fakes/postgres.js'

/** The launcher as a process, with the tests' state folder and nothing of the test runner. */
export async function launch(
  args: readonly string[],
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const { PATH = '', HOME = '', XDG_STATE_HOME = '' } = process.env
  const env = { PATH, HOME, XDG_STATE_HOME }
  const options = { cwd: packageRoot(), env, timeout: 60_000, maxBuffer: 1 << 24 }
  return new Promise((resolve) => {
    execFile(process.execPath, [join(packageRoot(), 'claviger'), ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err })
    })
  })
}

/** What a command printed, and how it ended. */
export interface TestIo extends Io {
  out(): string
  err(): string
  code(): number | null
}

export function testIo(): TestIo {
  let out = ''
  let err = ''
  let code: number | null = null
  return {
    isTerminal: false,
    stdout: (text) => {
      out += text
    },
    stderr: (text) => {
      err += text
    },
    now: () => Math.floor(Date.now() / 1000),
    ask: async () => null,
    exit: (one) => {
      code = one
    },
    out: () => out,
    err: () => err,
    code: () => code,
  }
}

export interface TestChain {
  readonly folder: string
  readonly options: ChainOptions
  readonly chain: Chain
  readonly io: TestIo
  /** 64 bytes of the weights */
  readonly canary: Uint8Array
  readonly width: number
}

/**
 * A new chain over a small graph in a folder of its own, with a simulated machine whose root is the tests'.
 *
 * options  `databaseUrl: null` where the test is of PGlite, or looks into its folder
 */
export async function testChain(options: Partial<ChainOptions> = {}): Promise<TestChain> {
  const folder = await mkdtemp(join(tmpdir(), 'claviger-e2e-'))
  // After every hook: a chain that still closes writes here.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  process.env.XDG_STATE_HOME = join(folder, 'state')
  const io = testIo()
  const model = join(folder, 'model')
  const { canary, width } = writeModelFolder(model, 'external')
  const chainFolder = join(folder, 'chain')
  await mkdir(chainFolder, { mode: 0o700 })
  const platform = await testPlatform({ at: io.now() })
  await createSecretFile(chainPlaces(chainFolder).platform, exportPlatform(platform))
  const all: ChainOptions = {
    folder: chainFolder,
    modelFolder: model,
    modelName: 'matmul',
    databaseUrl: 'databaseUrl' in options ? null : await anyDatabaseUrl(),
    brokerPort: 0,
    nodePort: 0,
    leaseSeconds: 60,
    dangerousAllowInspection: false,
    io,
    ...options,
  }
  return { folder, options: all, chain: await openChain(all), io, canary, width }
}

/** A client of the chain's node, with its own trust file. */
export async function testClient(chain: Chain, args: PolicyArguments = {}, fetchWith: typeof fetch = fetch) {
  const io = testIo()
  const { trust } = await loadTrust(chain.trustPath, io.now())
  const policy = clientPolicy({ model: chain.model, dangerousAllowSimulated: true, ...args }, trust)
  const options = { ...nodeClientOptions(chain.node.url, trust, policy, null, io), fetch: fetchWith }
  return { client: new NodeClient(options), trust, policy, options }
}

/** An Open Inference Protocol request for the small graph: one row of `width` numbers, all `value`, or the row itself. */
export function inferRequest(width: number, value: number | Float32Array = 1) {
  const data = typeof value === 'number' ? Array.from({ length: width }, () => value) : [...value]
  const body = { inputs: [{ name: 'x', shape: [1, width], datatype: 'FP32', data }] }
  return {
    method: 'POST',
    path: '/v2/models/matmul/infer',
    headers: [['content-type', 'application/json']] as const,
    body: utf8(JSON.stringify(body)),
  }
}
