/**
 * Base64 between bytes and texts, twice: by Node itself, and in plain JavaScript for browsers. Chosen by import condition,
 * as the backends of core/crypto are. Callers use fromBase64 and toBase64 of bytes.ts.
 */
export interface Base64 {
  /** padded, RFC 4648, "Base 64 Encoding" */
  encode(bytes: Uint8Array): string
  /** in memory of their own; null for every text but the one that `encode` writes of these bytes */
  decode(text: string): Uint8Array | null
}
