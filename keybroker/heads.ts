import { Failure } from '#core/failure.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { StoredStatement } from '#keybroker/stored.js'

const chainsMax = 200_000

/**
 * The newest statement of each chain that this process has seen. A database that is set back under a running broker,
 * by a restored backup or a stale replica, is found at the next decision (TRUST 8).
 */
export class HeadMemory {
  readonly #accounts = new Map<string, { readonly sequence: number; readonly tick: number }>()
  readonly #seen = new Map<string, { readonly sequence: number; readonly digest: string; readonly tick: number }>()
  #tick = 0
  #halted: Failure | null = null
  #behind: ReadonlySet<string> = new Set()

  /** Nothing is decided until `resume`: the database is behind the log. */
  halt(failure: Failure): void {
    this.#halted = failure
  }

  /** The database is not behind the log any more, but for what these tenants have not sent again. */
  resume(behind: ReadonlySet<string>): void {
    this.#halted = null
    this.#behind = behind
  }

  /** Why nothing is decided now, if so. */
  get halted(): Failure | null {
    return this.#halted
  }

  /** What was seen so far. Taken before a read begins: only what was known then may not be missing from it. */
  now(): number {
    return this.#tick
  }

  /** Returns only when no chain is behind what was seen when the read began. @throws broker/record, broker/rollback */
  observe(tenant: string, rows: readonly StoredStatement[], since: number): void {
    if (this.#halted !== null) throw this.#halted
    if (this.#behind.has(tenant))
      throw new Failure<BrokerCode>('broker/rollback', 'a change of this owner was lost, and has to be sent again')
    for (const { kind, model, sequence, digest } of rows) {
      const chain = `${tenant} ${kind} ${model}`
      const seen = this.#seen.get(chain)
      const behind = seen && (sequence < seen.sequence || (sequence === seen.sequence && digest !== seen.digest))
      if (behind && seen.tick <= since) {
        const message = `stored ${kind} statement has sequence ${sequence}, this broker has seen ${seen.sequence}`
        throw new Failure<BrokerCode>('broker/record', message)
      }
      if (seen && seen.sequence >= sequence) continue
      this.#seen.delete(chain)
      this.#seen.set(chain, { sequence, digest, tick: ++this.#tick })
    }
    while (this.#seen.size > chainsMax) this.#seen.delete(this.#seen.keys().next().value!)
  }

  /** The same of an account of inferences. @throws broker/record */
  observeAccount(id: string, sequence: number, since: number): void {
    const seen = this.#accounts.get(id)
    if (seen && sequence < seen.sequence && seen.tick <= since) {
      const message = `a stored account of inferences has sequence ${sequence}, this broker has seen ${seen.sequence}`
      throw new Failure<BrokerCode>('broker/record', message)
    }
    if (seen && seen.sequence >= sequence) return
    this.#accounts.delete(id)
    this.#accounts.set(id, { sequence, tick: ++this.#tick })
    while (this.#accounts.size > chainsMax) this.#accounts.delete(this.#accounts.keys().next().value!)
  }
}
