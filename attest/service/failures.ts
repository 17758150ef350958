/**
 * What belongs in attest/service: the verifier behind HTTP, and its signing keys on disk. What evidence is worth is
 * decided in the pure parts of attest.
 */

/** Failures of the verifier as a service. What is wrong with evidence is a result, never one of these. */
export type AttestServiceCode =
  | 'attest/unauthorized'
  /** the keyset of the request is not the one that the binding names */
  | 'attest/keyset'
  /** members of the request that exclude one another, or that go together */
  | 'attest/request'
  /** evidence that came without its collateral does not say what it needs, or cannot be read */
  | 'attest/evidence'
  /** its collateral is not held here and could not be fetched */
  | 'attest/collateral'

/** Failures of the folder of signing keys. */
export type KeyFolderCode =
  | 'attest-keys/form'
  | 'attest-keys/current'
  | 'attest-keys/unknown'
  | 'attest-keys/count'
  /** there is an announced key already */
  | 'attest-keys/announced'
