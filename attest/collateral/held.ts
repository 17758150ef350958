import type { BadRow, StoredItem } from '#attest/collateral/rows.js'
import { verifyNotOlder } from '#attest/collateral/rows.js'
import type { VerifyContext } from '#attest/endorsements/context.js'
import { beforeInOrder, type VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import { verifyItem } from '#attest/endorsements/verify.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { LinkCache } from '#core/x509/links.js'

/** A document in memory. One that is over stays: it is still the least that is accepted of its name. */
export interface HeldItem {
  readonly item: VerifiedItem
  readonly digest: string
  readonly receivedAt: UnixSeconds
}

const linksMax = 2000

/**
 * The documents of a store in memory, each verified. Invariant: what is here of a name never becomes older, whatever the
 * database says later.
 */
export class Held {
  /** by name, then by root */
  readonly #items = new Map<string, Map<string, HeldItem>>()
  readonly #simulatedRoots: readonly string[]
  readonly #links = new LinkCache(linksMax)

  constructor(simulatedRoots: readonly string[]) {
    this.#simulatedRoots = simulatedRoots
  }

  /** Hardware before simulation, when no root is named. */
  get(name: string, root: string | null): HeldItem | null {
    const ofName = this.#items.get(name)
    if (ofName === undefined) return null
    if (root !== null) return ofName.get(root) ?? null
    const all = [...ofName.values()]
    return all.find(({ item }) => item.platform === 'hardware') ?? all[0] ?? null
  }

  all(): readonly HeldItem[] {
    return this.#those(() => true)
  }

  #those(wanted: (item: VerifiedItem) => boolean): readonly HeldItem[] {
    const all = [...this.#items.values()].flatMap((ofName) => [...ofName.values()].filter(({ item }) => wanted(item)))
    return all.sort((a, b) => (a.item.label < b.item.label ? -1 : 1))
  }

  /** Of AMD's lists also each entry: a list of the other kind, which cannot be told apart, does not name it. */
  floors(): readonly CollateralFloor[] {
    // Asked for with every verification: certificates and good answers, the most by far, have none.
    const those = this.#those((item) => item.floor !== null || item.crl !== null)
    return those.flatMap(({ item }) => [...(item.floor === null ? [] : [item.floor]), ...revokedFloors(item)])
  }

  /** What documents are verified beside at `at`; with `anyAge` also lists that are over, since they revoked what they revoked. */
  context(at: UnixSeconds, anyAge = false): VerifyContext {
    return {
      simulatedRoots: this.#simulatedRoots,
      at,
      links: this.#links,
      crlOf: (name: CollateralName, root: string) => {
        const found = this.get(formatName(name), root)
        return found && (anyAge || found.item.validUntil >= at) ? found.item.crl : null
      },
    }
  }

  /** What is put into the copy does not stand here. */
  copy(): Held {
    const copy = new Held(this.#simulatedRoots)
    for (const { item, digest, receivedAt } of this.all()) copy.put(item, digest, receivedAt)
    return copy
  }

  /** @throws collateral/rollback */
  put(item: VerifiedItem, digest: string, receivedAt: UnixSeconds): void {
    const ofName = this.#items.get(item.label) ?? new Map<string, HeldItem>()
    const before = ofName.get(item.root)
    if (before) verifyNotOlder(item, before.item)
    this.#items.set(item.label, ofName.set(item.root, { item, digest, receivedAt }))
  }

  /** Certificates that the database no longer holds. What has a floor stays. */
  drop(isGone: (held: HeldItem) => boolean): void {
    for (const [name, ofName] of this.#items) {
      for (const [root, held] of ofName) if (held.item.floor === null && isGone(held)) ofName.delete(root)
      if (ofName.size === 0) this.#items.delete(name)
    }
  }

  /**
   * Takes rows of the database in. A document that is over counts as of its own time, so that its floor holds; one whose
   * time has not come is refused as any other that does not verify.
   *
   * returns  rows that are not what they say, with the reason
   */
  async load(rows: readonly StoredItem[], now: UnixSeconds): Promise<readonly BadRow[]> {
    const bad: BadRow[] = []
    for (const row of [...rows].sort((a, b) => beforeInOrder(a.item, b.item))) {
      try {
        const item = await verifyAsOfItsTime(row, now, (at) => this.context(at, true))
        this.put(item, row.digest, row.receivedAt)
      } catch (error) {
        if (!isFailure(error)) throw error
        bad.push({ name: formatName(row.item.name), failure: error })
      }
    }
    return bad
  }
}

function revokedFloors({ name, crl, root, issuedAt }: VerifiedItem): readonly CollateralFloor[] {
  if (name.kind !== 'amd-crl' || crl === null) return []
  return [...crl.revoked].map((serial) => ({ kind: 'amd-revoked', issuer: root, serial, issuedAtMin: issuedAt }))
}

/** `ocsp/responder` too: its certificate may end before the answer does. Another reason fails at any time. */
const over: readonly string[] = [
  'crl/expired',
  'dcap/collateral-expired',
  'chain/expired',
  'ocsp/expired',
  'ocsp/responder',
]
const isOver = (code: string) => over.includes(code)

async function verifyAsOfItsTime(
  { item, issuedAt }: StoredItem,
  now: UnixSeconds,
  contextAt: (at: UnixSeconds) => VerifyContext,
): Promise<VerifiedItem> {
  try {
    return await verifyItem(item, contextAt(now))
  } catch (error) {
    if (!isFailure(error) || !isOver(error.code) || issuedAt >= now) throw error
    return verifyItem(item, contextAt(issuedAt))
  }
}
