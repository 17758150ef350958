import type { CollateralFloor } from '#core/wire/trust-file.js'
import type { VerifiedLinks } from '#core/x509/chain.js'

/** Remembers what was read, by the very text that it was read from. A `Map` is one; a service bounds it. */
export interface ReadCache {
  get(text: string): unknown
  set(text: string, value: unknown): unknown
}

/**
 * What a verification believes beyond the vendor roots that are compiled in.
 *
 * simulatedRoots  SHA-256 of the DER SubjectPublicKeyInfo of throwaway roots, lowercase hex. Evidence under one of
 *                 them is `simulated`, whatever it says of itself (I6).
 * collateralFloors  the oldest that a vendor's lists may be, where the caller knows of newer ones
 * reads           certificates, RIMs and OCSP answers that were read before, the signature of a RIM included; whom they lead to, and when,
 *                 is verified each time
 * links           signatures of certificates that were found good before; dates and CRLs are read again each time
 */
export interface Anchors {
  readonly simulatedRoots: readonly string[]
  readonly collateralFloors?: readonly CollateralFloor[]
  readonly reads?: { readonly certificates: ReadCache; readonly rims: ReadCache; readonly answers: ReadCache }
  readonly links?: VerifiedLinks
}
