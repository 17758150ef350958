/**
 * What belongs in attest/reference: reference values out of signed documents, and who vouches for them. A document counts
 * by the key of a publisher that its reader trusts, never by where it came from. Judging evidence by the values is the
 * folder of its kind.
 */
import type { PublisherJwk } from '#core/crypto/jwk.js'
import type { UnixSeconds } from '#core/time.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'

/** Failures of signed reference values. */
export type ReferenceCode =
  /** neither a DSSE envelope of a known type nor a signed CoRIM */
  | 'reference/form'
  /** signed by nobody whom the reader trusts as a publisher */
  | 'reference/publisher'
  | 'reference/not-yet-valid'
  | 'reference/expired'
  /** of a version below one that this reader has taken in */
  | 'reference/rollback'
  /** the name holds a document of another line or publisher */
  | 'reference/line'
  /** the document needs values beside it, or has them in itself */
  | 'reference/values'
  /** the statement does not name the values by their digest */
  | 'reference/subject'
  /** the manifest says what has no counterpart in reference values: nothing of it is left out in silence */
  | 'reference/unsupported'

/** A publisher as the reader's trust file names it. */
export interface Publisher {
  readonly alias: string
  readonly key: PublisherJwk
}

/** Who vouches for reference values, since when, until when. */
export interface Provenance {
  readonly source: 'claviger' | 'slsa' | 'corim'
  /** as the reader calls the publisher, and the thumbprint of its key */
  readonly publisher: string
  readonly key: string
  /** name and version of a line of sets; null where documents have none */
  readonly name: string | null
  readonly version: number | null
  /** null where the document does not say */
  readonly signedAt: UnixSeconds | null
  readonly expiresAt: UnixSeconds | null
  /** SHA-256 of the signed payload, hex */
  readonly digest: string
  /** what built the values, by the statement of its publisher; null for other sources */
  readonly builder: string | null
}

declare const verified: unique symbol

/** Reference values that a trusted publisher signed. Only verifyReference makes them. */
export interface VerifiedReference {
  readonly [verified]: true
  readonly title: string
  readonly values: ReferenceValues
  /** SHA-256 of the canonical JSON of the values: what results name them by; hex */
  readonly valuesDigest: string
  readonly provenance: Provenance
}
