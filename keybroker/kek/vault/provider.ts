import { readFile } from 'node:fs/promises'
import { concat, equal, toBase64, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { FileCode } from '#host/files.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'
import { dekSize, keyIdSize, refuseWrapped, splitWrapped, wrappedHead } from '#keybroker/kek/layout.js'
import type { VaultSetting } from '#keybroker/kek/setting.js'
import { type VaultClient, type VaultLimits, vaultClient, vaultLimits } from '#keybroker/kek/vault/client.js'
import { encodeSecret, objectMember, parseAnswer, takePlaintext } from '#keybroker/kek/vault/plaintext.js'
import { keepToken, readToken } from '#keybroker/kek/vault/token.js'

export interface VaultOptions {
  readonly limits?: VaultLimits
  /** told when the token could not be renewed, which is tried again */
  readonly onTrouble?: (failure: Failure) => void
}

/**
 * The id names the key as Vault does, and proves nothing: whether it is the same key is seen from whether a row opens. The
 * address is not in it, so that Vault may move.
 */
function keyIdOf({ namespace, mount, key }: VaultSetting): string {
  const named = utf8(['claviger transit kek v1', namespace ?? '', mount, key].join('\0'))
  return toBase64Url(sha256(named).subarray(0, keyIdSize))
}

const ciphertextForm = /^vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/]{80}$/

/** The version of the key that wrapped, or null for what is no ciphertext of a model key. */
function versionOf(body: Uint8Array): number | null {
  const found = ciphertextForm.exec(Buffer.from(body).toString('latin1'))
  return found === null ? null : Number(found[1])
}

/** What the API tells of a key. */
interface KeyConfig {
  readonly latest: number
}

function refuseKey(message: string, hint: string): Failure<KekCode> {
  return new Failure<KekCode>('kek/vault-key', message, { detail: { hint } })
}

/**
 * The key is one that never leaves Vault, and that binds what it is told to bind.
 *
 * throws  kek/vault-key, kek/vault-answer
 */
function verifyConfig(data: { readonly [name: string]: Json }, { mount, key }: VaultSetting): KeyConfig {
  const make = `make another that is not: vault write ${mount}/keys/NAME type=aes256-gcm96, and rotate to it`
  if (data.type !== 'aes256-gcm96')
    throw refuseKey(`${key} is of type ${String(data.type).slice(0, 40)}, expected aes256-gcm96`, make)
  // Absence is never success: a server that does not tell does not count as one that says no.
  if (data.exportable !== false) throw refuseKey(`${key} may be exported`, make)
  if (data.allow_plaintext_backup !== false) throw refuseKey(`${key} may be backed up in the clear`, make)
  if (data.derived !== false) throw refuseKey(`${key} is derived`, make)
  const latest = data.latest_version
  if (typeof latest !== 'number' || !Number.isSafeInteger(latest) || latest < 1)
    throw new Failure<KekCode>('kek/vault-answer', `the answer names no latest version of ${key}`)
  return { latest }
}

/** Transit keys over one client; every value that goes in or out is bytes. */
class Transit {
  readonly #setting: VaultSetting
  readonly #client: VaultClient
  #token: string
  latest = 0

  private constructor(setting: VaultSetting, token: string, ca: Uint8Array | null, limits: VaultLimits) {
    this.#setting = setting
    this.#token = token
    const { address, namespace } = setting
    this.#client = vaultClient({ address, namespace, ca, limits, token: () => this.#token })
  }

  static async open(setting: VaultSetting, limits: VaultLimits): Promise<Transit> {
    const ca = setting.caFile === null ? null : await readAuthorities(setting.caFile)
    return new Transit(setting, await readToken(setting.tokenFile), ca, limits)
  }

  get client(): VaultClient {
    return this.#client
  }

  #path(operation: string): string {
    const { mount, key } = this.#setting
    return `/v1/${mount.split('/').map(encodeURIComponent).join('/')}/${operation}/${encodeURIComponent(key)}`
  }

  /** Once more with the token that stands in the file by now, when the one before was refused. */
  async #call(method: 'GET' | 'POST', operation: string, body: Uint8Array | null, also?: readonly number[]) {
    try {
      return await this.#client.call(method, this.#path(operation), body, also)
    } catch (error) {
      if (!isFailure(error) || error.code !== 'kek/vault-denied') throw error
      const token = await readToken(this.#setting.tokenFile)
      if (token === this.#token) throw error
      this.#token = token
      return this.#client.call(method, this.#path(operation), body, also)
    }
  }

  /** What Vault says of the key, or null when there is none. @throws kek/vault-... */
  async config(): Promise<KeyConfig | null> {
    const { status, body } = await this.#call('GET', 'keys', null, [404])
    if (status === 404) return null
    const config = verifyConfig(objectMember(parseAnswer(body), 'data'), this.#setting)
    this.latest = config.latest
    return config
  }

  async create(): Promise<void> {
    const fixed = { type: 'aes256-gcm96', exportable: false, allow_plaintext_backup: false, derived: false }
    await this.#call('POST', 'keys', utf8(JSON.stringify(fixed)))
  }

  /** `vault:vN:…` as ASCII. */
  async encrypt(dek: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
    const before = utf8('{"plaintext":"')
    const after = utf8(`","associated_data":"${toBase64(aad)}"}`)
    const request = secretBytes(before.length + 44 + after.length)
    request.set(before)
    encodeSecret(dek, request.subarray(before.length, before.length + 44))
    request.set(after, before.length + 44)
    try {
      const { body } = await this.#call('POST', 'encrypt', request)
      const { ciphertext } = objectMember(parseAnswer(body), 'data')
      const bytes = utf8(typeof ciphertext === 'string' ? ciphertext : '')
      const version = versionOf(bytes)
      if (version === null)
        throw new Failure<KekCode>('kek/vault-answer', 'the answer has no ciphertext of a model key')
      this.latest = Math.max(this.latest, version)
      return bytes
    } finally {
      wipe(request)
    }
  }

  /** The 32 bytes, for the caller to wipe. @throws kek/unwrap, kek/vault-... */
  async decrypt(ciphertext: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
    const text = Buffer.from(ciphertext).toString('latin1')
    const request = utf8(JSON.stringify({ ciphertext: text, associated_data: toBase64(aad) }))
    const { body } = await this.#call('POST', 'decrypt', request)
    try {
      return takePlaintext(body)
    } finally {
      wipe(body)
    }
  }
}

async function readAuthorities(path: string): Promise<Uint8Array> {
  try {
    const bytes = await readFile(path)
    if (bytes.length <= 1024 * 1024 && bytes.includes('-----BEGIN CERTIFICATE-----')) return new Uint8Array(bytes)
  } catch (cause) {
    throw new Failure<FileCode>('file/absent', `cannot read ${path}`, { cause })
  }
  const hint = 'name a file of PEM certificates: ca=file:/etc/claviger/vault-ca.pem'
  throw new Failure<KekCode>('kek/vault-tls', `${path} holds no certificate`, { detail: { hint } })
}

/**
 * Encrypts, decrypts, and is refused with other associated data. A server that is too old to know associated data takes
 * them and binds nothing: with it any row could be given to any model.
 *
 * throws  kek/vault-key, kek/vault-...
 */
async function verifyBinds(transit: Transit): Promise<void> {
  const probe = secretBytes(dekSize)
  probe.set(randomBytes(dekSize))
  const [aad, other] = [utf8('claviger probe v1'), utf8('claviger probe v0')]
  const ciphertext = await transit.encrypt(probe, aad)
  const opened = await transit.decrypt(ciphertext, aad)
  if (!equal(opened, probe)) throw refuseKey('the key does not decrypt what it encrypted', 'look at the address')
  try {
    await transit.decrypt(ciphertext, other)
  } catch (error) {
    if (isFailure(error) && error.code === 'kek/unwrap') return
    throw error
  }
  const hint = 'use Vault 1.13 or later, or OpenBao: the transit engine must know associated_data'
  throw refuseKey('the server does not bind associated data to what it encrypts', hint)
}

function absent({ mount, key }: VaultSetting): Failure<KekCode> {
  const hint = "make it once with: ./claviger keybroker kek create --kek '…'"
  return new Failure<KekCode>('kek/vault-key-absent', `there is no key ${mount}/keys/${key}`, { detail: { hint } })
}

function verifyProtected({ address }: VaultSetting): void {
  if (!address.startsWith('http:')) return
  const hint = 'give Vault a certificate and name it: vault:https://…?ca=file:…'
  const message = `${address} is not protected, and this broker has production tenants`
  throw new Failure<KekCode>('kek/vault-tls', message, { detail: { hint } })
}

/**
 * A key of the transit engine, for use. Whoever has a token of the same policy can use it as well: shown as `KEK HELD BY
 * OPERATOR`.
 *
 * throws  kek/vault-..., file/... for the token's file and the authorities
 */
export async function openVaultKek(setting: VaultSetting, options: VaultOptions = {}): Promise<OpenKek> {
  const transit = await Transit.open(setting, options.limits ?? vaultLimits)
  const keyId = keyIdOf(setting)
  let endToken: () => void = () => undefined
  try {
    endToken = await keepToken(transit.client, options.onTrouble ?? (() => undefined))
    if ((await transit.config()) === null) throw absent(setting)
    await verifyBinds(transit)
  } catch (error) {
    endToken()
    transit.client.close()
    throw error
  }
  let closed = false
  const open = () => {
    if (closed) throw new Error('assertion failed: the key-encryption key is used after it was closed')
  }
  return {
    keyId,
    provider: 'vault',
    holder: 'operator',
    verifyUsable: open,
    verifyProtected: () => verifyProtected(setting),
    isCurrent: (wrapped) => (versionOf(wrapped.subarray(1 + keyIdSize)) ?? 0) >= transit.latest,
    async wrapDek(dek, aad) {
      open()
      if (dek.length !== dekSize) throw new Error(`assertion failed: a model key has ${dekSize} bytes`)
      const head = wrappedHead('transit', keyId, new Uint8Array(0))
      return concat(head, await transit.encrypt(dek, concat(head, aad)))
    },
    async unwrapDek(wrapped, aad, named) {
      open()
      const { head, body } = splitWrapped(wrapped, 'transit', keyId, named)
      if (versionOf(body) === null) throw refuseWrapped()
      return transit.decrypt(body, concat(head, aad))
    },
    async close() {
      closed = true
      endToken()
      transit.client.close()
    },
  }
}

/**
 * A new key stands in the transit engine, which lets it out to nobody; returns its id. The operator's explicit act.
 *
 * throws  kek/vault-key-exists, kek/vault-..., file/...
 */
export async function createVaultKek(setting: VaultSetting): Promise<string> {
  const transit = await Transit.open(setting, vaultLimits)
  try {
    if ((await transit.config()) !== null) {
      const message = `there is a key ${setting.mount}/keys/${setting.key}, and keys are never made over`
      throw new Failure<KekCode>('kek/vault-key-exists', message, { detail: { hint: 'give the new key another name' } })
    }
    await transit.create()
    if ((await transit.config()) === null) throw absent(setting)
    await verifyBinds(transit)
    return keyIdOf(setting)
  } finally {
    transit.client.close()
  }
}
