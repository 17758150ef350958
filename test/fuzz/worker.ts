/** One run over one target, in a thread of its own: whoever started it sees the input at hand, and can end it. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { isFailure } from '#core/failure.js'
import { Coverage } from './coverage.js'
import { mutate } from './mutate.js'
import { Random } from './random.js'
import type { Target } from './target.js'

export interface FuzzTask {
  readonly target: string
  /** the module that has it */
  readonly targets: string
  readonly seed: number
  /** whichever ends first */
  readonly seconds: number
  readonly inputs: number
  /** inputs between two looks at the memory */
  readonly memoryEvery: number
  /** two numbers: how many inputs were begun and ended, in steps of one each; the size of the one at hand */
  readonly control: SharedArrayBuffer
  /** the input at hand */
  readonly input: SharedArrayBuffer
}
export type FuzzReport =
  | { readonly kind: 'begun'; readonly seeds: number; readonly sizeMax: number }
  | {
      readonly kind: 'progress' | 'done'
      readonly inputs: number
      readonly edges: number
      readonly corpus: number
      readonly ms: number
    }
  | { readonly kind: 'found'; readonly what: string; readonly detail: string; readonly input: Uint8Array }

/** Inputs between two looks at the coverage: a look costs as much as some hundred inputs. */
const batchSize = 256
const corpusMax = 4000
const progressMs = 10_000
/** By how much the memory may have grown since the first look at it, in bytes. */
const growthMax = 96 * 1024 * 1024

const task = workerData as FuzzTask
const port = parentPort!
const control = new Int32Array(task.control)
const shown = new Uint8Array(task.input)
const tell = (report: FuzzReport) => port.postMessage(report)

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function memory(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

class Stop extends Error {}

async function fuzz(): Promise<void> {
  // Before the product's code is compiled: what is compiled earlier counts whole functions alone.
  const coverage = new Coverage()
  await coverage.start()
  const { targets } = (await import(task.targets)) as { readonly targets: Readonly<Record<string, Target>> }
  const target = targets[task.target]!
  const random = new Random(task.seed)
  const sizeMax = Math.min(target.sizeMax ?? 16 * 1024, shown.length)
  const corpus: Uint8Array[] = (await target.seeds()).map((seed) => seed.slice(0, sizeMax))
  if (corpus.length === 0) corpus.push(new Uint8Array(16))
  tell({ kind: 'begun', seeds: corpus.length, sizeMax })
  const dictionary = (target.words ?? []).map((word) => new TextEncoder().encode(word))
  let inputs = 0
  let baseline = 0
  let looks = 0

  const one = async (bytes: Uint8Array): Promise<void> => {
    shown.set(bytes)
    control[1] = bytes.length
    Atomics.add(control, 0, 1)
    try {
      await target.run(bytes)
    } catch (error) {
      if (!isFailure(error)) {
        tell({
          kind: 'found',
          what: 'error',
          detail: error instanceof Error ? (error.stack ?? error.message) : String(error),
          input: bytes,
        })
        throw new Stop()
      }
    }
    Atomics.add(control, 0, 1)
    inputs++
  }

  // What the seeds reach by themselves is nothing new.
  for (const seed of corpus) await one(seed)
  await coverage.fresh()

  const start = performance.now()
  let shownAt = start
  const state = () => ({ inputs, edges: coverage.edges, corpus: corpus.length, ms: performance.now() - start })
  while (inputs < task.inputs && performance.now() - start < task.seconds * 1000) {
    const batch: Uint8Array[] = []
    for (let i = 0; i < batchSize; i++) {
      // Half of the time one of the newest: what reached something new is near to more.
      const from =
        random.below(2) === 0
          ? corpus.length - 1 - random.below(Math.min(64, corpus.length))
          : random.below(corpus.length)
      const bytes = mutate(corpus[from]!, random, { dictionary, other: random.of(corpus) }, sizeMax)
      batch.push(bytes)
      await one(bytes)
    }
    const fresh = await coverage.fresh()
    if (fresh.size > 0) await keep(batch, fresh)
    if (Math.floor(inputs / task.memoryEvery) !== looks) {
      looks = Math.floor(inputs / task.memoryEvery)
      const now = memory()
      baseline ||= now
      if (now - baseline > growthMax) {
        tell({
          kind: 'found',
          what: 'growth',
          detail: `${now - baseline} bytes more after ${inputs} inputs`,
          input: batch.at(-1)!,
        })
        throw new Stop()
      }
    }
    if (performance.now() - shownAt > progressMs) {
      shownAt = performance.now()
      tell({ kind: 'progress', ...state() })
    }
  }
  tell({ kind: 'done', ...state() })

  /** Halves a batch that reached something new until the inputs that reach it are alone. */
  async function keep(batch: readonly Uint8Array[], wanted: ReadonlySet<string>): Promise<void> {
    if (batch.length <= 1) {
      if (corpus.length >= corpusMax) corpus.splice(random.below(corpus.length), 1)
      corpus.push(...batch)
      return
    }
    const half = batch.slice(0, batch.length >> 1)
    for (const bytes of half) await one(bytes)
    const reached = await coverage.take()
    const here = new Set([...wanted].filter((block) => reached.has(block)))
    if (here.size > 0) await keep(half, here)
    if (here.size < wanted.size)
      await keep(batch.slice(half.length), new Set([...wanted].filter((block) => !here.has(block))))
  }
}

await fuzz().catch((error: unknown) => {
  if (!(error instanceof Stop)) throw error
})
