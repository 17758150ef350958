import { equal, fromHex, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { hmacSha256 } from '#core/crypto/hash.js'
import { labelled } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { hex, literal, object, optional, type Shaped } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { beatSecondsMax } from '#core/limits.js'
import { grantableLimit } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import { callerPseudonym } from '#core/wire/inner.js'
import { type Lease, leaseShape, signBeat } from '#core/wire/lease.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { namedMachineShape } from '#core/wire/revoked.js'
import type { Statement } from '#core/wire/statements.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { StoredLease } from '#keybroker/stored.js'
import { leaseUsageShape } from '#keybroker/usage.js'
import type { Appraised } from '#policies/release/appraised.js'
import type { Decided } from '#policies/release/judge.js'
import type { Revocable } from '#policies/release/revocation.js'

/** What is kept of a lease: its terms, and what an owner may later revoke it by. */
const termsShape = object({
  lease: leaseShape,
  machine: namedMachineShape,
  usage: leaseUsageShape,
  /** granted while the glass was broken: absent of any other */
  breakGlass: optional(literal(true)),
  /** HMAC-SHA-256 over the canonical JSON of the others, with a secret that no database holds */
  seal: hex(32),
})
export type Terms = Omit<Shaped<typeof termsShape>, 'seal'>

function sealOf(terms: Terms, secret: Uint8Array): string {
  return toHex(hmacSha256(secret, labelled('claviger/lease-record/v1', canonicalJson(terms))))
}

/** secret: the broker's, 32 bytes (`callerSecret`) */
export function encodeTerms(terms: Terms, secret: Uint8Array): Uint8Array {
  return canonicalJson({ ...terms, seal: sealOf(terms, secret) })
}

/**
 * The terms of a stored lease, as a broker of this secret wrote them, in the row of that very lease.
 *
 * Invariant: what a lease is, how long it lasts and what it may be revoked by comes from here and from no column: whoever
 * writes to the database can neither prolong a lease nor take it out of its owner's reach (I18).
 * throws  broker/record
 */
export function verifyTerms(row: StoredLease, secret: Uint8Array): Terms {
  const { seal, ...terms } = readTerms(row)
  const { lease, machine } = terms
  const same =
    lease.id === row.id &&
    lease.tenant === row.tenant &&
    lease.model === row.model &&
    lease.version === row.version &&
    lease.keysetDigest === row.keysetDigest &&
    lease.expiresAt === row.expiresAt &&
    (machine.platformId ?? '') === row.platform
  if (!same || !equal(fromHex(seal, 32), fromHex(sealOf(terms, secret), 32)))
    throw new Failure<BrokerCode>('broker/record', 'a stored lease is not the one that was granted')
  return terms
}

function readTerms(row: StoredLease): Shaped<typeof termsShape> {
  try {
    return termsShape(parseCanonicalJson(row.terms), 'lease')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/record', 'a stored lease cannot be read', { cause })
  }
}

/** A lease's own times and work: fixed when it is granted or renewed, and not touched by a retry of the same request. */
export type Term = Pick<Lease, 'issuedAt' | 'expiresAt' | 'budget'>

/** A fresh term by the owner's registration: it ends no later than the licence, and than what facts of credentials rest on. */
export function newTerm(verdict: Decided<Appraised>, at: UnixSeconds): Term {
  const { lease, quorum, allowance } = verdict.statements.registration.value
  const { requests, inputBytes, workUnits } = lease.budget
  const budget = {
    requests: grantableLimit(requests, quorum),
    inputBytes: grantableLimit(inputBytes, quorum),
    workUnits: grantableLimit(workUnits, quorum),
  }
  return {
    issuedAt: at,
    expiresAt: Math.min(
      // While the glass is broken a lease lasts as long as that does, since nothing renews it.
      verdict.brokenUntil ?? at + lease.seconds,
      allowance?.expiresAt ?? Number.MAX_SAFE_INTEGER,
      verdict.establishedUntil ?? Number.MAX_SAFE_INTEGER,
    ),
    budget,
  }
}

/**
 * The term of a request that was granted before and is made again: the same, and never more than the owner allows now.
 *
 * trusts  that `granted` came out of verifyTerms
 */
export function retriedTerm(verdict: Decided<Appraised>, granted: Term, at: UnixSeconds): Term {
  const now = newTerm(verdict, at)
  const { requests, inputBytes, workUnits } = now.budget
  return {
    issuedAt: granted.issuedAt,
    expiresAt: Math.min(granted.expiresAt, now.expiresAt),
    budget: {
      requests: Math.min(granted.budget.requests, requests),
      inputBytes: Math.min(granted.budget.inputBytes, inputBytes),
      workUnits: Math.min(granted.budget.workUnits, workUnits),
    },
  }
}

/** The lease that a verdict grants for a term, as the owner's statements of now have it. */
export function makeLease(
  verdict: Decided<Appraised>,
  request: ReleaseRequest,
  granted: {
    readonly id: string
    readonly broker: string
    readonly standing: Lease['standing']
    readonly term: Term
    readonly callerSecret: Uint8Array
  },
): Lease {
  const { tenant, trust, registration, policy } = verdict.statements
  return {
    type: 'claviger/lease/v1',
    id: granted.id,
    broker: granted.broker,
    tenant: tenant.value.tenant,
    model: registration.value.model,
    version: registration.value.version,
    manifestDigest: registration.value.manifestDigest,
    keysetDigest: request.binding.keyset_digest,
    trustDigest: trust.digest,
    ...granted.term,
    policy: {
      name: policy.value.name,
      sequence: policy.value.sequence,
      digest: verdict.decision.policyDigest,
      accepts: policy.value.accepts,
    },
    callers: callersOf(registration.value, granted.callerSecret),
    declared: verdict.declared,
    time: 'host-influenced',
    platform: verdict.result.platform,
    standing: granted.standing,
    quorum: registration.value.quorum,
  }
}

/** Who may call, as a lease says it. One salt a model, which never leaves here: a caller is the same pseudonym on all its nodes, and another one elsewhere. */
export function callersOf(registration: Statement<'registration'>, callerSecret: Uint8Array): Lease['callers'] {
  const { callers, model } = registration
  if (callers === 'any') return callers
  const salt = toBase64Url(hmacSha256(callerSecret, labelled('claviger/caller-salt/v1', utf8(model))))
  return callers.map(({ id, credentialHash, expiresAt }) => ({
    pseudonym: callerPseudonym(id, salt),
    credentialHash,
    expiresAt,
  }))
}

/** The broker's sign of life for a lease. It ends no later than the lease does. */
export async function makeBeat(
  lease: Pick<Lease, 'id' | 'expiresAt'>,
  nonce: string,
  at: UnixSeconds,
  key: SigningKey,
): Promise<Envelope> {
  const expiresAt = Math.min(at + beatSecondsMax, lease.expiresAt)
  return signBeat({ type: 'claviger/beat/v1', lease: lease.id, nonce, at, expiresAt }, key)
}

/** What an owner may take a lease back by. */
export function revocableOf({ lease, machine }: Terms): Revocable {
  const { model, declared, keysetDigest, version, id } = lease
  return { ...machine, model, declared, keysetDigest, version, leaseId: id }
}
