import { Backoff, isOfDocument } from '#attest/collateral/backoff.js'
import { type Asker, createBudget, type VerifyMayAskNew } from '#attest/collateral/budget.js'
import { type CollateralStoreCode, notHeld } from '#attest/collateral/failures.js'
import { type Above, laneOf, neededBefore } from '#attest/collateral/fetch/sources.js'
import { Held, type HeldItem } from '#attest/collateral/held.js'
import { type CollateralLimits, defaultLimits } from '#attest/collateral/limits.js'
import type { Admission, CollateralStoreOptions } from '#attest/collateral/options.js'
import {
  itemDigest,
  listDigests,
  loadItems,
  migrateCollateral,
  type Origin,
  storeItem,
} from '#attest/collateral/rows.js'
import { type CollateralStatus, statusOf } from '#attest/collateral/status.js'
import { beforeInOrder, type CollateralItem, type VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import { verifyItem } from '#attest/endorsements/verify.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { describeError } from '#host/log.js'

/** Collateral that was verified, with its floors: in memory and in the database. One for a process. */
export class CollateralStore {
  readonly #options: CollateralStoreOptions
  readonly #limits: CollateralLimits
  readonly #held: Held
  readonly #sources: Backoff
  readonly #documents: Backoff
  readonly #flights = new Map<string, Promise<VerifiedItem>>()
  #counted = 0
  readonly #verifyMayAskNew: VerifyMayAskNew
  /** names of rows that are not what they say: told once */
  readonly #passedOver = new Set<string>()
  #syncedAtMs = Number.NEGATIVE_INFINITY
  #syncing: Promise<void> | undefined

  private constructor(options: CollateralStoreOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#held = new Held(options.simulatedRoots)
    this.#sources = new Backoff(options.nowMs)
    this.#documents = new Backoff(options.nowMs)
    this.#verifyMayAskNew = createBudget(this.#limits, options.nowMs)
  }

  /** The store of this database, whose floors hold from here on. @throws database/... */
  static async open(options: CollateralStoreOptions): Promise<CollateralStore> {
    await migrateCollateral(options.database)
    const store = new CollateralStore(options)
    await store.#sync()
    return store
  }

  /**
   * The current document of a name. One that is held and in its time is returned at once, and renewed behind the caller's
   * back when it is due: while the vendor is away it serves to its end. Otherwise the vendor is asked, once for however
   * many callers, if the asker may have that done.
   *
   * root    under which root it must stand; null prefers the vendor's
   * above   each verified by the caller; without them those of the document that is held
   * throws  collateral/not-held, collateral/budget, collateral/busy, collateral/backing-off, collateral/rollback, FetchCode,
   *         what verifyItem throws, database/...
   */
  async obtain(name: CollateralName, root: string | null, asker: Asker, above: Above = []): Promise<VerifiedItem> {
    await this.#syncIfDue()
    const label = formatName(name)
    const held = this.#held.get(label, root)
    if (held && held.item.validUntil >= this.#options.now()) {
      this.#renewIfDue(name, held)
      return held.item
    }
    this.#verifyMayAsk(name, held, asker)
    const item = await this.#fetchOnce(name, above)
    if (root !== null && item.root !== root) throw notHeld(label, 'what its source gives out stands under another root')
    return item
  }

  /** The current document of a name if it is held. Nobody waits: it is renewed behind the caller's back when it is due. */
  async find(name: CollateralName, root: string | null): Promise<VerifiedItem | null> {
    await this.#syncIfDue()
    const held = this.#held.get(formatName(name), root)
    if (held === null || held.item.validUntil < this.#options.now()) return null
    this.#renewIfDue(name, held)
    return held.item
  }

  /**
   * Has a document that is not held in its time fetched behind the caller's back, if the asker may have that done: for what
   * came along and counts, while its vendor may say something else by now.
   */
  obtainSoon(name: CollateralName, asker: Asker, above: Above): void {
    const label = formatName(name)
    if (this.#options.fetchItem === null || this.#flights.has(label)) return
    try {
      this.#verifyMayTry(name)
      this.#verifyMayAsk(name, this.#held.get(label, null), asker)
    } catch (error) {
      if (!isFailure(error)) throw error
      return
    }
    this.#fetchSoon(name, above)
  }

  /** Fetches the document now, whatever is held. For the operator's commands. */
  renew(name: CollateralName, above: Above = []): Promise<VerifiedItem> {
    return this.#fetchOnce(name, above)
  }

  /** The least that is accepted of each list and document that was ever seen. @throws database/... */
  async floors(): Promise<readonly CollateralFloor[]> {
    await this.#syncIfDue()
    return this.#held.floors()
  }

  /**
   * Verifies documents and keeps those that are genuine, current and not older than what was seen. Each by itself: one that
   * is refused keeps none of the others out.
   *
   * throws  database/...
   */
  async admit(
    items: readonly CollateralItem[],
    options: { readonly dryRun?: boolean } = {},
  ): Promise<readonly Admission[]> {
    await this.#syncIfDue()
    const out: Admission[] = []
    const held = options.dryRun === true ? this.#held.copy() : this.#held
    for (const item of [...items].sort(beforeInOrder)) {
      const name = formatName(item.name)
      try {
        const { outcome } = await this.#admitOne(item, 'imported', held)
        out.push({ name, outcome, failure: null })
      } catch (error) {
        if (!isFailure(error) || error.code.startsWith('database/')) throw error
        out.push({ name, outcome: 'refused', failure: error })
      }
    }
    return out
  }

  /** Every document that is held, and how its sources do. */
  async status(): Promise<CollateralStatus> {
    await this.#syncIfDue()
    const { now, nowMs, fetchItem } = this.#options
    const parts = { held: this.#held, sources: this.#sources, documents: this.#documents }
    return statusOf(parts, { fetching: fetchItem !== null, at: now(), nowMs: nowMs() })
  }

  /** Every document that is held, for export. */
  async items(): Promise<readonly VerifiedItem[]> {
    await this.#syncIfDue()
    return this.#held.all().map(({ item }) => item)
  }

  #verifyMayAsk(name: CollateralName, held: HeldItem | null, asker: Asker): void {
    const label = formatName(name)
    if (this.#options.fetchItem === null)
      throw notHeld(
        label,
        held ? `the one that is held was valid until ${formatTime(held.item.validUntil)}` : 'fetching is switched off',
      )
    if (held === null && !this.#flights.has(label)) this.#verifyMayAskNew(name, asker)
  }

  /** Behind the caller's back: what goes wrong is in the status and the log, and costs nobody anything. */
  #renewIfDue(name: CollateralName, { item, receivedAt }: HeldItem): void {
    const isCertificate = name.kind === 'amd-ask' || name.kind === 'amd-vcek'
    if (this.#options.fetchItem === null || isCertificate || this.#flights.has(item.label)) return
    const { refreshSeconds, answerRefreshSeconds } = this.#limits
    const due = name.kind === 'nvidia-ocsp' ? answerRefreshSeconds : refreshSeconds
    if (this.#options.now() - receivedAt < due) return
    this.#fetchSoon(name, item.chain)
  }

  #fetchSoon(name: CollateralName, above: Above): void {
    this.#fetchOnce(name, above).catch((error: unknown) => {
      const fields = { name: formatName(name), ...describeError(error) }
      if (!isFailure(error)) this.#options.log.error(fields, 'renewal is broken')
    })
  }

  #verifyMayTry(name: CollateralName): void {
    this.#sources.verifyMayTry(laneOf[name.kind])
    this.#documents.verifyMayTry(formatName(name))
  }

  async #need(name: CollateralName): Promise<VerifiedItem> {
    const held = this.#held.get(formatName(name), null)
    return held && held.item.validUntil >= this.#options.now() ? held.item : this.#fetchOnce(name, [], true)
  }

  /** One flight for however many callers. What a flight under way needs is not counted, or all would wait for each other. */
  #fetchOnce(name: CollateralName, above: Above, isNeeded = false): Promise<VerifiedItem> {
    const label = formatName(name)
    const flying = this.#flights.get(label)
    if (flying) return flying
    if (!isNeeded && this.#counted >= this.#limits.fetchesMax)
      return Promise.reject(new Failure<CollateralStoreCode>('collateral/busy', 'too many fetches at the same time'))
    const weight = isNeeded ? 0 : 1
    this.#counted += weight
    const flight = this.#fetch(name, label, above).finally(() => {
      this.#flights.delete(label)
      this.#counted -= weight
    })
    this.#flights.set(label, flight)
    return flight
  }

  async #fetch(name: CollateralName, label: string, above: Above): Promise<VerifiedItem> {
    const { fetchItem } = this.#options
    if (fetchItem === null) throw notHeld(label, 'fetching is switched off')
    const lane = laneOf[name.kind]
    this.#verifyMayTry(name)
    const { failures } = this.#sources.of(lane)
    const needed: VerifiedItem[] = []
    for (const one of neededBefore(name)) needed.push(await this.#need(one))
    try {
      const known = this.#held.get(label, null)?.item.chain ?? []
      const item = await fetchItem(name, needed, above.length > 0 ? above : known)
      this.#sourceAnswered(lane)
      const { verified } = await this.#admitOne(item, 'fetched', this.#held)
      this.#documents.succeeded(label)
      return verified
    } catch (error) {
      if (isFailure(error) && !error.code.startsWith('database/')) this.#failed(lane, label, error, failures)
      throw error
    }
  }

  #sourceAnswered(lane: string): void {
    const before = this.#sources.of(lane)
    if (before.failures > 0)
      this.#options.log.info({ source: lane, failures: before.failures }, 'collateral source is back')
    this.#sources.succeeded(lane)
  }

  /** `failuresBefore`: of fetches that ran at the same time the first failure counts, or one outage would count for each. */
  #failed(lane: string, label: string, failure: Failure, failuresBefore: number): void {
    const fields = { source: lane, name: label, ...describeError(failure) }
    if (!isOfDocument(failure.code)) {
      if (this.#sources.of(lane).failures > failuresBefore) return
      this.#sources.failed(lane, failure)
      this.#options.log.warn(fields, 'collateral source fails: what is held serves to its end')
      return
    }
    if (failure.code === 'collateral/not-found') this.#sourceAnswered(lane)
    this.#documents.failed(label, failure)
    this.#options.log.warn(fields, 'collateral is refused: what is held serves to its end')
  }

  /** `held`: a copy for a dry run, which changes nothing else. */
  async #admitOne(
    item: CollateralItem,
    origin: Origin,
    held: Held,
  ): Promise<{ readonly verified: VerifiedItem; readonly outcome: 'stored' | 'unchanged' }> {
    const { now, database } = this.#options
    const at = now()
    const verified = await verifyItem(item, held.context(at))
    const digest = itemDigest(item)
    const before = held.get(verified.label, verified.root)
    if (held === this.#held)
      await database.transaction((tx) => storeItem(tx, verified, origin, at), { isolation: 'serializable' })
    held.put(verified, digest, at)
    return { verified, outcome: before?.digest === digest ? 'unchanged' : 'stored' }
  }

  async #syncIfDue(): Promise<void> {
    if (this.#options.nowMs() - this.#syncedAtMs < this.#limits.syncMs) return
    this.#syncing ??= this.#sync().finally(() => {
      this.#syncing = undefined
    })
    await this.#syncing
  }

  async #sync(): Promise<void> {
    const { database, now, nowMs, log } = this.#options
    const begun = nowMs()
    const rows = await database.read(listDigests)
    const known = new Map(this.#held.all().map((held) => [`${held.item.root} ${held.item.label}`, held]))
    const changed = rows.filter(({ root, name, digest, receivedAt }) => {
      const held = known.get(`${root} ${name}`)
      return held?.digest !== digest || held.receivedAt < receivedAt
    })
    if (changed.length > 0) {
      const { items, bad } = await database.read((db) => loadItems(db, [...new Set(changed.map(({ name }) => name))]))
      for (const { name, failure } of [...bad, ...(await this.#held.load(items, now()))]) {
        if (!this.#passedOver.has(name))
          log.warn({ name, ...describeError(failure) }, 'collateral in the database is passed over')
        this.#passedOver.add(name)
      }
    }
    const there = new Set(rows.map(({ root, name }) => `${root} ${name}`))
    this.#held.drop(({ item }) => !there.has(`${item.root} ${item.label}`))
    this.#syncedAtMs = begun
  }
}
