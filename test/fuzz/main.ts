/**
 * `npm run fuzz -- TARGET --seconds N`: coverage-guided, on V8's own counts of blocks. Exit 0 when nothing was found, 3 when
 * something was: an error that is no Failure, a crash, an input that takes too long, memory that grows. What was found is
 * written below `--out`, and its name printed. `all` runs every target, one after the other.
 */
import { createHash, randomInt } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import type { Target } from './target.js'
import type { FuzzReport, FuzzTask } from './worker.js'

const inputSizeMax = 128 * 1024

interface Settings {
  readonly seconds: number
  readonly inputs: number
  readonly seed: number
  readonly out: string
  readonly targets: string
  /** how long one input may take: machines are shared, so a good one never nears it */
  readonly inputMs: number
  readonly heapMiB: number
  /** inputs between two looks at the memory */
  readonly memoryEvery: number
}
interface Outcome {
  readonly found: string | null
  readonly inputs: number
}

function write(out: string, target: string, what: string, input: Uint8Array): string {
  mkdirSync(out, { recursive: true })
  const name = `${target}-${what}-${createHash('sha256').update(input).digest('hex').slice(0, 16)}`
  writeFileSync(join(out, name), input)
  return join(out, name)
}

async function fuzz(target: string, settings: Settings): Promise<Outcome> {
  const control = new SharedArrayBuffer(8)
  const input = new SharedArrayBuffer(inputSizeMax)
  const { seed, seconds, inputs, inputMs, memoryEvery } = settings
  const task: FuzzTask = { target, targets: settings.targets, seed, seconds, inputs, memoryEvery, control, input }
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData: task,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: settings.heapMiB },
  })
  const numbers = new Int32Array(control)
  const atHand = () => new Uint8Array(input).slice(0, numbers[1])
  let last: Extract<FuzzReport, { kind: 'done' | 'progress' }> | null = null
  let found: { what: string; detail: string; input: Uint8Array } | null = null
  const line = () => {
    const { inputs, edges, corpus, ms } = last ?? { inputs: numbers[0]! >> 1, edges: 0, corpus: 0, ms: 0 }
    const rate = ms > 0 ? Math.round((inputs / ms) * 1000) : 0
    return `${target}: seed ${seed}, ${inputs} inputs, ${rate} a second, ${edges} blocks, ${corpus} kept`
  }

  await new Promise<void>((resolve) => {
    let [before, since] = [-1, performance.now()]
    const watch = setInterval(() => {
      const now = Atomics.load(numbers, 0)
      if (now !== before) [before, since] = [now, performance.now()]
      else if (now % 2 === 1 && performance.now() - since > inputMs) {
        found = { what: 'hang', detail: `no answer within ${inputMs} ms`, input: atHand() }
        void worker.terminate()
      }
    }, 500)
    worker.on('message', (report: FuzzReport) => {
      if (report.kind === 'found') found ??= report
      if (report.kind === 'progress' || report.kind === 'done') last = report
      if (report.kind === 'progress') process.stderr.write(`${line()}\n`)
    })
    worker.on('error', (error) => {
      found ??= { what: 'crash', detail: error.stack ?? error.message, input: atHand() }
    })
    worker.on('exit', () => {
      clearInterval(watch)
      resolve()
    })
  })
  const { kind, inputs: done } = last ?? { kind: 'none', inputs: 0 }
  if (found === null && kind !== 'done')
    found = { what: 'crash', detail: 'the thread ended before its time', input: atHand() }
  if (found === null) {
    process.stdout.write(`${line()}: nothing found\n`)
    return { found: null, inputs: done }
  }
  const file = write(settings.out, target, found.what, found.input)
  process.stdout.write(`${line()}: FOUND ${found.what}, ${file}\n${found.detail}\n`)
  return { found: file, inputs: done }
}

function number(text: string, name: string, max: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > max) {
    process.stderr.write(`error: --${name} is ${text}, expected a whole number from 1 to ${max}\n`)
    process.exit(2)
  }
  return value
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', short: 'h' },
    seconds: { type: 'string' },
    inputs: { type: 'string' },
    seed: { type: 'string' },
    out: { type: 'string', default: 'fuzz-found' },
    // Other targets than the product's: the fuzzer's own test plants faults.
    targets: { type: 'string' },
    'input-ms': { type: 'string', default: '20000' },
    'heap-mib': { type: 'string', default: '1024' },
    'memory-every': { type: 'string', default: '100000' },
  },
})
const [name, ...more] = positionals
const place = values.targets === undefined ? new URL('./targets.js', import.meta.url) : pathToFileURL(values.targets)
const { targets } = (await import(place.href)) as { readonly targets: Readonly<Record<string, Target>> }
const names = Object.keys(targets)
if (values.help || name === undefined || more.length > 0 || (name !== 'all' && !names.includes(name))) {
  const out = values.help ? process.stdout : process.stderr
  out.write('usage: npm run fuzz -- TARGET [--seconds N] [--inputs N] [--seed N] [--out DIR]\n')
  out.write('60 seconds, or until N inputs were tried where their number is given alone\n')
  out.write(`targets: ${names.join(', ')}; all\n`)
  process.exit(values.help ? 0 : 2)
}
const settings = {
  seconds: number(values.seconds ?? (values.inputs === undefined ? '60' : '1000000'), 'seconds', 1_000_000),
  inputs: number(values.inputs ?? '1000000000000', 'inputs', 1e12),
  seed: values.seed === undefined ? randomInt(1, 2 ** 32 - 1) : number(values.seed, 'seed', 2 ** 32 - 1),
  out: values.out,
  targets: place.href,
  inputMs: number(values['input-ms'], 'input-ms', 3_600_000),
  heapMiB: number(values['heap-mib'], 'heap-mib', 65_536),
  memoryEvery: number(values['memory-every'], 'memory-every', 1e12),
}
let foundAny = false
for (const target of name === 'all' ? names : [name]) {
  const { found } = await fuzz(target, settings)
  foundAny ||= found !== null
}
process.exit(foundAny ? 3 : 0)
