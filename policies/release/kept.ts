import { sha256Hex } from '#core/crypto/hash.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { MiB } from '#core/limits.js'
import { Recent } from '#core/recent.js'
import {
  type Signed,
  type Statement,
  type StatementKind,
  verifyStatement,
  verifyTenantStatement,
} from '#core/wire/statements.js'

const keptMax = 4096
const textMax = 64 * MiB

/**
 * Owners' statements that were verified before: state with a lifetime, which whoever judges often makes and hands in; results are the
 * same without. Which statements stand, and whose, is asked anew each time.
 *
 * Invariant: a key is a digest of all that the verification reads: the kind, the envelope to its last signature as it came from the
 * database, and the owner's keys. Whoever changes one bit of any of them finds nothing here (I18). What failed is never put in.
 */
export class KeptStatements {
  readonly #kept: Recent<Signed<Statement>>

  constructor(bounds: { readonly keptMax: number; readonly textMax: number } = { keptMax, textMax }) {
    this.#kept = new Recent({ countMax: bounds.keptMax, costMax: bounds.textMax })
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
    if (known !== undefined) return known as Signed<Statement<K>>
    const signed = await verify()
    this.#kept.set(key, freeze(signed) as Signed<Statement>, text.length)
    return signed
  }
}

/** Nobody changes what others will be given. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const one of Object.values(value)) freeze(one)
  return Object.freeze(value)
}
