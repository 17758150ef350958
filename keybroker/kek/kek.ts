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
  /** what was given as `--kek` names no key; the hint is the line that does */
  | 'kek/setting'
  /** a stored key changes faster than it can be wrapped again */
  | 'kek/rotation'
  /** an owner does not name the key among those that may keep its model keys */
  | 'kek/not-approved'
  | ReleasedCode
  | Pkcs11Code
  | VaultCode
  | FileCode

/** Failures of a key that another broker releases. None of them says that a row is wrong. */
export type ReleasedCode =
  /** the other broker denied it, did not answer, or what it sent does not verify: nothing starts without it */
  | 'kek/not-released'
  /** the lease under which it was released is over, or was taken back: the key is gone from memory, and nothing is served */
  | 'kek/lease-over'
  /** nothing here makes the evidence that it is released to */
  | 'kek/attester'
  /** what was wrapped under a key that was released to evidence would be wrapped under one of somebody else */
  | 'kek/holder'
  /** its owner is a development tenant, so that it may be released to simulated evidence: never for production tenants (I6) */
  | 'kek/class'
  /** the broker's own keys lie in files that its operator can read, or are sealed and one of them is absent */
  | 'kek/folder'

/** Failures of a token. None of them says that a row is wrong: the key cannot be used now, or not by these settings. */
export type Pkcs11Code =
  /** the library is absent, no PKCS #11 module, or may be written by others */
  | 'kek/pkcs11-module'
  /** no token of that name, or several */
  | 'kek/pkcs11-token'
  /** wrong, locked, expired or absent; never tried twice */
  | 'kek/pkcs11-pin'
  | 'kek/pkcs11-key-absent'
  | 'kek/pkcs11-key-exists'
  /** it may leave the token, can be read, or is another key than the one that was opened */
  | 'kek/pkcs11-key'
  /** the token does not offer AES-GCM as it is needed */
  | 'kek/pkcs11-mechanism'
  | 'kek/pkcs11-session'
  | 'kek/pkcs11-device'
  /** the module did not return in time; it is not asked again before it has */
  | 'kek/pkcs11-timeout'
  /** more requests wait for the token than it can answer in time */
  | 'kek/pkcs11-busy'
  /** any other return value of the module */
  | 'kek/pkcs11-failed'

/** Failures of Vault or OpenBao. None of them says that a row is wrong. */
export type VaultCode =
  /** its certificate is not believed, or the connection would not be protected at all */
  | 'kek/vault-tls'
  | 'kek/vault-unreachable'
  | 'kek/vault-timeout'
  /** sealed, or not initialised: somebody has to unseal it */
  | 'kek/vault-sealed'
  /** a standby that does not forward: it names another address, which is not followed */
  | 'kek/vault-standby'
  /** it refuses for want of room, or more requests wait here than it can answer in time */
  | 'kek/vault-busy'
  /** 5xx after every try */
  | 'kek/vault-unavailable'
  /** the token is wrong, expired, or its policy does not allow this */
  | 'kek/vault-denied'
  /** the token's file holds no token */
  | 'kek/vault-token'
  | 'kek/vault-key-absent'
  | 'kek/vault-key-exists'
  /** it may be exported or backed up, is derived or no aes256-gcm96, or its server does not bind associated data */
  | 'kek/vault-key'
  /** the version of the key that wrapped is no longer allowed to decrypt */
  | 'kek/vault-version'
  /** an answer that is none of the API */
  | 'kek/vault-answer'
  /** any other status */
  | 'kek/vault-failed'

/** Where a key-encryption key lives. */
export type KekProvider = 'file' | 'pkcs11' | 'vault' | 'broker'

/** A key-encryption key that this process can use until it is closed. */
export interface OpenKek extends Kek {
  readonly provider: KekProvider
  /**
   * Who else can use it, as the broker's document tells it. A key in a token or in a vault cannot be read, but whoever has
   * its PIN or its credential has it unwrap every model key: that too is the operator (TRUST 7).
   */
  readonly holder: 'operator' | 'broker'
  /** the broker that released it, by its thumbprint, and under which id and class its owner registered it; where one did */
  readonly released?: {
    readonly broker: string
    readonly model: string
    readonly class: 'production' | 'development'
  }
  /**
   * The model key, 32 bytes, for the caller to wipe.
   *
   * keyId   the key-encryption key that the row names
   * throws  kek/unwrap, kek/key-id
   */
  unwrapDek(wrapped: Uint8Array, aad: Uint8Array, keyId: string): Promise<Uint8Array>
  /** Whether a row of this key is as this key would wrap it now, and not under an older version of itself. */
  isCurrent(wrapped: Uint8Array): boolean
  /** What this process holds of the key is overwritten, and what it has open is closed; every later use fails. */
  close(): Promise<void>
}
