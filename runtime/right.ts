import { fromBase64, toBase64Url, toHex } from '#core/bytes/bytes.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { ask, countFor } from '#runtime/ask.js'
import { KeyUse, type KeyUseCode } from '#runtime/key-use.js'
import type { Broker, SessionCode, SessionPorts } from '#runtime/ports.js'
import { type Grant, type OwnValues, verifyGrant, verifyOwnBeat } from '#runtime/verify-grant.js'

/** Share of a lease's time and of its budget, and of a beat's time, after which the next one is asked for. */
const renewAfter = 0.6
const renewBelow = 0.2
const beatAfter = 0.4
/** And the next beat no later than this after the one before: what an owner takes back reaches a node within seconds. */
const beatEveryMs = 5_000
/** After trouble with the broker, the next attempt waits this long. */
const retryMs = 2_000
/** A broker of several whose lease ran out, or that gave none, is asked again after this long. */
const regainMs = 15_000
/** So often a first release is asked for in all, where no answer comes: for half a minute. */
const releaseTriesMax = 15

/** A broker that this node has to do with, and what the node is to it. */
export interface Member {
  readonly own: OwnValues
  readonly broker: Broker
}

/** What a broker granted, and when it was asked. */
export interface Granted {
  readonly grant: Grant
  readonly askedAtMs: number
  /** encapsulated key, then ciphertext */
  readonly sealed: Uint8Array
}

/** A broker, and what it granted; null where it granted nothing. */
export interface MemberGrant extends Member {
  readonly granted: Granted | null
}

/**
 * Asks a broker for a key, or a share of one, and verifies everything that it sent. Nothing touched the key before.
 *
 * A request that was sent and not answered may stand in the log as a release: it is made again under its id, to a new
 * challenge, so that the broker gives the lease of before and not a second one.
 * throws  session/..., grant/..., leaf/..., tlog/..., ear/..., broker/..., dsse/..., crypto/...
 */
export async function askForRelease(
  ports: SessionPorts,
  member: Member,
  say: (step: 'evidence' | 'release' | 'verify', text: string) => void,
): Promise<Granted> {
  const askedAtMs = ports.elapsedMs()
  const requestId = toHex(ports.random(16))
  const sent = { yes: false }
  for (let tries = 1; ; tries++) {
    try {
      return { ...(await askOnce(ports, member, requestId, sent, say)), askedAtMs }
    } catch (error) {
      if (!isFailure(error) || error.code !== 'broker/unreachable' || !sent.yes || tries >= releaseTriesMax) throw error
      ports.report({ kind: 'trouble', failure: error })
      await ports.pause(retryMs)
    }
  }
}

async function askOnce(
  ports: SessionPorts,
  { own, broker }: Member,
  requestId: string,
  sent: { yes: boolean },
  say: Parameters<typeof askForRelease>[2],
): Promise<Omit<Granted, 'askedAtMs'>> {
  const { asked, request } = await ask(ports, broker, own, requestId, null)
  say('evidence', `evidence answers broker ${own.broker}`)
  sent.yes = true
  const answer = await broker.release(request)
  say('release', `the broker released ${own.quorum === undefined ? 'the key' : 'its share'} to this keyset`)
  if (answer.wrapped === null) throw new Failure<SessionCode>('session/key', 'the release carries no key')
  const grant = await verifyGrant(answer, own, asked, ports.now())
  say('verify', `lease, attestation result and log entry ${grant.index} verified`)
  return { grant, sealed: fromBase64(answer.wrapped) }
}

/** What a right tells the session that it belongs to. */
export interface RightEvents {
  readonly isEnding: () => boolean
  /** the broker decided against this node */
  denied(reason: Failure): Promise<void>
  /** nothing is left to pay with, and the renewal was not granted */
  spent(reason: Failure<KeyUseCode>): Promise<void>
}

/** One broker's lease, kept up: the right to use the key, or a part of that right where several brokers hold it. */
export class Right {
  readonly own: OwnValues
  readonly #ports: SessionPorts
  readonly #broker: Broker
  /** counters are signed with it */
  readonly #receipt: SigningKey
  readonly #events: RightEvents
  #use: KeyUse | null
  #busy = false
  readonly #retryAtMs = { renewal: 0, beat: 0 }
  /** A renewal whose answer did not come: asked again under the same id, so that it is debited once. */
  #pending: { readonly requestId: string; readonly askedAtMs: number; readonly inferences: number } | undefined

  /** granted: null for a broker of several that gave nothing yet */
  constructor(
    ports: SessionPorts,
    receipt: SigningKey,
    member: Member,
    granted: Omit<Granted, 'sealed'> | null,
    events: RightEvents,
  ) {
    this.own = member.own
    this.#ports = ports
    this.#broker = member.broker
    this.#receipt = receipt
    this.#events = events
    this.#use = granted && new KeyUse(ports, granted.grant, granted.askedAtMs)
    if (granted === null) this.#retryAtMs.renewal = ports.elapsedMs() + regainMs
  }

  get use(): KeyUse | null {
    return this.#use
  }

  /** Why the lease gives no right now; null while it does. */
  findOver(): Failure | null {
    if (this.#use === null)
      return new Failure<SessionCode>('session/quorum', `broker ${this.own.broker} granted nothing`)
    try {
      this.#use.verifyAlive()
      return null
    } catch (error) {
      if (!isFailure(error)) throw error
      return error
    }
  }

  /** Does what is due: the next beat, the renewal, or, where several hold the key, the next lease after one that ran out. */
  async keepUp(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    try {
      const use = this.#use
      if (this.own.quorum !== undefined && (use === null || use.isExpired()))
        return await this.#attempt('renewal', () => this.#regain())
      if (use === null) return
      if (use.leaseShareUsed() >= renewAfter || use.shareLeft() <= renewBelow)
        await this.#attempt('renewal', () => this.#renew(use))
      // A renewal that fails does not keep the beats from being taken.
      if (use.beatShareUsed() >= beatAfter || use.beatAgeMs() >= beatEveryMs)
        await this.#attempt('beat', () => this.#takeBeat(use))
    } finally {
      this.#busy = false
    }
  }

  /** A denial ends key use now; other trouble is waited out, for as long as the lease lives. */
  async #attempt(what: 'renewal' | 'beat', act: () => Promise<void>): Promise<void> {
    if (this.#events.isEnding() || this.#ports.elapsedMs() < this.#retryAtMs[what]) return
    const wasExpired = this.#use?.isExpired() ?? true
    try {
      await act()
    } catch (error) {
      if (!isFailure(error)) throw error
      // Where several hold the key, a lease that ran out on the way is no decision against the node: it is asked for anew.
      const ranOut = this.own.quorum !== undefined && !wasExpired && this.#use?.isExpired() === true
      if (error.code === 'broker/denied' && !ranOut) return this.#events.denied(error)
      const use = this.#use
      // The owner changed the lease's terms: those of now are asked for at once, and their answer brings a sign of life.
      if (what === 'beat' && error.code === 'broker/lease-stale' && use !== null) {
        this.#retryAtMs.beat = this.#ports.elapsedMs() + retryMs
        return this.#attempt('renewal', () => this.#renew(use))
      }
      this.#ports.report({ kind: 'trouble', failure: this.#named(error) })
      this.#retryAtMs[what] = this.#ports.elapsedMs() + (wasExpired ? regainMs : retryMs)
      if (what === 'renewal' && use !== null) await this.#afterFailedRenewal(use, error)
    }
  }

  /** Of several brokers it is said which one. */
  #named(error: Failure): Failure {
    const name = brokerName(this.own)
    return name === null ? error : new Failure(error.code, `${name}: ${error.message}`, { cause: error })
  }

  async #afterFailedRenewal(use: KeyUse, cause: Failure): Promise<void> {
    // Whatever answered, the request was seen: only one that got no answer is asked again under its id.
    if (cause.code !== 'broker/unreachable') this.#pending = undefined
    const spent = use.findSpent()
    if (spent !== null) await this.#events.spent(new Failure(spent.code, spent.message, { cause }))
  }

  async #regain(): Promise<void> {
    this.#pending = undefined
    const { grant, askedAtMs } = await askForRelease(
      this.#ports,
      { own: this.own, broker: this.#broker },
      () => undefined,
    )
    this.#use = new KeyUse(this.#ports, grant, askedAtMs)
    this.#said('release', `lease until ${formatTime(grant.lease.expiresAt)}, log entry ${grant.index}`)
  }

  async #renew(use: KeyUse): Promise<void> {
    const ports = this.#ports
    const { requestId, askedAtMs, inferences } = (this.#pending ??= {
      requestId: toHex(ports.random(16)),
      askedAtMs: ports.elapsedMs(),
      inferences: use.inferences,
    })
    const { lease, answer: before } = use.grant
    const renewal = { lease: lease.id, token: before.renewalToken, inferences, receipt: this.#receipt }
    const { asked, request } = await ask(ports, this.#broker, this.own, requestId, renewal)
    const answer = await this.#broker.renew(request)
    this.#pending = undefined
    if (answer.wrapped !== null) throw new Failure<SessionCode>('session/key', 'a renewal carries a key')
    // A renewal that does not verify changes nothing: the lease before it runs out in its time.
    const grant = await verifyGrant(answer, this.own, asked, ports.now())
    use.renew(grant, askedAtMs, inferences)
    this.#said('renewal', `lease until ${formatTime(grant.lease.expiresAt)}, log entry ${grant.index}`)
  }

  async #takeBeat(use: KeyUse): Promise<void> {
    const ports = this.#ports
    const askedAtMs = ports.elapsedMs()
    const nonce = toBase64Url(ports.random(32))
    const { lease } = use.grant
    const envelope = await this.#broker.beat(lease.id, nonce)
    const beat = await verifyOwnBeat(envelope, lease, nonce, this.own, ports.now())
    use.hold({ beat, envelope }, askedAtMs)
    this.#said('beat', `beat from ${formatTime(beat.at)}`)
  }

  /** The last word on the lease, where there is one. */
  async sayFinal(): Promise<void> {
    const use = this.#use
    if (use === null) return
    const { inferences, grant } = use
    try {
      const counter = await countFor({ lease: grant.lease.id, inferences, receipt: this.#receipt }, this.own, null)
      const { returned } = await this.#broker.finish({ keyset: this.own.keyset, counter })
      this.#said('final', `inferences used: ${inferences}, given back: ${returned}`)
    } catch (error) {
      if (!isFailure(error)) throw error
      this.#ports.report({ kind: 'trouble', failure: this.#named(error) })
    }
  }

  #said(step: 'release' | 'renewal' | 'beat' | 'final', text: string): void {
    const name = brokerName(this.own)
    this.#ports.report({ kind: 'step', step, text: name === null ? text : `${name}: ${text}` })
  }
}

/** What the owner calls the broker of a share; null where one broker holds the whole key. */
export function brokerName({ quorum, broker }: OwnValues): string | null {
  return quorum?.shares.find((one) => one.broker === broker)?.name ?? null
}
