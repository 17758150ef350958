import { Failure, isFailure } from '#core/failure.js'
import { type NodeSettings, viewOf } from '#runtime/own-values.js'
import type { FoundBroker, SessionCode, SessionPorts } from '#runtime/ports.js'
import type { Member } from '#runtime/right.js'
import type { OwnValues } from '#runtime/verify-grant.js'

const firstWaitMs = 15_000
/** After each search in vain the next one waits twice as long, up to this. */
const longestWaitMs = 240_000

/**
 * The brokers of a split key that could not be called when the node started. They are looked for again until each was found, so
 * that a node that began with as few brokers as have to agree outlives the loss of one of them.
 *
 * What they say is verified as at the start: one whose trust statement is not the owner's, or does not name all brokers of the
 * key, is no member, and is looked for again.
 */
export class LateBrokers {
  readonly #settings: NodeSettings
  readonly #own: OwnValues
  readonly #ports: SessionPorts
  readonly #missing: Set<string>
  #waitMs = firstWaitMs
  #nextAtMs: number
  #busy = false

  /** missing: thumbprints of brokers of `own.quorum` */
  constructor(settings: NodeSettings, own: OwnValues, ports: SessionPorts, missing: readonly string[]) {
    this.#settings = settings
    this.#own = own
    this.#ports = ports
    this.#missing = new Set(missing)
    this.#nextAtMs = ports.elapsedMs() + firstWaitMs
  }

  /** Those found by now, each once; none while none is missing, it is too early, or a search is under way. */
  async find(): Promise<readonly Member[]> {
    const now = this.#ports.elapsedMs()
    if (this.#missing.size === 0 || this.#busy || now < this.#nextAtMs) return []
    this.#busy = true
    try {
      const members = await this.#search()
      this.#waitMs = members.length > 0 ? firstWaitMs : Math.min(longestWaitMs, this.#waitMs * 2)
      this.#nextAtMs = this.#ports.elapsedMs() + this.#waitMs
      return members
    } finally {
      this.#busy = false
    }
  }

  async #search(): Promise<readonly Member[]> {
    const found = (await this.#ports.findBrokers?.()) ?? []
    const members: Member[] = []
    for (const one of found) {
      if (!this.#missing.has(one.id)) continue
      const member = await this.#memberOf(one)
      if (member === null) continue
      this.#missing.delete(one.id)
      members.push(member)
    }
    return members
  }

  async #memberOf({ id, broker, trust }: FoundBroker): Promise<Member | null> {
    try {
      return { own: await viewOf(this.#settings, this.#own, id, trust), broker }
    } catch (cause) {
      if (!isFailure(cause)) throw cause
      const message = `broker ${id} is done without: ${cause.message}`
      this.#ports.report({ kind: 'trouble', failure: new Failure<SessionCode>('session/quorum', message, { cause }) })
      return null
    }
  }
}
