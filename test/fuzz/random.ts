/** Numbers that one seed gives again: xorshift128 over four words. Not for secrets. */
export class Random {
  readonly #state = new Uint32Array(4)

  constructor(seed: number) {
    let word = seed >>> 0
    for (let i = 0; i < 4; i++) {
      // splitmix32, so that seeds which lie close give streams that do not
      word = (word + 0x9e3779b9) >>> 0
      let mixed = Math.imul(word ^ (word >>> 16), 0x21f0aaad)
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
      this.#state[i] = (mixed ^ (mixed >>> 15)) >>> 0 || i + 1
    }
  }

  /** 0 to 2^32 - 1. */
  word(): number {
    const state = this.#state
    let mixed = state[3]!
    const first = state[0]!
    state[3] = state[2]!
    state[2] = state[1]!
    state[1] = first
    mixed ^= mixed << 11
    mixed ^= mixed >>> 8
    state[0] = mixed ^ first ^ (first >>> 19)
    return state[0]
  }

  /** 0 to `limit` - 1; 0 for a limit below 1. */
  below(limit: number): number {
    return limit < 1 ? 0 : this.word() % limit
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}
