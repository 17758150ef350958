import type { KeysCode } from '#convert/keys/failures.js'
import { secretBytes } from '#core/bytes/secret.js'
import { Failure } from '#core/failure.js'

/**
 * PEM of private keys, read and written byte by byte: a key never becomes a string, which nobody could zero.
 * Public keys go through core/encoding/pem.
 */
const alphabet = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const head = new TextEncoder().encode('-----BEGIN PRIVATE KEY-----\n')
const foot = new TextEncoder().encode('-----END PRIVATE KEY-----\n')
const pad = 0x3d
const newline = 0x0a
const lineLength = 64

/** PKCS#8 in PEM, lines of 64 characters. For the caller to wipe. */
export function privateKeyToPem(der: Uint8Array): Uint8Array {
  const characters = Math.ceil(der.length / 3) * 4
  const out = secretBytes(head.length + characters + Math.ceil(characters / lineLength) + foot.length)
  out.set(head)
  let at = head.length
  for (let i = 0, column = 0; i < der.length; i += 3) {
    const bits = (der[i]! << 16) | ((der[i + 1] ?? 0) << 8) | (der[i + 2] ?? 0)
    for (let j = 0; j < 4; j++) {
      out[at++] = i + j > der.length ? pad : alphabet[(bits >> (18 - 6 * j)) & 63]!
      if (++column === lineLength || (i + 3 >= der.length && j === 3)) {
        out[at++] = newline
        column = 0
      }
    }
  }
  out.set(foot, at)
  return out.subarray(0, at + foot.length)
}

function startsWith(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  return wanted.every((byte, i) => bytes[at + i] === byte)
}

/** The PKCS#8 of a PEM file that holds nothing else. For the caller to wipe. @throws keys/form */
export function pemToPrivateKey(pem: Uint8Array): Uint8Array {
  const end = pem.length - foot.length
  if (end < head.length || !startsWith(pem, 0, head) || !startsWith(pem, end, foot)) {
    throw new Failure<KeysCode>('keys/form', 'not a PEM file with one PRIVATE KEY')
  }
  const values = new Map([...alphabet].map((byte, value) => [byte, value]))
  const out = secretBytes(Math.floor(((end - head.length) * 3) / 4))
  let bits = 0
  let count = 0
  let at = 0
  let padded = false
  for (let i = head.length; i < end; i++) {
    const byte = pem[i]!
    if (byte === newline) continue
    if (byte === pad) {
      padded = true
      continue
    }
    const value = values.get(byte)
    if (value === undefined || padded) throw new Failure<KeysCode>('keys/form', 'PRIVATE KEY is not base64')
    bits = (bits << 6) | value
    count += 6
    if (count >= 8) {
      count -= 8
      out[at++] = (bits >> count) & 0xff
      bits &= (1 << count) - 1
    }
  }
  return out.subarray(0, at)
}
