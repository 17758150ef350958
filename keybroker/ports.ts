/**
 * What belongs in keybroker: the relying party that keeps model keys and releases them. Decisions stand in policies,
 * verification in attest; here they are joined with what is stored, logged and wrapped.
 * Files beside this one are pure: store, log, key-encryption key, clock and randomness are the ports below.
 */
import type { Envelope } from '#core/dsse.js'
import type { UnixSeconds } from '#core/time.js'
import type { Accepted } from '#core/wire/approvals.js'
import type { MachineEvidence } from '#core/wire/evidence.js'
import type { TakenRate } from '#keybroker/rates.js'
import type {
  DecisionWrites,
  NewEntry,
  PlacesWanted,
  RefusalCount,
  ReleasedVersion,
  StateMark,
  StoredEntry,
  StoredLease,
  StoredModelKey,
  StoredPlaces,
  StoredProposal,
  StoredStanding,
  StoredStatement,
  StoredTenant,
} from '#keybroker/stored.js'

/** What makes evidence of the broker. It signs report data that only the broker composes (`proveBroker`). */
export interface BrokerAttester {
  readonly platform: 'hardware' | 'simulated'
  /** reportData 64 bytes */
  attest(reportData: Uint8Array): Promise<MachineEvidence>
}

/** Reads that see one state of the store: that of their transaction, when they are in one. */
export interface StoreReader {
  /** with the key of a version, unless that is null */
  loadStanding(tenant: string, model: string, version: number | null): Promise<StoredStanding>
  loadPlaces(wanted: PlacesWanted): Promise<StoredPlaces>
  loadTenant(id: string): Promise<StoredTenant | null>
  /** the newest statement of each kind that concerns the model; with an empty model those on the whole tenant alone */
  loadStatements(tenant: string, model: string): Promise<readonly StoredStatement[]>
  /** the newest statement of every chain of a tenant */
  listStatements(tenant: string): Promise<readonly StoredStatement[]>
  /** the statement of this digest, whether or not it is the newest of its chain */
  loadStatementOf(tenant: string, digest: string): Promise<StoredStatement | null>
  loadStateMark(tenant: string): Promise<StateMark>
  loadProposal(tenant: string, digest: string): Promise<StoredProposal | null>
  /** those that were not called off and do not stand */
  listOpenProposals(tenant: string, limit: number): Promise<readonly StoredProposal[]>
  /** all, the newest first, at most `limit` */
  listProposals(tenant: string, limit: number): Promise<readonly StoredProposal[]>
  /** tenants with proposals of since then that were not called off and do not stand */
  listProposing(since: UnixSeconds): Promise<readonly string[]>
  loadModelKey(tenant: string, model: string, version: number): Promise<StoredModelKey | null>
  listModelKeys(tenant: string): Promise<readonly StoredModelKey[]>
  loadLease(id: string): Promise<StoredLease | null>
  listLiveLeases(tenant: string, model: string | null, at: UnixSeconds): Promise<readonly StoredLease[]>
  /** the leases of one version, live or not; of all of the tenant with null. The newest first, at most `limit` */
  listLeases(
    tenant: string,
    of: { readonly model: string; readonly version: number } | null,
    limit: number,
  ): Promise<readonly StoredLease[]>
  /** what was ever released to a machine, over any route, or to those that name none; at most `limit` */
  listReleased(tenant: string, platform: string, limit: number): Promise<readonly ReleasedVersion[]>
  /** the account of inferences of a version as it is stored, and the id of the last entry made with it; null for none */
  loadAccount(id: string): Promise<{ readonly state: Uint8Array | null; readonly entry: string | null }>
  loadEntry(id: string): Promise<StoredEntry>
  /** leaves of all changes of a tenant, in the order of their making */
  listStateEntries(tenant: string): Promise<readonly Uint8Array[]>
  /** releases, renewals and denials that the log has, the newest first: those before an index, or the last */
  listDecisions(tenant: string, before: number | null, limit: number): Promise<readonly StoredEntry[]>
  loadEntryAt(index: number): Promise<StoredEntry | null>
}

/** Changes; all of a transaction's become durable together, or none. */
export interface StoreTransaction extends StoreReader {
  /** Nobody changes what the tenant decided until this transaction ends; others may hold the same. First call of a decision. */
  shareTenant(id: string): Promise<void>
  /** Both: shareTenant and loadStanding. */
  holdStanding(tenant: string, model: string, version: number | null): Promise<StoredStanding>
  /**
   * Decisions that began before wait or begin again. First call of a change of what the tenant decided: with it the
   * order of entries is the order in which changes and decisions took effect.
   */
  claimTenant(id: string): Promise<void>
  createTenant(tenant: StoredTenant, ownerKeys: Uint8Array, at: UnixSeconds): Promise<void>
  /** @throws store/statement-chain */
  appendStatement(tenant: string, statement: StoredStatement, at: UnixSeconds): Promise<void>
  /** how a statement that stands came to stand */
  recordAccepted(tenant: string, digest: string, accepted: Accepted): Promise<void>
  storeProposal(
    tenant: string,
    proposal: Pick<StoredProposal, 'digest' | 'kind' | 'model' | 'envelope' | 'entry'>,
    at: UnixSeconds,
  ): Promise<void>
  cancelProposal(tenant: string, digest: string, entry: string, cancellation: Envelope): Promise<void>
  /** `signer` agrees; what the same signer said before is forgotten */
  storeApproval(tenant: string, proposal: string, signer: string, approval: Envelope, at: UnixSeconds): Promise<void>
  appendEntry(entry: NewEntry): Promise<void>
  /** in place of a key of the same version, when there is one */
  storeModelKey(key: StoredModelKey, at: UnixSeconds): Promise<void>
  /** All of it or nothing. at: a lease that ended or expired by then is not renewed. @throws store/lease-unknown */
  storeDecisions(writes: DecisionWrites, at: UnixSeconds): Promise<void>
  /** @throws store/lease-unknown */
  renewLease(
    lease: Pick<StoredLease, 'id' | 'entry' | 'expiresAt' | 'terms' | 'keysetDigest'>,
    at: UnixSeconds,
  ): Promise<void>
  endLease(id: string, at: UnixSeconds): Promise<void>
  /** the key of this version leaves by the KBS route, to this machine */
  storeKbsReleased(
    released: Pick<ReleasedVersion, 'platform' | 'model' | 'version'> & { readonly tenant: string },
    at: UnixSeconds,
  ): Promise<void>
  /** What is kept of a lease that may have ended: nothing of how long it lasts changes. @throws store/lease-unknown */
  storeTerms(id: string, terms: Uint8Array): Promise<void>
  /** These devices are in the lease, and no others. */
  storeDevices(lease: string, devices: readonly string[]): Promise<void>
  storeAccount(id: string, state: Uint8Array): Promise<void>
  /** The request counts as never granted, when it was this entry that recorded it. */
  forgetGranted(request: { readonly tenant: string; readonly id: string; readonly entry: string }): Promise<void>
}

/** The broker's database. */
export interface Store {
  read<T>(work: (reader: StoreReader) => Promise<T>): Promise<T>
  /**
   * As if transactions ran one after the other. `work` may run several times and has no effect besides its statements.
   *
   * queue   those that name the same begin one after the other, and so do not undo each other
   * throws  what `work` throws; database/...
   */
  transaction<T>(work: (tx: StoreTransaction) => Promise<T>, queue?: string): Promise<T>
  /** Returns only when a commit survives a power failure. @throws database/not-durable, database/... */
  verifyDurable(): Promise<void>
  /**
   * The nonce waits for its use, unless `most` wait in its pot already.
   *
   * lease    whose pot it is; null for that of strangers
   * returns  whether it waits
   */
  storeNonce(
    nonce: Uint8Array,
    context: string,
    of: {
      readonly lease: string | null
      readonly at: UnixSeconds
      readonly expiresAt: UnixSeconds
      readonly most: number
    },
  ): Promise<boolean>
  /** The nonce is spent for ever, in a transaction of its own; exactly one caller returns (I12). @throws store/nonce-unknown */
  consumeNonce(nonce: Uint8Array, context: string, at: UnixSeconds, lease: string | null): Promise<void>
  /** entries that the log has not confirmed, oldest first: of one tenant, or of all */
  loadPending(tenant: string | null, limit: number): Promise<readonly StoredEntry[]>
  /** @throws store/entry-index */
  recordIndex(id: string, index: number): Promise<void>
  /** indexes from `from` to `to` (exclusive) that no entry has, lowest first, at most `limit` */
  listUnrecorded(from: number, to: number, limit: number): Promise<readonly number[]>
  /** the newest entry by which an operator acknowledged a rollback, and that the log has */
  loadAcknowledgement(): Promise<StoredEntry | null>
  listPseudonyms(): Promise<readonly { readonly tenant: string; readonly opening: string }[]>
  /** `wanted` more of what may happen for a name in a minute of the database's, if `most` are not exceeded by it: all of them or none */
  takeRate(name: string, most: number, wanted: number): Promise<TakenRate>
  countRefusal(code: string, periodStart: UnixSeconds, count: number): Promise<void>
  /** counts of periods before `before` become one entry, or stay counted */
  takeRefusals(before: UnixSeconds, entryOf: (counts: readonly RefusalCount[]) => NewEntry): Promise<NewEntry | null>
}

/** The transparency log, as its writer offers it. */
export interface Log {
  /**
   * The leaf stands in the tree once, durably, under a checkpoint that the witnesses cosigned. A leaf that is there
   * already is not added again.
   *
   * returns  its index and a c2sp.org/tlog-proof@v1
   */
  append(leaf: Uint8Array): Promise<{ readonly index: number; readonly proof: string }>
  /** A proof of the entry at an index. */
  proof(index: number): Promise<string>
}

/** The same log, as it is read back: what stands under a cosigned checkpoint. */
export interface LogRecord {
  size(): number | Promise<number>
  entry(index: number): Promise<Uint8Array>
}

/** The key-encryption key. The associated data names what a key belongs to; a key does not open under any other. */
export interface Kek {
  readonly keyId: string
  wrapDek(dek: Uint8Array, aad: Uint8Array): Promise<Uint8Array>
  /** in memory that the caller wipes */
  unwrapDek(wrapped: Uint8Array, aad: Uint8Array, keyId: string): Promise<Uint8Array>
  /** Returns only when model keys of production tenants may pass on the way to it. @throws kek/vault-tls */
  verifyProtected(): void
  /** Returns only while the key may be used. It asks nobody: a provider that is away is known when it is. @throws kek/lease-over */
  verifyUsable(): void
}

export type Clock = () => UnixSeconds
export type Random = (size: number) => Uint8Array
