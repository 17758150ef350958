import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import koffi, { type LibraryHandle } from 'koffi'
import { CKA, CKK_AES, CKM_AES_KEY_GEN, CKO_SECRET_KEY } from '#keybroker/kek/pkcs11/cryptoki.js'
import { Arena, initialize, loadModule, wordAt } from '#keybroker/kek/pkcs11/module.js'
import { openSession } from '#keybroker/kek/pkcs11/token.js'
import type { Pkcs11Setting } from '#keybroker/kek/setting.js'

/** SoftHSM2 with tokens of its own, in a folder of its own. NOT HARDWARE. */
export interface SoftHsm {
  readonly folder: string
  readonly modulePath: string
  readonly pinFile: string
  /** a new token, whose PIN the file holds */
  addToken(label: string): void
  setting(token: string, object: string): Pkcs11Setting
  /** a key that `keybroker kek create` would not make: the attributes are put over those of an ordinary one */
  makeKey(setting: Pkcs11Setting, attributes: Readonly<Record<number, Uint8Array>>): Promise<void>
  destroyKey(setting: Pkcs11Setting): Promise<void>
  /** what another part of the process may do to every session: close them, or the library */
  closeSessions(setting: Pkcs11Setting): Promise<void>
  finalize(): void
  remove(): void
}

export const pin = '8642-1357'

const word = (value: number) => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}
const yes = Uint8Array.of(1)
const no = Uint8Array.of(0)

function templateOf(arena: Arena, attributes: Readonly<Record<number, Uint8Array>>) {
  const entries = Object.entries(attributes)
  const words = entries.flatMap(([type, value]) => [Number(type), arena.put(value), value.length])
  return { address: arena.putWords(...words), count: entries.length }
}

/** Call it before anything of this process loads the module. */
export function startSoftHsm(modulePath: string): SoftHsm {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-softhsm-'))
  const conf = join(folder, 'softhsm2.conf')
  mkdirSync(join(folder, 'tokens'))
  writeFileSync(
    conf,
    `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  )
  process.env.SOFTHSM2_CONF = conf
  const pinFile = join(folder, 'pin')
  writeFileSync(pinFile, `${pin}\n`, { mode: 0o600 })
  // Loaded when it is needed: a handle here would keep the library loaded for the code under test, too.
  let handle: LibraryHandle | null = null
  const raw = () => (handle ??= koffi.load(modulePath))

  async function inSession(setting: Pkcs11Setting, work: (arena: Arena, handle: number) => Promise<void>) {
    const module = await loadModule(modulePath)
    const arena = new Arena(8192)
    await initialize(module, arena)
    const handle = await openSession(module, arena, setting, { refused: null }, true)
    await work(arena, handle)
    await module.call('C_CloseSession', handle)
  }
  return {
    folder,
    modulePath,
    pinFile,
    addToken(label) {
      const args = ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', '1357-8642']
      execFileSync('softhsm2-util', args, { env: { ...process.env, SOFTHSM2_CONF: conf }, stdio: 'pipe' })
    },
    setting: (token, object) => ({
      provider: 'pkcs11',
      modulePath,
      token: { label: token, serial: null },
      object: { label: object, id: null },
      pinFile,
    }),
    makeKey: (setting, attributes) =>
      inSession(setting, async (arena, handle) => {
        const module = await loadModule(modulePath)
        const { address, count } = templateOf(arena, {
          [CKA.CLASS]: word(CKO_SECRET_KEY),
          [CKA.KEY_TYPE]: word(CKK_AES),
          [CKA.VALUE_LEN]: word(32),
          [CKA.TOKEN]: yes,
          [CKA.SENSITIVE]: yes,
          [CKA.EXTRACTABLE]: no,
          [CKA.ENCRYPT]: yes,
          [CKA.DECRYPT]: yes,
          [CKA.LABEL]: new TextEncoder().encode(setting.object.label ?? ''),
          ...attributes,
        })
        const made = arena.take(8)
        const mechanism = arena.putWords(CKM_AES_KEY_GEN, 0, 0)
        await module.call('C_GenerateKey', handle, mechanism, address, count, made.address)
      }),
    destroyKey: (setting) =>
      inSession(setting, async (arena, handle) => {
        const module = await loadModule(modulePath)
        const { address, count } = templateOf(arena, {
          [CKA.LABEL]: new TextEncoder().encode(setting.object.label ?? ''),
        })
        await module.call('C_FindObjectsInit', handle, address, count)
        const found = arena.take(8)
        const many = arena.take(8)
        await module.call('C_FindObjects', handle, found.address, 1, many.address)
        await module.call('C_FindObjectsFinal', handle)
        if (wordAt(many.bytes) !== 1) throw new Error('there is no such key')
        raw().func('uint64_t C_DestroyObject(uint64_t, uint64_t)')(handle, wordAt(found.bytes))
      }),
    async closeSessions(setting) {
      await inSession(setting, async (arena, handle) => {
        const info = arena.take(32)
        raw().func('uint64_t C_GetSessionInfo(uint64_t, uintptr_t)')(handle, info.address)
        raw().func('uint64_t C_CloseAllSessions(uint64_t)')(wordAt(info.bytes))
      }).catch(() => undefined) // its own session is closed as well
    },
    finalize: () => void raw().func('uint64_t C_Finalize(uintptr_t)')(0),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
