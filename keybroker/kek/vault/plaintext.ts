import { secretBytes, wipe } from '#core/bytes/secret.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import { dekSize } from '#keybroker/kek/layout.js'

/*
 * Vault's API carries a model key as base64 inside JSON. Here it goes from bytes to bytes: no string of JavaScript, which
 * nobody can overwrite, ever holds it. docs/decisions/kek.md says what cannot be avoided.
 */

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1')
const pad = 0x3d
/** 32 bytes take 44 characters, the last of which is a pad. */
const textSize = 44

/** Base64 of 32 bytes, as ASCII bytes for the caller to wipe. */
export function encodeSecret(secret: Uint8Array, text: Uint8Array): void {
  if (secret.length !== dekSize || text.length !== textSize)
    throw new Error('assertion failed: 32 bytes, 44 characters')
  for (let i = 0, at = 0; i < dekSize; i += 3) {
    const [a, b, c] = [secret[i]!, secret[i + 1] ?? 0, secret[i + 2] ?? 0]
    text[at++] = alphabet[a >> 2]!
    text[at++] = alphabet[((a & 3) << 4) | (b >> 4)]!
    text[at++] = alphabet[((b & 15) << 2) | (c >> 6)]!
    text[at++] = i + 2 < dekSize ? alphabet[c & 63]! : pad
  }
}

/** The 32 bytes that canonical base64 stands for, or null. */
function decodeSecret(text: Uint8Array): Uint8Array | null {
  const secret = secretBytes(dekSize)
  const group = new Uint8Array(4)
  let valid = text.length === textSize && text[textSize - 1] === pad
  for (let i = 0, at = 0; valid && i < dekSize; i += 3) {
    for (let j = 0; j < 4; j++) {
      const character = text[at++]!
      group[j] = at === textSize ? 0 : alphabet.indexOf(character)
      valid &&= at === textSize || alphabet.includes(character)
    }
    secret[i] = (group[0]! << 2) | (group[1]! >> 4)
    if (i + 1 < dekSize) secret[i + 1] = (group[1]! << 4) | (group[2]! >> 2)
    if (i + 2 < dekSize) secret[i + 2] = (group[2]! << 6) | group[3]!
    else valid &&= (group[2]! & 3) === 0
  }
  wipe(group)
  if (valid) return secret
  wipe(secret)
  return null
}

const field = Buffer.from('"plaintext"', 'latin1')
const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d

/** Where the value of the one member `plaintext` begins, after its quotation mark; -1 where it is not so. */
function valueStart(body: Uint8Array): number {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length)
  let at = text.indexOf(field)
  if (at < 0 || text.indexOf(field, at + 1) >= 0) return -1
  at += field.length
  while (isSpace(text[at])) at++
  if (text[at++] !== 0x3a) return -1
  while (isSpace(text[at])) at++
  return text[at] === 0x22 ? at + 1 : -1
}

const blank = `${'A'.repeat(textSize - 1)}=`

/** The JSON of an answer. @throws kek/vault-answer */
export function parseAnswer(body: Uint8Array): { readonly [name: string]: Json } {
  try {
    const value = parseJson(body)
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      return value as { readonly [name: string]: Json }
  } catch {
    // What it says instead is junk of a proxy, perhaps: nothing of it goes into a message.
  }
  throw new Failure<KekCode>('kek/vault-answer', 'the answer is not a JSON object')
}

/** A member that is an object, or an empty object. */
export function objectMember(
  value: { readonly [name: string]: Json },
  name: string,
): { readonly [name: string]: Json } {
  const member = Object.hasOwn(value, name) ? value[name] : null
  return member !== null && typeof member === 'object' && !Array.isArray(member)
    ? (member as { readonly [name: string]: Json })
    : {}
}

/**
 * The 32 bytes of `data.plaintext`, for the caller to wipe. The answer's own copy is zeroes in base64 afterwards, and only
 * then is the answer parsed: that the place was that member's is seen from where the zeroes stand.
 *
 * throws  kek/vault-answer
 */
export function takePlaintext(body: Uint8Array): Uint8Array {
  const refuse = () => new Failure<KekCode>('kek/vault-answer', `the answer has no data.plaintext of ${dekSize} bytes`)
  const start = valueStart(body)
  if (start < 0 || body[start + textSize] !== 0x22) throw refuse()
  const place = body.subarray(start, start + textSize)
  const secret = decodeSecret(place)
  place.set(Buffer.from(blank, 'latin1'))
  if (secret === null) throw refuse()
  try {
    if (objectMember(parseAnswer(body), 'data').plaintext !== blank) throw refuse()
    return secret
  } catch (error) {
    wipe(secret)
    throw error
  }
}
