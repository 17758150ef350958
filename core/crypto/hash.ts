import type { RunningHash } from '#core/crypto/backend.js'
import { backend } from '#crypto-backend'

/** Synchronous hashing on both backends. @returns 32, 48 and 64 bytes */
export const sha256 = (bytes: Uint8Array): Uint8Array => backend.hash('sha256', bytes)
/** Lowercase hex of the same; a text stands for its UTF-8. Not for what becomes a key: a text cannot be wiped. */
export const sha256Hex = (message: Uint8Array | string): string => backend.hashHex('sha256', message)
export const sha384 = (bytes: Uint8Array): Uint8Array => backend.hash('sha384', bytes)
export const sha512 = (bytes: Uint8Array): Uint8Array => backend.hash('sha512', bytes)
export const hmacSha256 = (key: Uint8Array, message: Uint8Array): Uint8Array => backend.hmac('sha256', key, message)
export const hmacSha384 = (key: Uint8Array, message: Uint8Array): Uint8Array => backend.hmac('sha384', key, message)

/** SHA-256 of a message that comes in pieces. */
export const runningSha256 = (): RunningHash => backend.runningHash('sha256')

/** Unpredictable bytes, in memory of their own (secretBytes): one that becomes a key is wiped there. Pure code takes them as an argument. */
export const randomBytes = (size: number): Uint8Array => backend.randomBytes(size)
