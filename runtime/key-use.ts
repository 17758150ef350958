import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
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
  #left: number

  /** askedAtMs: the monotonic clock before the grant was asked for, so that the way there and back counts as used */
  constructor(clocks: Clocks, grant: Grant, askedAtMs: number) {
    this.#clocks = clocks
    this.#grant = grant
    this.#leaseUntil = until(grant.lease.issuedAt, grant.lease.expiresAt, askedAtMs)
    this.#beat = { beat: grant.beat, envelope: grant.answer.beat }
    this.#beatUntil = until(grant.beat.at, grant.beat.expiresAt, askedAtMs)
    this.#left = grant.lease.requests
  }

  get grant(): Grant {
    return this.#grant
  }
  get beat(): HeldBeat {
    return this.#beat
  }
  get requestsLeft(): number {
    return this.#left
  }

  /** A renewed lease in place of the one before: what was left of that is given up (silence counts as used). */
  renew(grant: Grant, askedAtMs: number): void {
    this.#grant = grant
    this.#leaseUntil = until(grant.lease.issuedAt, grant.lease.expiresAt, askedAtMs)
    this.#left = grant.lease.requests
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

  /** Pays for one request, before any work is done for it. @throws lease/expired, lease/beat-missed, lease/budget */
  debit(): void {
    this.verifyAlive()
    if (this.#left === 0) {
      throw new Failure<KeyUseCode>(
        'lease/budget',
        `the ${this.#grant.lease.requests} requests of the lease are used up`,
      )
    }
    this.#left--
  }
}

function until(from: number, to: number, askedAtMs: number): Until {
  return { elapsedMs: askedAtMs + (to - from) * 1000, wall: to }
}
