import { toHex } from '#core/bytes/bytes.js'
import { type Der, derSignSize } from '#core/encoding/der.js'

/**
 * The serial numbers that a list names, each once and in its order. They stay where they stand in the list until somebody
 * asks a second time: who reads a list for one certificate has no use for an index of all the others.
 */
export class RevokedSerials implements Iterable<string> {
  #entries: Der[] = []
  #index: Set<string> | undefined
  #asked = false

  /** To be called before anything is asked. @throws der/value for an INTEGER that is negative, or has needless zeros */
  add(serial: Der): void {
    derSignSize(serial, 'serial number')
    this.#entries.push(serial)
  }

  get size(): number {
    return this.#all().size
  }

  /** `serial` is a magnitude without sign byte, as certificates have it. */
  has(serial: Uint8Array): boolean {
    if (this.#asked || this.#index) return this.#all().has(toHex(serial))
    this.#asked = true
    return this.#entries.some((one) => {
      const sign = derSignSize(one, 'serial number')
      return one.size - sign === serial.length && one.beginsWith(serial, sign)
    })
  }

  /** Lowercase hex of each magnitude. */
  [Symbol.iterator](): Iterator<string> {
    return this.#all().values()
  }

  #all(): Set<string> {
    this.#index ??= new Set(this.#entries.map((one) => toHex(one.bodyFrom(derSignSize(one, 'serial number')))))
    this.#entries = []
    return this.#index
  }
}
