import type { EndorsementCode } from '#attest/endorsements/names.js'
import { type CollateralKind, type CollateralName, formatName } from '#attest/endorsements/names.js'
import { Failure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import type { Crl } from '#core/x509/crl.js'

/** A document of a vendor as it was received: nothing of it is believed yet. */
export interface CollateralItem {
  readonly name: CollateralName
  /** exactly what the vendor signed: DER of a certificate or CRL, or the JSON response byte for byte */
  readonly body: Uint8Array
  /** DER of the certificates above it, its issuer first, the vendor's root last */
  readonly chain: readonly Uint8Array[]
}

declare const verified: unique symbol

/** A document that is genuine and current. Only verifyItem makes it. */
export interface VerifiedItem extends CollateralItem {
  readonly [verified]: true
  readonly label: string
  /** SHA-256 of the DER SubjectPublicKeyInfo of its root, hex */
  readonly root: string
  readonly platform: 'hardware' | 'simulated'
  readonly issuedAt: UnixSeconds
  /** the first time at which the document or a certificate above it is over */
  readonly validUntil: UnixSeconds
  /** what only grows from one issue to the next: the CRL number, or Intel's `tcbEvaluationDataNumber`; null without one */
  readonly edition: bigint | null
  /** the least that is accepted of this name once this document has been seen; null for certificates and good answers */
  readonly floor: CollateralFloor | null
  /** whether it is an answer that says that its certificate is revoked: as genuine as one that says that it is good */
  readonly revoked: boolean
  readonly crl: Crl | null
}

/** Bytes of a document of each kind, no more than an evidence envelope takes. */
export const bodySizeMax: Readonly<Record<CollateralKind, number>> = {
  'intel-root-crl': 64 * KiB,
  'intel-pck-crl': 64 * KiB,
  'intel-tcb-info': 64 * KiB,
  'intel-qe-identity': 16 * KiB,
  'amd-ask': 8 * KiB,
  'amd-crl': 64 * KiB,
  'amd-vcek': 8 * KiB,
  'nvidia-rim': 128 * KiB,
  'nvidia-ocsp': 8 * KiB,
}
export const chainCertificateSizeMax = 8 * KiB
/** Above the certificate of a device or of a signer of RIMs, the longest, stand three. */
export const chainSizeMax = 3

/** @throws collateral/size */
export function verifySizes({ name, body, chain }: CollateralItem): void {
  const max = bodySizeMax[name.kind]
  const refuse = (what: string) => new Failure<EndorsementCode>('collateral/size', `${formatName(name)}: ${what}`)
  if (body.length > max) throw refuse(`${body.length} bytes, at most ${max}`)
  if (chain.length > chainSizeMax) throw refuse(`${chain.length} certificates above it, at most ${chainSizeMax}`)
  for (const one of chain)
    if (one.length > chainCertificateSizeMax)
      throw refuse(`a certificate of ${one.length} bytes, at most ${chainCertificateSizeMax}`)
}

/** What orders two documents of one name. */
export interface Issue {
  readonly edition: bigint | null
  readonly issuedAt: UnixSeconds
  readonly revoked: boolean
}

/**
 * Whether `one` is older than `other`: by edition, and within an edition by its time. A CRL is older by either: its number
 * and its time grow together, so that a list of a higher number and an earlier time is no honest one. Of two OCSP answers
 * of one time the one that revokes is the newer. A RIM has no date of its own, and every one that is seen has a tag of its own
 * of version 0: what orders two of one id is since when the certificate of their signer counts, and two of one signer have no
 * order. Certificates have none: a vendor issues the same one anew.
 */
export function isOlder(kind: CollateralKind, one: Issue, other: Issue): boolean {
  if (kind === 'amd-ask' || kind === 'amd-vcek') return false
  if (kind === 'nvidia-rim') return one.issuedAt < other.issuedAt
  if (kind === 'nvidia-ocsp')
    return one.issuedAt < other.issuedAt || (one.issuedAt === other.issuedAt && other.revoked && !one.revoked)
  if (other.edition !== null && (one.edition === null || one.edition < other.edition)) return true
  const isCrl = kind !== 'intel-tcb-info' && kind !== 'intel-qe-identity'
  return (isCrl || one.edition === other.edition) && one.issuedAt < other.issuedAt
}

/**
 * The first serial number that AMD's root took back in `before` and not in `one`, or null. AMD's lists name authorities,
 * which last for decades, so that no honest list of a name leaves out what one before it named: one that does is
 * the list of the other kind of key, or somebody's who would have a revocation forgotten.
 *
 * source  RFC 5280, "CRLs": an entry stays at least until the certificate is over
 */
export function forgottenBy(one: Pick<VerifiedItem, 'name' | 'crl'>, before: Crl | null): string | null {
  if (one.name.kind !== 'amd-crl' || before === null) return null
  const revoked = new Set(one.crl?.revoked ?? [])
  for (const serial of before.revoked) if (!revoked.has(serial)) return serial
  return null
}

const ranks: Readonly<Record<CollateralKind, number>> = {
  'intel-root-crl': 0,
  'amd-crl': 1,
  'intel-pck-crl': 2,
  'intel-tcb-info': 2,
  'intel-qe-identity': 2,
  'amd-ask': 2,
  'amd-vcek': 3,
  'nvidia-rim': 3,
  'nvidia-ocsp': 3,
}
/** Orders documents so that each comes after those that it is verified beside. */
export function beforeInOrder(a: CollateralItem, b: CollateralItem): number {
  return ranks[a.name.kind] - ranks[b.name.kind]
}
