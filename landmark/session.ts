import { equal } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { probesAnsweredMin } from '#core/limits.js'
import { answerTo, type Round, transcriptOf, type VerifiedTicket } from '#core/wire/landmark.js'
import { quantile } from '#core/wire/landmark-receipt.js'

/** One probe: when it left on the landmark's clock, and what came back first. */
interface Probe {
  readonly nonce: Uint8Array
  readonly sentNs: bigint
  answered?: { readonly answer: Uint8Array; readonly rttNs: bigint }
}

/** What a landmark measured of a session. */
export interface Measured {
  readonly counted: readonly number[]
  readonly transcript: Uint8Array
  readonly rttNs: { readonly min: number; readonly p50: number; readonly p90: number }
}

/** The rounds of one session. The landmark's clock and the landmark's nonces: the node reports nothing. */
export class Session {
  readonly ticket: VerifiedTicket
  readonly #enc: Uint8Array
  readonly #secret: Uint8Array
  readonly #probes: Probe[] = []

  constructor(ticket: VerifiedTicket, enc: Uint8Array, secret: Uint8Array) {
    this.ticket = ticket
    this.#enc = enc
    this.#secret = secret
  }

  get sent(): number {
    return this.#probes.length
  }

  get answered(): number {
    return this.#probes.filter(({ answered }) => answered !== undefined).length
  }

  /** The index of the next probe. `sentNs` is read before the datagram leaves: what that costs makes the node look farther. */
  probe(nonce: Uint8Array, sentNs: bigint): number {
    return this.#probes.push({ nonce, sentNs }) - 1
  }

  /** Counts the first right answer to a probe that was sent; anything else changes nothing. */
  answer(index: number, answer: Uint8Array, nowNs: bigint): void {
    const probe = this.#probes[index]
    if (probe === undefined || probe.answered !== undefined) return
    if (equal(answerTo(this.#secret, index, probe.nonce), answer))
      probe.answered = { answer, rttNs: nowNs - probe.sentNs }
  }

  /** What was measured; null with too few answers. No answer counts after it. */
  close(): Measured | null {
    wipe(this.#secret)
    const rounds: (Round & { readonly rttNs: number })[] = this.#probes.flatMap(({ nonce, answered }, index) =>
      answered === undefined ? [] : [{ index, nonce, answer: answered.answer, rttNs: Number(answered.rttNs) }],
    )
    if (rounds.length < probesAnsweredMin) return null
    const times = rounds.map(({ rttNs }) => rttNs).sort((a, b) => a - b)
    return {
      counted: rounds.map(({ index }) => index),
      transcript: transcriptOf(this.ticket.digest, this.#enc, rounds),
      rttNs: { min: times[0]!, p50: quantile(times, 0.5), p90: quantile(times, 0.9) },
    }
  }
}
