import { fromBase64 } from '#core/bytes/bytes.js'
import { thumbprintShape } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { canonicalJson, type Json, parseCanonicalJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { statementChainsMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { parsePolicy } from '#core/tlog/policy.js'
import { verifyAccessList } from '#core/wire/access-list.js'
import type { Accepted } from '#core/wire/approvals.js'
import type { Accepted as AcceptedAnswer } from '#core/wire/owner-query.js'
import { verifyRevoked } from '#core/wire/revoked.js'
import {
  ownerKeysDigest,
  type Signed,
  type Statement,
  type StatementKind,
  verifySuccession,
  verifyTenantStatement,
} from '#core/wire/statements.js'
import { verifyAuthorities } from '#keybroker/access/certificate.js'
import { admit } from '#keybroker/approvals/admit.js'
import { approvedWith, needed, propose } from '#keybroker/approvals/propose.js'
import { type BoundKeys, storeBoundKeys, withBoundKeys } from '#keybroker/bound-keys.js'
import type { Broker } from '#keybroker/broker.js'
import { newOpening, type StatedChange, writeState } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { revocableOf, verifyTerms } from '#keybroker/lease.js'
import { shareContextOf } from '#keybroker/model-key.js'
import { publishPending } from '#keybroker/outbox.js'
import type { StoreTransaction } from '#keybroker/ports.js'
import { verifyFitFor } from '#keybroker/proof.js'
import { verifyGrantable } from '#keybroker/shares.js'
import { verifyNoOlder, verifyUsable } from '#keybroker/sources.js'
import { readTenant } from '#keybroker/standing.js'
import type { StoredLease, StoredTenant } from '#keybroker/stored.js'
import { validatePolicy } from '#policies/language/validate.js'
import { revocationRefusals } from '#policies/release/revocation.js'
import { verifyBrokerTrusted, verifyOne } from '#policies/release/statements.js'

export type AcceptedChanges = AcceptedAnswer['accepted']

/** A statement that one of the tenant's keys signed, and that may or may not be the next of its chain. */
export interface Change<K extends StatementKind = StatementKind> {
  readonly kind: K
  readonly signed: Signed<Statement<K>>
}

/**
 * The tenant exists, with the class and the keys that its owner signed, and everyone can see that it was made.
 *
 * Sending the same statement again changes nothing. A production tenant is taken in only where a commit survives a power
 * failure: what is acknowledged to it, a revocation above all, must not be forgotten.
 * trusts  that the caller holds the broker's admin token: who may be a tenant is the operator's to say
 * throws  database/not-durable, broker/tenant-exists, broker/tenant-statement, statement/tenant, dsse/..., crypto/signature, json/..., shape/...,
 *         log/..., database/...
 */
export async function createTenant(broker: Broker, envelope: Envelope): Promise<AcceptedChanges> {
  const signed = await verifyTenantStatement(envelope)
  const { tenant: id, keys, sequence, previous } = signed.value
  if (sequence !== 1 || previous !== null)
    throw new Failure<BrokerCode>('broker/tenant-statement', "a tenant's statement is made once and never replaced")
  if (signed.value.class === 'production') {
    await broker.store.verifyDurable()
    broker.kek.verifyProtected()
  }
  const at = broker.clock()
  await broker.store.transaction(async (tx) => {
    const [known] = (await tx.loadStatements(id, '')).filter((row) => row.kind === 'tenant')
    if (known?.digest === signed.digest) return
    if ((await tx.loadTenant(id)) !== null)
      throw new Failure<BrokerCode>('broker/tenant-exists', `tenant ${id} exists with another statement`)
    const tenant: StoredTenant = {
      id,
      class: signed.value.class,
      ownerKeysDigest: ownerKeysDigest(keys),
      opening: newOpening(broker.random),
    }
    await tx.createTenant(tenant, canonicalJson(keys), at)
    await storeChange(tx, broker, tenant, { kind: 'tenant', signed, made: signed, previous: null, accepted: null }, at)
  })
  return published(broker, id, [{ kind: 'tenant', signed }])
}

/**
 * One statement of an owner takes effect: from here on everything is decided by it, and everyone can see that something
 * changed. The owner's signature is what counts; whoever carries it does not (I18).
 *
 * A registration may change terms of the registered version here; a new version comes with its key, by registerModel.
 * throws  broker/unknown-tenant, broker/record, broker/tenant-statement, broker/version, broker/key,
 *         judge/statement-false, judge/broker-not-trusted, broker/sources, policy/..., revoked/..., statement/chain, log/..., database/...
 */
export async function acceptStatement(
  broker: Broker,
  kind: StatementKind,
  envelope: Envelope,
): Promise<AcceptedChanges> {
  if (kind === 'tenant')
    throw new Failure<BrokerCode>('broker/tenant-statement', "a tenant's statement comes in by its own route")
  const tenantId = claimedTenant(envelope)
  const { stored, made } = await broker.store.read((reader) => readTenant(reader, tenantId))
  const change = await verifyChange(broker, kind, envelope, made)
  await withBoundKeys(broker, made, kind === 'trust' ? change.signed.digest : null, (bound) =>
    insist(broker, async (tx) => {
      await tx.claimTenant(tenantId)
      if (change.kind === 'registration')
        await verifySameVersion(tx, broker, change.signed as Signed<Statement<'registration'>>)
      await applyChanges(tx, broker, stored, made, [change], bound, 'propose')
    }),
  )
  return published(broker, tenantId, [change])
}

/**
 * As many times as a transaction is begun again for what an owner changes: nodes that keep asking at the same moment, or are made to
 * by a host that fears a revocation, delay it and do not keep it out.
 */
const insistMax = 20

/** A transaction of the owner's, which does not give way to those of nodes. @throws database/conflict when it had to all the same */
export async function insist<T>(broker: Broker, work: (tx: StoreTransaction) => Promise<T>): Promise<T> {
  for (let round = 1; ; round++) {
    try {
      return await broker.store.transaction(work)
    } catch (error) {
      if (round === insistMax || !isFailure(error) || error.code !== 'database/conflict') throw error
    }
  }
}
/** The tenant that a statement claims to be of: it says whose keys to verify it with. */
function claimedTenant(envelope: Envelope): string {
  const payload = parseCanonicalJson(fromBase64(envelope.payload))
  return thumbprintShape((payload as { readonly tenant?: Json } | null)?.tenant, 'tenant')
}

/** The statement as the owner signed it, and fit to be decided by. */
export async function verifyChange<K extends StatementKind>(
  broker: Pick<Broker, 'signer' | 'standing' | 'clock'>,
  kind: K,
  envelope: Envelope,
  made: Signed<Statement<'tenant'>>,
): Promise<Change<K>> {
  const signed = await verifyOne(kind, envelope, made, null)
  const { value } = signed as Signed<Statement>
  // What cannot be read later would deny everyone: it is refused now, while its author is there.
  if (value.type === 'claviger/statement/policy/v1' || value.type === 'claviger/statement/break-glass/v1')
    validatePolicy(value.text)
  if (value.type === 'claviger/statement/revocation/v1') verifyRevoked(value.revoked, value.model)
  if (value.type === 'claviger/statement/sources/v1') await verifyUsable(value, broker.clock())
  if (value.type === 'claviger/statement/access/v1') {
    verifyAccessList(value)
    verifyAuthorities(value)
  }
  if (value.type === 'claviger/statement/trust/v1') {
    verifyBrokerTrusted(signed as Signed<Statement<'trust'>>, broker.signer.id)
    verifyWitnessable(value)
    verifyFitFor(broker, value)
  }
  return { kind, signed }
}

/** A production tenant's keys leave only with an independent cosignature: with nobody to give one, they never would. */
function verifyWitnessable(trust: Statement<'trust'>): void {
  if (trust.class === 'development') return
  const { witnesses } = parsePolicy(trust.witnessPolicy)
  if (witnesses.some(({ name }) => trust.independentWitnesses.includes(name))) return
  const message = 'a production tenant has to name a witness of its policy that is independent of broker, log and host'
  throw new Failure<BrokerCode>('broker/witnesses', message)
}

/**
 * The changes follow what the owner said before, in order; one that is the newest of its chain already is passed over.
 *
 * bound    the tenant's keys, for the trust statement among the changes
 * waiting  what becomes of a change that needs approvals which are not there: it is proposed, or refused
 * trusts   that each was verified with the tenant's keys, and that the transaction holds the tenant
 * throws   statement/chain, broker/version, broker/changing, approvals/..., approvers/...
 */
export async function applyChanges(
  tx: StoreTransaction,
  broker: Broker,
  tenant: StoredTenant,
  made: Signed<Statement<'tenant'>>,
  changes: readonly Change[],
  bound: BoundKeys,
  waiting: 'propose' | 'refuse' = 'refuse',
): Promise<void> {
  const at = broker.clock()
  for (const change of changes) {
    const { kind, signed } = change
    const model = 'model' in signed.value ? signed.value.model : ''
    const head = (await tx.loadStatements(tenant.id, model)).find((row) => row.kind === kind)
    if (head?.digest === signed.digest) continue
    if (!head && (await tx.listStatements(tenant.id)).length >= statementChainsMax)
      throw new Failure<BrokerCode>('broker/statements', `an owner keeps at most ${statementChainsMax} chains here`)
    verifySuccession(head ? { value: head, digest: head.digest } : null, signed.value)
    if (head && kind === 'registration')
      await verifyRises(head.envelope, signed as Signed<Statement<'registration'>>, made)
    if (head && kind === 'sources') await verifyNoOlder(head.envelope, signed as Signed<Statement<'sources'>>, made)
    const admission = await admit(tx, broker, { kind, signed, made, head }, at)
    if (admission.kind === 'waits') {
      if (waiting === 'refuse') throw needed(kind, admission.rule)
      await propose(tx, broker, tenant, { kind, signed, made }, at)
      continue
    }
    const { accepted } = admission
    await storeChange(tx, broker, tenant, { kind, signed, made, previous: head?.envelope ?? null, accepted }, at)
    if (kind === 'trust') await storeBoundKeys(tx, tenant.id, signed.digest, bound, at)
    if (kind === 'revocation') await endRevoked(tx, broker, signed as Signed<Statement<'revocation'>>, at)
  }
}

/** Versions only rise, and so does the floor: what an owner gave up for a later one is not offered again, by mistake or replay. */
async function verifyRises(
  before: Envelope,
  { value }: Signed<Statement<'registration'>>,
  made: Signed<Statement<'tenant'>>,
): Promise<void> {
  const { version, versionFloor } = (await verifyOne('registration', before, made, null)).value
  if (value.version < version)
    throw new Failure<BrokerCode>('broker/version', `version ${value.version} comes after version ${version}`, {
      detail: { hint: `versions only rise: seal it again as version ${version + 1} or higher` },
    })
  if (value.versionFloor < versionFloor)
    throw new Failure<BrokerCode>('broker/version', `floor ${value.versionFloor} comes after floor ${versionFloor}`, {
      detail: { hint: 'what was promised never to be released again stays so' },
    })
}

async function storeChange(
  tx: StoreTransaction,
  broker: Broker,
  tenant: StoredTenant,
  change: StatedChange & { readonly kind: StatementKind; readonly accepted: Accepted | null },
  at: UnixSeconds,
): Promise<void> {
  const { kind, signed, accepted } = change
  const approved = await approvedWith(tx, change, accepted)
  const entry = writeState(kind, { ...change, approved }, tenant, at, broker)
  const { value, digest, envelope } = signed
  await tx.appendEntry(entry)
  const model = 'model' in value ? value.model : ''
  const chain = { sequence: value.sequence, predecessor: value.previous }
  await tx.appendStatement(tenant.id, { kind, model, ...chain, digest, envelope, entry: entry.id, accepted }, at)
}

/** Leases that the owner took back are over, and their places free; so is one that somebody wrote into: no row stops an owner. */
async function endRevoked(
  tx: StoreTransaction,
  { callerSecret }: Broker,
  revocation: Signed<Statement<'revocation'>>,
  at: UnixSeconds,
): Promise<void> {
  const { tenant, model } = revocation.value
  for (const row of await tx.listLiveLeases(tenant, model, at)) {
    if (isRevoked(row, revocation, callerSecret)) await tx.endLease(row.id, at)
  }
}

function isRevoked(row: StoredLease, revocation: Signed<Statement<'revocation'>>, secret: Uint8Array): boolean {
  try {
    return revocationRefusals(revocation, revocableOf(verifyTerms(row, secret))).length > 0
  } catch (error) {
    if (isFailure(error) && error.code === ('broker/record' satisfies BrokerCode)) return true
    throw error
  }
}

/** Only registerModel, which brings the key, may name another version, manifest or quorum. */
async function verifySameVersion(
  tx: StoreTransaction,
  broker: Pick<Broker, 'signer'>,
  { value }: Signed<Statement<'registration'>>,
): Promise<void> {
  const key = await tx.loadModelKey(value.tenant, value.model, value.version)
  if (key === null || key.manifestDigest !== value.manifestDigest)
    throw new Failure<BrokerCode>('broker/version', 'no key is registered for this version and manifest')
  const share = shareContextOf(value.quorum, broker.signer.id)
  if ((share?.quorumDigest ?? null) !== (key.share?.quorumDigest ?? null))
    throw new Failure<BrokerCode>(
      'broker/version',
      'the key is split among other brokers: seal it again, as a new version',
    )
  verifyGrantable(value)
}

/** What was accepted, with the entries that made it public: returned only when the log has them all. */
export async function published(broker: Broker, tenant: string, changes: readonly Change[]): Promise<AcceptedChanges> {
  await publishPending(broker, tenant)
  return broker.store.read(async (reader) => {
    const rows = await reader.listStatements(tenant)
    const out: AcceptedChanges[number][] = []
    for (const { kind, signed } of changes) {
      const row = rows.find((one) => one.kind === kind && one.digest === signed.digest)
      const proposal = row ? null : await reader.loadProposal(tenant, signed.digest)
      if (proposal !== null) {
        const { index } = await reader.loadEntry(proposal.entry)
        const { sequence } = signed.value
        if (index !== null) out.push({ kind, sequence, digest: signed.digest, entry: index, pending: true })
      }
      // A later statement may have taken its place in the meantime: then it was accepted and is not the newest.
      if (!row) continue
      const { index } = await reader.loadEntry(row.entry)
      if (index !== null)
        out.push({ kind, sequence: row.sequence, digest: row.digest, entry: index, pending: undefined })
    }
    return out
  })
}
