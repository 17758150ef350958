import type { UnixSeconds } from '#core/time.js'
import { cosign } from '#core/tlog/cosignature.js'
import { encodeSignatureLines } from '#core/tlog/note.js'
import { encodeVkey, type NoteSigner, type VerifierKey } from '#core/tlog/vkey.js'
import { decideRequest, type Refusal, readRequest, type SeenTree } from '#transparency/witness/rule.js'

/** Port: what this witness has cosigned. One process at a time. */
export interface WitnessStore {
  /** The tree of a log that was added by an explicit step. @throws witness/absent for any other */
  seen(origin: string): Promise<SeenTree>
  /** Durable on return: a power failure right after it loses nothing. */
  record(origin: string, seen: SeenTree): Promise<void>
}

export type WitnessReply = { readonly status: 200; readonly lines: string } | Refusal

/** Cosigns the checkpoints of the logs it was given, each only as the continuation of what it cosigned before. */
export class Witness {
  readonly vkey: string
  readonly #store: WitnessStore
  readonly #signer: NoteSigner
  readonly #logs: readonly VerifierKey[]
  readonly #now: () => UnixSeconds
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(options: {
    readonly store: WitnessStore
    readonly signer: NoteSigner
    readonly logs: readonly VerifierKey[]
    now(): UnixSeconds
  }) {
    this.#store = options.store
    this.#signer = options.signer
    this.#logs = options.logs
    this.#now = options.now
    this.vkey = encodeVkey(options.signer.verifier)
  }

  /** The answer to the body of an add-checkpoint request. @throws what the store throws: then nothing was cosigned */
  async answer(body: string): Promise<WitnessReply> {
    const request = await readRequest(body, this.#logs)
    if (request.status !== 'signed') return request
    const { origin } = request.tree
    return this.#inTurn(origin, async () => {
      const decision = decideRequest(request, await this.#store.seen(origin))
      if (decision.status !== 200) return decision
      // Invariant: recorded before it is signed. A crash in between leaves a record that the log can ask for again.
      await this.#store.record(origin, decision.seen)
      const line = await cosign(decision.checkpointText, this.#now(), this.#signer)
      return { status: 200, lines: encodeSignatureLines([line]) }
    })
  }

  /** One request of a log after the other: what was seen is compared and replaced in one step. */
  #inTurn<T>(origin: string, work: () => Promise<T>): Promise<T> {
    const mine = (this.#turns.get(origin) ?? Promise.resolve()).then(work)
    this.#turns.set(
      origin,
      mine.catch(() => undefined),
    )
    return mine
  }
}
