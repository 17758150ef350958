import { toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { replayWindowMax } from '#core/limits.js'

/** Failures of a request that may have been seen before. */
export type ReplayCode =
  /** the same sealed bytes came before: nothing is executed twice */
  | 'channel/replayed'
  /** the memory of what came before is full: better no answer than one to a repeated request */
  | 'channel/replay-window'

/**
 * The encapsulated keys of all requests that were executed under one keyset. Nothing is forgotten while the keyset
 * lives, since the clock by which it could be forgotten is the host's (I15).
 */
export class ReplayWindow {
  readonly #seen = new Set<string>()
  readonly #max: number

  constructor(max = replayWindowMax) {
    this.#max = max
  }

  /** Returns for the first request with this encapsulated key only. @throws channel/replayed, channel/replay-window */
  take(enc: Uint8Array): void {
    // 16 of the 32 bytes: two honest keys never share them, and a forged pair only hurts its own second half.
    const name = toHex(enc.subarray(0, 16))
    if (this.#seen.has(name)) {
      throw new Failure<ReplayCode>('channel/replayed', 'this request was executed before')
    }
    if (this.#seen.size >= this.#max) {
      throw new Failure<ReplayCode>('channel/replay-window', `${this.#max} requests were remembered: no more are taken`)
    }
    this.#seen.add(name)
  }
}
