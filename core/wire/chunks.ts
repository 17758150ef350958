import { concat } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { readVarint } from '#core/bytes/varint.js'
import { Failure, isFailure } from '#core/failure.js'
import { chunkSizeMax } from '#core/limits.js'

/** Failures of splitting a stream into sealed chunks. */
export type ChunkCode =
  /** the stream ended before its last chunk had begun, or within it */
  | 'ohttp/truncated'
  /** a length that no sealed chunk has, or one that is not spelled in the shortest way */
  | 'ohttp/chunk-length'

/** One sealed chunk with its tag. `final` is what the stream says: only opening it proves that. */
export interface Chunk {
  readonly bytes: Uint8Array
  readonly final: boolean
}

const tagSize = 16

/**
 * Splits an outer stream, in whatever pieces it comes, into a header of fixed size and sealed chunks. Holds at most one
 * chunk. Nothing that it says is authenticated.
 *
 * source  draft-ietf-ohai-chunked-ohttp-08, "Request Format", "Response Format"
 */
export class ChunkSplitter {
  readonly #headerSize: number
  #header: Uint8Array | undefined
  #pieces: Uint8Array[] = []
  #size = 0
  /** how many bytes must be held before looking again: joining for every small piece would cost the square of a chunk */
  #wanted = 1
  #final = false

  constructor(headerSize: number) {
    this.#headerSize = headerSize
    this.#wanted = Math.max(1, headerSize)
  }

  /** The bytes before the first chunk. @throws ohttp/truncated */
  header(): Uint8Array {
    if (this.#header === undefined)
      throw new Failure<ChunkCode>('ohttp/truncated', 'stream ends before its first chunk')
    return this.#header
  }

  /** The chunks that are whole after this piece; the last one of a stream comes from `end`. @throws ohttp/chunk-length */
  push(piece: Uint8Array): readonly Chunk[] {
    this.#pieces.push(piece)
    this.#size += piece.length
    if (this.#final) this.#verifyLastSize()
    if (this.#final || this.#size < this.#wanted) return []
    const held = this.#join()
    const reader = new Reader(held)
    if (this.#header === undefined) this.#header = reader.bytes(this.#headerSize).slice()
    const out: Chunk[] = []
    let taken = reader.at
    for (let next = this.#next(reader); next !== null; next = this.#next(reader)) {
      out.push(next)
      taken = reader.at
    }
    this.#keep(held.subarray(this.#final ? reader.at : taken))
    if (this.#final) this.#verifyLastSize()
    return out
  }

  /** A whole chunk, or null when more must come; then `wanted` says how much. */
  #next(reader: Reader): Chunk | null {
    const start = reader.at
    if (reader.left === 0) {
      this.#wanted = 1
      return null
    }
    let size: number
    try {
      size = readVarint(reader)
    } catch (error) {
      if (!isFailure(error)) throw error
      if (error.code === 'bytes/truncated') {
        this.#wanted = reader.at - start + reader.left + 1
        return null
      }
      throw new Failure<ChunkCode>('ohttp/chunk-length', 'chunk length is not one', { cause: error })
    }
    if (size === 0) {
      this.#final = true
      return null
    }
    if (size < tagSize || size > chunkSizeMax) {
      throw new Failure<ChunkCode>(
        'ohttp/chunk-length',
        `chunk of ${size} bytes, expected ${tagSize} to ${chunkSizeMax}`,
      )
    }
    if (reader.left < size) {
      this.#wanted = reader.at - start + size
      return null
    }
    return { bytes: reader.bytes(size), final: false }
  }

  #join(): Uint8Array {
    return this.#pieces.length === 1 ? this.#pieces[0]! : concat(...this.#pieces)
  }

  #keep(rest: Uint8Array): void {
    this.#pieces = rest.length === 0 ? [] : [rest]
    this.#size = rest.length
  }

  // The last chunk runs to the end of the stream: only its bound can be seen before that.
  #verifyLastSize(): void {
    if (this.#size > chunkSizeMax) {
      throw new Failure<ChunkCode>('ohttp/chunk-length', `last chunk has more than ${chunkSizeMax} bytes`)
    }
  }

  /** The last chunk, when the stream has ended. @throws ohttp/truncated */
  end(): Chunk {
    if (!this.#final || this.#size < tagSize) {
      throw new Failure<ChunkCode>('ohttp/truncated', 'stream ends before its last chunk')
    }
    return { bytes: this.#join(), final: true }
  }
}
