/**
 * What belongs in core/sealed: the sealed-model format of docs/spec/sealed-model.md, as bytes, values and their
 * verification: FLOE, manifest, signature. No folder, no disk, no key of anybody's.
 */
export type SealedCode =
  /** a FLOE header of other parameters, or of a wrong size */
  | 'sealed/header'
  /** another key, or other associated data */
  | 'sealed/header-tag'
  /** a segment's length or length word is not what its place asks for */
  | 'sealed/segment-form'
  /** a segment was altered, moved, or marked as (not) the last */
  | 'sealed/segment-tag'
  /** a segment is not the one that the owner signed */
  | 'sealed/segment-digest'
  /** the manifest contradicts itself */
  | 'sealed/manifest'
  /** the manifest is not the one that was asked for */
  | 'sealed/manifest-digest'
  /** the encrypted part of the manifest does not open */
  | 'sealed/manifest-secret'
  /** the signature names other files, or the bundle is not of the expected kind */
  | 'sealed/statement'
  /** the manifest names another owner */
  | 'sealed/owner'
  /** a decrypted file is not the one that was sealed */
  | 'sealed/plaintext-digest'
  /** the brokers of a split key contradict each other, or one of them is not among them */
  | 'sealed/quorum'
  /** a share is not the one that the owner committed to */
  | 'sealed/share'
