import type { UnixSeconds } from '#core/time.js'
import type { NoteSigner } from '#core/tlog/vkey.js'
import type { LogStore } from '#transparency/store.js'
import type { Witnesses } from '#transparency/witnesses.js'

/** Where an entry stands, and the proof of it under a checkpoint that a quorum cosigned (`.tlog-proof` text). */
export interface Appended {
  readonly index: number
  readonly proof: string
}

/** What the sequencer needs from the world, and its bounds. Times in milliseconds. */
export interface SequencerPorts {
  readonly store: LogStore
  readonly witnesses: Witnesses
  readonly signer: NoteSigner
  now(): UnixSeconds
  /** resolves after that time, or as soon as the signal fires */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export interface SequencerLimits {
  /** how long a batch waits for more entries when it is smaller than the last one */
  readonly windowMs: number
  readonly batchEntriesMax: number
  readonly batchBytesMax: number
  readonly pendingEntriesMax: number
  readonly pendingBytesMax: number
  /** how long a checkpoint may take to be cosigned */
  readonly cosignMs: number
  /** after a checkpoint that was not cosigned, how long until it is tried again by itself */
  readonly retryMs: number
}
