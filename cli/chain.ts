import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as hostCommand from '#cli/host.js'
import * as initCommand from '#cli/init.js'
import { formatDuration, type Io, paint, printable } from '#cli/output.js'
import { type ChainCode, runByOwner } from '#cli/owner-process.js'
import { simulatedRuntime } from '#cli/reference-values.js'
import { adminTokenPath, createServices, isCreated } from '#cli/service-state.js'
import { openSimulatedAttester, type SimulatedAttester } from '#cli/simulated-attester.js'
import { openStack, type Stack } from '#cli/stack.js'
import { type RunningNode, startNode } from '#cli/start-node.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { hostDeclarationShape } from '#core/wire/release.js'
import { makeAside } from '#host/aside.js'
import { makeFolder } from '#host/files.js'
import { type FolderLock, lockFile } from '#host/folder-lock.js'
import { createLog } from '#host/log.js'

/** Failures of taking the folder of a chain. */
export type ChainFolderCode =
  /** another process lives there */
  'chain/in-use'

/** The file of the lock, in the folder that it locks. */
export const chainLockName = 'lock'

/** The whole chain on this machine, in one folder. */
export interface ChainOptions {
  readonly folder: string
  /** a folder of plain ONNX files to be sealed; read on first use only */
  readonly modelFolder: string
  readonly modelName: string
  readonly databaseUrl: string | null
  readonly brokerPort: number
  readonly nodePort: number
  readonly leaseSeconds: number
  readonly dangerousAllowInspection: boolean
  /** the KBS route takes evidence that anybody can write */
  readonly dangerousAllowSample?: boolean
  readonly io: Io
  /** what `lockChain` gave, by whoever took the folder before this; the chain gives it back when it closes */
  readonly lock?: FolderLock
}

export interface Chain {
  readonly stack: Stack
  readonly node: RunningNode
  readonly attester: SimulatedAttester
  readonly trustPath: string
  readonly sealedPath: string
  readonly model: string
  /** Another node at this port, in the place of one that ended. */
  reopenNode(port: number): Promise<RunningNode>
  close(): Promise<void>
}

/**
 * The folder is this process's until `release`, so that no other one empties it, seals into it or starts on it meanwhile.
 *
 * throws  chain/in-use
 */
export async function lockChain(folder: string): Promise<FolderLock> {
  await makeFolder(folder, 0o700)
  try {
    return lockFile(join(folder, chainLockName))
  } catch (error) {
    if (!isFailure(error) || error.code !== 'lock/held') throw error
    const { pid } = error.detail ?? {}
    const who = typeof pid === 'number' ? ` (process ${pid})` : ''
    throw new Failure<ChainFolderCode>('chain/in-use', `another claviger process uses this folder${who}: ${folder}`, {
      cause: error,
      detail: { hint: 'stop it, or name a folder of your own: --folder FOLDER' },
    })
  }
}

/** The name that the demo's owner goes by in the trust file. */
export const ownerAlias = 'acme'

export const chainPlaces = (folder: string) => ({
  keys: join(folder, 'keys'),
  sealed: join(folder, 'sealed'),
  trust: join(folder, 'trust.json'),
  runtime: join(folder, 'runtime.json'),
  host: join(folder, 'host.json'),
  services: join(folder, 'services'),
  platform: join(folder, 'simulated-platform.json'),
  registered: join(folder, 'registered'),
})

/** One step with its duration, as it happens. */
export async function timed<T>(
  io: Io,
  what: string | ((value: T) => string),
  work: () => Promise<readonly [T, string]>,
): Promise<T> {
  const start = performance.now()
  const [value, note] = await work()
  const title = typeof what === 'string' ? what : what(value)
  const took = formatDuration(performance.now() - start)
  io.stderr(`${paint(io, 'green', 'done')} ${took.padStart(7)}  ${title}${note === '' ? '' : `: ${note}`}\n`)
  return value
}

/** A command that people type, run here with what it prints kept back: it is shown when it fails. */
async function quietly(io: Io, name: string, command: (quiet: Io) => Promise<number>): Promise<void> {
  let trouble = ''
  const quiet: Io = {
    ...io,
    isTerminal: false,
    stdout: () => undefined,
    stderr: (text) => {
      trouble += text
    },
    exit: () => undefined,
    ask: async () => null,
  }
  const code = await command(quiet)
  if (code !== 0)
    throw new Failure<ChainCode>('chain/step', `${name} ended with ${code}`, { detail: { said: trouble } })
}

const exists = async (path: string) => (await stat(path).catch(() => null)) !== null

async function sealOnce(options: ChainOptions): Promise<void> {
  const { io, folder, modelFolder, modelName } = options
  const at = chainPlaces(folder)
  if (!(await exists(at.keys))) {
    await timed(io, 'owner makes keys', async () => {
      await runByOwner(['keys', 'new', '--out', at.keys, '--name', ownerAlias])
      return [undefined, at.keys]
    })
  }
  if (await exists(at.sealed)) return
  await timed(io, 'owner seals the model', async () => {
    const flags = ['--out', at.sealed, '--keys', at.keys, '--name', modelName, '--version', '1']
    await runByOwner(['seal', modelFolder, ...flags])
    return [undefined, at.sealed]
  })
}

/**
 * Services under their own name are whole. A first start that was interrupted leaves a folder beside it that has answered
 * nobody; one that it left under the name itself is the operator's to look at.
 */
async function createOnce(at: { readonly folder: string; readonly databaseUrl: string | null }, io: Io): Promise<void> {
  if (await isCreated(at.folder)) return
  const create = (folder: string) =>
    createServices({ ...at, folder, origin: 'claviger.invalid/dev', at: io.now() }).then(() => undefined)
  const own = await readdir(at.folder).catch(() => [])
  if (own.length > 0) await create(at.folder)
  else await makeAside({ place: at.folder, word: 'new', mode: 0o700 }, create)
}

async function openServices(options: ChainOptions): Promise<Stack> {
  const { io, folder, databaseUrl } = options
  const at = { folder: chainPlaces(folder).services, databaseUrl }
  return timed(io, 'broker, verifier, log and witness start', async () => {
    await createOnce(at, io)
    const kbs = { kbsClass: 'development', dangerousAllowSample: options.dangerousAllowSample === true } as const
    const stackOptions = { ...at, kbs, log: createLog('services', 'warn'), now: io.now }
    const stack = await openStack(stackOptions, { host: '127.0.0.1', port: options.brokerPort })
    return [stack, `${stack.url} (${stack.standing})`]
  })
}

async function trustAndRegister(options: ChainOptions, stack: Stack, attester: SimulatedAttester): Promise<void> {
  const { io, folder } = options
  const at = chainPlaces(folder)
  // Other code has another measurement: the owner and the reader have to accept it anew, by a next version.
  const measured = await readFile(at.registered, 'utf8').catch(() => null)
  if (measured === attester.measurement) return
  await writeFile(at.runtime, JSON.stringify(simulatedRuntime(attester)))
  await timed(io, 'reader makes a trust file', async () => {
    const args = {
      broker: stack.url,
      brokerKey: stack.broker,
      owner: [`${ownerAlias}=${at.keys}`],
      out: at.trust,
      // Each chain has its own line of versions: the file of another one is no older version of this one.
      name: `local-${toHex(sha256(utf8(stack.broker))).slice(0, 12)}`,
      days: 90,
      runtime: [at.runtime],
      simulatedRoot: [],
      independentWitness: [],
    }
    await quietly(io, 'init', (quiet) => initCommand.run(args, quiet))
    return [undefined, at.trust]
  })
  await timed(io, 'owner registers key, policy and reference values', async () => {
    const known = [
      '--broker',
      stack.url,
      '--trust',
      at.trust,
      '--keys',
      at.keys,
      '--token',
      adminTokenPath(at.services),
    ]
    const terms = ['--policy', 'eu-development', '--class', 'development']
    await runByOwner(['register', at.sealed, ...known, ...terms, '--lease-seconds', `${options.leaseSeconds}`])
    return [undefined, 'policy eu-development, development tenant']
  })
  await writeFile(at.registered, attester.measurement)
}

async function openNode(options: ChainOptions, stack: Stack, attester: SimulatedAttester): Promise<RunningNode> {
  const { io, folder } = options
  const at = chainPlaces(folder)
  if (!(await exists(at.host))) {
    const args = {
      name: 'demo-node',
      country: 'DE',
      operator: 'Example Hosting GmbH',
      operatorCountry: 'DE',
      out: at.host,
    }
    await quietly(io, 'host statement', (quiet) => hostCommand.run(args, quiet))
  }
  const host = hostDeclarationShape(parseJson(await readFile(at.host)), 'host statement')
  return timed(io, 'node attests, gets the key and loads the model', async () => {
    const node = await startNode({
      model: null,
      brokerUrl: stack.url,
      sealed: at.sealed,
      trust: null,
      broker: stack.broker,
      host,
      attester,
      listen: { host: '127.0.0.1', port: options.nodePort },
      dangerousAllowSimulated: true,
      dangerousAllowInspection: options.dangerousAllowInspection,
      dangerousAllowPlain: false,
      log: createLog('node', 'warn'),
      report(event) {
        if (event.kind === 'step')
          io.stderr(`${paint(io, 'dim', `              ${event.step.padEnd(10)} ${event.text}`)}\n`)
        // A node that was told to stop has nothing to explain.
        else if (event.failure.code !== 'session/stopped') {
          io.stderr(`${paint(io, 'yellow', event.kind)} ${printable(event.failure.message)} (${event.failure.code})\n`)
        }
      },
    })
    return [node, node.url]
  })
}

/**
 * Owner, services and node on this machine, each by the code behind its command. What was made here before is used again.
 *
 * throws  chain/step, chain/in-use, and what the parts throw
 */
export async function openChain(options: ChainOptions): Promise<Chain> {
  const lock = options.lock ?? (await lockChain(options.folder))
  try {
    const chain = await openParts(options)
    return {
      ...chain,
      async close() {
        await chain.close().finally(() => lock.release())
      },
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

async function openParts(options: ChainOptions): Promise<Chain> {
  const { io, folder } = options
  const at = chainPlaces(folder)
  // None waits for another, and most of each is somebody else's work: the pool of threads, other processes.
  const [machine, sealed, services] = await Promise.allSettled([
    timed(io, 'simulated machine starts', async () => {
      const made = await openSimulatedAttester(at.platform, io.now())
      return [made, 'SIMULATED SEV-SNP (NOT HARDWARE)'] as const
    }),
    sealOnce(options),
    openServices(options),
  ])
  // All have ended: a failure of one leaves nothing half made by the others.
  if (machine.status === 'rejected' || sealed.status === 'rejected' || services.status === 'rejected') {
    if (services.status === 'fulfilled') await services.value.close()
    throw [machine, sealed, services].find((one) => one.status === 'rejected')!.reason
  }
  const attester = machine.value
  const stack = services.value
  try {
    await trustAndRegister(options, stack, attester)
    const node = await openNode(options, stack, attester)
    let latest = Promise.resolve(node)
    let isClosing = false
    const reopenNode = async (port: number) => {
      if (isClosing) throw new Failure<ChainCode>('chain/closing', 'the chain is closing')
      latest = openNode({ ...options, nodePort: port }, stack, attester)
      return latest
    }
    const close = async () => {
      isClosing = true
      await latest.then((one) => one.close()).catch(() => undefined) // one that did not start has nothing to close
      await stack.close()
    }
    const model = `${ownerAlias}/${options.modelName}`
    return { stack, node, attester, trustPath: at.trust, sealedPath: at.sealed, model, reopenNode, close }
  } catch (error) {
    await stack.close()
    throw error
  }
}
