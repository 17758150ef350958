import { Failure } from '#core/failure.js'
import type { EngineCode } from '#runtime/api/engine.js'

/**
 * Runs tasks one after another, in the order they came; at most `waitingMax` wait behind the running one.
 *
 * throws  engine/busy when that many wait already
 */
export function createQueue(waitingMax: number): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  let open = 0
  return async (task) => {
    if (open > waitingMax) throw new Failure<EngineCode>('engine/busy', `${waitingMax} requests are waiting already`)
    open++
    const run = last.then(task, task)
    last = run.catch(() => {})
    try {
      return await run
    } finally {
      open--
    }
  }
}
