/**
 * What belongs in keybroker/kek: providers of the key-encryption key, which wraps the keys of models for storage. What
 * does not: the decision to unwrap one, and the wrapping to a node's key.
 */
import type { FileCode } from '#host/files.js'
import type { Kek } from '#keybroker/ports.js'

/** Failures of wrapping and unwrapping model keys. */
export type KekCode =
  /** the wrapped key was altered, or is not that of the tenant, model and statements named */
  | 'kek/unwrap'
  /** it was wrapped under another key-encryption key */
  | 'kek/key-id'
  /** the file does not hold a key-encryption key */
  | 'kek/file'
  | FileCode

/** Where a key-encryption key lives. */
export type KekProvider = 'file'

/** A key-encryption key that this process can use until it is closed. */
export interface OpenKek extends Kek {
  readonly provider: KekProvider
  /**
   * Who else can use it, as the broker's document tells it. A key in a token or in a vault cannot be read, but whoever has
   * its PIN or its credential has it unwrap every model key: that too is the operator (TRUST 7).
   */
  readonly holder: 'operator'
  /**
   * The model key, 32 bytes, for the caller to wipe.
   *
   * keyId   the key-encryption key that the row names
   * throws  kek/unwrap, kek/key-id
   */
  unwrapDek(wrapped: Uint8Array, aad: Uint8Array, keyId: string): Promise<Uint8Array>
  /** What this process holds of the key is overwritten, and what it has open is closed; every later use fails. */
  close(): Promise<void>
}
