import { isAbsolute } from 'node:path'
import { fromHex, utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'

/** Where a key in a PKCS #11 token is found. Nothing here is secret: the PIN stands in a file. */
export interface Pkcs11Setting {
  readonly provider: 'pkcs11'
  readonly modulePath: string
  /** CKA of the token: what is given must be equal, and exactly one token must fit */
  readonly token: { readonly label: string | null; readonly serial: string | null }
  /** label and CKA_ID of the key, by the same rule */
  readonly object: { readonly label: string | null; readonly id: Uint8Array | null }
  readonly pinFile: string
}

/** A setting that was parsed: the closed set of what `--kek` may name. */
export type KekSetting = { readonly provider: 'file'; readonly path: string } | Pkcs11Setting

export const kekForms = {
  file: 'file:/etc/claviger/kek.key',
  pkcs11:
    'pkcs11:token=claviger;object=kek?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/claviger/pin',
} as const

function refuse(message: string, hint: string): Failure<KekCode> {
  return new Failure<KekCode>('kek/setting', message, { detail: { hint } })
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refuse(`${what} has a percent sign that begins no UTF-8 character`, 'write a percent sign as %25')
  }
}

/** `a=b` pieces between `separator`s; each name once. Values still as they are written. */
function pairs(text: string, separator: string, known: readonly string[], form: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const piece of text === '' ? [] : text.split(separator)) {
    const at = piece.indexOf('=')
    const name = at < 0 ? piece : piece.slice(0, at)
    if (at < 0 || !known.includes(name))
      throw refuse(`the key-encryption key's setting has "${name.slice(0, 40)}", expected ${known.join(', ')}`, form)
    if (found.has(name)) throw refuse(`${name} stands there twice`, form)
    if (at === piece.length - 1) throw refuse(`${name} is empty`, form)
    found.set(name, piece.slice(at + 1))
  }
  return found
}

/** The path of `file:/a/b`, or of `/a/b`: absolute, so that it is the same file wherever the broker is started. */
function filePath(text: string, what: string, example: string): string {
  const path = text.startsWith('file:') ? text.slice('file:'.length).replace(/^\/\/(?=\/)/, '') : text
  if (!isAbsolute(path) || path.includes('\0')) throw refuse(`${what} ${path.slice(0, 200)} is not absolute`, example)
  return path
}

function percentBytes(text: string): Uint8Array {
  const hex = text.replace(/%([0-9a-fA-F]{2})|([A-Za-z0-9._~-])/g, (_, escaped: string | undefined, plain: string) =>
    escaped === undefined ? plain.charCodeAt(0).toString(16).padStart(2, '0') : escaped.toLowerCase(),
  )
  try {
    return fromHex(hex)
  } catch (cause) {
    const hint = 'write each byte as %XX: id=%01%a2'
    throw new Failure<KekCode>('kek/setting', 'id is not percent-encoded', { cause, detail: { hint } })
  }
}

const pkcs11Path = ['token', 'serial', 'object', 'id', 'type']
const pkcs11Query = ['module-path', 'pin-source']
const pinHint = 'put the PIN into a file of mode 0600 and name it: pin-source=file:/etc/claviger/pin'

/**
 * A PKCS #11 URI whose attributes name one token and one secret key.
 * source  RFC 7512, "PKCS #11 URI Scheme"
 */
function parsePkcs11(rest: string): Pkcs11Setting {
  const form = `write it like ${kekForms.pkcs11}`
  const at = rest.indexOf('?')
  const [path, query] = at < 0 ? [rest, ''] : [rest.slice(0, at), rest.slice(at + 1)]
  if (/(^|&)pin-value=/.test(query))
    throw refuse('pin-value would show the PIN in lists of processes and in logs', pinHint)
  const named = pairs(path, ';', pkcs11Path, form)
  const options = pairs(query, '&', pkcs11Query, form)
  const text = (name: string, max: number) => {
    const value = named.get(name)
    if (value === undefined) return null
    const decoded = decode(value, name)
    if (utf8(decoded).length > max) throw refuse(`${name} has more than ${max} bytes`, form)
    return decoded
  }
  const token = { label: text('token', 32), serial: text('serial', 16) }
  const id = named.get('id')
  const object = { label: text('object', 128), id: id === undefined ? null : percentBytes(id) }
  if (token.label === null && token.serial === null)
    throw refuse('no token is named', 'add token=LABEL or serial=NUMBER')
  if (object.label === null && object.id === null) throw refuse('no key is named', 'add object=LABEL or id=%01')
  if ((object.id?.length ?? 0) > 64) throw refuse('id has more than 64 bytes', form)
  if ((named.get('type') ?? 'secret-key') !== 'secret-key') throw refuse('type is not secret-key', 'leave type out')
  const modulePath = options.get('module-path')
  if (modulePath === undefined) throw refuse('module-path is absent', 'add ?module-path=/usr/lib/…/module.so')
  const pinSource = options.get('pin-source')
  if (pinSource === undefined) throw refuse('pin-source is absent', pinHint)
  return {
    provider: 'pkcs11',
    modulePath: filePath(decode(modulePath, 'module-path'), 'module-path', form),
    token,
    object,
    pinFile: filePath(decode(pinSource, 'pin-source'), 'pin-source', pinHint),
  }
}

const settingSizeMax = 2048

/**
 * What `--kek` names: `file:PATH`, or a PKCS #11 URI. It holds no secret, but for where one stands.
 *
 * throws  kek/setting, with the line that mends it
 */
export function parseKekSetting(text: string): KekSetting {
  const known = `one of ${Object.values(kekForms).join('  ')}`
  if (text.length > settingSizeMax) throw refuse(`the setting has more than ${settingSizeMax} characters`, known)
  const scheme = /^([a-z0-9]+):/.exec(text)?.[1]
  if (scheme === 'pkcs11') return parsePkcs11(text.slice('pkcs11:'.length))
  if (scheme === 'file') return { provider: 'file', path: filePath(text, 'the file', `write it like ${kekForms.file}`) }
  throw refuse(`a key-encryption key is named by its provider, "${text.slice(0, 40)}" names none`, known)
}
