import type { RecipientKey } from '#core/crypto/hpke.js'
import type { X25519Jwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { reportDataOf } from '#core/wire/binding.js'
import type { Budget } from '#core/wire/budget.js'
import type { BoundEvidence, NodeDocument } from '#core/wire/node-document.js'
import { weakenings } from '#core/wire/runtime-config.js'
import type { ModelMetadata } from '#runtime/api/engine.js'
import type { LateBrokers } from '#runtime/late-brokers.js'
import { createMeter, type Meter } from '#runtime/meter.js'
import { bindingOf } from '#runtime/own-values.js'
import type { SessionCode, SessionEngine, SessionPorts } from '#runtime/ports.js'
import { brokerName, type MemberGrant, Right, type RightEvents } from '#runtime/right.js'
import { type GrantInUse, Rights, shownGrant } from '#runtime/rights.js'
import { type Grant, leafHashHex, type OwnValues } from '#runtime/verify-grant.js'

/** What is fixed from the start of a session to its end. */
export interface Fixed {
  readonly ports: SessionPorts
  readonly own: OwnValues
  readonly engine: SessionEngine
  readonly request: RecipientKey<X25519Jwk>
  readonly receipt: SigningKey
  readonly metadata: ModelMetadata
  /** brokers of a split key that could not be called at the start; null where none is missing */
  readonly late: LateBrokers | null
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
  readonly requestKey: RecipientKey<X25519Jwk>
  /** receipts are signed with it */
  readonly receiptKey: SigningKey
  readonly weakenings: readonly string[]
  /** Resolves with the reason once the engine's process has exited. */
  readonly ended: Promise<Failure>
  /** Resolves when the last word on the lease was said, or could not be. */
  finished: Promise<void> = Promise.resolve()
  readonly #ports: SessionPorts
  readonly #rights: Rights
  readonly #late: LateBrokers | null
  readonly #events: RightEvents
  readonly #keysetEndMs: number
  #resolveEnded: (failure: Failure) => void = () => {}
  #ending: Failure | undefined
  #busy = false
  /** a bug under work that no tick waits for */
  #fault: { readonly error: unknown } | undefined

  constructor(fixed: Fixed, members: readonly MemberGrant[]) {
    this.own = fixed.own
    this.engine = fixed.engine
    this.metadata = fixed.metadata
    this.requestKey = fixed.request
    this.receiptKey = fixed.receipt
    this.weakenings = weakenings(fixed.own.config)
    this.#ports = fixed.ports
    this.#late = fixed.late
    this.#events = {
      isEnding: () => this.#ending !== undefined,
      denied: (reason) => this.end(reason),
      spent: (reason) => this.#onSpent(reason),
    }
    const each = members.map((member) => new Right(fixed.ports, fixed.receipt, member, member.granted, this.#events))
    this.#rights = new Rights(each, fixed.own)
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
    return this.#rights.first().use.grant
  }
  /** all grants that live: more than one where several brokers hold the key */
  get grants(): readonly GrantInUse[] {
    return this.#rights.alive().map(({ use }) => ({ grant: use.grant, beat: use.beat }))
  }
  get left(): Budget {
    return this.#rights.left()
  }
  get inferences(): number {
    return this.#rights.inferences()
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
    return this.#rights.first().use.beat
  }

  /** Returns only while the key may be used. @throws the failure that ended the session, lease/expired, lease/beat-missed, session/quorum */
  verifyAlive(): void {
    if (this.#ending) throw this.#ending
    const over = this.#rights.findTooFew()
    if (over) throw over
  }

  /**
   * Pays for one request before its work begins (I15): at each of as many brokers as have to agree, so that all together never
   * pay for more than the owner allowed. @throws what verifyAlive throws, lease/budget
   */
  debit(inputBytes: number): void {
    this.verifyAlive()
    const payers = this.#rights.payers((use) => (use.canPay(inputBytes) ? use.left.requests : -1))
    const poor = payers.find(({ use }) => !use.canPay(inputBytes))
    // It refuses and costs nothing; only when all can pay does anyone.
    for (const { use } of poor ? [poor] : payers) use.debit(inputBytes)
  }

  /** The engine as one request uses it: every unit of its work is debited (TRUST 16). */
  meter(): Meter {
    const most = () => this.#rights.payers((use) => use.left.workUnits)
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
    await Promise.all(this.#rights.each.map((right) => right.sayFinal()))
  }

  /** Does what is due: ends what is over, asks for the next beat, renews the lease. Call it about once a second. */
  async tick(): Promise<void> {
    if (this.#fault) throw this.#fault.error
    if (this.#ending || this.#busy) return
    this.#busy = true
    try {
      const over = this.#findOver()
      if (over) return await this.end(over)
      const [only, ...others] = this.#rights.each
      if (others.length === 0) return await only!.keepUp()
      // A broker that is slow to answer keeps no other waiting: its own work goes on beside the ticks.
      this.#rights.reportLost((event) => this.#ports.report(event))
      for (const work of [...this.#rights.each.map((right) => right.keepUp()), this.#takeLate()]) {
        work.catch((error: unknown) => {
          this.#fault = { error }
        })
      }
    } finally {
      this.#busy = false
    }
  }

  /** A broker that was away at the start and is there now is asked for its lease as one that gave none is. */
  async #takeLate(): Promise<void> {
    for (const member of (await this.#late?.find()) ?? []) {
      this.#ports.report({
        kind: 'step',
        step: 'challenge',
        text: `${brokerName(member.own)}: answers now, and is asked`,
      })
      this.#rights.add(new Right(this.#ports, this.receiptKey, member, null, this.#events))
    }
  }

  #findOver(): Failure | null {
    const { notAfter } = this.own.keyset
    if (this.#ports.now() >= notAfter || this.#ports.elapsedMs() >= this.#keysetEndMs) {
      return new Failure<SessionCode>('session/keyset-expired', 'the keys of this node have reached their end')
    }
    return this.#rights.findTooFew()
  }

  /** One that cannot pay ends the use, unless enough others can. */
  async #onSpent(reason: Failure): Promise<void> {
    if (!this.#rights.canGoOn()) await this.end(reason)
  }

  /** Evidence for anybody's nonce, that says who we are and nothing that the asker chose. nonce: base64url of 32 bytes */
  async attestFor(nonce: string): Promise<BoundEvidence> {
    const binding = bindingOf(this.#rights.first().own, 'claviger.node.v1', 'client', nonce)
    return { binding, evidence: await this.#ports.attester.attest(reportDataOf(binding)) }
  }

  /** What this node shows to anyone. */
  document(fresh: BoundEvidence | null): NodeDocument {
    const alive = this.#rights.alive()
    // Evidence for a caller names one trust statement, and the document begins with the grant that has the same.
    const named = alive.find(({ own }) => own.trust.digest === fresh?.binding.trust_digest)
    const first = named ?? this.#rights.first()
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
