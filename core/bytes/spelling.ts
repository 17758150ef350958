/**
 * Hex and base64 between bytes and texts, twice: by Node itself, and in plain JavaScript for browsers. Chosen by import
 * condition, as the backends of core/crypto are. Callers use toHex, fromBase64 and toBase64 of bytes.ts.
 */
export interface Spelling {
  /** lowercase */
  toHex(bytes: Uint8Array): string
  /** padded, RFC 4648, "Base 64 Encoding" */
  toBase64(bytes: Uint8Array): string
  /** in memory of their own; null for every text but the one that `toBase64` writes of these bytes */
  fromBase64(text: string): Uint8Array | null
  /** the same, perhaps in memory that other texts are decoded to as well */
  fromPublicBase64(text: string): Uint8Array | null
}
