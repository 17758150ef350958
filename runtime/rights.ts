import { Failure } from '#core/failure.js'
import type { Budget } from '#core/wire/budget.js'
import type { ShownGrant } from '#core/wire/node-document.js'
import type { HeldBeat, KeyUse } from '#runtime/key-use.js'
import type { SessionCode, SessionEvent } from '#runtime/ports.js'
import { brokerName, type Right } from '#runtime/right.js'
import type { Grant, OwnValues } from '#runtime/verify-grant.js'

/** A lease that gives a right, and whose it is. */
interface RightInUse {
  readonly own: OwnValues
  readonly use: KeyUse
}

/** A grant with the broker's last sign of life for it. */
export interface GrantInUse {
  readonly grant: Grant
  readonly beat: HeldBeat
}

/** The rights of one session taken together: which of them live, whether they are enough, and who of them pays. */
export class Rights {
  readonly #each: Right[]
  /** thumbprints of the brokers of a split key, in the order of the signed manifest */
  readonly #order: readonly string[]
  /** how many of them have to live */
  readonly #threshold: number
  readonly #isSplit: boolean
  /** names of brokers whose lease gave no right when it was last looked at */
  #lost = ''

  constructor(each: readonly Right[], { quorum }: OwnValues) {
    this.#each = [...each]
    this.#order = quorum?.shares.map((one) => one.broker) ?? []
    this.#threshold = quorum?.threshold ?? 1
    this.#isSplit = quorum !== undefined
  }

  /** one for each broker: the whole right where one holds the key, else a part of it */
  get each(): readonly Right[] {
    return this.#each
  }

  /** A broker that was found after the start: in the manifest's order, as if it had been there. */
  add(right: Right): void {
    const place = (one: Right) => this.#order.indexOf(one.own.broker)
    this.#each.push(right)
    this.#each.sort((a, b) => place(a) - place(b))
  }

  /** The rights that live now. */
  alive(): readonly RightInUse[] {
    return this.each.flatMap((right) => {
      const { use } = right
      return use === null || right.findOver() !== null ? [] : [{ own: right.own, use }]
    })
  }

  /** The right that is shown first: one that lives, while any does. */
  first(): RightInUse {
    const [alive] = this.alive()
    if (alive !== undefined) return alive
    const held = this.each.find(({ use }) => use !== null)!
    return { own: held.own, use: held.use! }
  }

  /** Those who pay: as many as have to agree, of those that live, with most left first. */
  payers(left: (use: KeyUse) => number): readonly RightInUse[] {
    const alive = [...this.alive()].sort((a, b) => left(b.use) - left(a.use))
    return (alive.length < this.#threshold ? [this.first()] : alive).slice(0, this.#threshold)
  }

  /** What is left of the lease's budget; of several, what so many as have to pay can pay each. */
  left(): Budget {
    const part = (name: keyof Budget) => this.payers((use) => use.left[name]).at(-1)!.use.left[name]
    if (this.each.length === 1) return this.first().use.left
    return { requests: part('requests'), inputBytes: part('inputBytes'), workUnits: part('workUnits') }
  }

  /** Inferences that were paid for since the lease was granted; of several leases the sum of what each paid for, in parts. */
  inferences(): number {
    const paid = this.each.reduce((sum, { use }) => sum + (use?.inferences ?? 0), 0)
    return Math.ceil(paid / this.#threshold)
  }

  /** Whether as many as have to agree could go on paying. */
  canGoOn(): boolean {
    return this.alive().filter(({ use }) => use.findSpent() === null).length >= this.#threshold
  }

  /** Why fewer leases live than have to; null while enough do. */
  findTooFew(): Failure | null {
    const over = this.each.flatMap((right) => right.findOver() ?? [])
    const alive = this.each.length - over.length
    if (alive >= this.#threshold) return null
    if (!this.#isSplit) return over[0]!
    const why = over.map(({ message }) => message).join('; ')
    const message = `${alive} leases live, ${this.#threshold} have to: ${why}`
    return new Failure<SessionCode>('session/quorum', message, { cause: over[0] })
  }

  /** Says which broker's lease gives no right any more, once. */
  reportLost(report: (event: SessionEvent) => void): void {
    const lost = this.each.filter((right) => right.findOver() !== null)
    const names = lost.map(({ own }) => brokerName(own)).join(', ')
    if (names !== this.#lost && names !== '') {
      const message = `no lease of ${names} lives; the others are enough for now`
      report({ kind: 'trouble', failure: new Failure<SessionCode>('session/quorum', message) })
    }
    this.#lost = names
  }
}

/** A grant as anybody can verify it. */
export function shownGrant({ own, use }: RightInUse): ShownGrant {
  const { asked, answer } = use.grant
  const { ear, leaf, openings, decision, proof, lease } = answer
  return {
    trust: own.trust.envelope,
    release: { binding: asked.binding, evidence: asked.evidence },
    ear,
    leaf,
    openings,
    decision,
    proof,
    lease,
    beat: use.beat.envelope,
    broker: asked.proven.shown ?? undefined,
  }
}
