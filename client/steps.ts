/**
 * What belongs in client: judging a node, a receipt, a bundle against the reader's own trust file, and talking to a
 * node that was judged. No anchors of its own, no network but the `fetch` that it is given, no clock but arguments.
 */
import { Failure, isFailure } from '#core/failure.js'

/** Failures of judging a node, a receipt or a bundle; what core and attest find wrong keeps its own code. */
export type ClientCode =
  | 'client/owner-unknown'
  | 'client/broker-unknown'
  /** what the decision rests on was not signed by keepers whom the reader believes */
  | 'client/keepers'
  | 'client/model'
  | 'client/manifest'
  | 'client/version'
  | 'client/purpose'
  | 'client/audience'
  | 'client/keyset-splice'
  | 'client/keyset-expired'
  | 'client/config-splice'
  | 'client/trust-splice'
  | 'client/devices'
  | 'client/nonce'
  | 'client/fresh-missing'
  | 'client/evidence'
  | 'client/measurement'
  | 'client/simulated'
  | 'client/ear-splice'
  | 'client/lease-splice'
  | 'client/lease-expired'
  /** too few brokers of a split key granted, or they do not agree on who holds it */
  | 'client/quorum'
  /** a lease or a receipt says another standing of its broker than was proven */
  | 'client/broker-standing'
  | 'client/beat-splice'
  | 'client/beat-stale'
  | 'client/host-splice'
  | 'client/place'
  | 'client/witnesses'
  | 'client/weakenings'
  | 'client/platform'
  | 'client/receipt-splice'
  | 'client/receipt-policy'
  | 'client/receipt-body'
  | 'client/entry-index'
  | 'client/bundle-splice'
  | 'client/bundle-verdict'
  | 'client/request-size'
  | 'client/browser'
  | 'client/unreachable'
  | 'client/answer'

/** A refusal of ours; `hint` says the way out. */
export function refuse(
  code: ClientCode,
  message: string,
  options: { readonly hint?: string; readonly cause?: unknown } = {},
): Failure<ClientCode> {
  const { hint, cause } = options
  return new Failure<ClientCode>(code, message, { cause, ...(hint === undefined ? {} : { detail: { hint } }) })
}

/** One named step of a verification, as people and machines read it. The ids are the same on every surface. */
export interface Step {
  readonly id: string
  readonly title: string
  readonly status: 'ok' | 'failed' | 'not checked'
  readonly code: string | null
  readonly message: string | null
}

/** Records steps in order: the first failure ends the work, and what comes after it stays `not checked`. */
export class Steps {
  readonly #plan: readonly (readonly [string, string])[]
  readonly #done = new Map<string, Step>()

  /** plan  [id, title] of every step, in order */
  constructor(plan: readonly (readonly [string, string])[]) {
    this.#plan = plan
  }

  async step<T>(id: string, work: () => T | Promise<T>): Promise<T> {
    const title = this.#plan.find(([one]) => one === id)?.[1]
    if (title === undefined) throw new Error(`assertion failed: step ${id} is not in the plan`)
    try {
      const value = await work()
      this.#done.set(id, { id, title, status: 'ok', code: null, message: null })
      return value
    } catch (error) {
      if (!isFailure(error)) throw error
      this.#done.set(id, { id, title, status: 'failed', code: error.code, message: error.message })
      throw error
    }
  }

  list(): readonly Step[] {
    return this.#plan.map(
      ([id, title]) => this.#done.get(id) ?? { id, title, status: 'not checked', code: null, message: null },
    )
  }
}

/** The outcome of a verification as a value: either what was established, or the failure that ended it. */
export type Judged<T> =
  | { readonly ok: true; readonly value: T; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly failure: Failure; readonly steps: readonly Step[] }

/** Runs a verification at its named boundary: here, and only here, a failure becomes a verdict. */
export async function judged<T>(
  plan: readonly (readonly [string, string])[],
  work: (steps: Steps) => Promise<T>,
): Promise<Judged<T>> {
  const steps = new Steps(plan)
  try {
    return { ok: true, value: await work(steps), steps: steps.list() }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { ok: false, failure: error, steps: steps.list() }
  }
}
