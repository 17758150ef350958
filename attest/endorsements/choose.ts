import type { VerifyContext } from '#attest/endorsements/context.js'
import { type CollateralItem, isOlder, type VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import { verifyItem } from '#attest/endorsements/verify.js'
import { equal } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Crl } from '#core/x509/crl.js'

/**
 * How much a document is needed. `no`: a genuine one came along, and nobody is to be asked. `soon`: so it did, and its
 * vendor may say something else by now: nobody waits for that. `now`: the evidence has none that counts.
 */
export type Need = 'no' | 'soon' | 'now'

/**
 * The current document of a name under a root (null: the vendor's), or null where there is none. `above` are certificates
 * above it, verified, where its name alone does not lead to them.
 */
export type Lookup = (
  name: CollateralName,
  root: string | null,
  need: Need,
  above: readonly Uint8Array[],
) => Promise<VerifiedItem | null>

/** A document that evidence needs, and what of it came along; null when nothing did. */
export interface Choice {
  readonly name: CollateralName
  readonly root: string | null
  readonly sent: CollateralItem | null
  readonly above?: readonly Uint8Array[]
}

/** What was put into evidence that did not come with it. */
export interface Used {
  readonly name: string
  /** `replaced`: what came with the evidence was older than this, or did not verify */
  readonly how: 'filled' | 'replaced'
  readonly issuedAt: UnixSeconds
  readonly validUntil: UnixSeconds
}

/** An OCSP answer that came along and is older than this is asked for anew, in seconds. */
const answerAgeMax = 3600

/** A board needs about 20 OCSP answers: one after the other they would take their time, all at once their responder's. */
const atATime = 4

async function inTurn<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = []
  const open = [...all.entries()]
  const worker = async () => {
    for (let next = open.shift(); next; next = open.shift()) results[next[0]] = await work(next[1])
  }
  await Promise.all(Array.from({ length: atATime }, worker))
  return results
}

/** Whether what came along counts beside what is held. */
function counts(sent: VerifiedItem, held: VerifiedItem): boolean {
  const { kind } = held.name
  return kind === 'nvidia-rim' ? isOlder(kind, held, sent) : !isOlder(kind, sent, held)
}

/**
 * Chooses between what came with the evidence and what is held. What came is a hint (TRUST 11): it counts while it verifies
 * and is not older than what is held; a RIM, of which a vendor gives out several of one id with other golden values, only
 * while it is newer, so that nobody sends the one that fits. Whether the evidence then verifies is for its own verifier to say.
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
    const [chosen] = await this.chooseAll([{ name, root, sent }])
    return chosen!
  }

  /** The document to use for each of these, in their order: some are looked up at the same time. */
  async chooseAll(choices: readonly Choice[]): Promise<readonly (CollateralItem | null)[]> {
    const found = await inTurn(choices, (one) => this.#chooseOne(one))
    for (const { used } of found) if (used) this.used.push(used)
    return found.map(({ chosen }) => chosen)
  }

  /** Has these looked up as chooseAll does, for evidence that stays as it was sent. */
  async learn(choices: readonly Choice[]): Promise<void> {
    await inTurn(choices, (one) => this.#chooseOne(one))
  }

  async #chooseOne({ name, root, sent, above = [] }: Choice) {
    const genuine = sent && (await this.#verified(sent))
    const held = await this.#lookup(name, root, this.#needOf(genuine), above)
    const newer = genuine && (held === null || counts(genuine, held)) ? genuine : held
    if (newer?.crl) this.#crls.set(`${newer.root} ${newer.label}`, newer.crl)
    if (held === null || newer !== held || (sent && equal(sent.body, held.body))) return { chosen: sent, used: null }
    const { label, issuedAt, validUntil } = held
    const how: Used['how'] = sent ? 'replaced' : 'filled'
    return { chosen: held, used: { name: label, how, issuedAt, validUntil } }
  }

  /** Whoever sends an answer chooses which one of a day: the last good one before a revocation, too. So it is with RIMs. */
  #needOf(genuine: VerifiedItem | null): Need {
    if (genuine === null) return 'now'
    if (genuine.name.kind === 'nvidia-rim') return 'soon'
    const isOld = this.#context.at - genuine.issuedAt >= answerAgeMax
    return genuine.name.kind === 'nvidia-ocsp' && isOld ? 'soon' : 'no'
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
