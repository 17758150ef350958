import { concat, equal, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'
import { dekSize, ivSize, keyIdSize, refuseWrapped, splitWrapped, tagSize, wrappedHead } from '#keybroker/kek/layout.js'
import { CKM_AES_GCM, CKR, CryptokiFailure } from '#keybroker/kek/pkcs11/cryptoki.js'
import { findKey, makeKey, type Session } from '#keybroker/kek/pkcs11/key.js'
import { Arena, initialize, loadModule, type Module, wordAt } from '#keybroker/kek/pkcs11/module.js'
import { type Login, openSession } from '#keybroker/kek/pkcs11/token.js'
import { createQueue, type QueueOptions } from '#keybroker/kek/queue.js'
import type { Pkcs11Setting } from '#keybroker/kek/setting.js'

const arenaSize = 64 * 1024
const aadSizeMax = 16 * 1024
const defaults: QueueOptions = { timeoutMs: 10_000, waitingMax: 256 }

// The key's id is made of what the key does, since the key itself cannot be had: of a fixed text, encrypted under a fixed iv.
// One message under one iv is no reuse of it; that the random iv of a wrapping is the same has odds of 2^-96.
const idIv = utf8('kek id check')
const idText = utf8('claviger kek id v1')

interface GcmInput {
  readonly iv: Uint8Array
  readonly aad: Uint8Array
  readonly data: Uint8Array
  readonly sizeOut: number
}

/**
 * One AES-256-GCM operation in the token.
 *
 * returns  `sizeOut` bytes in the memory of the arena: gone with its next `clear`
 * throws   kek/pkcs11-..., kek/unwrap
 * source   PKCS #11 Current Mechanisms 2.40 Errata 01, "AES-GCM parameters" (CK_GCM_PARAMS with ulIvBits)
 */
async function gcm(
  direction: 'Encrypt' | 'Decrypt',
  { module, arena, handle }: Session,
  key: number,
  { iv, aad, data, sizeOut }: GcmInput,
): Promise<Uint8Array> {
  const ivPlace = arena.take(ivSize)
  ivPlace.bytes.set(iv)
  const parameters = arena.putWords(ivPlace.address, ivSize, ivSize * 8, arena.put(aad), aad.length, tagSize * 8)
  const mechanism = arena.putWords(CKM_AES_GCM, parameters, 48)
  const input = arena.put(data)
  const output = arena.take(256)
  const length = arena.take(8)
  new DataView(length.bytes.buffer, length.bytes.byteOffset).setBigUint64(0, BigInt(output.bytes.length), true)
  await module.call(`C_${direction}Init`, handle, mechanism, key)
  await module.call(`C_${direction}`, handle, input, data.length, output.address, length.address)
  if (!equal(ivPlace.bytes, iv)) {
    // Some do so in their FIPS modes; what they encrypted would be stored under an iv that was not used.
    const message = 'the token takes an iv of its own in place of the one that it was given'
    throw new Failure<KekCode>('kek/pkcs11-mechanism', message)
  }
  if (wordAt(length.bytes) !== sizeOut) {
    const message = `the token gave ${wordAt(length.bytes)} bytes for AES-GCM, expected ${sizeOut}`
    throw new Failure<KekCode>('kek/pkcs11-mechanism', message)
  }
  return output.bytes.subarray(0, sizeOut)
}

/** The id of the key, which has also decrypted what it encrypted. @throws kek/pkcs11-... */
async function idOf(session: Session, key: number): Promise<string> {
  const fixed = { iv: idIv, aad: idText }
  const sealed = await gcm('Encrypt', session, key, { ...fixed, data: idText, sizeOut: idText.length + tagSize })
  const copy = sealed.slice()
  const opened = await gcm('Decrypt', session, key, { ...fixed, data: copy, sizeOut: idText.length })
  if (!equal(opened, idText))
    throw new Failure<KekCode>('kek/pkcs11-mechanism', 'the token does not decrypt what it encrypted')
  return toBase64Url(sha256(concat(idText, copy)).subarray(0, keyIdSize))
}

/** What a token says of a wrong tag, and of much else. */
const vague: readonly number[] = [CKR.GENERAL_ERROR, CKR.FUNCTION_FAILED, CKR.DATA_INVALID]

/** The token of one setting: a session that is opened again when it is lost, and jobs one after another. */
class TokenKey {
  readonly #module: Module
  readonly #setting: Pkcs11Setting
  readonly #arena = new Arena(arenaSize)
  readonly #login: Login = { refused: null }
  #open: { readonly session: Session; readonly key: number } | null = null
  #id: string | null = null

  constructor(module: Module, setting: Pkcs11Setting) {
    this.#module = module
    this.#setting = setting
  }

  /** Logged in, with the key that was opened first, or none. @throws kek/pkcs11-..., file/... */
  async #ready() {
    if (this.#open !== null) return this.#open
    const arena = this.#arena
    await initialize(this.#module, arena)
    const handle = await openSession(this.#module, arena, this.#setting, this.#login, false)
    const session = { module: this.#module, arena, handle }
    try {
      const key = await findKey(session, this.#setting)
      const id = await idOf(session, key)
      if (this.#id !== null && this.#id !== id) {
        const message = `another key has the name of the one that was opened: it is ${id}, expected ${this.#id}`
        throw new Failure<KekCode>('kek/pkcs11-key', message)
      }
      this.#id = id
      this.#open = { session, key }
      return this.#open
    } catch (error) {
      await this.#module.call('C_CloseSession', handle).catch(() => undefined) // the first failure is what counts
      throw error
    }
  }

  /** The session is not used again: an operation may be under way in it. */
  async drop(): Promise<void> {
    const open = this.#open
    this.#open = null
    if (open !== null) await this.#module.call('C_CloseSession', open.session.handle).catch(() => undefined)
  }

  /** `work` with a session; once more with a new one when the first was lost. Its memory is zeroed afterwards. */
  async use<T>(work: (session: Session, key: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { session, key } = await this.#ready()
        return await work(session, key)
      } catch (error) {
        if (error instanceof CryptokiFailure && error.code !== 'kek/unwrap') await this.drop()
        if (attempt > 1 || !(error instanceof CryptokiFailure) || !error.reopen) throw error
      } finally {
        this.#arena.clear()
      }
    }
  }

  async id(): Promise<string> {
    await this.use(async () => undefined)
    return this.#id!
  }

  /** Whether the key still does what it did: then what did not decrypt was altered. */
  async verifySame(session: Session, key: number): Promise<void> {
    const id = await idOf(session, key)
    if (id !== this.#id) throw new Failure<KekCode>('kek/pkcs11-key', `the key is ${id} now, expected ${this.#id}`)
  }
}

async function unwrapIn(token: TokenKey, head: Uint8Array, body: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
  return token.use(async (session, key) => {
    const input = { iv: head.subarray(-ivSize), aad: concat(head, aad), data: body, sizeOut: dekSize }
    try {
      const opened = await gcm('Decrypt', session, key, input)
      const dek = secretBytes(dekSize)
      dek.set(opened)
      return dek
    } catch (error) {
      if (!(error instanceof CryptokiFailure)) throw error
      if (error.code === 'kek/unwrap') throw refuseWrapped()
      if (!vague.includes(error.rv)) throw error
      // Tokens that say "general error" for a wrong tag say it for a broken device, too: one that still works tells which.
      await token.verifySame(session, key)
      throw refuseWrapped()
    }
  })
}

/**
 * The key of a token, for use. Whoever has the PIN can use it as well: shown as `KEK HELD BY OPERATOR`.
 *
 * throws  kek/pkcs11-..., file/... for the PIN's file
 */
export async function openPkcs11Kek(setting: Pkcs11Setting, options: Partial<QueueOptions> = {}): Promise<OpenKek> {
  const token = new TokenKey(await loadModule(setting.modulePath), setting)
  const queue = createQueue({ ...defaults, ...options })
  const keyId = await queue.run(
    () => token.id(),
    () => undefined,
  )
  let closed = false
  const open = () => {
    if (closed) throw new Error('assertion failed: the key-encryption key is used after it was closed')
  }
  return {
    keyId,
    provider: 'pkcs11',
    holder: 'operator',
    verifyUsable: open,
    isCurrent: () => true,
    verifyProtected: () => undefined,
    async wrapDek(dek, aad) {
      open()
      if (dek.length !== dekSize) throw new Error(`assertion failed: a model key has ${dekSize} bytes`)
      if (aad.length > aadSizeMax) throw new Error('assertion failed: associated data of a model key are short')
      const iv = randomBytes(ivSize)
      const head = wrappedHead('token', keyId, iv)
      const input = { iv, aad: concat(head, aad), data: dek, sizeOut: dekSize + tagSize }
      const wrap = () => token.use(async (session, key) => concat(head, await gcm('Encrypt', session, key, input)))
      return queue.run(wrap, () => undefined)
    },
    async unwrapDek(wrapped, aad, named) {
      open()
      const { head, body } = splitWrapped(wrapped, 'token', keyId, named)
      if (aad.length > aadSizeMax) throw refuseWrapped()
      return queue.run(() => unwrapIn(token, head, body, aad), wipe)
    },
    async close() {
      closed = true
      // A native call that hangs would keep the broker from ending; the session then ends with the process.
      await queue
        .run(
          () => token.drop(),
          () => undefined,
        )
        .catch(() => undefined)
    },
  }
}

/**
 * A new AES-256 key stands in the token, which never lets it out; returns its id. The operator's explicit act.
 *
 * throws  kek/pkcs11-key-exists, kek/pkcs11-..., file/...
 */
export async function createPkcs11Kek(setting: Pkcs11Setting): Promise<string> {
  const module = await loadModule(setting.modulePath)
  const arena = new Arena(arenaSize)
  await initialize(module, arena)
  const handle = await openSession(module, arena, setting, { refused: null }, true)
  try {
    await makeKey({ module, arena, handle }, setting)
  } finally {
    await module.call('C_CloseSession', handle).catch(() => undefined) // the key is there, or the failure is thrown
    arena.clear()
  }
  const kek = await openPkcs11Kek(setting)
  await kek.close()
  return kek.keyId
}
