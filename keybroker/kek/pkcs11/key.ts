import { utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import {
  CKA,
  CKK_AES,
  CKM_AES_KEY_GEN,
  CKO_SECRET_KEY,
  CKR,
  CryptokiFailure,
  unavailable,
} from '#keybroker/kek/pkcs11/cryptoki.js'
import { type Arena, type Module, wordAt } from '#keybroker/kek/pkcs11/module.js'
import { isFlag } from '#keybroker/kek/pkcs11/token.js'
import type { Pkcs11Setting } from '#keybroker/kek/setting.js'

const kekSize = 32
const attributeSizeMax = 64

/** A session that is logged in. */
export interface Session {
  readonly module: Module
  readonly arena: Arena
  readonly handle: number
}

type Attribute = readonly [type: number, value: Uint8Array]

const flag = (value: boolean) => Uint8Array.of(value ? 1 : 0)
function word(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}

/** A row of CK_ATTRIBUTE: type, address of the value, its length. */
function putTemplate(arena: Arena, attributes: readonly Attribute[]): bigint {
  const words = attributes.flatMap(([type, value]) => [type, arena.put(value), value.length])
  return arena.putWords(...words)
}

/** What names the key of the setting in a search and in a new key. */
function namesOf({ object }: Pkcs11Setting): readonly Attribute[] {
  return [
    ...(object.label === null ? [] : [[CKA.LABEL, utf8(object.label)] as const]),
    ...(object.id === null ? [] : [[CKA.ID, object.id] as const]),
  ]
}

/** How the operator wrote the key's name. */
function describeObject({ object }: Pkcs11Setting): string {
  const { label, id } = object
  return [label !== null && `label "${label}"`, id !== null && `id ${Buffer.from(id).toString('hex')}`]
    .filter(Boolean)
    .join(', ')
}

/** Handles of the secret keys that have the name: none, one, or two, which stand for several. */
async function search({ module, arena, handle }: Session, setting: Pkcs11Setting): Promise<readonly number[]> {
  const template = [[CKA.CLASS, word(CKO_SECRET_KEY)] as const, ...namesOf(setting)]
  await module.call('C_FindObjectsInit', handle, putTemplate(arena, template), template.length)
  const found = arena.take(16)
  const count = arena.take(8)
  await module.call('C_FindObjects', handle, found.address, 2, count.address)
  await module.call('C_FindObjectsFinal', handle)
  return Array.from({ length: wordAt(count.bytes) }, (_, i) => wordAt(found.bytes, i))
}

/** The value of one attribute, or null where the token does not tell it. */
async function attribute({ module, arena, handle }: Session, object: number, type: number): Promise<Uint8Array | null> {
  const value = arena.take(attributeSizeMax)
  const entry = arena.take(24)
  const view = new DataView(entry.bytes.buffer, entry.bytes.byteOffset)
  view.setBigUint64(0, BigInt(type), true)
  view.setBigUint64(8, value.address, true)
  view.setBigUint64(16, BigInt(attributeSizeMax), true)
  try {
    await module.call('C_GetAttributeValue', handle, object, entry.address, 1)
  } catch (error) {
    const untold: readonly number[] = [CKR.ATTRIBUTE_SENSITIVE, CKR.ATTRIBUTE_TYPE_INVALID]
    if (error instanceof CryptokiFailure && untold.includes(error.rv)) return null
    throw error
  }
  const size = wordAt(entry.bytes, 2)
  return size >= unavailable || size > attributeSizeMax ? null : value.bytes.slice(0, size)
}

const isWord = (bytes: Uint8Array | null, value: number) => bytes?.length === 8 && wordAt(bytes) === value

/**
 * The key can do what is asked of it, and cannot leave its token. An attribute that the token does not tell counts as the
 * wrong one.
 *
 * throws  kek/pkcs11-key
 */
async function verifyKey(session: Session, object: number, setting: Pkcs11Setting): Promise<void> {
  const make = 'make another with: ./claviger keybroker kek create --kek URI, and rotate to it'
  const wanted: readonly [number, (value: Uint8Array | null) => boolean, string, string][] = [
    [CKA.KEY_TYPE, (value) => isWord(value, CKK_AES), 'is no AES key', make],
    [CKA.VALUE_LEN, (value) => isWord(value, kekSize), 'has not 256 bits', make],
    [CKA.TOKEN, (value) => isFlag(value, true), 'is gone with its session (CKA_TOKEN is not true)', make],
    [CKA.EXTRACTABLE, (value) => isFlag(value, false), 'may leave its token (CKA_EXTRACTABLE is not false)', make],
    [CKA.SENSITIVE, (value) => isFlag(value, true), 'can be read (CKA_SENSITIVE is not true)', make],
    [CKA.ENCRYPT, (value) => isFlag(value, true), 'may not encrypt (CKA_ENCRYPT is not true)', make],
    [CKA.DECRYPT, (value) => isFlag(value, true), 'may not decrypt (CKA_DECRYPT is not true)', make],
  ]
  for (const [type, fits, message, hint] of wanted) {
    if (fits(await attribute(session, object, type))) continue
    const text = `the key with ${describeObject(setting)} ${message}`
    throw new Failure<KekCode>('kek/pkcs11-key', text, { detail: { hint } })
  }
}

/** Handle of the one key of the setting, which cannot leave its token. @throws kek/pkcs11-key-absent, kek/pkcs11-key */
export async function findKey(session: Session, setting: Pkcs11Setting): Promise<number> {
  const found = await search(session, setting)
  if (found.length === 0) {
    const hint = "make it once with: ./claviger keybroker kek create --kek '…'"
    const message = `the token has no secret key with ${describeObject(setting)}`
    throw new Failure<KekCode>('kek/pkcs11-key-absent', message, { detail: { hint } })
  }
  if (found.length > 1) {
    const hint = 'name one of them with id=%XX as well'
    const message = `several secret keys have ${describeObject(setting)}`
    throw new Failure<KekCode>('kek/pkcs11-key', message, { detail: { hint } })
  }
  await verifyKey(session, found[0]!, setting)
  return found[0]!
}

/** A new key of 256 bits stands in the token, and never leaves it. @throws kek/pkcs11-key-exists, kek/pkcs11-... */
export async function makeKey(session: Session, setting: Pkcs11Setting): Promise<void> {
  if ((await search(session, setting)).length > 0) {
    const hint = 'give the new key another object= or id='
    const message = `the token has a secret key with ${describeObject(setting)}, and keys are never made over`
    throw new Failure<KekCode>('kek/pkcs11-key-exists', message, { detail: { hint } })
  }
  const { module, arena, handle } = session
  const template: readonly Attribute[] = [
    [CKA.CLASS, word(CKO_SECRET_KEY)],
    [CKA.KEY_TYPE, word(CKK_AES)],
    [CKA.VALUE_LEN, word(kekSize)],
    [CKA.TOKEN, flag(true)],
    [CKA.PRIVATE, flag(true)],
    [CKA.SENSITIVE, flag(true)],
    [CKA.EXTRACTABLE, flag(false)],
    [CKA.ENCRYPT, flag(true)],
    [CKA.DECRYPT, flag(true)],
    // It wraps model keys as data; with these it could be made to reveal, or to derive, other keys of the token.
    [CKA.WRAP, flag(false)],
    [CKA.UNWRAP, flag(false)],
    [CKA.DERIVE, flag(false)],
    [CKA.SIGN, flag(false)],
    [CKA.VERIFY, flag(false)],
    ...namesOf(setting),
  ]
  const mechanism = arena.putWords(CKM_AES_KEY_GEN, 0, 0)
  const made = arena.take(8)
  await module.call('C_GenerateKey', handle, mechanism, putTemplate(arena, template), template.length, made.address)
  await verifyKey(session, wordAt(made.bytes), setting)
}
