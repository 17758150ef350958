import type { Envelope } from '#core/dsse.js'
import type { UnixSeconds } from '#core/time.js'
import type { Accepted } from '#core/wire/approvals.js'
import type { StatementKind } from '#core/wire/statements.js'
import type { StoredShare } from '#keybroker/model-key.js'

/* What the broker's store keeps, and what is written to it in one step, as the code beside it sees them. */

/** A statement as it is stored; `model` is empty for a statement on the whole tenant. */
export interface StoredStatement {
  readonly kind: StatementKind
  readonly model: string
  readonly sequence: number
  readonly digest: string
  readonly predecessor: string | null
  readonly envelope: Envelope
  /** the entry that made it public */
  readonly entry: string
  /** how it came to stand; null where its owner had no approvers */
  readonly accepted: Accepted | null
}

/** A statement that waits for approvals, as it is stored. What it says of itself is verified each time (I18). */
export interface StoredProposal {
  /** of the statement */
  readonly digest: string
  readonly kind: StatementKind
  /** empty for a statement on the whole tenant */
  readonly model: string
  readonly envelope: Envelope
  /** the entry that made it public, and the one that called it off */
  readonly entry: string
  readonly cancelledEntry: string | null
  readonly cancellation: Envelope | null
  readonly approvals: readonly Envelope[]
}

/** A model key as it is stored. Nothing in it is believed: the associated data is built from owners' statements. */
export interface StoredModelKey {
  readonly tenant: string
  readonly model: string
  readonly version: number
  readonly manifestDigest: string
  readonly trustDigest: string
  readonly keyId: string
  readonly wrapped: Uint8Array
  /** of a share: what it is bound to, and the opening of its commitment, base64url; null for a whole key */
  readonly share: StoredShare | null
}

export interface StoredTenant {
  readonly id: string
  readonly class: 'production' | 'development'
  readonly ownerKeysDigest: string
  /** opening of the tenant's pseudonym, the same in all its entries; base64url */
  readonly opening: string
}

/** That the key of a version was released to a machine, and when first and last. */
export interface ReleasedVersion {
  /** as in a lease */
  readonly platform: string
  readonly model: string
  readonly version: number
  readonly firstAt: UnixSeconds
  readonly lastAt: UnixSeconds
}

/** `terms` is canonical JSON that `keybroker/lease.ts` writes and reads. */
export interface StoredLease {
  readonly id: string
  readonly tenant: string
  readonly model: string
  readonly version: number
  /** id of the machine in hex, or empty where its kind has none or the host hides it */
  readonly platform: string
  readonly keysetDigest: string
  /** id of the entry that granted or last renewed it */
  readonly entry: string
  readonly grantedAt: UnixSeconds
  readonly expiresAt: UnixSeconds
  readonly endedAt: UnixSeconds | null
  readonly terms: Uint8Array
}

/** An entry on its way to the log. The log knows it by its leaf; `id` is ours. */
export interface StoredEntry {
  readonly id: string
  /** null for an entry about no tenant */
  readonly tenant: string | null
  readonly kind: string
  readonly isState: boolean
  readonly leaf: Uint8Array
  /** everything that the entry was made of, canonical JSON; its proof comes from the log when it is asked for */
  readonly bundle: Uint8Array
  readonly recordedAt: UnixSeconds
  readonly index: number | null
  /** the account of inferences that changed with it (`accountId`); null for none */
  readonly account: string | null
}
export type NewEntry = Omit<StoredEntry, 'index'>

/** What is known of a tenant's public changes. */
export interface StateMark {
  /** index of the last one that the log has; null when it has none */
  readonly index: number | null
  /** whether one still waits for the log */
  readonly pending: boolean
  /** stored state entries, and stored statements, proposals and cancellations that name one of them: equal unless somebody took one away */
  readonly entries: number
  readonly statements: number
}

/** All that a decision about a model starts from, of one moment. */
export interface StoredStanding {
  readonly tenant: StoredTenant | null
  readonly mark: StateMark
  /** the newest statement of each kind that concerns the model */
  readonly statements: readonly StoredStatement[]
  /** of the version that was asked for */
  readonly key: StoredModelKey | null
}

/** What places for requests about one model are found by. */
export interface PlacesWanted {
  readonly tenant: string
  readonly model: string
  /** leases that expire later, and have not ended, live */
  readonly at: UnixSeconds
  /** ids of requests, leases and devices; the account of inferences, null where nobody counts */
  readonly requests: readonly string[]
  readonly leases: readonly string[]
  readonly devices: readonly string[]
  /** ids of platforms, whose places may have contradicted themselves */
  readonly platforms: readonly string[]
  readonly account: string | null
}
export interface StoredPlaces {
  /** how many leases of the model live */
  readonly live: number
  /** by id of the request: the lease that it was granted before, and what the request was */
  readonly granted: ReadonlyMap<string, { readonly digest: string; readonly lease: string | null }>
  /** the wanted ones and those of the requests, by id; `before`: how many live that were granted earlier */
  readonly leases: ReadonlyMap<string, StoredLease & { readonly before: number }>
  /** leases that live, of whatever tenant, in which a wanted device is */
  readonly devices: readonly { readonly lease: string; readonly device: string }[]
  /** of wanted platforms: when it was seen last that what is said of their place contradicts itself */
  readonly contradicted: ReadonlyMap<string, UnixSeconds>
  /** as it is stored, and the id of the last entry made with it; null for none */
  readonly account: { readonly state: Uint8Array | null; readonly entry: string | null }
}

/** That what is said of where a platform stands contradicted itself, and the denial in which that was seen. */
export interface StoredContradiction {
  readonly tenant: string
  readonly platform: string
  readonly seenAt: UnixSeconds
  readonly because: string
  readonly entry: string
}

/** Decisions with all that follows from them. */
export interface DecisionWrites {
  readonly entries: readonly NewEntry[]
  readonly granted: readonly Omit<StoredLease, 'endedAt'>[]
  readonly renewed: readonly Pick<StoredLease, 'id' | 'entry' | 'expiresAt' | 'terms' | 'keysetDigest'>[]
  /** of each lease that is granted or renewed: these devices are in it, and no others */
  readonly devices: readonly { readonly lease: string; readonly devices: readonly string[] }[]
  /** requests that are known as granted from now on; one that is known already stays as it is */
  readonly requests: readonly {
    tenant: string
    id: string
    digest: string
    lease: string
    entry: string
    decidedAt: UnixSeconds
  }[]
  readonly account: { readonly id: string; readonly state: Uint8Array } | null
  /** one of each platform at most */
  readonly contradictions: readonly StoredContradiction[]
}

export interface RefusalCount {
  readonly code: string
  readonly periodStart: UnixSeconds
  readonly count: number
}
