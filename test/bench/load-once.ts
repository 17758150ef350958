import { readFileSync } from 'node:fs'
import * as ort from 'onnxruntime-node'
import { parseManifest } from '#core/sealed/manifest.js'
import { loadModel } from '#runtime/engine/model.js'

/** One load in a process of its own: what `load.ts` starts, round by round. */
export interface LoadOnce {
  readonly side: 'ours' | 'plain'
  /** the sealed folder, or the .onnx file */
  readonly path: string
  readonly dek: string
  readonly prepacking: boolean
  readonly threads: number
}
export interface LoadedOnce {
  readonly ms: number
  /** the process's peak, less what it held before the load */
  readonly peakMiB: number
  readonly steadyMiB: number
}

function statusMiB(field: 'VmHWM' | 'VmRSS'): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(found?.[1]) / 1024
}

async function loadOurs(task: LoadOnce): Promise<unknown> {
  const manifest = parseManifest(new Uint8Array(readFileSync(`${task.path}/manifest.json`)))
  const dek = new Uint8Array(Buffer.from(task.dek, 'hex'))
  const { threads, prepacking } = task
  return loadModel({ folder: task.path, manifest, dek, threads, prepacking, verbose: true })
}

/** What a user of ONNX Runtime writes, with the same threads and no spinning. */
async function loadPlain(task: LoadOnce): Promise<unknown> {
  return ort.InferenceSession.create(task.path, {
    executionProviders: ['cpu'],
    intraOpNumThreads: task.threads,
    interOpNumThreads: 1,
    extra: {
      session: {
        'intra_op.allow_spinning': '0',
        ...(task.prepacking ? {} : { disable_prepacking: '1' }),
      },
    },
  })
}

process.once('message', async (message) => {
  const task = message as LoadOnce
  const base = statusMiB('VmRSS')
  const start = performance.now()
  const loaded = task.side === 'ours' ? await loadOurs(task) : await loadPlain(task)
  const ms = performance.now() - start
  const once: LoadedOnce = { ms, peakMiB: statusMiB('VmHWM') - base, steadyMiB: statusMiB('VmRSS') - base }
  process.send!(once, () => process.exit(loaded ? 0 : 1))
})
