import { sha256Hex } from '#core/crypto/hash.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { MiB } from '#core/limits.js'
import {
  type Signed,
  type Statement,
  type StatementKind,
  verifyStatement,
  verifyTenantStatement,
} from '#core/wire/statements.js'

const keptMax = 4096
const textMax = 64 * MiB

interface Kept {
  readonly signed: Signed<Statement>
  readonly size: number
}

/**
 * Owners' statements that were verified before: state with a lifetime, which whoever judges often makes and hands in; results are the
 * same without. Which statements stand, and whose, is asked anew each time.
 *
 * Invariant: a key is a digest of all that the verification reads: the kind, the envelope to its last signature as it came from the
 * database, and the owner's keys. Whoever changes one bit of any of them finds nothing here (I18). What failed is never put in.
 */
export class KeptStatements {
  readonly #kept = new Map<string, Kept>()
  readonly #keptMax: number
  readonly #textMax: number
  #size = 0

  constructor(bounds: { readonly keptMax: number; readonly textMax: number } = { keptMax, textMax }) {
    this.#keptMax = bounds.keptMax
    this.#textMax = bounds.textMax
  }

  /** How many are kept. */
  get count(): number {
    return this.#kept.size
  }

  /** As `verifyStatement`. */
  verify<K extends StatementKind>(
    kind: K,
    envelope: Envelope,
    keys: readonly SignatureJwk[],
  ): Promise<Signed<Statement<K>>> {
    return this.#once([kind, keys], envelope, () => verifyStatement(kind, envelope, keys))
  }

  /** As `verifyTenantStatement`. */
  verifyTenant(envelope: Envelope): Promise<Signed<Statement<'tenant'>>> {
    return this.#once(['tenant', null], envelope, () => verifyTenantStatement(envelope))
  }

  async #once<K extends StatementKind>(
    by: readonly [K, readonly SignatureJwk[] | null],
    { payloadType, payload, signatures }: Envelope,
    verify: () => Promise<Signed<Statement<K>>>,
  ): Promise<Signed<Statement<K>>> {
    const text = JSON.stringify([by, payloadType, payload, signatures.map(({ keyid, sig }) => [keyid, sig])])
    const key = sha256Hex(text)
    const known = this.#kept.get(key)
    if (known !== undefined) {
      this.#kept.delete(key)
      this.#kept.set(key, known)
      return known.signed as Signed<Statement<K>>
    }
    const signed = await verify()
    this.#put(key, { signed: freeze(signed) as Signed<Statement>, size: text.length })
    return signed
  }

  /** The least recently used make room. */
  #put(key: string, kept: Kept): void {
    this.#size += kept.size - (this.#kept.get(key)?.size ?? 0)
    this.#kept.set(key, kept)
    for (const [oldest, { size }] of this.#kept) {
      if (this.#kept.size <= this.#keptMax && this.#size <= this.#textMax) break
      this.#kept.delete(oldest)
      this.#size -= size
    }
  }
}

/** Nobody changes what others will be given. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const one of Object.values(value)) freeze(one)
  return Object.freeze(value)
}
