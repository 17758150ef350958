import { Worker } from 'node:worker_threads'
import { assert } from '#core/assert.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { dekSize } from '#core/sealed/keys.js'
import type { SealedFile, SealedManifest } from '#core/sealed/manifest.js'
import { compiledPath } from '#runtime/engine/compiled.js'
import { allocatePages } from '#runtime/engine/pages.js'
import { openSegments, type SharedWork, type Target } from '#runtime/engine/segments.js'
import type { WorkerReport } from '#runtime/engine/unseal-worker.js'

export interface UnsealInput {
  /** absolute path of the sealed folder */
  readonly folder: string
  readonly manifest: SealedManifest
  /** 32 bytes; the caller wipes it */
  readonly dek: Uint8Array
  /** threads that decrypt, this one included */
  readonly workers: number
}

/** The plaintext of a sealed folder, in memory of its own. */
export interface UnsealedModel {
  readonly files: ReadonlyMap<string, Uint8Array>
  /** Overwrites all of it. */
  zero(): void
}

interface Placed extends Target {
  readonly bytes: Uint8Array
}

/** Files from this size on have a mapping of their own; the smaller ones share one. */
const ownMappingMin = 2 * MiB
/** Where a file starts in the shared mapping: ONNX Runtime reads weights that are aligned to a page. */
const alignment = 4096
/** A further thread pays for its start from this much plaintext on, each. docs/decisions/engine-process.md has figures. */
const perThread = 128 * MiB

function placeFiles(files: readonly SealedFile[]): readonly Placed[] {
  let room = 0
  const offsets = files.map((file) => {
    if (file.plaintextLength >= ownMappingMin) return null
    const offset = room
    room += Math.ceil(file.plaintextLength / alignment) * alignment
    return offset
  })
  const shared = allocatePages(room)
  return files.map((file, i) => {
    const offset = offsets[i]!
    if (offset === null) return { file, ...allocatePages(file.plaintextLength) }
    const bytes = shared.bytes.subarray(offset, offset + file.plaintextLength)
    return { file, address: shared.address + BigInt(offset), bytes }
  })
}

/** Another thread at the same work: resolves when it has ended. */
function startWorker(work: SharedWork): Promise<WorkerReport> {
  const worker = new Worker(compiledPath('runtime/engine/unseal-worker.js'), { workerData: work, execArgv: [] })
  return new Promise((resolve, reject) => {
    let report: WorkerReport | undefined
    worker.once('message', (message: WorkerReport) => {
      report = message
    })
    worker.once('error', reject)
    worker.once('exit', (code) => {
      if (report === undefined) reject(new Error(`a decrypting thread ended with code ${code}`))
      else resolve(report)
    })
  })
}

/** This thread's own outcome; others are waited for whatever it is. */
async function runAll(work: SharedWork, workers: number): Promise<void> {
  const others = Array.from({ length: workers - 1 }, () => startWorker(work))
  const settled = Promise.allSettled(others)
  try {
    openSegments(work)
  } finally {
    // Invariant: nobody writes to the destination, or reads the key, after this.
    await settled
  }
  for (const report of await Promise.all(others)) {
    if (report !== null) throw new Failure(report.code, report.message)
  }
}

/**
 * Every file of the manifest is decrypted, each segment after its SHA-256 was the one in the manifest. The plaintext was
 * never anywhere but where it lies now; on failure that is zero.
 *
 * trusts  that the manifest is the one that the release was for
 * throws  engine/memory, engine/start, and those of openSegments
 */
export async function unsealModel(input: UnsealInput): Promise<UnsealedModel> {
  const { folder, manifest, dek } = input
  assert(dek.length === dekSize && input.workers >= 1, 'a DEK and at least this thread')
  const placed = placeFiles(manifest.files)
  const zero = (): void => {
    for (const { bytes } of placed) bytes.fill(0)
  }
  const targets = placed.map(({ file, address }): Target => ({ file, address }))
  const workers = Math.min(input.workers, 1 + Math.floor(manifest.size / perThread))
  const shared = secretBytes(dekSize, true)
  shared.set(dek)
  try {
    const next = new Int32Array(new SharedArrayBuffer(4))
    await runAll({ folder, model: manifest.model, targets, dek: shared, next }, workers)
  } catch (error) {
    zero()
    throw error
  } finally {
    wipe(shared)
  }
  return { files: new Map(placed.map(({ file, bytes }) => [file.path, bytes])), zero }
}
