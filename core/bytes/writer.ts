import { concat } from '#core/bytes/bytes.js'

/** Collects bytes from front to back; `done()` gives them in one array. */
export class Writer {
  readonly #parts: Uint8Array[] = []

  bytes(part: Uint8Array): this {
    this.#parts.push(part)
    return this
  }

  #integer(size: number, set: (view: DataView) => void): this {
    const part = new Uint8Array(size)
    set(new DataView(part.buffer))
    this.#parts.push(part)
    return this
  }

  u8(value: number): this {
    return this.#integer(1, (view) => view.setUint8(0, value))
  }
  u16le(value: number): this {
    return this.#integer(2, (view) => view.setUint16(0, value, true))
  }
  u16be(value: number): this {
    return this.#integer(2, (view) => view.setUint16(0, value, false))
  }
  u32le(value: number): this {
    return this.#integer(4, (view) => view.setUint32(0, value, true))
  }
  u32be(value: number): this {
    return this.#integer(4, (view) => view.setUint32(0, value, false))
  }
  u64le(value: bigint): this {
    return this.#integer(8, (view) => view.setBigUint64(0, value, true))
  }
  u64be(value: bigint): this {
    return this.#integer(8, (view) => view.setBigUint64(0, value, false))
  }

  done(): Uint8Array {
    return concat(...this.#parts)
  }
}
