import { concat } from '#core/bytes/bytes.js'

/** Collects bytes from front to back; `done()` gives them in one array. */
export class Writer {
  readonly #parts: Uint8Array[] = []

  bytes(part: Uint8Array): this {
    this.#parts.push(part)
    return this
  }

  // Element by element, where it is short: a view would make an on-heap array move to memory of its own.
  u8(value: number): this {
    return this.bytes(Uint8Array.of(value))
  }
  u16le(value: number): this {
    return this.bytes(Uint8Array.of(value, value >> 8))
  }
  u16be(value: number): this {
    return this.bytes(Uint8Array.of(value >> 8, value))
  }
  u32le(value: number): this {
    return this.bytes(Uint8Array.of(value, value >> 8, value >> 16, value >> 24))
  }
  u32be(value: number): this {
    return this.bytes(Uint8Array.of(value >> 24, value >> 16, value >> 8, value))
  }
  u64le(value: bigint): this {
    return this.#long((view) => view.setBigUint64(0, value, true))
  }
  u64be(value: bigint): this {
    return this.#long((view) => view.setBigUint64(0, value, false))
  }

  #long(set: (view: DataView) => void): this {
    const part = new Uint8Array(8)
    set(new DataView(part.buffer))
    return this.bytes(part)
  }

  done(): Uint8Array {
    return concat(...this.#parts)
  }
}
