import type { ChildProcess } from 'node:child_process'
import { Failure } from '#core/failure.js'
import { type FromEngine, parseFromEngine, type ToEngine } from '#runtime/engine/messages.js'

/** Failures of talking to the engine's process. */
export type ChannelCode = 'engine/crashed' | 'engine/deadline' | 'engine/protocol'

interface Waiting {
  readonly resolve: (message: FromEngine) => void
  readonly reject: (failure: Failure) => void
}

/** One request at a time to the process, and what ends it. */
export class Channel {
  readonly #child: ChildProcess
  #waiting: Waiting | undefined
  #failure: Failure | undefined
  readonly ended: Promise<Failure>

  constructor(child: ChildProcess) {
    this.#child = child
    this.ended = new Promise((resolve) => {
      const end = (failure: Failure) => {
        this.fail(failure)
        resolve(this.#failure!)
      }
      child.once('exit', (code, signal) => {
        end(new Failure<ChannelCode>('engine/crashed', `the engine's process ended: ${signal ?? `code ${code}`}`))
      })
      child.once('error', (cause) => {
        end(new Failure<ChannelCode>('engine/crashed', "the engine's process cannot run", { cause }))
      })
    })
    child.on('message', (message) => this.#receive(message))
  }

  get failure(): Failure | undefined {
    return this.#failure
  }

  /** The process is about to exit by itself: this is what later requests meet. */
  willEnd(failure: Failure): void {
    this.#failure ??= failure
  }

  /** From here on every request fails with this; the process is killed. */
  fail(failure: Failure): void {
    this.#failure ??= failure
    this.#child.kill('SIGKILL')
    this.#waiting?.reject(this.#failure)
    this.#waiting = undefined
  }

  #receive(message: unknown): void {
    try {
      const parsed = parseFromEngine(message)
      const waiting = this.#waiting
      if (waiting === undefined) throw new Failure<ChannelCode>('engine/protocol', 'an answer to no request')
      this.#waiting = undefined
      waiting.resolve(parsed)
    } catch (error) {
      this.fail(error instanceof Failure ? error : new Failure<ChannelCode>('engine/protocol', String(error)))
    }
  }

  /** The next message of the process, in answer to `request` when there is one; the process is killed at the deadline. */
  async exchange(request: ToEngine | undefined, deadlineMs: number): Promise<FromEngine> {
    if (this.#failure) throw this.#failure
    const answer = new Promise<FromEngine>((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
    const timer = setTimeout(() => {
      this.fail(new Failure<ChannelCode>('engine/deadline', `no answer within ${deadlineMs} ms: process ended`))
    }, deadlineMs)
    try {
      if (request) this.#child.send(request)
      const message = await answer
      if (message.kind === 'failed') throw new Failure(message.code, message.message)
      return message
    } finally {
      clearTimeout(timer)
    }
  }
}

/** The answer, when it is of the kind and number that the request asks for; anything else ends the process. */
export function expect<K extends FromEngine['kind']>(
  channel: Channel,
  message: FromEngine,
  kind: K,
  id?: number,
): Extract<FromEngine, { kind: K }> {
  if (message.kind !== kind || (id !== undefined && 'id' in message && message.id !== id)) {
    const failure = new Failure<ChannelCode>('engine/protocol', `expected ${kind}, got ${message.kind}`)
    channel.fail(failure)
    throw failure
  }
  return message as Extract<FromEngine, { kind: K }>
}
