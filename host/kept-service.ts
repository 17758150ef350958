import { setTimeout as pause } from 'node:timers/promises'
import { type Failure, isFailure } from '#core/failure.js'
import type { Service } from '#host/process.js'

export interface KeptServiceOptions {
  /** the next process, after one has ended. @throws Failure when it does not start */
  start(): Promise<Service>
  /** told when the process has ended, and when it is started again */
  onEnded(code: number | null, againInMs: number): void
  onStarted(service: Service): void
  onFailed(failure: Failure, againInMs: number): void
  /** wait before the first new start, default 500; doubled with each that follows, to at most `delayMaxMs`, default 30,000 */
  readonly delayMs?: number
  readonly delayMaxMs?: number
  /** a process that ran for so long counts as well: the next wait is the first again. Default 60,000 */
  readonly wellMs?: number
}

/** A child process that is started again whenever it ends, until it is told to stop. */
export interface KeptService {
  /** the process that runs now; null from the end of one until the next is ready */
  current(): Service | null
  /** It has ended, and is not started again. */
  stop(): Promise<void>
}

/** Keeps a child process, which is ready, running. */
export function keepService(first: Service, options: KeptServiceOptions): KeptService {
  const { delayMs = 500, delayMaxMs = 30_000, wellMs = 60_000 } = options
  const stopping = new AbortController()
  const isStopping = () => stopping.signal.aborted
  let current: Service | null = first
  let nextMs = delayMs

  /** Returns when the next process is ready; null when it is not to be. */
  async function again(): Promise<Service | null> {
    for (;;) {
      await pause(nextMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      if (isStopping()) return null
      nextMs = Math.min(nextMs * 2, delayMaxMs)
      try {
        return await options.start()
      } catch (error) {
        if (!isFailure(error)) throw error
        options.onFailed(error, nextMs)
      }
    }
  }

  async function keep(): Promise<void> {
    for (let service: Service | null = first; service !== null; ) {
      current = service
      const startedMs = performance.now()
      // Whoever says stop while the next one starts finds nothing to stop yet.
      if (isStopping()) await service.stop()
      const code = await service.ended
      current = null
      if (isStopping()) return
      if (performance.now() - startedMs >= wellMs) nextMs = delayMs
      options.onEnded(code, nextMs)
      service = await again()
      if (service !== null && !isStopping()) options.onStarted(service)
    }
  }
  const kept = keep()
  return {
    current: () => current,
    async stop() {
      stopping.abort()
      await current?.stop()
      await kept
    },
  }
}
