import type { RecipientKey } from '#core/crypto/hpke.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { reportDataOf } from '#core/wire/binding.js'
import type { Budget } from '#core/wire/budget.js'
import type { BoundEvidence, NodeDocument, ShownGrant } from '#core/wire/node-document.js'
import { weakenings } from '#core/wire/runtime-config.js'
import type { ModelMetadata } from '#runtime/api/engine.js'
import type { HeldBeat, KeyUse } from '#runtime/key-use.js'
import { createMeter, type Meter } from '#runtime/meter.js'
import { bindingOf } from '#runtime/own-values.js'
import type { SessionCode, SessionEngine, SessionPorts } from '#runtime/ports.js'
import { brokerName, type MemberGrant, Right, type RightEvents } from '#runtime/right.js'
import { type Grant, leafHashHex, type OwnValues } from '#runtime/verify-grant.js'

/** What is fixed from the start of a session to its end. */
export interface Fixed {
  readonly ports: SessionPorts
  readonly own: OwnValues
  readonly engine: SessionEngine
  readonly request: RecipientKey
  readonly receipt: SigningKey
  readonly metadata: ModelMetadata
}

/**
 * One node's right to use one model's key, from release to the end of the engine's process. Whatever ends the right,
 * ends the process (I11). Time is given by `tick`, which does what is due; `debit` refuses at once when the right is
 * over, whether or not anybody ticked.
 */
export class Session {
  readonly own: OwnValues
  readonly engine: SessionEngine
  readonly metadata: ModelMetadata
  /** requests are opened with it */
  readonly requestKey: RecipientKey
  /** receipts are signed with it */
  readonly receiptKey: SigningKey
  readonly weakenings: readonly string[]
  /** Resolves with the reason once the engine's process has exited. */
  readonly ended: Promise<Failure>
  /** Resolves when the last word on the lease was said, or could not be. */
  finished: Promise<void> = Promise.resolve()
  readonly #ports: SessionPorts
  /** one for each broker: the whole right where one holds the key, else a part of it */
  readonly #rights: readonly Right[]
  /** how many of them have to live */
  readonly #threshold: number
  readonly #keysetEndMs: number
  #resolveEnded: (failure: Failure) => void = () => {}
  #ending: Failure | undefined
  #busy = false
  /** a bug under work that no tick waits for */
  #fault: { readonly error: unknown } | undefined
  /** names of brokers whose lease gave no right when it was last looked at */
  #lost = ''

  constructor(fixed: Fixed, members: readonly MemberGrant[]) {
    this.own = fixed.own
    this.engine = fixed.engine
    this.metadata = fixed.metadata
    this.requestKey = fixed.request
    this.receiptKey = fixed.receipt
    this.weakenings = weakenings(fixed.own.config)
    this.#ports = fixed.ports
    const events: RightEvents = {
      isEnding: () => this.#ending !== undefined,
      denied: (reason) => this.end(reason),
      spent: (reason) => this.#onSpent(reason),
    }
    this.#rights = members.map((member) => new Right(fixed.ports, fixed.receipt, member, member.granted, events))
    this.#threshold = fixed.own.quorum?.threshold ?? 1
    const secondsLeft = fixed.own.keyset.notAfter - fixed.ports.now()
    this.#keysetEndMs = fixed.ports.elapsedMs() + secondsLeft * 1000
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    void fixed.engine.ended.then((failure) =>
      this.end(new Failure<SessionCode>('session/engine', 'the engine ended', { cause: failure })),
    )
  }

  /** the broker's grant; of several the first that lives */
  get grant(): Grant {
    return this.#first().use.grant
  }
  /** all grants that live: more than one where several brokers hold the key */
  get grants(): readonly GrantInUse[] {
    return this.#alive().map(({ use }) => ({ grant: use.grant, beat: use.beat }))
  }
  /** what is left of the lease's budget; of several, what so many as have to pay can pay each */
  get left(): Budget {
    const part = (name: keyof Budget) => this.#payers((use) => use.left[name]).at(-1)!.use.left[name]
    if (this.#rights.length === 1) return this.#first().use.left
    return { requests: part('requests'), inputBytes: part('inputBytes'), workUnits: part('workUnits') }
  }
  /** inferences that were paid for since the lease was granted; of several leases the sum of what each paid for, in parts */
  get inferences(): number {
    const paid = this.#rights.reduce((sum, { use }) => sum + (use?.inferences ?? 0), 0)
    return Math.ceil(paid / this.#threshold)
  }
  /** Whether a request could be paid for now. */
  get isServing(): boolean {
    try {
      this.verifyAlive()
      return this.engine.ready()
    } catch (error) {
      if (!isFailure(error)) throw error
      return false
    }
  }
  get beat() {
    return this.#first().use.beat
  }

  /** The rights that live now. */
  #alive(): readonly RightInUse[] {
    return this.#rights.flatMap((right) => {
      const { use } = right
      return use === null || right.findOver() !== null ? [] : [{ own: right.own, use }]
    })
  }

  /** The right that is shown first: one that lives, while any does. */
  #first(): RightInUse {
    const [alive] = this.#alive()
    if (alive !== undefined) return alive
    const held = this.#rights.find(({ use }) => use !== null)!
    return { own: held.own, use: held.use! }
  }

  /** Those who pay: as many as have to agree, of those that live, with most left first. */
  #payers(left: (use: KeyUse) => number): readonly RightInUse[] {
    const alive = [...this.#alive()].sort((a, b) => left(b.use) - left(a.use))
    return (alive.length < this.#threshold ? [this.#first()] : alive).slice(0, this.#threshold)
  }

  /** Returns only while the key may be used. @throws the failure that ended the session, lease/expired, lease/beat-missed, session/quorum */
  verifyAlive(): void {
    if (this.#ending) throw this.#ending
    const over = this.#findTooFew()
    if (over) throw over
  }

  /**
   * Pays for one request before its work begins (I15): at each of as many brokers as have to agree, so that all together never
   * pay for more than the owner allowed. @throws what verifyAlive throws, lease/budget
   */
  debit(inputBytes: number): void {
    this.verifyAlive()
    const payers = this.#payers((use) => (use.canPay(inputBytes) ? use.left.requests : -1))
    const poor = payers.find(({ use }) => !use.canPay(inputBytes))
    // It refuses and costs nothing; only when all can pay does anyone.
    for (const { use } of poor ? [poor] : payers) use.debit(inputBytes)
  }

  /** The engine as one request uses it: every unit of its work is debited (TRUST 16). */
  meter(): Meter {
    const most = () => this.#payers((use) => use.left.workUnits)
    const pay = (units: number) => {
      this.verifyAlive()
      const payers = most()
      const poor = payers.find(({ use }) => use.left.workUnits < Math.max(1, units))
      for (const { use } of poor ? [poor] : payers) use.pay(units)
    }
    const owe = (units: number) => {
      for (const { use } of most()) use.owe(units)
    }
    return createMeter(this.engine, { pay, owe })
  }

  /** Key use ends: the engine's process exits, and with it key and plaintext. The first reason stands. */
  async end(reason: Failure): Promise<void> {
    if (this.#ending) {
      await this.ended
      return
    }
    this.#ending = reason
    this.#ports.report({ kind: 'ended', failure: reason })
    await this.engine.unload()
    this.#resolveEnded(reason)
    this.finished = this.#sayFinal()
  }

  /**
   * The last word: nothing is paid for any more, so what is left of each lease is the owner's again. A broker that does not
   * hear it counts all as used (TRUST 16); nothing waits for it but an orderly stop.
   */
  async #sayFinal(): Promise<void> {
    await Promise.all(this.#rights.map((right) => right.sayFinal()))
  }

  /** Does what is due: ends what is over, asks for the next beat, renews the lease. Call it about once a second. */
  async tick(): Promise<void> {
    if (this.#fault) throw this.#fault.error
    if (this.#ending || this.#busy) return
    this.#busy = true
    try {
      const over = this.#findOver()
      if (over) return await this.end(over)
      const [only, ...others] = this.#rights
      if (others.length === 0) return await only!.keepUp()
      // A broker that is slow to answer keeps no other waiting: its own work goes on beside the ticks.
      this.#reportLost()
      for (const right of this.#rights) {
        right.keepUp().catch((error: unknown) => {
          this.#fault = { error }
        })
      }
    } finally {
      this.#busy = false
    }
  }

  #findOver(): Failure | null {
    const { notAfter } = this.own.keyset
    if (this.#ports.now() >= notAfter || this.#ports.elapsedMs() >= this.#keysetEndMs) {
      return new Failure<SessionCode>('session/keyset-expired', 'the keys of this node have reached their end')
    }
    return this.#findTooFew()
  }

  /** Why fewer leases live than have to; null while enough do. */
  #findTooFew(): Failure | null {
    const over = this.#rights.flatMap((right) => right.findOver() ?? [])
    const alive = this.#rights.length - over.length
    if (alive >= this.#threshold) return null
    if (this.own.quorum === undefined) return over[0]!
    const why = over.map(({ message }) => message).join('; ')
    const message = `${alive} leases live, ${this.#threshold} have to: ${why}`
    return new Failure<SessionCode>('session/quorum', message, { cause: over[0] })
  }

  /** Says which broker's lease gives no right any more, once. */
  #reportLost(): void {
    const lost = this.#rights.filter((right) => right.findOver() !== null)
    const names = lost.map(({ own }) => brokerName(own)).join(', ')
    if (names !== this.#lost && names !== '') {
      const message = `no lease of ${names} lives; the others are enough for now`
      this.#ports.report({ kind: 'trouble', failure: new Failure<SessionCode>('session/quorum', message) })
    }
    this.#lost = names
  }

  /** One that cannot pay ends the use, unless enough others can. */
  async #onSpent(reason: Failure): Promise<void> {
    const able = this.#alive().filter(({ use }) => use.findSpent() === null).length
    if (able < this.#threshold) await this.end(reason)
  }

  /** Evidence for anybody's nonce, that says who we are and nothing that the asker chose. nonce: base64url of 32 bytes */
  async attestFor(nonce: string): Promise<BoundEvidence> {
    const binding = bindingOf(this.#first().own, 'claviger.node.v1', 'client', nonce)
    return { binding, evidence: await this.#ports.attester.attest(reportDataOf(binding)) }
  }

  /** What this node shows to anyone. */
  document(fresh: BoundEvidence | null): NodeDocument {
    const alive = this.#alive()
    // Evidence for a caller names one trust statement, and the document begins with the grant that has the same.
    const named = alive.find(({ own }) => own.trust.digest === fresh?.binding.trust_digest)
    const first = named ?? this.#first()
    const others = alive.filter(({ own }) => own.broker !== first.own.broker)
    return {
      type: 'claviger/node/v1',
      keyset: this.own.keyset,
      config: this.own.config,
      ...shownGrant(first),
      others: this.own.quorum === undefined ? undefined : others.map(shownGrant),
      host: this.own.host?.declaration ?? null,
      fresh,
      budgetLeft: this.left,
      weakenings: this.weakenings,
    }
  }

  /** RFC 6962 leaf hash of the newest grant, in hex. */
  get leafHash(): string {
    return leafHashHex(this.grant)
  }
}

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

/** A grant as anybody can verify it. */
function shownGrant({ own, use }: RightInUse): ShownGrant {
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
  }
}
