import { concat, fromBase64, fromBase64Url, toBase64, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { nameLengthMax } from '#core/limits.js'
import type { TlogCode } from '#core/tlog/failures.js'

/**
 * What a key signs: `log` the text of a note (Ed25519, type byte 01), `cosigner` a checkpoint with the time (type 04).
 * Other types (ML-DSA-44, ECDSA) are refused by name, never passed over: an absent primitive is not a signature.
 *
 * source  C2SP signed-note, "Signature types"
 */
export type KeyUse = 'log' | 'cosigner'
const typeBytes: Record<KeyUse, number> = { log: 0x01, cosigner: 0x04 }

/** A public key with the name under which it signs. `id` is 8 digits of lowercase hex. */
export interface VerifierKey {
  readonly name: string
  readonly id: string
  readonly use: KeyUse
  readonly publicKey: Ed25519Jwk
}

/** One signature line. `id` is 8 digits of lowercase hex; `signature` is what follows the id in the blob. */
export interface NoteSignature {
  readonly name: string
  readonly id: string
  readonly signature: Uint8Array
}

/** A key that signs notes or cosigns checkpoints under a name. */
export interface NoteSigner {
  readonly verifier: VerifierKey
  readonly key: SigningKey
}

/** Whether a text may stand as the name of a key: not empty, no Unicode space, no plus, no control character. */
export function isKeyName(name: string): boolean {
  return name.length > 0 && name.length <= nameLengthMax && !/[\p{White_Space}+\p{Cc}\p{Surrogate}]/u.test(name)
}

/** source  C2SP signed-note, "Signatures" (key ID) */
function keyId(name: string, use: KeyUse, publicKey: Uint8Array): string {
  const hashed = sha256(concat(utf8(`${name}\n`), new Uint8Array([typeBytes[use]]), publicKey))
  return toHex(hashed.subarray(0, 4))
}

/** A verifier key from its parts. @throws tlog/vkey when the name cannot stand in a note */
export function makeVerifierKey(name: string, use: KeyUse, publicKey: Ed25519Jwk): VerifierKey {
  if (!isKeyName(name)) throw new Failure<TlogCode>('tlog/vkey', `${JSON.stringify(name)} is not a key name`)
  return { name, id: keyId(name, use, fromBase64Url(publicKey.x, 32)), use, publicKey }
}

/** A signer from a private Ed25519 key. @throws tlog/vkey for a name or a kind of key that cannot sign notes */
export function makeNoteSigner(name: string, use: KeyUse, key: SigningKey): NoteSigner {
  const { publicKey } = key
  if (publicKey.kty !== 'OKP') throw new Failure<TlogCode>('tlog/vkey', `key of ${name} is not an Ed25519 key`)
  return { verifier: makeVerifierKey(name, use, publicKey), key }
}

/** `name+id+base64(type || key)`. */
export function encodeVkey(key: VerifierKey): string {
  const material = concat(new Uint8Array([typeBytes[key.use]]), fromBase64Url(key.publicKey.x, 32))
  return `${key.name}+${key.id}+${toBase64(material)}`
}

/**
 * The key that a vkey spells; its id is the one that belongs to name, type and key.
 *
 * throws  tlog/vkey
 * source  C2SP signed-note, "Verifier keys"
 */
export function parseVkey(text: string): VerifierKey {
  const refuse = (message: string, cause?: unknown) =>
    new Failure<TlogCode>('tlog/vkey', `verifier key ${message}`, cause === undefined ? {} : { cause })
  if (text.length > nameLengthMax + 128) throw refuse('is too long')
  const first = text.indexOf('+')
  const second = text.indexOf('+', first + 1)
  if (first < 0 || second < 0) throw refuse('has not three parts')
  const name = text.slice(0, first)
  const id = text.slice(first + 1, second)
  if (!isKeyName(name)) throw refuse('has no proper name')
  let material: Uint8Array
  try {
    material = fromBase64(text.slice(second + 1))
  } catch (cause) {
    throw refuse(`${name} is not base64`, cause)
  }
  const use = (['log', 'cosigner'] as const).find((one) => typeBytes[one] === material[0])
  if (use === undefined || material.length !== 33) {
    throw refuse(`${name} is of type ${material[0] ?? 'none'} with ${material.length} bytes, expected Ed25519 (1 or 4)`)
  }
  const key = makeVerifierKey(name, use, { kty: 'OKP', crv: 'Ed25519', x: toBase64Url(material.subarray(1)) })
  if (key.id !== id) throw refuse(`${name} has id ${JSON.stringify(id)}, expected ${key.id}`)
  return key
}
