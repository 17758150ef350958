import type { CollateralFloor } from '#core/wire/trust-file.js'

/**
 * What a verification believes beyond the vendor roots that are compiled in.
 *
 * simulatedRoots  SHA-256 of the DER SubjectPublicKeyInfo of throwaway roots, lowercase hex. Evidence under one of
 *                 them is `simulated`, whatever it says of itself (I6).
 * collateralFloors  the oldest that a vendor's lists may be, where the caller knows of newer ones
 */
export interface Anchors {
  readonly simulatedRoots: readonly string[]
  readonly collateralFloors?: readonly CollateralFloor[]
}
