import type { NodeTrust } from '#client/node-trust.js'
import { refuse } from '#client/steps.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { clockSkewSeconds } from '#core/limits.js'
import { isSameQuorum, verifyQuorum } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import { type Ear, verifyEar } from '#core/wire/ear.js'
import { keysetDigest, releaseKeyThumbprint } from '#core/wire/keyset.js'
import { evidenceDigest } from '#core/wire/leaf.js'
import { type Beat, type Declared, type Lease, verifyBeat, verifyLease } from '#core/wire/lease.js'
import { ownerOf } from '#core/wire/names.js'
import type { NodeDocument } from '#core/wire/node-document.js'
import { brokersOf } from '#core/wire/runtime-config.js'
import { type Signed, type Statement, verifyHostStatement } from '#core/wire/statements.js'

/** The one broker that was asked for this grant, where the reader believes it: another trusted broker cannot speak for it. */
function brokerKeys(document: NodeDocument, { trust }: NodeTrust) {
  return trust.brokers.map(({ key }) => key).filter((key) => thumbprint(key) === document.release.binding.audience)
}

/**
 * The document with each grant of it in the place of the first: one, or those of several brokers.
 *
 * throws  nothing: what they say is judged by whoever reads them
 */
export function grantsOf(document: NodeDocument): readonly NodeDocument[] {
  return [document, ...(document.others ?? []).map((one) => ({ ...document, ...one, others: undefined }))]
}

/**
 * Returns only when so many brokers granted as have to, each of which signed that the same ones hold the key: no broker's
 * lease is worth anything alone then, and none counts twice.
 *
 * throws  client/quorum
 */
export function verifyGrantsTogether(document: NodeDocument, leases: readonly Lease[]): void {
  const { quorum } = leases[0]!
  const bad = (message: string) => refuse('client/quorum', message)
  if (leases.some((one) => !isSameQuorum(one.quorum, quorum))) throw bad('leases name different quorums of brokers')
  const obeyed = brokersOf(document.config)
  if (quorum === undefined) {
    if (document.others !== undefined || obeyed.length !== 1)
      throw bad('the node obeys several brokers, and its lease says that one holds the whole key')
    return
  }
  verifyQuorum(quorum)
  const held = quorum.shares.map(({ broker }) => broker)
  if (held.length !== obeyed.length || !held.every((one, at) => one === obeyed[at]))
    throw bad('the node obeys other brokers than those that hold shares of its key')
  const granted = new Set(leases.map(({ broker }) => broker))
  if (granted.size !== leases.length) throw bad('two leases are of one broker')
  if (!leases.every(({ broker }) => held.includes(broker))) throw bad('a lease is of a broker that holds no share')
  if (leases.length < quorum.threshold) throw bad(`${leases.length} brokers granted, ${quorum.threshold} have to`)
  const [{ version, manifestDigest, model }] = leases as [Lease, ...Lease[]]
  if (leases.some((one) => one.version !== version || one.manifestDigest !== manifestDigest || one.model !== model))
    throw bad('leases are for different versions')
}

/** The lease of the broker that the node obeys, for this node and not over. @throws client/lease-splice, client/lease-expired, dsse/..., crypto/signature */
export async function verifyLeaseOf(
  document: NodeDocument,
  statement: Signed<Statement<'trust'>>,
  input: NodeTrust,
): Promise<Lease> {
  const lease = await verifyLease(document.lease, brokerKeys(document, input))
  const same =
    lease.broker === document.release.binding.audience &&
    lease.tenant === ownerOf(input.policy.model) &&
    lease.model === input.policy.model &&
    lease.keysetDigest === keysetDigest(document.keyset) &&
    lease.trustDigest === statement.digest
  if (!same) throw refuse('client/lease-splice', 'lease is for another broker, model, keyset or trust statement')
  if (input.at > lease.expiresAt) throw refuse('client/lease-expired', 'lease has expired by this clock')
  return lease
}

/** Place and operator as the host signed them; null where the host states nothing. @throws client/host-splice, dsse/..., crypto/signature */
export async function verifyDeclared(document: NodeDocument, lease: Lease): Promise<Declared | null> {
  const { host } = document
  if (host === null) {
    if (lease.declared !== null || document.config.hostStatement !== null) {
      throw refuse('client/host-splice', 'lease or settings name a host statement that the document lacks')
    }
    return null
  }
  const statement = await verifyHostStatement(host.statement, host.key)
  const { declared } = lease
  const same =
    declared !== null &&
    document.config.hostStatement === statement.digest &&
    declared.statementDigest === statement.digest &&
    declared.issuer === thumbprint(host.key) &&
    declared.host === statement.value.host &&
    declared.issuedAt === statement.value.issuedAt &&
    documentDigest([declared.place, declared.operator]) ===
      documentDigest([statement.value.place, statement.value.operator])
  if (!same) throw refuse('client/host-splice', 'lease says another place or operator than the host signed')
  return declared
}

/** The broker's last sign of life, recent enough by the reader's own clock. @throws client/beat-splice, client/beat-stale, dsse/..., crypto/signature */
export async function verifyBeatOf(document: NodeDocument, lease: Lease, input: NodeTrust): Promise<Beat> {
  const beat = await verifyBeat(document.beat, brokerKeys(document, input))
  if (beat.lease !== lease.id) throw refuse('client/beat-splice', 'beat is for another lease')
  const age = input.at - beat.at
  const oldest = Math.min(input.policy.beatAgeSecondsMax, lease.expiresAt - lease.issuedAt)
  if (age > oldest || age < -clockSkewSeconds || input.at > beat.expiresAt + clockSkewSeconds) {
    throw refuse('client/beat-stale', `last beat is ${age} s old by this clock, at most ${oldest} s are accepted`)
  }
  return beat
}

/**
 * The attestation result of a verifier in the trust file, for this keyset, evidence and challenge. It is no verdict of the
 * reader's; but one that refuses the node, or calls it something else, contradicts the release beside it.
 *
 * throws  client/ear-splice, ear/...
 */
export async function verifyEarOf(
  document: NodeDocument,
  entryAt: UnixSeconds,
  platform: Lease['platform'],
  input: NodeTrust,
): Promise<Ear> {
  const ear = await verifyEar(
    document.ear,
    input.trust.verifiers.map(({ key }) => key),
    { audience: document.release.binding.audience, at: entryAt },
  )
  if (
    ear.keysetDigest !== keysetDigest(document.keyset) ||
    ear.keyThumbprint !== releaseKeyThumbprint(document.keyset) ||
    ear.digests.evidence !== evidenceDigest(document.release.evidence)
  ) {
    throw refuse('client/ear-splice', 'attestation result is for another keyset or other evidence')
  }
  if (ear.nonce !== document.release.binding.nonce)
    throw refuse('client/ear-splice', 'attestation result answers another nonce')
  if (ear.platform !== platform || (ear.status !== 'affirming' && ear.status !== 'warning'))
    throw refuse('client/ear-splice', `attestation result is ${ear.status}, of a machine that is ${ear.platform}`)
  return ear
}
