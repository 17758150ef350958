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
  /** the least that is accepted of this name once this document has been seen; null for certificates */
  readonly floor: CollateralFloor | null
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
}
export const chainCertificateSizeMax = 8 * KiB
export const chainSizeMax = 2

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
}

/**
 * Whether `one` is older than `other`: by edition, and within an edition by its time. A CRL is older by either: its number
 * and its time grow together, so that a list of a higher number and an earlier time is no honest one. Certificates
 * and RIMs have no order: a vendor issues the same one anew.
 */
export function isOlder(kind: CollateralKind, one: Issue, other: Issue): boolean {
  if (kind === 'amd-ask' || kind === 'amd-vcek' || kind === 'nvidia-rim') return false
  if (other.edition !== null && (one.edition === null || one.edition < other.edition)) return true
  const isCrl = kind !== 'intel-tcb-info' && kind !== 'intel-qe-identity'
  return (isCrl || one.edition === other.edition) && one.issuedAt < other.issuedAt
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
}
/** Orders documents so that each comes after those that it is verified beside. */
export function beforeInOrder(a: CollateralItem, b: CollateralItem): number {
  return ranks[a.name.kind] - ranks[b.name.kind]
}
