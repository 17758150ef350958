import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { DecisionWrites, NewEntry, StoredContradiction, StoredLease, StoredPlaces } from '#keybroker/stored.js'
import { type Account, accountId, encodeAccount } from '#keybroker/usage.js'

/** A decision that grants, and what is stored with it. */
export interface Grant {
  readonly entry: NewEntry
  /** as it is from now on */
  readonly lease: StoredLease
  readonly isNew: boolean
  readonly devices: readonly string[]
  readonly request: { readonly id: string; readonly digest: string }
  /** after the debit; null where nobody counts */
  readonly account: Account | null
}

/**
 * Where leases of one model stand while some requests for them are decided one after the other in one transaction: what is stored,
 * and above it what the decisions before changed. Nothing is stored until `writes` are.
 *
 * Invariant: each decision sees what the one before left, as if each were a transaction of its own. No two are of one request id.
 */
export class Ledger {
  readonly #places: StoredPlaces
  /** leases that were granted or renewed here, with their devices */
  readonly #changed = new Map<string, { readonly lease: StoredLease; readonly devices: readonly string[] }>()
  readonly #granted = new Set<string>()
  readonly #entries: NewEntry[] = []
  /** by platform, what was seen here */
  readonly #contradicted = new Map<string, StoredContradiction>()
  readonly #requests: DecisionWrites['requests'][number][] = []
  #account: Account | null
  #counted = false
  /** at which leases live or not */
  readonly at: UnixSeconds

  constructor(places: StoredPlaces, account: Account | null, at: UnixSeconds) {
    this.#places = places
    this.#account = account
    this.at = at
  }

  /** The account of inferences; null where nobody counts. */
  get account(): Account | null {
    return this.#account
  }

  /** The lease that this request was granted before, or null. @throws store/request-reused */
  grantedBefore(id: string, digest: string): string | null {
    const known = this.#places.granted.get(id)
    if (known !== undefined && known.digest !== digest)
      throw new Failure<BrokerCode>('store/request-reused', 'request id was used with other contents')
    return known?.lease ?? null
  }

  /** A lease that was asked for, live or not. */
  lease(id: string): StoredLease | null {
    return this.#changed.get(id)?.lease ?? this.#places.leases.get(id) ?? null
  }

  lives({ endedAt, expiresAt }: Pick<StoredLease, 'endedAt' | 'expiresAt'>): boolean {
    return endedAt === null && expiresAt > this.at
  }

  /** How many leases of the model live; with `before`, those that were granted before that one, which was asked for. */
  countLive(before?: StoredLease): number {
    let count = before === undefined ? this.#places.live : (this.#places.leases.get(before.id)?.before ?? 0)
    for (const [id, { lease }] of this.#changed) {
      if (before !== undefined && !isEarlier(lease, before)) continue
      const was = this.#places.leases.get(id)
      count += Number(this.lives(lease)) - Number(was !== undefined && this.lives(was))
    }
    return count
  }

  /** Whether one of these devices is in a lease that lives, other than this one. */
  isElsewhere(devices: readonly string[], own: string | null): boolean {
    const stored = this.#places.devices.filter((one) => !this.#changed.has(one.lease))
    if (stored.some((one) => one.lease !== own && devices.includes(one.device))) return true
    return [...this.#changed.values()].some(
      (one) => one.lease.id !== own && this.lives(one.lease) && one.devices.some((device) => devices.includes(device)),
    )
  }

  /** When it was seen last that what is said of this platform's place contradicts itself; null for never. */
  contradictedAt(platform: string): UnixSeconds | null {
    return this.#contradicted.get(platform)?.seenAt ?? this.#places.contradicted.get(platform) ?? null
  }

  /** contradiction: what was seen of the node's place in this denial, or null */
  deny(entry: NewEntry, contradiction: Omit<StoredContradiction, 'entry'> | null): void {
    this.#entries.push(entry)
    if (contradiction !== null) this.#contradicted.set(contradiction.platform, { ...contradiction, entry: entry.id })
  }

  grant({ entry, lease, isNew, devices, request, account }: Grant, at: UnixSeconds): void {
    this.#entries.push(entry)
    this.#changed.set(lease.id, { lease, devices })
    if (isNew) this.#granted.add(lease.id)
    const { tenant, id } = lease
    this.#requests.push({ ...request, tenant, lease: id, entry: entry.id, decidedAt: at })
    if (account === null) return
    this.#account = { ...account, entry: entry.id }
    this.#counted = true
  }

  /** All that the decisions changed; null when there was none. secret: the broker's, 32 bytes (`callerSecret`) */
  writes(secret: Uint8Array): DecisionWrites | null {
    if (this.#entries.length === 0) return null
    const leases = [...this.#changed.values()]
    const account = this.#counted ? this.#account : null
    return {
      entries: this.#entries,
      granted: leases.flatMap(({ lease }) => (this.#granted.has(lease.id) ? [lease] : [])),
      renewed: leases.flatMap(({ lease }) => (this.#granted.has(lease.id) ? [] : [lease])),
      devices: leases.map(({ lease, devices }) => ({ lease: lease.id, devices })),
      requests: this.#requests,
      account: account && { id: accountId(account), state: encodeAccount(account, secret) },
      contradictions: [...this.#contradicted.values()],
    }
  }
}

/** The order in which leases were granted. */
function isEarlier(one: StoredLease, other: StoredLease): boolean {
  return one.grantedAt < other.grantedAt || (one.grantedAt === other.grantedAt && one.id < other.id)
}
