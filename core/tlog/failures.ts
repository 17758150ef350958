/**
 * What belongs in core/tlog: the formats and proofs of a transparency log, from the side of whoever reads them.
 * Signed notes, checkpoints, cosignatures, Merkle proofs, policies. No storage, no clock, no network.
 */

/** Failures of reading and verifying what a transparency log hands out. */
export type TlogCode =
  /** not a signed note */
  | 'tlog/note'
  /** not a verifier key, or one of a signature type that is not supported here */
  | 'tlog/vkey'
  /** a note whose text is not a checkpoint */
  | 'tlog/checkpoint'
  /** a checkpoint with extension lines, which nobody vouches for */
  | 'tlog/extension'
  /** a cosignature's blob is not a time and 64 bytes */
  | 'tlog/cosignature'
  /** not a tlog-proof */
  | 'tlog/proof'
  /** not a request to a witness */
  | 'tlog/add-checkpoint'
  /** not a tlog-policy */
  | 'tlog/policy'
  /** not the path of a tile */
  | 'tlog/tile'
  /** a bundle of entries that does not end where its last entry ends, or holds too many */
  | 'tlog/entries'
  /** a signature of a trusted key is not that key's */
  | 'tlog/signature'
  /** no trusted log goes by the checkpoint's origin, or none of its keys signed */
  | 'tlog/unknown-log'
  /** too few witnesses cosigned */
  | 'tlog/quorum'
  /** an index or a size that the tree has not */
  | 'tlog/range'
  /** a proof with more or fewer hashes than the tree has levels */
  | 'tlog/proof-length'
  /** the proof leads to another root */
  | 'tlog/root-mismatch'
