import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'

export interface QueueOptions {
  /** from the call to its answer, the wait for others included */
  readonly timeoutMs: number
  readonly waitingMax: number
}

/** Jobs of one token, one after another. */
export interface Queue {
  /**
   * What `job` returns. A job whose caller gave up before it began never begins; one that began keeps its place until it
   * ends, and `discard` gets what nobody waits for any more.
   *
   * throws  kek/pkcs11-timeout, kek/pkcs11-busy, what `job` throws
   */
  run<T>(job: () => Promise<T>, discard: (late: T) => void): Promise<T>
  /** Returns when no job runs. */
  idle(): Promise<void>
}

/** A native call cannot be ended from outside, and its memory is not ours before it returns: hence the queue. */
export function createQueue({ timeoutMs, waitingMax }: QueueOptions): Queue {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return {
    run<T>(job: () => Promise<T>, discard: (late: T) => void): Promise<T> {
      if (waiting >= waitingMax) {
        const message = `more than ${waitingMax} requests wait for the token`
        return Promise.reject(new Failure<KekCode>('kek/pkcs11-busy', message))
      }
      waiting++
      return new Promise<T>((resolve, reject) => {
        let abandoned = false
        const timer = setTimeout(() => {
          abandoned = true
          reject(new Failure<KekCode>('kek/pkcs11-timeout', `the token did not answer within ${timeoutMs} ms`))
        }, timeoutMs)
        const work = last.then(async () => {
          waiting--
          if (abandoned) return
          try {
            const value = await job()
            if (abandoned) discard(value)
            else resolve(value)
          } catch (error) {
            reject(error)
          } finally {
            clearTimeout(timer)
          }
        })
        last = work
      })
    },
    async idle() {
      await last
    },
  }
}
