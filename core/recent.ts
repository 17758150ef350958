/** How much is kept: how many values, and what they cost together in the unit of whoever puts them in. */
export interface RecentBounds {
  readonly countMax?: number
  readonly costMax: number
}

interface Held<V> {
  readonly value: V
  readonly cost: number
}

/**
 * Values by key, as long as what they cost together is bounded: those that were asked for least recently make room. The
 * newest always stays.
 */
export class Recent<V> {
  readonly #held = new Map<string, Held<V>>()
  readonly #countMax: number
  readonly #costMax: number
  readonly #onDropped: (value: V) => void
  #cost = 0

  constructor({ countMax = Infinity, costMax }: RecentBounds, onDropped: (value: V) => void = () => {}) {
    this.#countMax = countMax
    this.#costMax = costMax
    this.#onDropped = onDropped
  }

  get size(): number {
    return this.#held.size
  }

  get(key: string): V | undefined {
    const one = this.#held.get(key)
    if (one === undefined) return undefined
    this.#held.delete(key)
    this.#held.set(key, one) // the newest stand last
    return one.value
  }

  /** Keeps the value, in the place of another of this key, and makes room. */
  set(key: string, value: V, cost: number): void {
    this.#drop(key)
    this.#held.set(key, { value, cost })
    this.#cost += cost
    for (const oldest of this.#held.keys()) {
      if (oldest === key || (this.#held.size <= this.#countMax && this.#cost <= this.#costMax)) return
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    const one = this.#held.get(key)
    if (one === undefined) return
    this.#held.delete(key)
    this.#cost -= one.cost
    this.#onDropped(one.value)
  }
}
