import type { BytesCode } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

/**
 * Reads a byte string from front to back and never past its end.
 *
 * Integers above 2^53 come from `u64le`/`u64be` as bigint.
 * throws  bytes/truncated when fewer bytes are left than asked for, bytes/trailing from `end()`
 */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  #take(size: number): number {
    if (!Number.isSafeInteger(size) || size < 0 || size > this.left) {
      throw new Failure<BytesCode>('bytes/truncated', `need ${size} bytes at ${this.#at}, ${this.left} left`)
    }
    const at = this.#at
    this.#at += size
    return at
  }

  /** A view of the next `size` bytes: no copy. */
  bytes(size: number): Uint8Array {
    const at = this.#take(size)
    return this.#bytes.subarray(at, at + size)
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }
  u16le(): number {
    return this.#view.getUint16(this.#take(2), true)
  }
  u16be(): number {
    return this.#view.getUint16(this.#take(2), false)
  }
  u32le(): number {
    return this.#view.getUint32(this.#take(4), true)
  }
  u32be(): number {
    return this.#view.getUint32(this.#take(4), false)
  }
  u64le(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }
  u64be(): bigint {
    return this.#view.getBigUint64(this.#take(8), false)
  }

  /** True when nothing is left; throws otherwise. */
  end(): void {
    if (this.left !== 0)
      throw new Failure<BytesCode>('bytes/trailing', `${this.left} bytes after the end at ${this.#at}`)
  }
}
