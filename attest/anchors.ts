import type { VerifiedLinks } from '#core/x509/chain.js'

/**
 * What a verification believes beyond the vendor roots that are compiled in.
 *
 * simulatedRoots  SHA-256 of the DER SubjectPublicKeyInfo of throwaway roots, lowercase hex. Evidence under one of
 *                 them is `simulated`, whatever it says of itself (I6).
 * links           signatures of certificates that were found good before; dates and CRLs are read again each time
 */
export interface Anchors {
  readonly simulatedRoots: readonly string[]
  readonly links?: VerifiedLinks
}
