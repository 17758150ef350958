import { concat, fromBase64Url, toBase64Url } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'

/*
 * The layout that all providers share, docs/decisions/kek.md: form (1 byte), key id (16), and what the form adds. The head,
 * which is all of it before the ciphertext, is the first part of the associated data.
 */

export const keyIdSize = 16
export const dekSize = 32
export const ivSize = 12
export const tagSize = 16

/** What follows the key id: `head` bytes before the ciphertext, then the ciphertext with all that belongs to it. */
const forms = {
  /** under a key that is derived for it alone: salt (32), iv, ciphertext (32), tag */
  derived: { byte: 1, head: 32 + ivSize, bodyMin: dekSize + tagSize, bodyMax: dekSize + tagSize },
  /** by a token, under its own key: iv, ciphertext (32), tag */
  token: { byte: 2, head: ivSize, bodyMin: dekSize + tagSize, bodyMax: dekSize + tagSize },
  /** by Vault's transit engine: `vault:v1:` to `vault:v999999999:`, and base64 of iv, ciphertext and tag */
  transit: { byte: 3, head: 0, bodyMin: 9 + 80, bodyMax: 17 + 80 },
} as const
export type WrappedForm = keyof typeof forms

/** The two parts of a wrapped key. */
export interface WrappedParts {
  /** form, key id and what the form puts before the ciphertext: authenticated as it stands */
  readonly head: Uint8Array
  readonly body: Uint8Array
}

/** The head of a key that is about to be wrapped. */
export function wrappedHead(form: WrappedForm, keyId: string, own: Uint8Array): Uint8Array {
  if (own.length !== forms[form].head) throw new Error('assertion failed: a head of this form has another size')
  return concat(Uint8Array.of(forms[form].byte), fromBase64Url(keyId, keyIdSize), own)
}

/** What every failure to unwrap says: which of the bound values is wrong cannot be told. */
export function refuseWrapped(): Failure<KekCode> {
  return new Failure<KekCode>('kek/unwrap', 'the model key was altered, or belongs to something else')
}

/**
 * The parts of a wrapped key of this form and under this key.
 *
 * keyId   of the key that is open
 * named   the key that the row names beside it
 * throws  kek/unwrap, kek/key-id
 */
export function splitWrapped(wrapped: Uint8Array, form: WrappedForm, keyId: string, named: string): WrappedParts {
  const { byte, head, bodyMin, bodyMax } = forms[form]
  const start = 1 + keyIdSize
  if (wrapped.length < start) throw refuseWrapped()
  const inside = toBase64Url(wrapped.subarray(1, start))
  if (inside !== keyId || named !== keyId) {
    const other = inside === keyId ? named : inside
    throw new Failure<KekCode>(
      'kek/key-id',
      `the model key is wrapped under ${other}, the key that is open is ${keyId}`,
    )
  }
  const body = wrapped.length - start - head
  if (wrapped[0] !== byte || body < bodyMin || body > bodyMax) throw refuseWrapped()
  return { head: wrapped.subarray(0, start + head), body: wrapped.subarray(start + head) }
}
