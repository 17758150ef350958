import { isAbsolute } from 'node:path'
import { fromHex, utf8 } from '#core/bytes/bytes.js'
import { sharesMax } from '#core/crypto/shamir.js'
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

/** Where a key of Vault's or OpenBao's transit engine is found. Nothing here is secret: the token stands in a file. */
export interface VaultSetting {
  readonly provider: 'vault'
  /** `https://host:port`; `http://` to 127.0.0.1 or [::1] alone, for development */
  readonly address: string
  readonly mount: string
  readonly key: string
  readonly namespace: string | null
  readonly tokenFile: string
  /** PEM of the authorities that are believed; null: those of Node */
  readonly caFile: string | null
}

/** Who releases a key to this broker, and what this broker is to them. Nothing here is secret, and nothing is stored. */
export interface ReleasedSetting {
  readonly provider: 'broker'
  /** one broker; of a key that is split, those that hold shares of it */
  readonly urls: readonly string[]
  /** the sealed folder, of which manifest and signature are read */
  readonly sealed: string
  /** the trust statement of the key's owner; null: the broker is asked for it */
  readonly trustStatement: string | null
  /** place and operator of this machine, as its host signed them */
  readonly hostStatement: string | null
}

/** A setting that was parsed: the closed set of what `--kek` may name. */
export type KekSetting =
  | { readonly provider: 'file'; readonly path: string }
  | Pkcs11Setting
  | VaultSetting
  | ReleasedSetting

export const kekForms = {
  file: 'file:/etc/claviger/kek.key',
  pkcs11:
    'pkcs11:token=claviger;object=kek?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/claviger/pin',
  vault:
    'vault:https://vault.example:8200/transit/keys/claviger?token-source=file:/run/vault/token&ca=file:/etc/claviger/vault-ca.pem',
  broker: 'broker:https://a.example?sealed=file:/etc/claviger/kek-sealed',
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

const vaultQuery = ['namespace', 'token-source', 'ca']
const weakening = /(^|&)[a-z-]*(skip-verify|insecure|unverified)[a-z-]*(=|&|$)/
const segment = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const tokenHint = 'put the token into a file of mode 0600 and name it: token-source=file:/run/vault/token'

/** `https://host:port`, without anything else. A name that a resolver answers for is not this machine for sure. */
function vaultAddress(url: URL, form: string): string {
  if (url.username !== '' || url.password !== '') throw refuse('the address of Vault has a user or a password', form)
  if (url.hash !== '') throw refuse('the address of Vault has a fragment', form)
  if (url.protocol === 'https:') return url.origin
  const isHere = /^(127\.[0-9.]+|\[::1\])$/.test(url.hostname)
  if (url.protocol === 'http:' && isHere) return url.origin
  const hint = `write https:// and name its authority: ${kekForms.vault}`
  const message = 'the token and every model key would travel in the clear: http:// is for 127.0.0.1 and [::1] alone'
  throw refuse(url.protocol === 'http:' ? message : 'the address of Vault is no https:// URL', hint)
}

/** `vault:` and the address of a transit key as its API has it, without `/v1`. */
function parseVault(rest: string): VaultSetting {
  const form = `write it like ${kekForms.vault}`
  const at = rest.indexOf('?')
  const [target, query] = at < 0 ? [rest, ''] : [rest.slice(0, at), rest.slice(at + 1)]
  if (/(^|&)token=/.test(query)) throw refuse('token would show in lists of processes and in logs', tokenHint)
  if (weakening.test(query)) {
    const hint = 'leave it out, and name the authority that issued the certificate: ca=file:/etc/claviger/vault-ca.pem'
    throw refuse('a Vault whose certificate is not verified may be anybody, and gets every model key', hint)
  }
  if (!URL.canParse(target)) throw refuse('the address of Vault is no URL', form)
  const url = new URL(target)
  const address = vaultAddress(url, form)
  const segments = url.pathname.split('/').slice(1)
  const key = segments.pop() ?? ''
  if (segments.pop() !== 'keys' || segments.length === 0 || ![...segments, key].every((one) => segment.test(one)))
    throw refuse('the path is not MOUNT/keys/NAME', form)
  const options = pairs(query, '&', vaultQuery, form)
  const option = (name: string) => {
    const value = options.get(name)
    return value === undefined ? null : decode(value, name)
  }
  const tokenSource = option('token-source')
  if (tokenSource === null) throw refuse('token-source is absent', tokenHint)
  const namespace = option('namespace')
  if (namespace !== null && !/^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$/.test(namespace))
    throw refuse('namespace is no path', form)
  const ca = option('ca')
  return {
    provider: 'vault',
    address,
    mount: segments.join('/'),
    key,
    namespace: namespace?.replace(/\/+$/, '') ?? null,
    tokenFile: filePath(tokenSource, 'token-source', tokenHint),
    caFile: ca === null ? null : filePath(ca, 'ca', form),
  }
}

const releasedQuery = ['sealed', 'trust-statement', 'host-statement']

/** `broker:`, the addresses of those who release the key, and where the folder is that its owner sealed. */
function parseReleased(rest: string): ReleasedSetting {
  const form = `write it like ${kekForms.broker}`
  const at = rest.indexOf('?')
  const [target, query] = at < 0 ? [rest, ''] : [rest.slice(0, at), rest.slice(at + 1)]
  const urls = target.split(',').map((text) => {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || !/^https?:$/.test(url.protocol)) throw refuse('the address of a broker is no URL', form)
    if (url.username !== '' || url.password !== '')
      throw refuse('the address of a broker has a user or a password', form)
    if (url.pathname !== '/' || url.hash !== '') throw refuse('the address of a broker has a path', form)
    return url.origin
  })
  if (new Set(urls).size !== urls.length || urls.length > sharesMax)
    throw refuse('one broker is named twice, or more than can hold shares', form)
  const options = pairs(query, '&', releasedQuery, form)
  const path = (name: string) => {
    const value = options.get(name)
    return value === undefined ? null : filePath(decode(value, name), name, form)
  }
  const sealed = path('sealed')
  if (sealed === null) throw refuse('sealed is absent', 'name the folder of keybroker kek seal: ?sealed=file:/etc/…')
  return {
    provider: 'broker',
    urls,
    sealed,
    trustStatement: path('trust-statement'),
    hostStatement: path('host-statement'),
  }
}

const settingSizeMax = 2048

/**
 * What `--kek` names: `file:PATH`, a PKCS #11 URI, `vault:` and an address, or `broker:` and who releases it. It holds no secret, but for where one stands.
 *
 * throws  kek/setting, with the line that mends it
 */
export function parseKekSetting(text: string): KekSetting {
  const known = `one of ${Object.values(kekForms).join('  ')}`
  if (text.length > settingSizeMax) throw refuse(`the setting has more than ${settingSizeMax} characters`, known)
  const scheme = /^([a-z0-9]+):/.exec(text)?.[1]
  if (scheme === 'pkcs11') return parsePkcs11(text.slice('pkcs11:'.length))
  if (scheme === 'vault') return parseVault(text.slice('vault:'.length))
  if (scheme === 'broker') return parseReleased(text.slice('broker:'.length))
  if (scheme === 'file') return { provider: 'file', path: filePath(text, 'the file', `write it like ${kekForms.file}`) }
  throw refuse(`a key-encryption key is named by its provider, "${text.slice(0, 40)}" names none`, known)
}
