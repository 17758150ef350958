import type { CollateralStoreCode, FetchCode } from '#attest/collateral/failures.js'
import { Failure } from '#core/failure.js'

/** What became of asking one source, or of asking for one document. */
export interface Health {
  readonly failures: number
  /** code and message of the newest failure; null when the newest try did well */
  readonly failure: { readonly code: string; readonly message: string } | null
  /** milliseconds of the caller's clock; 0 for never */
  readonly failedAtMs: number
  readonly succeededAtMs: number
  readonly nextTryAtMs: number
}

const first: Health = { failures: 0, failure: null, failedAtMs: 0, succeededAtMs: 0, nextTryAtMs: 0 }

/** The pause after a failure: 1 s, then twice as long each time, up to 15 min. */
const pauseMs = { first: 1000, max: 15 * 60_000 }
/** How many names are remembered. Lanes are few; documents that nobody has are what strangers could make up. */
const namesMax = 5000

/** Which of the failures of a fetch are of its document alone. The others are the source's. */
export function isOfDocument(code: string): boolean {
  const ofSource: readonly FetchCode[] = [
    'collateral/unreachable',
    'collateral/timeout',
    'collateral/rate-limited',
    'collateral/refused',
    'collateral/redirect',
  ]
  return !(ofSource as readonly string[]).includes(code)
}

/** Pauses that grow with every failure in a row, by name. State with a lifetime: that of one store. */
export class Backoff {
  readonly #byName = new Map<string, Health>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  of(name: string): Health {
    return this.#byName.get(name) ?? first
  }

  entries(): ReadonlyMap<string, Health> {
    return this.#byName
  }

  /** Returns only when it may be tried now. @throws collateral/backing-off */
  verifyMayTry(name: string): void {
    const { nextTryAtMs, failures, failure } = this.of(name)
    const now = this.#nowMs()
    if (now >= nextTryAtMs) return
    const seconds = Math.ceil((nextTryAtMs - now) / 1000)
    const message = `${name} failed ${failures} times and is left alone for ${seconds} s: ${failure?.message}`
    throw new Failure<CollateralStoreCode>('collateral/backing-off', message, { detail: { failure: failure?.code } })
  }

  succeeded(name: string): void {
    this.#set(name, { ...first, succeededAtMs: this.#nowMs() })
  }

  failed(name: string, failure: Failure): void {
    const before = this.of(name)
    const failures = before.failures + 1
    const named = failure.detail?.retryAfterSeconds
    const asked = typeof named === 'number' ? named * 1000 : 0
    const pause = Math.max(asked, Math.min(pauseMs.max, pauseMs.first * 2 ** Math.min(before.failures, 20)))
    const now = this.#nowMs()
    const { code, message } = failure
    this.#set(name, { ...before, failures, failure: { code, message }, failedAtMs: now, nextTryAtMs: now + pause })
  }

  #set(name: string, health: Health): void {
    this.#byName.delete(name)
    if (this.#byName.size >= namesMax) this.#byName.delete(this.#byName.keys().next().value!)
    this.#byName.set(name, health) // the newest stand last
  }
}
