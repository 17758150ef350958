import type { VerifiedLinks } from '#core/x509/chain.js'

/** Remembers the last `max` links that were found good. State with a lifetime: whoever verifies often keeps one. */
export class LinkCache implements VerifiedLinks {
  readonly #links = new Set<string>()
  readonly #max: number

  constructor(max = 10_000) {
    this.#max = max
  }

  has(link: string): boolean {
    if (!this.#links.delete(link)) return false
    this.#links.add(link) // the newest stand last
    return true
  }

  add(link: string): void {
    if (this.#links.size >= this.#max) this.#links.delete(this.#links.values().next().value!)
    this.#links.add(link)
  }
}
