import { equal, toBase64, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { hmacSha256 } from '#core/crypto/hash.js'
import { labelled } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type Bundle, bundledRequestId, type StateBundle } from '#core/wire/bundle.js'
import { commit } from '#core/wire/commitment.js'
import { encodeEntry, loggedReasonsMax, type StateEntry } from '#core/wire/entries.js'
import { earDigest, nonceDigest } from '#core/wire/leaf.js'
import type { Openings, ReleaseRequest } from '#core/wire/release.js'
import { payloadDigest, type Signed, type Statement, type StatementKind } from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { Random } from '#keybroker/ports.js'
import type { NewEntry, StoredTenant } from '#keybroker/stored.js'
import { recordOf } from '#policies/record.js'
import type { Appraised } from '#policies/release/appraised.js'
import type { Decided } from '#policies/release/judge.js'
import type { OwnerStatements } from '#policies/release/statements.js'

export function newOpening(random: Random): string {
  return toBase64Url(random(32))
}
export function newId(random: Random): string {
  return toHex(random(16))
}

/** A broker, as far as its entries are made with it. */
export type EntryWriter = Pick<Broker, 'random' | 'callerSecret' | 'standing'>

/** What is known of a decision before it is written down. */
export interface DecidedParts {
  readonly verdict: Decided<Appraised>
  readonly request: ReleaseRequest
  readonly statements: OwnerStatements
  readonly tenant: StoredTenant
  readonly at: UnixSeconds
}

/** The lease that a release or renewal grants; null in a denial. */
export interface Granted {
  readonly leaseId: string
  readonly expiresAt: UnixSeconds
  readonly ear: string
  /** the account of inferences that it changes; null for none */
  readonly account: string | null
}

/** An entry with what the node or the owner needs to recognise itself in it. */
export interface WrittenEntry {
  readonly entry: NewEntry
  readonly openings: Openings
  readonly decision: Json
}

/**
 * The entry of a decision and the bundle that replays it (I7). Names, evidence and decision stand in the leaf as
 * commitments, each with an opening of its own; the tenant's is the same in all its entries (I10).
 *
 * stateIndex  of the last state entry of this tenant that the decision had applied
 */
export function writeDecision(
  parts: DecidedParts,
  granted: Granted | null,
  stateIndex: number,
  writer: EntryWriter,
): WrittenEntry {
  const { random } = writer
  const { verdict, request, statements, tenant, at } = parts
  const { binding } = request
  const decision = recordOf(verdict.decision) as unknown as Json
  const openings: Openings = {
    tenant: tenant.opening,
    model: newOpening(random),
    evidence: newOpening(random),
    decision: newOpening(random),
  }
  const decided = {
    type: 'claviger/entry/v1',
    at,
    tenant: commit('tenant', tenant.id, openings.tenant),
    model: commit('model', binding.model, openings.model),
    state_index: stateIndex,
    nonce_digest: nonceDigest(binding.nonce),
    evidence: commit('evidence', request.evidence, openings.evidence),
    decision: commit('decision', decision, openings.decision),
    platform: verdict.result.platform,
    broker: writer.standing,
    policy_digest: verdict.decision.policyDigest,
  } as const
  const leaf = encodeEntry(
    granted === null
      ? {
          kind: 'denial',
          ...decided,
          reasons: verdict.decision.reasons.slice(0, loggedReasonsMax).map((one) => one.policyId),
        }
      : {
          kind: request.lease === null ? 'release' : 'renewal',
          ...decided,
          version: request.modelVersion,
          manifest_digest: request.manifestDigest,
          keyset_digest: binding.keyset_digest,
          config_digest: binding.config_digest,
          trust_digest: binding.trust_digest,
          reference_values_digest: verdict.statements.referenceValues.digest,
          ear_digest: earDigest(granted.ear),
          lease_id: granted.leaseId,
          lease_expires_at: granted.expiresAt,
          route: 'v1',
        },
  )
  const bundle: Omit<Bundle, 'proof'> = {
    type: 'claviger/bundle/v1',
    at,
    request: { ...request, requestId: bundledRequestId },
    statements,
    decision,
    ear: granted?.ear ?? null,
    openings,
    leaf: toBase64(leaf),
  }
  const kind = granted === null ? 'denial' : request.lease === null ? 'release' : 'renewal'
  const account = granted?.account ?? null
  return { entry: pendingEntry(tenant.id, kind, false, leaf, bundle, at, writer, account), openings, decision }
}

/** A statement with what shows that it is its owner's next. */
export interface StatedChange<K extends StatementKind = StatementKind> {
  readonly signed: Signed<Statement<K>>
  /** the statement that made the tenant */
  readonly made: Signed<Statement<'tenant'>>
  /** what it replaces; null for the first of its chain */
  readonly previous: Envelope | null
  /** how it came to stand, where its owner has approvers, with the set that it did under */
  readonly approved?: StateBundle['approved']
}

/** The entry of a change that the owner made, and the bundle with which the owner recognises it. */
export function writeState<K extends StatementKind>(
  kind: K,
  { signed, made, previous, approved }: StatedChange<K>,
  tenant: StoredTenant,
  at: UnixSeconds,
  writer: EntryWriter,
): NewEntry {
  const { random } = writer
  const model = 'model' in signed.value ? signed.value.model : null
  const openings = {
    tenant: tenant.opening,
    model: model === null ? null : newOpening(random),
    statement: newOpening(random),
  }
  const entry: StateEntry = {
    kind: 'state',
    type: 'claviger/entry/v1',
    at,
    tenant: commit('tenant', tenant.id, openings.tenant),
    change: kind,
    model: model === null || openings.model === null ? null : commit('model', model, openings.model),
    sequence: signed.value.sequence,
    statement: commit('statement', signed.digest, openings.statement),
    reason: signed.value.why?.code,
  }
  const leaf = encodeEntry(entry)
  const bundle: Omit<StateBundle, 'proof'> = {
    type: 'claviger/state-bundle/v1',
    at,
    change: kind,
    tenant: made.envelope,
    statement: signed.envelope,
    previous,
    approved,
    openings,
    leaf: toBase64(leaf),
  }
  return pendingEntry(tenant.id, 'state', true, leaf, bundle, at, writer)
}

/**
 * An entry that waits for the log. Its id is a seal over what it is: whoever writes to the database can put a row among those
 * that wait, and none that reaches the log (I18).
 */
export function pendingEntry(
  tenant: string | null,
  kind: string,
  isState: boolean,
  leaf: Uint8Array,
  bundle: unknown,
  at: UnixSeconds,
  { callerSecret }: Pick<EntryWriter, 'callerSecret'>,
  account: string | null = null,
): NewEntry {
  const entry = { tenant, kind, isState, leaf, account }
  return { ...entry, id: sealOf(entry, callerSecret), bundle: canonicalJson(bundle), recordedAt: at }
}

type SealedParts = Pick<NewEntry, 'tenant' | 'kind' | 'isState' | 'leaf' | 'account'>

function sealOf({ tenant, kind, isState, leaf, account }: SealedParts, secret: Uint8Array): string {
  const parts = canonicalJson({ tenant, kind, isState, leaf: toBase64(leaf), account })
  return toHex(hmacSha256(secret, labelled('claviger/outbox/v1', parts)).subarray(0, 16))
}

/** The stored entry is one that a broker of this secret made. @throws broker/record */
export function verifyPending(entry: SealedParts & Pick<NewEntry, 'id'>, secret: Uint8Array): void {
  if (equal(utf8(entry.id), utf8(sealOf(entry, secret)))) return
  throw new Failure<BrokerCode>('broker/record', 'an entry that waits for the log was made by nobody here')
}

/** The entry of a node's last word on a lease. What came back stands in it as a commitment: it is the owner's alone (I10). */
export function writeUsage(
  lease: { readonly id: string; readonly model: string },
  counter: Envelope,
  tenant: StoredTenant,
  at: UnixSeconds,
  account: string | null,
  writer: EntryWriter,
): NewEntry {
  const openings = { tenant: tenant.opening, model: newOpening(writer.random), counter: newOpening(writer.random) }
  const leaf = encodeEntry({
    kind: 'usage',
    type: 'claviger/entry/v1',
    at,
    tenant: commit('tenant', tenant.id, openings.tenant),
    model: commit('model', lease.model, openings.model),
    lease_id: lease.id,
    counter: commit('counter', payloadDigest(counter), openings.counter),
  })
  return pendingEntry(tenant.id, 'usage', false, leaf, { counter, openings }, at, writer, account)
}
