import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { simulatedRuntime } from '#cli/reference-values.js'
import { servicePlaces } from '#cli/service-state.js'
import { openSimulatedAttester } from '#cli/simulated-attester.js'
import { createSecretFile } from '#host/files.js'
import { packageRoot } from '#host/process.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'
import { isAlive, nowSeconds, until } from '#test/invariants/fixtures.js'

/** A command of the launcher that runs until it is ended, and the line of JSON that it said first. */
export interface Running {
  readonly pid: number
  readonly ready: Record<string, string>
  /** what it printed on standard error so far */
  err(): string
  stop(): Promise<void>
}

/** Everything of a chain with each part as a process of its own, started as its operator would. */
export interface Apart {
  readonly folder: string
  readonly canary: Uint8Array
  readonly width: number
  readonly keys: string
  readonly sealed: string
  readonly trust: string
  readonly model: string
  readonly services: ReturnType<typeof servicePlaces>
  readonly broker: Running
  readonly witness: Running
  readonly node: Running
  readonly enginePid: number
  close(): Promise<void>
}

function start(args: readonly string[], folder: string): ChildProcess {
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, TMPDIR: folder, XDG_STATE_HOME: join(folder, 'state') }
  return spawn(process.execPath, [join(packageRoot(), 'claviger'), ...args], { env, cwd: folder })
}

/** Runs to its end. */
async function command(args: readonly string[], folder: string): Promise<string> {
  const child = start(args, folder)
  let out = ''
  let err = ''
  child.stdout!.on('data', (piece) => (out += piece))
  child.stderr!.on('data', (piece) => (err += piece))
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`claviger ${args[0]} ended with ${code}: ${err}`)
  return out
}

async function running(args: readonly string[], folder: string): Promise<Running> {
  const child = start(args, folder)
  let out = ''
  let err = ''
  child.stderr!.on('data', (piece) => (err += piece))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const ready = await new Promise<Record<string, string>>((resolve, reject) => {
    child.stdout!.on('data', (piece) => {
      out += piece
      if (out.includes('\n')) resolve(JSON.parse(out.slice(0, out.indexOf('\n'))) as Record<string, string>)
    })
    child.once('close', (code) => reject(new Error(`claviger ${args.join(' ')} ended with ${code}: ${err}`)))
  })
  return {
    pid: child.pid!,
    ready,
    err: () => err,
    async stop() {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(late)
    },
  }
}

export async function openApart(): Promise<Apart> {
  const folder = await mkdtemp(join(tmpdir(), 'claviger-apart-'))
  const at = (name: string) => join(folder, name)
  const { canary, width } = writeModelFolder(at('model'), 'external')
  await mkdir(at('host'), { mode: 0o700 })
  await createSecretFile(at('host/platform.json'), exportPlatform(await testPlatform({ at: nowSeconds() })))
  const attester = await openSimulatedAttester(at('host/platform.json'), nowSeconds())
  await writeFile(at('runtime.json'), JSON.stringify(simulatedRuntime(attester)))
  const run = (...args: readonly string[]) => command(args, folder)

  const any = ['--listen', '127.0.0.1:0']
  await run('serve', 'create', '--state', 'services')
  const witness = await running(['serve', 'witness', '--state', 'services', ...any], folder)
  const broker = await running(
    ['serve', 'keybroker', '--state', 'services', '--witness', witness.ready.url!, ...any],
    folder,
  )
  const url = broker.ready.url!
  await run('keys', 'new', '--out', 'keys', '--name', 'acme')
  await run('seal', 'model', '--out', 'sealed', '--keys', 'keys', '--name', 'matmul', '--version', '1')
  const pinned = ['--broker', url, '--broker-key', broker.ready.broker!]
  await run('init', ...pinned, '--owner', 'acme=keys', '--runtime', 'runtime.json', '--out', 'trust.json')
  const token = servicePlaces(at('services')).adminToken
  const owner = ['--broker', url, '--trust', 'trust.json', '--keys', 'keys', '--token', token]
  await run('register', 'sealed', ...owner, '--policy', 'eu-development', '--class', 'development')
  await run(...`host statement --name n --country DE --operator O --operator-country DE --out host.json`.split(' '))
  const node = await running(
    [
      ...['run', '--model', 'acme/matmul', '--broker', url, '--sealed', 'sealed', '--trust', 'trust.json', '--json'],
      ...['--host-statement', 'host.json', '--platform-state', 'host/platform.json', '--threads', '1'],
      ...['--dangerous-allow-simulated', '--dangerous-allow-inspection'],
    ],
    folder,
  )
  const children = (await readFile(`/proc/${node.pid}/task/${node.pid}/children`, 'utf8')).split(' ').filter(Boolean)
  return {
    folder,
    canary,
    width,
    keys: at('keys'),
    sealed: at('sealed'),
    trust: at('trust.json'),
    model: node.ready.model!,
    services: servicePlaces(at('services')),
    broker,
    witness,
    node,
    enginePid: Number(children[0]),
    async close() {
      for (const one of [node, broker, witness]) await one.stop()
      await until(() => !isAlive(Number(children[0])))
    },
  }
}
