import { toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { entrySizeMax } from '#core/limits.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { type Deferred, defer } from '#transparency/deferred.js'
import type { LogCode } from '#transparency/failures.js'
import type { Appended, SequencerLimits } from '#transparency/ports.js'
import type { NewEntry } from '#transparency/store.js'

/** An entry whose caller waits. */
export interface Pending extends NewEntry {
  readonly key: string
  readonly done: Deferred<Appended>
}

/** Entries whose callers wait, within bounds: those of no batch yet, in their order, and those of the batch at hand. */
export class PendingEntries {
  readonly #limits: SequencerLimits
  #queue: Pending[] = []
  readonly #waiting = new Map<string, Pending>()
  #bytes = 0

  constructor(limits: SequencerLimits) {
    this.#limits = limits
  }

  /** How many are of no batch yet. */
  get count(): number {
    return this.#queue.length
  }

  /** What the caller waits for; the same bytes as those of an entry that waits are no second one. @throws log/entry-size, log/busy */
  add(leaf: Uint8Array): Promise<Appended> {
    if (leaf.length > entrySizeMax)
      throw new Failure<LogCode>('log/entry-size', `entry has ${leaf.length} bytes, at most ${entrySizeMax}`)
    const leafHash = hashLeaf(leaf)
    const key = toHex(leafHash)
    const known = this.#waiting.get(key)
    if (known !== undefined) return known.done.promise
    const { pendingEntriesMax, pendingBytesMax } = this.#limits
    if (this.#waiting.size >= pendingEntriesMax || this.#bytes + leaf.length > pendingBytesMax)
      throw new Failure<LogCode>('log/busy', `${this.#waiting.size} entries of ${this.#bytes} bytes are waiting`)
    // The caller may use its buffer again before the batch is written.
    const entry: Pending = { leaf: leaf.slice(), leafHash, key, done: defer() }
    this.#waiting.set(key, entry)
    this.#bytes += leaf.length
    this.#queue.push(entry)
    return entry.done.promise
  }

  /** The entries that were first, as many as fit a batch; one always does. */
  take(): readonly Pending[] {
    const { batchEntriesMax, batchBytesMax } = this.#limits
    let count = 0
    for (let bytes = 0; count < Math.min(this.#queue.length, batchEntriesMax); count++) {
      bytes += this.#queue[count]!.leaf.length
      if (count > 0 && bytes > batchBytesMax) break
    }
    return this.#queue.splice(0, count)
  }

  waits(entry: Pending): boolean {
    return this.#waiting.get(entry.key) === entry
  }

  /** The same bytes may come again while their batch is still being closed: only this very entry is forgotten. */
  settle(entry: Pending): void {
    if (!this.waits(entry)) return
    this.#waiting.delete(entry.key)
    this.#bytes -= entry.leaf.length
  }

  /** Those of no batch are told why they never will be. */
  refuse(failure: Failure): void {
    for (const one of this.#queue.splice(0)) one.done.reject(failure)
  }
}
