import { toBase64Url, toHex } from '#core/bytes/bytes.js'
import type { RecipientKey } from '#core/crypto/hpke.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { reportDataOf } from '#core/wire/binding.js'
import type { Budget } from '#core/wire/budget.js'
import type { BoundEvidence, NodeDocument } from '#core/wire/node-document.js'
import { weakenings } from '#core/wire/runtime-config.js'
import type { ModelMetadata } from '#runtime/api/engine.js'
import { ask, countFor } from '#runtime/ask.js'
import { KeyUse } from '#runtime/key-use.js'
import { createMeter, type Meter } from '#runtime/meter.js'
import { bindingOf } from '#runtime/own-values.js'
import type { SessionCode, SessionEngine, SessionPorts } from '#runtime/ports.js'
import { type Grant, leafHashHex, type OwnValues, verifyGrant, verifyOwnBeat } from '#runtime/verify-grant.js'

/** Share of a lease's time and of its budget, and of a beat's time, after which the next one is asked for. */
const renewAfter = 0.6
const renewBelow = 0.2
const beatAfter = 0.4
/** After trouble with the broker, the next attempt waits this long. */
const retryMs = 2_000

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
  readonly #use: KeyUse
  readonly #keysetEndMs: number
  #resolveEnded: (failure: Failure) => void = () => {}
  #ending: Failure | undefined
  #busy = false
  readonly #retryAtMs = { renewal: 0, beat: 0 }
  /** A renewal whose answer did not come: asked again under the same id, so that it is debited once. */
  #pending: { readonly requestId: string; readonly askedAtMs: number; readonly inferences: number } | undefined

  constructor(fixed: Fixed, grant: Grant, askedAtMs: number) {
    this.own = fixed.own
    this.engine = fixed.engine
    this.metadata = fixed.metadata
    this.requestKey = fixed.request
    this.receiptKey = fixed.receipt
    this.weakenings = weakenings(fixed.own.config)
    this.#ports = fixed.ports
    this.#use = new KeyUse(fixed.ports, grant, askedAtMs)
    const secondsLeft = fixed.own.keyset.notAfter - fixed.ports.now()
    this.#keysetEndMs = fixed.ports.elapsedMs() + secondsLeft * 1000
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    void fixed.engine.ended.then((failure) =>
      this.end(new Failure<SessionCode>('session/engine', 'the engine ended', { cause: failure })),
    )
  }

  get grant(): Grant {
    return this.#use.grant
  }
  /** what is left of the lease's budget */
  get left(): Budget {
    return this.#use.left
  }
  /** inferences that were paid for since the lease was granted */
  get inferences(): number {
    return this.#use.inferences
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
    return this.#use.beat
  }

  /** Returns only while the key may be used. @throws the failure that ended the session, lease/expired, lease/beat-missed */
  verifyAlive(): void {
    if (this.#ending) throw this.#ending
    this.#use.verifyAlive()
  }

  /** Pays for one request before its work begins (I15). @throws what verifyAlive throws, lease/budget */
  debit(inputBytes: number): void {
    if (this.#ending) throw this.#ending
    this.#use.debit(inputBytes)
  }

  /** The engine as one request uses it: every unit of its work is debited (TRUST 16). */
  meter(): Meter {
    const pay = (units: number) => {
      if (this.#ending) throw this.#ending
      this.#use.pay(units)
    }
    return createMeter(this.engine, { pay, owe: (units) => this.#use.owe(units) })
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
   * The last word: nothing is paid for any more, so what is left of the lease is the owner's again. A broker that does not
   * hear it counts all as used (TRUST 16); nothing waits for it but an orderly stop.
   */
  async #sayFinal(): Promise<void> {
    const { lease } = this.#use.grant
    const { inferences } = this.#use
    try {
      const counter = await countFor({ lease: lease.id, inferences, receipt: this.receiptKey }, this.own, null)
      const { returned } = await this.#ports.broker.finish({ keyset: this.own.keyset, counter })
      const text = `${inferences} inferences used, ${returned} given back`
      this.#ports.report({ kind: 'step', step: 'final', text })
    } catch (error) {
      if (!isFailure(error)) throw error
      this.#ports.report({ kind: 'trouble', failure: error })
    }
  }

  /** Does what is due: ends what is over, asks for the next beat, renews the lease. Call it about once a second. */
  async tick(): Promise<void> {
    if (this.#ending || this.#busy) return
    this.#busy = true
    try {
      const over = this.#findOver()
      if (over) return await this.end(over)
      await this.#keepUp()
    } finally {
      this.#busy = false
    }
  }

  #findOver(): Failure | null {
    const { notAfter } = this.own.keyset
    if (this.#ports.now() >= notAfter || this.#ports.elapsedMs() >= this.#keysetEndMs) {
      return new Failure<SessionCode>('session/keyset-expired', 'the keys of this node have reached their end')
    }
    try {
      this.#use.verifyAlive()
      return null
    } catch (error) {
      if (!isFailure(error)) throw error
      return error
    }
  }

  async #keepUp(): Promise<void> {
    const use = this.#use
    if (use.leaseShareUsed() >= renewAfter || use.shareLeft() <= renewBelow)
      await this.#attempt('renewal', () => this.#renew())
    // A renewal that fails does not keep the beats from being taken.
    if (use.beatShareUsed() >= beatAfter) await this.#attempt('beat', () => this.#takeBeat())
  }

  /** A denial ends key use now; other trouble is waited out, for as long as the lease lives. */
  async #attempt(what: 'renewal' | 'beat', act: () => Promise<void>): Promise<void> {
    if (this.#ending || this.#ports.elapsedMs() < this.#retryAtMs[what]) return
    try {
      await act()
    } catch (error) {
      if (!isFailure(error)) throw error
      if (error.code === 'broker/denied') return this.end(error)
      // The owner changed the lease's terms: those of now are asked for at once, and their answer brings a sign of life.
      if (what === 'beat' && error.code === 'broker/lease-stale') {
        this.#retryAtMs.beat = this.#ports.elapsedMs() + retryMs
        return this.#attempt('renewal', () => this.#renew())
      }
      this.#ports.report({ kind: 'trouble', failure: error })
      this.#retryAtMs[what] = this.#ports.elapsedMs() + retryMs
      if (what === 'renewal') await this.#afterFailedRenewal(error)
    }
  }

  async #afterFailedRenewal(cause: Failure): Promise<void> {
    // Whatever answered, the request was seen: only one that got no answer is asked again under its id.
    if (cause.code !== 'broker/unreachable') this.#pending = undefined
    const spent = this.#use.findSpent()
    if (spent !== null) await this.end(new Failure(spent.code, spent.message, { cause }))
  }

  async #renew(): Promise<void> {
    const ports = this.#ports
    const { requestId, askedAtMs, inferences } = (this.#pending ??= {
      requestId: toHex(ports.random(16)),
      askedAtMs: ports.elapsedMs(),
      inferences: this.#use.inferences,
    })
    const { lease, answer: before } = this.#use.grant
    const renewal = { lease: lease.id, token: before.renewalToken, inferences, receipt: this.receiptKey }
    const { asked, request } = await ask(ports, this.own, requestId, renewal)
    const answer = await ports.broker.renew(request)
    this.#pending = undefined
    if (answer.wrapped !== null) throw new Failure<SessionCode>('session/key', 'a renewal carries a key')
    // A renewal that does not verify changes nothing: the lease before it runs out in its time.
    const grant = await verifyGrant(answer, this.own, asked, ports.now())
    this.#use.renew(grant, askedAtMs, inferences)
    ports.report({
      kind: 'step',
      step: 'renewal',
      text: `lease until ${formatTime(grant.lease.expiresAt)}, log entry ${grant.index}`,
    })
  }

  async #takeBeat(): Promise<void> {
    const ports = this.#ports
    const askedAtMs = ports.elapsedMs()
    const nonce = toBase64Url(ports.random(32))
    const { lease } = this.#use.grant
    const envelope = await ports.broker.beat(lease.id, nonce)
    const beat = await verifyOwnBeat(envelope, lease, nonce, this.own, ports.now())
    this.#use.hold({ beat, envelope }, askedAtMs)
    ports.report({ kind: 'step', step: 'beat', text: `beat from ${formatTime(beat.at)}` })
  }

  /** Evidence for anybody's nonce, that says who we are and nothing that the asker chose. nonce: base64url of 32 bytes */
  async attestFor(nonce: string): Promise<BoundEvidence> {
    const binding = bindingOf(this.own, 'claviger.node.v1', 'client', nonce)
    return { binding, evidence: await this.#ports.attester.attest(reportDataOf(binding)) }
  }

  /** What this node shows to anyone. */
  document(fresh: BoundEvidence | null): NodeDocument {
    const { asked, answer } = this.#use.grant
    const { ear, leaf, openings, decision, proof, lease } = answer
    return {
      type: 'claviger/node/v1',
      keyset: this.own.keyset,
      config: this.own.config,
      trust: this.own.trust.envelope,
      release: { binding: asked.binding, evidence: asked.evidence },
      ear,
      leaf,
      openings,
      decision,
      proof,
      lease,
      beat: this.#use.beat.envelope,
      host: this.own.host?.declaration ?? null,
      fresh,
      budgetLeft: this.#use.left,
      weakenings: this.weakenings,
    }
  }

  /** RFC 6962 leaf hash of the newest grant, in hex. */
  get leafHash(): string {
    return leafHashHex(this.#use.grant)
  }
}
