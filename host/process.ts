import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'

/** Failures of a child process. */
export type ProcessCode =
  /** the program is not built */
  | 'process/absent'
  /** it ended before it was ready */
  | 'process/ended'
  /** it was not ready in time */
  | 'process/late'
  /** its first line is not one JSON value */
  | 'process/ready-line'

/** The folder of the package: where package.json stands, whether this runs from the sources or from dist. */
export function packageRoot(): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder)
    if (above === folder) throw new Error('assertion failed: there is a package.json above this file')
    folder = above
  }
  return folder
}

export interface Service {
  readonly pid: number
  /** the JSON value that it printed when it was ready */
  readonly ready: Json
  /** how it ended: exit code, or null after a signal */
  readonly ended: Promise<number | null>
  /** Asks it to end, and after `graceMs` (5,000) ends it; returns when it has ended. */
  stop(graceMs?: number): Promise<void>
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>
}

export interface SpawnOptions {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** default 30,000 */
  readonly readyMs?: number
  /** lines of its standard error; default: this process's standard error */
  readonly onLogLine?: (line: string) => void
}

const lineSizeMax = 64 * 1024
/** What a child gets of this process's environment: nothing that loads code or opens an inspector. */
const inherited = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'TZ', 'XDG_CACHE_HOME']

/** Tells a program that it was started by spawnService and ends with its parent. */
const childMark = 'CLAVIGER_CHILD'

/** With the signal that ends each of them when this process ends. */
const running = new Map<ChildProcess, 'SIGKILL' | 'SIGTERM'>()
let watching = false

/** Children do not outlive this process, however it ends short of SIGKILL. They end before what they were making is taken away. */
function watchExit(): void {
  if (watching) return
  watching = true
  process.prependListener('exit', () => {
    for (const [child, signal] of running) child.kill(signal)
  })
}

function readyLine(child: ChildProcess, readyMs: number): Promise<Json> {
  return new Promise((resolve, reject) => {
    const refuse = (code: ProcessCode, message: string, cause?: Error) => {
      clearTimeout(timer) // it would keep this process from ending
      reject(new Failure<ProcessCode>(code, message, { cause }))
    }
    const timer = setTimeout(() => refuse('process/late', `the program was not ready within ${readyMs} ms`), readyMs)
    child.once('error', (cause) => refuse('process/absent', 'it does not start', cause))
    child.once('close', (code, signal) =>
      refuse('process/ended', `the program ended (${code ?? signal}) before it was ready`),
    )
    let text = ''
    const read = (piece: Buffer) => {
      text += piece.toString('utf8')
      const end = text.indexOf('\n')
      if (end < 0 && text.length <= lineSizeMax) return
      child.stdout!.off('data', read)
      child.stdout!.resume() // what follows is nobody's, but must not fill the pipe
      clearTimeout(timer)
      try {
        resolve(parseJson(utf8(text.slice(0, Math.max(end, 0)))))
      } catch (cause) {
        reject(new Failure<ProcessCode>('process/ready-line', 'the first line is not a JSON value', { cause }))
      }
    }
    child.stdout!.on('data', read)
  })
}

/**
 * A program of ours runs as a process of its own, and has said that it is ready with one line of JSON.
 *
 * entry   its file below dist, such as `transparency/witness/service/main.js`
 * throws  process/absent, process/ended, process/late, process/ready-line; the process is gone then
 */
export async function spawnService(entry: string, options: SpawnOptions = {}): Promise<Service> {
  const path = join(packageRoot(), 'dist', entry)
  if (!existsSync(path)) throw new Failure<ProcessCode>('process/absent', `${path} is not there: run npm run build`)
  watchExit()
  const own = inherited.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]))
  const child = spawn(process.execPath, [path, ...(options.args ?? [])], {
    cwd: options.cwd ?? packageRoot(),
    env: { ...Object.fromEntries(own), ...options.env, [childMark]: '1' },
    // Its standard input ends when this process does, even by SIGKILL.
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin!.on('error', () => undefined) // it ended; `ended` tells
  running.set(child, 'SIGKILL')
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      running.delete(child)
      resolve(code)
    })
    child.once('error', () => {
      running.delete(child)
      resolve(null)
    })
  })
  const onLogLine = options.onLogLine ?? ((line: string) => void process.stderr.write(`${line}\n`))
  createInterface({ input: child.stderr! }).on('line', onLogLine)

  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  let ready: Json
  try {
    ready = await readyLine(child, options.readyMs ?? 30_000)
  } catch (error) {
    await kill()
    throw error
  }
  return {
    pid: child.pid!,
    ready,
    ended,
    kill,
    async stop(graceMs = 5000) {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      await ended
      clearTimeout(timer)
    },
  }
}

/** What a program printed, and how it ended: exit code, or null after a signal. */
export interface Ended {
  readonly code: number | null
  readonly out: string
  /** empty when its standard error was this process's */
  readonly err: string
}

const printedMax = 256 * 1024
/** Environment that loads code into a child, or writes down what it runs. */
const loading = ['NODE_OPTIONS', 'NODE_V8_COVERAGE', 'NODE_REPL_EXTERNAL_MODULE', 'LD_PRELOAD', 'LD_AUDIT']

/**
 * A child that is no program of ours ends at once when this process does: it would go on writing where this process takes its
 * unfinished folders away. Call what is returned when it has ended.
 */
export function endWithThisProcess(child: ChildProcess): () => void {
  watchExit()
  running.set(child, 'SIGKILL')
  return () => void running.delete(child)
}

/**
 * A program of ours has run to its end in a process of its own, as this user would run it: with the environment of this
 * process, but for what would load code. Whatever it held in its memory went with it.
 *
 * entry   its file below dist
 * shown   its standard error is this process's: for a progress bar
 * throws  process/absent
 */
export async function runProgram(entry: string, args: readonly string[], shown: boolean): Promise<Ended> {
  const path = join(packageRoot(), 'dist', entry)
  if (!existsSync(path)) throw new Failure<ProcessCode>('process/absent', `${path} is not there: run npm run build`)
  watchExit()
  const env: NodeJS.ProcessEnv = { ...process.env, [childMark]: '1' }
  for (const name of loading) delete env[name]
  // Its standard input ends when this process does, even by SIGKILL.
  const child = spawn(process.execPath, [path, ...args], { env, stdio: ['pipe', 'pipe', shown ? 'inherit' : 'pipe'] })
  child.stdin!.on('error', () => undefined)
  running.set(child, 'SIGTERM') // it takes away what it has not finished
  let out = ''
  let err = ''
  child.stdout!.setEncoding('utf8').on('data', (piece: string) => {
    out = (out + piece).slice(0, printedMax)
  })
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    err = (err + piece).slice(-printedMax) // what it said last explains how it ended
  })
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('close', resolve)
      child.once('error', (cause) => reject(new Failure<ProcessCode>('process/absent', 'it does not start', { cause })))
    })
    return { code, out, err }
  } finally {
    running.delete(child)
  }
}

/**
 * Calls `end` when the parent is gone, if this process was started by `spawnService` or `runProgram`: its standard input ends
 * then, even when the parent was killed. It keeps no process alive by itself.
 */
export function heedParent(end: () => void): void {
  if (process.env[childMark] !== '1') return
  process.stdin.on('end', end).on('error', end).resume()
  if ('unref' in process.stdin) (process.stdin as NodeJS.ReadStream & { unref(): void }).unref()
}

/**
 * For the main file of a service: prints the ready line, and calls `close` once when the process is asked to end, or its parent
 * is gone when spawnService started it.
 * A second signal ends it at once.
 */
export function announceReady(ready: Json, close: () => Promise<void>): void {
  let asked = false
  const end = () => {
    if (asked) process.exit(1)
    asked = true
    close().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  heedParent(end)
  process.stdout.write(`${JSON.stringify(ready)}\n`)
}
