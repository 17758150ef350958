import { equal } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { Failure, isFailure } from '#core/failure.js'
import { encodeEntry } from '#core/wire/entries.js'
import type { Connection, Database } from '#host/database.js'
import { pendingEntry } from '#keybroker/entries.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import type { KekRing } from '#keybroker/kek/ring.js'
import type { Clock } from '#keybroker/ports.js'
import { verifyKekApproved } from '#keybroker/service/approved-keks.js'
import { verifyKeksOpen } from '#keybroker/service/stored-keys.js'
import { appendEntry, hasEntry } from '#keybroker/store/entries.js'
import {
  listWrapped,
  loadWrapped,
  replaceWrapped,
  type WrappedName,
  type WrappedRow,
} from '#keybroker/store/wrapped.js'
import type { NewEntry } from '#keybroker/stored.js'

export interface RotationOptions {
  readonly database: Database
  /** the key that is to wrap every row, and those that wrapped before */
  readonly kek: KekRing
  readonly clock: Clock
  /** seals the entry, so that the broker takes it for one of its operator's */
  readonly callerSecret: Uint8Array
  /** every row is unwrapped and nothing is changed */
  readonly dryRun: boolean
  readonly onProgress?: (done: number, total: number) => void
}

/** A row that does not unwrap: whoever has the database changed it, or it was so before. */
export interface BadRow {
  readonly name: WrappedName
  readonly code: string
}

export interface Rotation {
  /** rows in all, and how many of them were wrapped again now (would be, in a dry run) */
  readonly total: number
  readonly rewrapped: number
  readonly bad: readonly BadRow[]
  /** whether every row was seen to unwrap under the current key and version: then the keys before are needed no more */
  readonly finished: boolean
}

/** Passes over all rows: a broker may store another under a key before while this goes on. */
const passesMax = 8
const triesMax = 8

/** Failures of a row. All others are those of a provider or of the database, and end the work. */
const rowCodes: readonly string[] = ['kek/unwrap', 'kek/key-id', 'kek/vault-version']

/** A run that begins in the same second as the one before says the same, and says it once. */
async function appendOnce(tx: Connection, entry: NewEntry): Promise<void> {
  if (!(await hasEntry(tx, entry.id))) await appendEntry(tx, entry)
}

class Work {
  readonly #options: RotationOptions
  readonly #bad = new Map<string, BadRow>()
  rewrapped = 0

  constructor(options: RotationOptions) {
    this.#options = options
  }

  get bad(): readonly BadRow[] {
    return [...this.#bad.values()]
  }

  #isCurrent({ keyId, wrapped }: WrappedRow): boolean {
    const { kek } = this.#options
    return keyId === kek.keyId && kek.isCurrent(wrapped)
  }

  /** The entry that makes it public, stored with the first row of each run: no row changes unseen (I2). */
  #entry(from: string): NewEntry {
    const { kek, clock } = this.#options
    const at = clock()
    const before = kek.keyIds.filter((id) => id !== kek.keyId)
    const leaf = encodeEntry({
      kind: 'kek-rotation',
      type: 'claviger/entry/v1',
      at,
      from: before.includes(from) ? before : [...before, from],
      to: kek.keyId,
      provider: kek.provider,
      holder: kek.holder,
      broker: 'UNATTESTED BROKER',
    })
    return pendingEntry(null, 'kek-rotation', false, leaf, {}, at, this.#options)
  }

  /** The row as the current key wraps it, seen to unwrap before it takes the place of the other. */
  async #wrapAgain(row: WrappedRow): Promise<Uint8Array> {
    const { kek } = this.#options
    const dek = await kek.unwrapDek(row.wrapped, row.aad, row.keyId)
    try {
      const wrapped = await kek.wrapDek(dek, row.aad)
      const opened = await kek.unwrapDek(wrapped, row.aad, kek.keyId)
      const same = equal(opened, dek)
      wipe(opened)
      if (!same) throw new Failure<KekCode>('kek/unwrap', 'what the new key wrapped does not unwrap to the same')
      return wrapped
    } finally {
      wipe(dek)
    }
  }

  async #store(name: WrappedName, row: WrappedRow, wrapped: Uint8Array): Promise<boolean> {
    const { database, kek } = this.#options
    const first = this.rewrapped === 0
    return database.transaction(async (tx) => {
      if (!(await replaceWrapped(tx, name, row, { keyId: kek.keyId, wrapped }))) return false
      if (first) await appendOnce(tx, this.#entry(row.keyId))
      return true
    })
  }

  async #rowOnce(name: WrappedName): Promise<'done' | 'again'> {
    const { database, kek, dryRun } = this.#options
    const row = await database.read((db) => loadWrapped(db, name))
    if (row === null) return 'done'
    if (dryRun) wipe(await kek.unwrapDek(row.wrapped, row.aad, row.keyId))
    if (this.#isCurrent(row)) return 'done'
    if (!dryRun && !(await this.#store(name, row, await this.#wrapAgain(row)))) return 'again'
    this.rewrapped++
    return 'done'
  }

  /** One row: wrapped by the current key afterwards, or among the bad ones. */
  async row(name: WrappedName): Promise<void> {
    for (let tried = 0; tried < triesMax; tried++) {
      try {
        if ((await this.#rowOnce(name)) === 'done') return
      } catch (error) {
        this.#note(name, error)
        return
      }
    }
    throw new Failure<KekCode>('kek/rotation', 'a stored key changes faster than it can be wrapped again')
  }

  /** Whether the row is wrapped by the current key and unwraps, or is known to be bad. */
  async settled(name: WrappedName): Promise<boolean> {
    if (this.isBad(name)) return true
    const { database, kek } = this.#options
    const row = await database.read((db) => loadWrapped(db, name))
    if (row === null) return true
    if (!this.#isCurrent(row)) return false
    try {
      wipe(await kek.unwrapDek(row.wrapped, row.aad, row.keyId))
    } catch (error) {
      this.#note(name, error)
    }
    return true
  }

  isBad(name: WrappedName): boolean {
    return this.#bad.has(JSON.stringify(name))
  }

  #note(name: WrappedName, error: unknown): void {
    if (!isFailure(error) || !rowCodes.includes(error.code)) throw error
    this.#bad.set(JSON.stringify(name), { name, code: error.code })
  }
}

/**
 * Every stored key is wrapped by the current key-encryption key, row by row, each compared and set: a run that is cut
 * short has lost nothing, and the next one goes on where it ended. The keys before are needed until `finished`. Models,
 * leases and statements are not touched, and brokers that have both keys open go on meanwhile.
 *
 * throws  kek/key-id when a key that wrapped is not open; kek/not-approved when an owner does not name the new one; kek/..., database/... when a provider or the database is away
 */
export async function rotateKeks(options: RotationOptions): Promise<Rotation> {
  const { database, dryRun, onProgress } = options
  await verifyKeksOpen(database, options.kek)
  await verifyKekApproved(database, options.kek.keyId)
  const work = new Work(options)
  for (let pass = 1; pass <= passesMax; pass++) {
    const names = await database.read(listWrapped)
    const total = names.length
    for (const [i, name] of names.entries()) {
      if (!work.isBad(name)) await work.row(name)
      onProgress?.(i + 1, dryRun ? total : 2 * total)
    }
    if (dryRun) return { total, rewrapped: work.rewrapped, bad: work.bad, finished: false }
    let all = true
    for (const [i, name] of names.entries()) {
      all = (await work.settled(name)) && all
      onProgress?.(total + i + 1, 2 * total)
    }
    // What came in meanwhile may have been wrapped by a broker that still has the key before.
    const known = new Set(names.map((name) => JSON.stringify(name)))
    const hasNew = (await database.read(listWrapped)).some((name) => !known.has(JSON.stringify(name)))
    if (all && !hasNew) return { total, rewrapped: work.rewrapped, bad: work.bad, finished: work.bad.length === 0 }
  }
  const hint = 'restart every broker with the new key as --kek and the one before as --kek-previous, then rotate again'
  throw new Failure<KekCode>('kek/rotation', 'a broker goes on wrapping with the key before', { detail: { hint } })
}
