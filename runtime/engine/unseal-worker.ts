import { parentPort, workerData } from 'node:worker_threads'
import { isFailure } from '#core/failure.js'
import { openSegments, type SharedWork } from '#runtime/engine/segments.js'

/** What a thread says when it is done: null, or the failure that ended it. */
export type WorkerReport = { readonly code: string; readonly message: string } | null

function report(): WorkerReport {
  try {
    openSegments(workerData as SharedWork)
    return null
  } catch (error) {
    if (isFailure(error)) return { code: error.code, message: error.message }
    throw error // a bug: the thread ends with it
  }
}

parentPort!.postMessage(report())
