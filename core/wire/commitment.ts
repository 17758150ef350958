import { fromBase64Url, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { labelled } from '#core/crypto/jwk.js'
import { canonicalJson } from '#core/encoding/json.js'
import { base64Url } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'

/** What a commitment is about: the label keeps one field's commitment from standing in for another's. */
export type CommitmentLabel =
  | 'tenant'
  | 'model'
  | 'evidence'
  | 'decision'
  | 'statement'
  | 'counter'
  | 'request'
  | 'response'
  | 'caller'
  | 'resource'
  | 'token'
  | 'policy'
/** Failures of opening a commitment. */
export type CommitmentCode = 'commitment/mismatch'

/** 32 random bytes, kept by the party that the value belongs to. Forgetting them is erasure. */
export const openingShape = base64Url(32)

/**
 * The commitment to a value that must not be found by trying all likely values (I10): lowercase hex of
 * SHA-256(`claviger/commitment/v1/` label, 0x00, opening, canonical JSON of the value).
 *
 * opening  base64url of 32 random bytes, its own for each field and entry
 */
export function commit(label: CommitmentLabel, value: unknown, opening: string): string {
  return toHex(sha256(labelled(`claviger/commitment/v1/${label}`, fromBase64Url(opening, 32), canonicalJson(value))))
}

/** Returns only when `value` and `opening` are what `commitment` was made of. @throws commitment/mismatch */
export function verifyCommitment(commitment: string, label: CommitmentLabel, value: unknown, opening: string): void {
  if (commit(label, value, opening) !== commitment) {
    throw new Failure<CommitmentCode>('commitment/mismatch', `${label} is not what was committed to`)
  }
}
