import { Failure } from '#core/failure.js'
import { kekOver } from '#keybroker/kek/file.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'

/** The right to a key that another broker released, as whoever keeps it up tells it. */
export interface KekRight {
  /** Pays for one use of the key before it begins. @throws kek/lease-over */
  pay(bytes: number): void
  /** Returns only while the key may be used. @throws kek/lease-over */
  verifyAlive(): void
  /** The lease is given back. */
  close(): Promise<void>
}

/** A key that may go to simulated evidence keeps nothing of a production tenant (I6). @throws kek/class */
function verifyClass({ model, class: tenantClass }: NonNullable<OpenKek['released']>): void {
  if (tenantClass === 'production') return
  const message = `the key-encryption key ${model} is of a development tenant, and may be released to simulated evidence`
  const hint =
    'production tenants need a broker whose key is of an owner of that class: keybroker kek seal, register --class production'
  throw new Failure<KekCode>('kek/class', message, { detail: { hint } })
}

/**
 * A key in memory alone, which comes and goes with the lease under which another broker released it (I11). What it wraps is
 * what a key of a file wraps: the owner of the key, who has it too, can open it by itself.
 */
export class ReleasedKek {
  #held: OpenKek | undefined
  /** of the first key that was released: no later one takes its place */
  #keyId: string | undefined

  /** kek: 32 bytes, this object's from now on. @throws kek/key-id when it is another one than was released before */
  take(kek: Uint8Array): void {
    const next = kekOver(kek)
    this.#keyId ??= next.keyId
    if (next.keyId !== this.#keyId) {
      void next.close()
      throw new Failure<KekCode>('kek/key-id', `key ${next.keyId} was released in place of ${this.#keyId}`)
    }
    this.drop()
    this.#held = next
  }

  /** The key is overwritten; it may come back. */
  drop(): void {
    void this.#held?.close()
    this.#held = undefined
  }

  /**
   * The key for use: each use is paid for, and none begins when the lease is over, whether or not anybody looked (I11, I15).
   *
   * trusts  that a key was taken
   */
  open(released: NonNullable<OpenKek['released']>, right: KekRight): OpenKek {
    const keyId = this.#keyId
    if (keyId === undefined) throw new Error('assertion failed: no key was released')
    const use = (bytes: Uint8Array): OpenKek => {
      right.pay(bytes.length)
      if (this.#held === undefined) throw new Error('assertion failed: a lease lives whose key is gone')
      return this.#held
    }
    return {
      keyId,
      provider: 'broker',
      holder: 'broker',
      released,
      isCurrent: () => true,
      verifyProtected: () => verifyClass(released),
      verifyUsable: () => right.verifyAlive(),
      wrapDek: async (dek, aad) => use(dek).wrapDek(dek, aad),
      unwrapDek: async (wrapped, aad, named) => use(wrapped).unwrapDek(wrapped, aad, named),
      close: () => right.close(),
    }
  }
}
