/**
 * What belongs in test/bench: programs that measure one thing against a peer on the same machine in the same run.
 *
 * `load`: a sealed model from its folder to a ready session, against ONNX Runtime loading the same weights in the clear.
 */
import { fork } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { prepareForm } from '#runtime/engine/prepare.js'
import { engineEnvironment } from '#runtime/engine/start.js'
import { engineThreads } from '#runtime/engine/threads.js'
import { chainGraph, externalTensor, randomWeights } from '../fakes/graphs.js'
import { sealFixture } from '../fakes/sealed-model.js'
import type { LoadedOnce, LoadOnce } from './load-once.js'

const MiB = 1024 * 1024
/** One layer of the random model: 2,048 x 2,048 float32, 16 MiB. */
const side = 2048
const layerSize = side * side * 4

interface Settings {
  readonly sizesMiB: readonly number[]
  readonly rounds: number
  readonly threads: number
}

function parseSettings(args: readonly string[]): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: '64,512' },
      rounds: { type: 'string', default: '7' },
      // As the engine would choose; the peer has as many.
      threads: { type: 'string', default: String(engineThreads()) },
    },
  })
  const number = (text: string, name: string, min: number, max: number) => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= min && value <= max) return value
    throw new Error(`--${name}: expected a whole number from ${min} to ${max}`)
  }
  return {
    sizesMiB: values.size.split(',').map((one) => number(one, 'size', 16, 1920)),
    rounds: number(values.rounds, 'rounds', 1, 100),
    threads: number(values.threads, 'threads', 1, 64),
  }
}

interface Files {
  /** the graph with its weights inside (A) */
  readonly inline: string
  /** the graph with its weights in a file beside it (B) */
  readonly external: string
  readonly sealed: string
  readonly dek: string
}

/** The same random weights three ways: inside the graph, beside it, and sealed as a prepared form. */
async function writeFiles(folder: string, sizeMiB: number): Promise<Files> {
  const layers = Math.max(1, Math.round((sizeMiB * MiB) / layerSize))
  const externalFolder = join(folder, 'external')
  const preparedFolder = join(folder, 'prepared')
  for (const one of [externalFolder, preparedFolder]) mkdirSync(one, { recursive: true })
  const weights = join(externalFolder, 'weights.bin')
  const fd = openSync(weights, 'w')
  for (let i = 0; i < layers; i++) {
    const layer = randomWeights(side * side, i + 1)
    writeSync(fd, new Uint8Array(layer.buffer))
  }
  closeSync(fd)
  const external = join(externalFolder, 'model.onnx')
  const tensors = Array.from({ length: layers }, (_, i) =>
    externalTensor(`w${i}`, [side, side], 'weights.bin', i * layerSize, layerSize),
  )
  write(external, chainGraph(tensors, side))
  const bytes = new Uint8Array(readFileSync(weights))
  const inline = join(folder, 'inline.onnx')
  const within = tensors.map(({ name, dims, dataType }, i) => ({
    name: name!,
    dims: dims!,
    dataType: dataType!,
    rawData: bytes.subarray(i * layerSize, (i + 1) * layerSize),
  }))
  write(inline, chainGraph(within, side))
  await prepareForm(external, join(preparedFolder, 'model.ort'))
  write(join(preparedFolder, 'model.onnx'), chainGraph([externalTensor('w', [side, side], 'none', 0, layerSize)], side))
  const sealed = await sealFixture(preparedFolder, join(folder, 'sealed'))
  rmSync(preparedFolder, { recursive: true })
  return { inline, external, sealed: sealed.folder, dek: Buffer.from(sealed.dek).toString('hex') }
}

function write(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'w')
  for (let at = 0; at < bytes.length; at += 256 * MiB) writeSync(fd, bytes, at, Math.min(256 * MiB, bytes.length - at))
  closeSync(fd)
}

/** One load in a new process. Ours runs as the engine does, with its environment; the peer as a user would run it. */
function loadOnce(task: LoadOnce): Promise<LoadedOnce> {
  const child = fork(fileURLToPath(new URL('./load-once.js', import.meta.url)), [], {
    env: task.side === 'ours' ? { ...engineEnvironment } : {},
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as LoadedOnce))
    child.once('exit', (code) => reject(new Error(`the loading process ended with code ${code}`)))
    child.send(task)
  })
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** One comparison: how many times the peer's time a sealed load may take. */
interface Goal {
  readonly name: string
  readonly ours: 'fast' | 'prepacked'
  readonly peer: 'A' | 'B'
  readonly max: number
}
const goals: readonly Goal[] = [
  { name: 'fast/A', ours: 'fast', peer: 'A', max: 1.0 },
  { name: 'fast/B', ours: 'fast', peer: 'B', max: 1.25 },
  { name: 'prepacked/A', ours: 'prepacked', peer: 'A', max: 1.2 },
]

async function measure(files: Files, settings: Settings): Promise<Readonly<Record<string, readonly LoadedOnce[]>>> {
  const { threads } = settings
  const ours = { side: 'ours', path: files.sealed, dek: files.dek, threads } as const
  const plain = { side: 'plain', dek: '', prepacking: true, threads } as const
  const tasks: Readonly<Record<string, LoadOnce>> = {
    fast: { ...ours, prepacking: false },
    A: { ...plain, path: files.inline },
    prepacked: { ...ours, prepacking: true },
    B: { ...plain, path: files.external },
  }
  const results: Record<string, LoadedOnce[]> = {}
  for (let round = -1; round < settings.rounds; round++) {
    for (const [name, task] of Object.entries(tasks)) {
      const once = await loadOnce(task)
      // The first round fills the page cache for both sides.
      if (round >= 0) (results[name] ??= []).push(once)
    }
  }
  return results
}

/** Prints one line a comparison: `name ours peer ratio min max PASS|FAIL`, milliseconds, medians. */
export async function run(args: readonly string[]): Promise<void> {
  const settings = parseSettings(args)
  for (const sizeMiB of settings.sizesMiB) {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-bench-'))
    try {
      const results = await measure(await writeFiles(folder, sizeMiB), settings)
      for (const [name, list] of Object.entries(results)) {
        const share = (of: (one: LoadedOnce) => number) => (median(list.map(of)) / sizeMiB).toFixed(2)
        const ms = median(list.map((one) => one.ms)).toFixed(0)
        process.stderr.write(
          `load/${sizeMiB}MiB ${name}: ${ms} ms; memory over weights: peak ${share((one) => one.peakMiB)}, steady ${share((one) => one.steadyMiB)}\n`,
        )
      }
      for (const goal of goals) {
        const ours = results[goal.ours]!.map((one) => one.ms)
        const peer = results[goal.peer]!.map((one) => one.ms)
        const ratios = ours.map((ms, round) => ms / peer[round]!)
        const ratio = median(ratios)
        const figures = [median(ours).toFixed(0), median(peer).toFixed(0)]
        const range = [ratio, Math.min(...ratios), Math.max(...ratios)].map((one) => one.toFixed(2))
        const verdict = ratio <= goal.max ? 'PASS' : 'FAIL'
        process.stdout.write(`load/${sizeMiB}MiB/${goal.name} ${[...figures, ...range].join(' ')} ${verdict}\n`)
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
  process.stderr.write(
    `${settings.threads} threads on both sides. A: weights inside the graph; B: in a file beside it. fast: without prepacking. Files are in the page cache; simulated TEE.\n`,
  )
}
