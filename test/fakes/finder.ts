/**
 * Many byte strings looked for in one pass. A test looks for dozens of spellings in some hundred megabytes, of which nearly
 * every byte belongs to none: most are never looked at.
 *
 * source  Wu and Manber, "A Fast Algorithm for Multi-Pattern Searching" (1994), with blocks of two bytes
 */
export class Finder {
  /** of the longest */
  readonly lengthMax: number
  readonly #patterns: readonly Uint8Array[]
  /** of the shortest: the part of each that decides how far to move on */
  readonly #part: number
  /** for each two bytes, how far a match can be from ending there at the least */
  readonly #shift: Uint8Array
  /** by the two bytes at the end of its part, the numbers of the patterns */
  readonly #ending = new Map<number, number[]>()

  /** patterns  of 4 bytes each at least */
  constructor(patterns: readonly Uint8Array[]) {
    this.#patterns = patterns
    const lengths = patterns.map(({ length }) => length)
    this.#part = Math.min(255, ...lengths)
    this.lengthMax = Math.max(...lengths)
    if (this.#part < 4) throw new Error('a pattern of so few bytes would be found everywhere')
    const last = this.#part - 2
    this.#shift = new Uint8Array(65_536).fill(last + 1)
    patterns.forEach((bytes, number) => {
      for (let at = 0; at <= last; at++) {
        const block = bytes[at]! | (bytes[at + 1]! << 8)
        this.#shift[block] = Math.min(this.#shift[block]!, last - at)
      }
      const block = bytes[last]! | (bytes[last + 1]! << 8)
      this.#ending.set(block, [...(this.#ending.get(block) ?? []), number])
    })
  }

  /** Tells of every place in `bytes` where a pattern stands whole: its number, and where it ends. */
  find(bytes: Uint8Array, found: (pattern: number, end: number) => void): void {
    const last = this.#part - 2
    const shift = this.#shift
    for (let at = last; at + 1 < bytes.length; ) {
      const block = bytes[at]! | (bytes[at + 1]! << 8)
      const step = shift[block]!
      if (step > 0) {
        at += step
        continue
      }
      const start = at - last
      for (const number of this.#ending.get(block) ?? []) {
        const pattern = this.#patterns[number]!
        if (this.#standsAt(bytes, start, pattern)) found(number, start + pattern.length)
      }
      at++
    }
  }

  #standsAt(bytes: Uint8Array, start: number, pattern: Uint8Array): boolean {
    if (start + pattern.length > bytes.length) return false
    for (let i = 0; i < pattern.length; i++) if (bytes[start + i] !== pattern[i]) return false
    return true
  }
}
