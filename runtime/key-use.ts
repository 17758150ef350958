import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import type { Budget } from '#core/wire/budget.js'
import type { Beat } from '#core/wire/lease.js'
import type { Clocks } from '#runtime/ports.js'
import type { Grant } from '#runtime/verify-grant.js'

/** Why a key may not be used any more (I11, I15). */
export type KeyUseCode =
  /** by the wall clock, or by the time that passed since it was asked for: whichever ends first */
  | 'lease/expired'
  /** the broker did not answer this node's own nonce in time */
  | 'lease/beat-missed'
  /** the work that the lease pays for is done */
  | 'lease/budget'

interface Until {
  /** of the monotonic clock */
  readonly elapsedMs: number
  /** of the wall clock */
  readonly wall: number
}

const partNames = { requests: 'requests', inputBytes: 'bytes of input', workUnits: 'units of work' } as const
const budgetParts = ['requests', 'inputBytes', 'workUnits'] as const satisfies readonly (keyof Budget)[]

/** A beat as it was signed, beside what it says. */
export interface HeldBeat {
  readonly beat: Beat
  readonly envelope: Envelope
}

/**
 * How long and how often the key may be used: to the first of lease end, missed beat and spent budget. A stopped or
 * stepped clock moves one of the two ends only, and none moves the budget.
 */
export class KeyUse {
  readonly #clocks: Clocks
  #grant: Grant
  #leaseUntil: Until
  #beat: HeldBeat
  #beatUntil: Until
  #left: Budget
  #inferences = 0

  /** askedAtMs: the monotonic clock before the grant was asked for, so that the way there and back counts as used */
  constructor(clocks: Clocks, grant: Grant, askedAtMs: number) {
    this.#clocks = clocks
    this.#grant = grant
    this.#leaseUntil = until(grant.lease.issuedAt, grant.lease.expiresAt, askedAtMs)
    this.#beat = { beat: grant.beat, envelope: grant.answer.beat }
    this.#beatUntil = until(grant.beat.at, grant.beat.expiresAt, askedAtMs)
    this.#left = grant.lease.budget
  }

  get grant(): Grant {
    return this.#grant
  }
  get beat(): HeldBeat {
    return this.#beat
  }
  get left(): Budget {
    return this.#left
  }

  /** inferences that were paid for since the lease was granted: it only grows, over all renewals */
  get inferences(): number {
    return this.#inferences
  }

  /**
   * A renewed lease in place of the one before. Its requests count from the number that the renewal told, so what was paid
   * for since is paid; of bytes and units what was left of the one before is given up.
   *
   * told  `inferences` as the renewal's counter said
   */
  renew(grant: Grant, askedAtMs: number, told: number): void {
    const { budget } = grant.lease
    this.#grant = grant
    this.#leaseUntil = until(grant.lease.issuedAt, grant.lease.expiresAt, askedAtMs)
    this.#left = { ...budget, requests: Math.max(0, budget.requests - (this.#inferences - told)) }
    this.hold({ beat: grant.beat, envelope: grant.answer.beat }, askedAtMs)
  }

  /** A newer beat for the lease. */
  hold(beat: HeldBeat, askedAtMs: number): void {
    this.#beat = beat
    this.#beatUntil = until(beat.beat.at, beat.beat.expiresAt, askedAtMs)
  }

  /** The share of the lease's time that has passed: by whichever clock says more. */
  leaseShareUsed(): number {
    const { issuedAt, expiresAt } = this.#grant.lease
    const whole = expiresAt - issuedAt
    const byElapsed = 1 - (this.#leaseUntil.elapsedMs - this.#clocks.elapsedMs()) / (whole * 1000)
    return Math.max(byElapsed, (this.#clocks.now() - issuedAt) / whole)
  }

  /** The same of the beat. */
  beatShareUsed(): number {
    const { at, expiresAt } = this.#beat.beat
    return 1 - (this.#beatUntil.elapsedMs - this.#clocks.elapsedMs()) / ((expiresAt - at) * 1000)
  }

  /** Whether the lease itself is over, whatever its beats say. */
  isExpired(): boolean {
    return this.#isOver(this.#leaseUntil)
  }

  /** How long ago the beat was asked for. */
  beatAgeMs(): number {
    const { at, expiresAt } = this.#beat.beat
    return this.#clocks.elapsedMs() - (this.#beatUntil.elapsedMs - (expiresAt - at) * 1000)
  }

  #isOver(end: Until): boolean {
    return this.#clocks.elapsedMs() >= end.elapsedMs || this.#clocks.now() >= end.wall
  }

  /** Returns only while the key may be used, whatever is left to spend. @throws lease/expired, lease/beat-missed */
  verifyAlive(): void {
    const { lease } = this.#grant
    if (this.#isOver(this.#leaseUntil)) {
      throw new Failure<KeyUseCode>('lease/expired', `lease ${lease.id} ended at ${lease.expiresAt}`)
    }
    if (this.#isOver(this.#beatUntil)) {
      throw new Failure<KeyUseCode>('lease/beat-missed', `the last beat was from ${this.#beat.beat.at}`)
    }
  }

  /**
   * Pays for one request and the bytes of its body, before any work is done for it. One that is refused costs nothing.
   *
   * throws  lease/expired, lease/beat-missed, lease/budget
   */
  debit(inputBytes: number): void {
    this.verifyAlive()
    this.#verifyLeft('requests', 1)
    this.#verifyLeft('inputBytes', inputBytes)
    const { requests, inputBytes: bytes } = this.#left
    this.#left = { ...this.#left, requests: requests - 1, inputBytes: bytes - inputBytes }
    this.#inferences++
  }

  /** Whether `debit` would take this, as far as the budget goes. */
  canPay(inputBytes: number): boolean {
    return this.#left.requests >= 1 && this.#left.inputBytes >= inputBytes
  }

  /** Pays for work whose size is known before it is done. @throws lease/expired, lease/beat-missed, lease/budget */
  pay(units: number): void {
    this.verifyAlive()
    // Work of no size is work too: nothing runs any more once nothing is left.
    this.#verifyLeft('workUnits', Math.max(1, units))
    this.#left = { ...this.#left, workUnits: this.#left.workUnits - units }
  }

  /** Takes the price of what came out of work that was done: all that is left, where that is less. */
  owe(units: number): void {
    this.#left = { ...this.#left, workUnits: Math.max(0, this.#left.workUnits - units) }
  }

  /** The smallest share that is left of any part of the budget. */
  shareLeft(): number {
    const { budget } = this.#grant.lease
    return Math.min(...budgetParts.map((part) => this.#left[part] / budget[part]))
  }

  /** The first part of the budget that is used up; null while none is. */
  findSpent(): Failure<KeyUseCode> | null {
    const part = budgetParts.find((one) => this.#left[one] === 0)
    return part === undefined ? null : this.#spent(part)
  }

  #verifyLeft(part: keyof Budget, wanted: number): void {
    if (this.#left[part] < wanted) throw this.#spent(part)
  }

  #spent(part: keyof Budget): Failure<KeyUseCode> {
    const { budget } = this.#grant.lease
    const message = `${this.#left[part]} of the ${budget[part]} ${partNames[part]} of the lease are left, too few`
    return new Failure<KeyUseCode>('lease/budget', message)
  }
}

function until(from: number, to: number, askedAtMs: number): Until {
  return { elapsedMs: askedAtMs + (to - from) * 1000, wall: to }
}
