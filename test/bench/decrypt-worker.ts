import { parentPort, workerData } from 'node:worker_threads'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Floe } from '#core/sealed/floe.js'
import { segmentPlace } from '#core/sealed/layout.js'

/** A file's ciphertext and where its plaintext goes, in shared memory. */
export interface DecryptTask {
  readonly key: Uint8Array
  readonly aad: Uint8Array
  readonly header: Uint8Array
  readonly segmentLength: number
  readonly sealed: Uint8Array
  readonly plaintext: Uint8Array
  readonly digests: readonly string[]
  /** without it only the cipher runs */
  readonly withDigest: boolean
  /** segments that this thread takes: first, and every `step`-th from it */
  readonly first: number
  readonly step: number
}

/** Digest, then decryption into place, as the engine does with what it has read. */
function decrypt(task: DecryptTask): void {
  const { segmentLength, plaintext, digests, withDigest } = task
  const floe = Floe.open({ segmentLength }, task.key, task.aad, task.header)
  for (let index = task.first; index < digests.length; index += task.step) {
    const place = segmentPlace(plaintext.length, index)
    const segment = task.sealed.subarray(place.at, place.at + place.length)
    if (withDigest && toHex(sha256(segment)) !== digests[index]) throw new Error(`segment ${index} has another digest`)
    const to = plaintext.subarray(place.plaintextAt, place.plaintextAt + place.plaintextLength)
    floe.openSegmentInto(index, place.last, segment, to)
  }
  floe.zero()
}

// The pool is warm before a round starts: a thread waits for its turn and says when it is done.
parentPort!.on('message', () => {
  decrypt(workerData as DecryptTask)
  parentPort!.postMessage('done')
})
parentPort!.postMessage('ready')
