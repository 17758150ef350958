import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { isSameQuorum, type Quorum } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { type VerifiedInclusion, verifyTlogProof } from '#core/tlog/verify.js'
import { type Binding, documentDigest } from '#core/wire/binding.js'
import type { BrokerProof } from '#core/wire/broker-proof.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import { type Ear, verifyEar } from '#core/wire/ear.js'
import type { ReleaseEntry } from '#core/wire/entries.js'
import type { Evidence } from '#core/wire/evidence.js'
import { type Keyset, keysetDigest, releaseKeyThumbprint } from '#core/wire/keyset.js'
import { evidenceDigest, verifyReleaseLeaf } from '#core/wire/leaf.js'
import { type Beat, type Lease, verifyBeat, verifyLease } from '#core/wire/lease.js'
import { ownerOf } from '#core/wire/names.js'
import type { HostDeclaration, ReleaseAnswer } from '#core/wire/release.js'
import type { RuntimeConfig } from '#core/wire/runtime-config.js'
import type { HostStatement, Signed, Statement } from '#core/wire/statements.js'
import { independentCosigners } from '#core/wire/witnesses.js'

/** Failures of verifying what a broker granted. Every one of them means: the key is not used. */
export type GrantCode =
  | `grant/lease-${LeaseField}`
  | 'grant/beat'
  | 'grant/beat-nonce'
  | 'grant/ear-keyset'
  | 'grant/ear-key'
  | 'grant/ear-evidence'
  | 'grant/ear-nonce'
  | 'grant/ear-status'
  | 'grant/platform'
  /** the owner is a production tenant, and none of the cosigners is independent */
  | 'grant/witnesses'
type LeaseField =
  | 'broker'
  | 'tenant'
  | 'model'
  | 'version'
  | 'manifest'
  | 'keyset'
  | 'trust'
  | 'time'
  | 'id'
  | 'declared'
  | 'platform'
  | 'standing'
  | 'quorum'

/** A host's statement on place and operator, verified under the key beside it. */
export interface OwnHost {
  readonly declaration: HostDeclaration
  readonly statement: Signed<HostStatement>
  readonly key: SignatureJwk
}

/** What the node knows by itself, before any broker spoke. */
export interface OwnValues {
  readonly model: string
  readonly modelVersion: number
  readonly manifestDigest: string
  readonly keyset: Keyset
  readonly config: RuntimeConfig
  /** the broker that this is about: it alone speaks for itself */
  readonly broker: string
  /** the brokers among whom the key is split, by the signed manifest */
  readonly quorum: Quorum | undefined
  readonly trust: Signed<Statement<'trust'>>
  readonly host: OwnHost | null
  readonly platform: 'hardware' | 'simulated'
}

/** What a broker proved to this node that it is, before the node sent it anything. */
export interface ProvenToNode {
  readonly standing: BrokerStanding
  /** the proof, and the salt of the nonce that it answers; null where the owner demands none */
  readonly shown: { readonly salt: string; readonly proof: BrokerProof } | null
}

/** What this request bound into its evidence. */
export interface Asked {
  readonly binding: Binding
  readonly evidence: Evidence
  /** the lease that a renewal renews; null for a first release */
  readonly leaseId: string | null
  /** what the broker proved that it is, before it was asked */
  readonly proven: ProvenToNode
}

/** A release or renewal that verified: can only be made by `verifyGrant`. */
export interface Grant {
  readonly asked: Asked
  readonly answer: ReleaseAnswer
  readonly lease: Lease
  readonly beat: Beat
  readonly ear: Ear
  readonly entry: ReleaseEntry
  readonly leafHash: Uint8Array
  readonly index: number
  /** witnesses that cosigned and that the owner counts as independent */
  readonly independentWitnesses: readonly string[]
}

const refuse = (code: GrantCode, message: string) => new Failure<GrantCode>(code, message)

/** Place and operator in the lease are those that the host signed, or there are none. */
function isDeclared(lease: Lease, host: OwnHost | null): boolean {
  const { declared } = lease
  if (host === null || declared === null) return host === null && declared === null
  const { value, digest } = host.statement
  return (
    declared.statementDigest === digest &&
    declared.issuer === thumbprint(host.key) &&
    declared.host === value.host &&
    declared.issuedAt === value.issuedAt &&
    documentDigest([declared.place, declared.operator]) === documentDigest([value.place, value.operator])
  )
}

function verifyLeaseFields(lease: Lease, own: OwnValues, asked: Asked, at: UnixSeconds): void {
  const fields: readonly (readonly [LeaseField, boolean])[] = [
    ['broker', lease.broker === own.broker],
    ['tenant', lease.tenant === ownerOf(own.model)],
    ['model', lease.model === own.model],
    ['version', lease.version === own.modelVersion],
    ['manifest', lease.manifestDigest === own.manifestDigest],
    ['keyset', lease.keysetDigest === keysetDigest(own.keyset)],
    ['trust', lease.trustDigest === own.trust.digest],
    ['id', asked.leaseId === null || lease.id === asked.leaseId],
    ['declared', isDeclared(lease, own.host)],
    ['platform', lease.platform === own.platform],
    ['standing', asked.proven.shown === null || lease.standing === asked.proven.standing],
    ['quorum', isSameQuorum(lease.quorum, own.quorum)],
    // This node has no attested counter: a lease that says so would promise its readers too much.
    ['time', lease.time === 'host-influenced'],
    ['time', lease.expiresAt > lease.issuedAt && lease.expiresAt <= own.keyset.notAfter + clockSkewSeconds],
    ['time', lease.issuedAt <= at + clockSkewSeconds && lease.expiresAt > at],
  ]
  const wrong = fields.find(([, same]) => !same)
  if (wrong) throw refuse(`grant/lease-${wrong[0]}`, `lease has another ${wrong[0]} than this node`)
}

function verifyEarFields(ear: Ear, own: OwnValues, asked: Asked): void {
  if (ear.keysetDigest !== keysetDigest(own.keyset))
    throw refuse('grant/ear-keyset', 'attestation result is for another keyset')
  if (ear.keyThumbprint !== releaseKeyThumbprint(own.keyset))
    throw refuse('grant/ear-key', 'attestation result names another release key')
  if (ear.digests.evidence !== evidenceDigest(asked.evidence))
    throw refuse('grant/ear-evidence', 'attestation result is about other evidence')
  if (ear.nonce !== asked.binding.nonce) throw refuse('grant/ear-nonce', 'attestation result answers another nonce')
  if (ear.status !== 'affirming' && ear.status !== 'warning')
    throw refuse('grant/ear-status', `attestation result is ${ear.status}`)
  if (ear.platform !== own.platform)
    throw refuse('grant/platform', `attestation result says ${ear.platform}, the attester is ${own.platform}`)
}

/** A beat for this lease that answers a nonce of ours. @throws grant/beat, grant/beat-nonce, dsse/..., crypto/signature */
export async function verifyOwnBeat(
  envelope: ReleaseAnswer['beat'],
  lease: Lease,
  nonce: string,
  own: OwnValues,
  at: UnixSeconds,
): Promise<Beat> {
  const beat = await verifyBeat(envelope, brokersOf(own))
  if (beat.lease !== lease.id) throw refuse('grant/beat', 'beat is for another lease')
  if (beat.nonce !== nonce) throw refuse('grant/beat-nonce', 'beat answers another nonce: it is not fresh')
  if (beat.at > at + clockSkewSeconds || beat.expiresAt <= at || beat.expiresAt <= beat.at)
    throw refuse('grant/beat', `beat is valid from ${beat.at} to ${beat.expiresAt}, it is ${at}`)
  return beat
}

/** The one broker that was asked, which the owner's trust statement lists. */
function brokersOf(own: OwnValues) {
  return own.trust.value.brokers.filter((key) => thumbprint(key) === own.broker)
}

/**
 * Everything that a broker sent for a request of ours, verified before a key of it is used (I3, TRUST 2, TRUST 3).
 *
 * at      this node's wall clock
 * trusts  that `own.trust` was signed by the owner whom the model id names
 * throws  grant/..., leaf/..., tlog/..., ear/..., dsse/..., crypto/signature, entry/..., json/..., shape/...
 */
export async function verifyGrant(
  answer: ReleaseAnswer,
  own: OwnValues,
  asked: Asked,
  at: UnixSeconds,
): Promise<Grant> {
  const trust = own.trust.value
  const lease = await verifyLease(answer.lease, brokersOf(own)) // 1 signed by the pinned broker
  verifyLeaseFields(lease, own, asked, at) // 2 for this node, model and keyset
  const beat = await verifyOwnBeat(answer.beat, lease, asked.binding.nonce, own, at) // 3 the broker is there now
  const ear = await verifyEar(answer.ear, trust.verifiers, { audience: own.broker, at }) // 4 attestation result
  verifyEarFields(ear, own, asked) // 5 about this node's keyset, evidence and nonce
  const leaf = fromBase64(answer.leaf)
  const facts = { tenant: ownerOf(own.model), binding: asked.binding, evidence: asked.evidence, lease }
  const { openings, decision } = answer
  const entry = verifyReleaseLeaf(leaf, { ...facts, ear: answer.ear, decision, openings }) // 6 the leaf, rebuilt
  const log = { logVkeys: trust.logs, policy: trust.witnessPolicy }
  const inclusion = await verifyTlogProof(answer.proof, leaf, log, at) // 7 in the log, under the owner's witnesses
  return {
    asked,
    answer,
    lease,
    beat,
    ear,
    entry,
    leafHash: hashLeaf(leaf),
    index: inclusion.index,
    independentWitnesses: verifyWitnessed(inclusion, trust), // 8 seen by somebody else
  }
}

/**
 * The independent cosigners, of whom a production tenant's node needs one: a log that only its own operators saw can be a
 * second log, for this node alone (TRUST 2).
 */
function verifyWitnessed({ cosigners }: VerifiedInclusion, trust: Statement<'trust'>): readonly string[] {
  const independent = independentCosigners(cosigners, trust.independentWitnesses)
  if (trust.class === 'production' && independent.length === 0) {
    const names = cosigners.map((one) => one.name).join(', ') || 'nobody'
    throw refuse('grant/witnesses', `cosigned by ${names}, of whom the owner holds none to be independent`)
  }
  return independent
}

/** Leaf hash as receipts spell it. */
export function leafHashHex(grant: Grant): string {
  return toHex(grant.leafHash)
}
