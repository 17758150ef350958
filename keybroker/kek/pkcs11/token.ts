import { equal, fromUtf8 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { Failure, isFailure } from '#core/failure.js'
import { readSecretFile } from '#host/files.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import { CKF, CKR, CKU_USER, CryptokiFailure } from '#keybroker/kek/pkcs11/cryptoki.js'
import { type Arena, type Module, wordAt } from '#keybroker/kek/pkcs11/module.js'
import type { Pkcs11Setting } from '#keybroker/kek/setting.js'

const slotsMax = 256
// CK_TOKEN_INFO: label (32), manufacturer (32), model (16), serial number (16), flags (8) and counts up to 208 bytes.
const tokenInfoSize = 208
const flagsAt = 96
const serialAt = 80

interface Token {
  readonly slot: number
  readonly flags: number
}

function refuse(code: KekCode, message: string, hint: string): Failure<KekCode> {
  return new Failure<KekCode>(code, message, { detail: { hint } })
}

/** Texts of tokens are padded with blanks; one that is no UTF-8 is that of no setting. */
function padded(bytes: Uint8Array): string | null {
  try {
    return fromUtf8(bytes).replace(/ +$/, '')
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

async function listSlots(module: Module, arena: Arena): Promise<readonly number[]> {
  const count = arena.take(8)
  await module.call('C_GetSlotList', 1, 0, count.address) // tells the module to look for new tokens, too
  const many = wordAt(count.bytes)
  if (many > slotsMax)
    throw refuse('kek/pkcs11-token', `the module has ${many} slots, at most ${slotsMax}`, 'use serial=')
  const slots = arena.take(8 * Math.max(many, 1))
  await module.call('C_GetSlotList', 1, slots.address, count.address)
  return Array.from({ length: Math.min(wordAt(count.bytes), many) }, (_, i) => wordAt(slots.bytes, i))
}

async function tokenIn(
  module: Module,
  arena: Arena,
  slot: number,
  wanted: Pkcs11Setting['token'],
): Promise<Token | null> {
  const info = arena.take(tokenInfoSize)
  try {
    await module.call('C_GetTokenInfo', slot, info.address)
  } catch (error) {
    const { TOKEN_NOT_PRESENT, TOKEN_NOT_RECOGNIZED } = CKR
    if (error instanceof CryptokiFailure && ([TOKEN_NOT_PRESENT, TOKEN_NOT_RECOGNIZED] as number[]).includes(error.rv))
      return null
    throw error
  }
  const flags = wordAt(info.bytes.subarray(flagsAt))
  if ((flags & CKF.TOKEN_INITIALIZED) === 0) return null
  if (wanted.label !== null && padded(info.bytes.subarray(0, 32)) !== wanted.label) return null
  if (wanted.serial !== null && padded(info.bytes.subarray(serialAt, serialAt + 16)) !== wanted.serial) return null
  return { slot, flags }
}

/** The one token of the setting. @throws kek/pkcs11-token when there is none, or several */
async function findToken(module: Module, arena: Arena, setting: Pkcs11Setting): Promise<Token> {
  const found: Token[] = []
  for (const slot of await listSlots(module, arena)) {
    const token = await tokenIn(module, arena, slot, setting.token)
    if (token !== null) found.push(token)
  }
  const { label, serial } = setting.token
  const named = [label !== null && `label "${label}"`, serial !== null && `serial ${serial}`].filter(Boolean).join(', ')
  if (found.length === 0)
    throw refuse(
      'kek/pkcs11-token',
      `no token of the module has ${named}`,
      `list them with: pkcs11-tool --module ${setting.modulePath} --list-slots`,
    )
  if (found.length > 1)
    throw refuse('kek/pkcs11-token', `${found.length} tokens have ${named}`, 'name one of them with serial=NUMBER')
  return found[0]!
}

/** What a file of text ends with is no part of the PIN. */
function withoutNewline(bytes: Uint8Array): Uint8Array {
  let end = bytes.length
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
  return bytes.subarray(0, end)
}

/**
 * A PIN that was refused once is never tried again by this process: a token locks itself after a few wrong ones, and a
 * broker that went on would lock everybody out.
 */
export interface Login {
  refused: Failure<KekCode> | null
}

async function login(module: Module, arena: Arena, session: number, setting: Pkcs11Setting): Promise<void> {
  const file = await readSecretFile(setting.pinFile)
  try {
    const pin = withoutNewline(file)
    if (pin.length === 0) throw refuse('kek/pkcs11-pin', `${setting.pinFile} holds no PIN`, 'write the PIN into it')
    await module.call('C_Login', session, CKU_USER, arena.put(pin), pin.length)
  } catch (error) {
    if (!(error instanceof CryptokiFailure) || error.rv !== CKR.USER_ALREADY_LOGGED_IN) throw error
  } finally {
    wipe(file)
  }
}

/**
 * A session with the token of the setting, the user logged in.
 *
 * write   to make a key
 * throws  kek/pkcs11-token, kek/pkcs11-pin, kek/pkcs11-session, kek/pkcs11-device, file/...
 */
export async function openSession(
  module: Module,
  arena: Arena,
  setting: Pkcs11Setting,
  state: Login,
  write: boolean,
): Promise<number> {
  if (state.refused !== null) throw state.refused
  const { slot, flags } = await findToken(module, arena, setting)
  if ((flags & CKF.USER_PIN_LOCKED) !== 0)
    throw refuse('kek/pkcs11-pin', 'the PIN of the token is locked', 'have its security officer set a new one')
  if ((flags & CKF.USER_PIN_FINAL_TRY) !== 0)
    throw refuse(
      'kek/pkcs11-pin',
      'one more wrong PIN locks the token, so none is tried',
      'log in once with the right PIN by other means: that sets the count back',
    )
  const handle = arena.take(8)
  const how = CKF.SERIAL_SESSION | (write ? CKF.RW_SESSION : 0)
  await module.call('C_OpenSession', slot, how, 0, 0, handle.address)
  const session = wordAt(handle.bytes)
  try {
    await login(module, arena, session, setting)
    return session
  } catch (error) {
    if (error instanceof CryptokiFailure && error.code === 'kek/pkcs11-pin') {
      const hint = `correct ${setting.pinFile} and start again; the PIN is not tried again until then`
      state.refused = new Failure<KekCode>('kek/pkcs11-pin', error.message, { cause: error, detail: { hint } })
    }
    await module.call('C_CloseSession', session).catch(() => undefined) // what failed first is what counts
    throw state.refused ?? error
  }
}

/** Whether an attribute's bytes are those of CK_TRUE or CK_FALSE. */
export function isFlag(bytes: Uint8Array | null, value: boolean): boolean {
  return bytes !== null && equal(bytes, Uint8Array.of(value ? 1 : 0))
}
