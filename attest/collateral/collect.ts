import type { Above, FetchItem } from '#attest/collateral/fetch/sources.js'
import { neededBefore } from '#attest/collateral/fetch/sources.js'
import { Held } from '#attest/collateral/held.js'
import { itemDigest } from '#attest/collateral/rows.js'
import type { CollateralBundle } from '#attest/endorsements/bundle.js'
import { beforeInOrder, type VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import { verifyItem } from '#attest/endorsements/verify.js'
import { type Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'

export interface CollectOptions {
  readonly simulatedRoots: readonly string[]
  readonly at: UnixSeconds
  /** null: nothing is fetched */
  readonly fetchItem: FetchItem | null
}

/**
 * Documents without a database, for one run of a command: those of a bundle, each verified, and those that are fetched,
 * never older than the bundle's.
 */
export class Collection {
  /** documents of the bundle that are not what they say, or over */
  readonly refused: { readonly name: string; readonly failure: Failure }[] = []
  readonly #options: CollectOptions
  readonly #held: Held
  readonly #fetched = new Map<string, VerifiedItem>()

  private constructor(options: CollectOptions) {
    this.#options = options
    this.#held = new Held(options.simulatedRoots)
  }

  /** What of a bundle is genuine and current; `refused` says what is not. */
  static async open(bundle: CollateralBundle, options: CollectOptions): Promise<Collection> {
    const collection = new Collection(options)
    for (const item of [...bundle].sort(beforeInOrder)) {
      try {
        const verified = await verifyItem(item, collection.#held.context(options.at))
        collection.#held.put(verified, itemDigest(item), options.at)
      } catch (error) {
        if (!isFailure(error)) throw error
        collection.refused.push({ name: formatName(item.name), failure: error })
      }
    }
    return collection
  }

  items(): readonly VerifiedItem[] {
    return this.#held.all().map(({ item }) => item)
  }

  /** What is held; nobody is asked. */
  find(name: CollateralName, root: string | null): VerifiedItem | null {
    return this.#held.get(formatName(name), root)?.item ?? null
  }

  /**
   * The document as its vendor gives it out now, asked for once, after what it is verified beside.
   *
   * above   without them those of the document that is held
   * throws  FetchCode, collateral/rollback, what verifyItem throws
   */
  async fetch(name: CollateralName, above: Above = []): Promise<VerifiedItem> {
    const label = formatName(name)
    const known = this.#fetched.get(label)
    if (known) return known
    const { fetchItem, at } = this.#options
    if (fetchItem === null) throw new Error('a collection without sources was asked to fetch')
    const needed: VerifiedItem[] = []
    for (const one of neededBefore(name)) needed.push(await this.fetch(one))
    const item = await fetchItem(name, needed, above.length > 0 ? above : (this.find(name, null)?.chain ?? []))
    const verified = await verifyItem(item, this.#held.context(at))
    this.#held.put(verified, itemDigest(item), at)
    this.#fetched.set(label, verified)
    return verified
  }
}
