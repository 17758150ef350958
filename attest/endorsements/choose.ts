import type { VerifyContext } from '#attest/endorsements/context.js'
import { type CollateralItem, isOlder, type VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import { verifyItem } from '#attest/endorsements/verify.js'
import { equal } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Crl } from '#core/x509/crl.js'

/**
 * The current document of a name under a root (null: the vendor's), or null where there is none. Where it is not needed,
 * since a genuine one came along, nobody is to be asked for it.
 */
export type Lookup = (name: CollateralName, root: string | null, isNeeded: boolean) => Promise<VerifiedItem | null>

/** What was put into evidence that did not come with it. */
export interface Used {
  readonly name: string
  /** `replaced`: what came with the evidence was older than this, or did not verify */
  readonly how: 'filled' | 'replaced'
  readonly issuedAt: UnixSeconds
  readonly validUntil: UnixSeconds
}

/**
 * Chooses between what came with the evidence and what is held. What came is a hint (TRUST 11): it counts while it verifies
 * and is not older than what is held. Whether the evidence then verifies is for its own verifier to say.
 */
export class Chooser {
  readonly used: Used[] = []
  readonly #lookup: Lookup
  readonly #context: Omit<VerifyContext, 'crlOf'>
  /** lists chosen before, by name and root */
  readonly #crls = new Map<string, Crl>()

  constructor(lookup: Lookup, context: Omit<VerifyContext, 'crlOf'>) {
    this.#lookup = lookup
    this.#context = context
  }

  /** sent  what came with the evidence; null when nothing did. The document to use; null where there is none. */
  async choose(name: CollateralName, root: string | null, sent: CollateralItem | null): Promise<CollateralItem | null> {
    const genuine = sent && (await this.#verified(sent))
    const held = await this.#lookup(name, root, genuine === null)
    const newer = genuine && !(held && isOlder(name.kind, genuine, held)) ? genuine : held
    if (newer?.crl) this.#crls.set(`${newer.root} ${newer.label}`, newer.crl)
    if (held === null || newer !== held) return sent
    if (sent && equal(sent.body, held.body)) return sent
    const { label, issuedAt, validUntil } = held
    this.used.push({ name: label, how: sent ? 'replaced' : 'filled', issuedAt, validUntil })
    return held
  }

  /** null for what does not verify: its own verifier will say why, unless something else takes its place. */
  async #verified(sent: CollateralItem): Promise<VerifiedItem | null> {
    const crlOf = (name: CollateralName, root: string) => this.#crls.get(`${root} ${formatName(name)}`) ?? null
    try {
      return await verifyItem(sent, { ...this.#context, crlOf })
    } catch (error) {
      if (!isFailure(error)) throw error
      return null
    }
  }
}
