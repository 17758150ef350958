import { realpath, stat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import koffi, { type LibraryHandle } from 'koffi'
import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import { CKF, CKR, CryptokiFailure } from '#keybroker/kek/pkcs11/cryptoki.js'

/*
 * The C interface of a PKCS #11 module: its table of functions, and memory that both sides see. On Linux of 64 bits a
 * CK_ULONG has eight bytes and no structure is packed, so every structure here is a row of little-endian 64-bit words.
 * source  OASIS PKCS #11 Base Specification 2.40, "Platform- and compiler-dependent directives", "pkcs11f.h"
 */

const wordSize = 8
/** Places in CK_FUNCTION_LIST, and what each is called with: `n` a word or an address, `b` a CK_BBOOL. */
const functions = {
  C_Initialize: [0, 'n'],
  C_GetSlotList: [4, 'bnn'],
  C_GetTokenInfo: [6, 'nn'],
  C_OpenSession: [12, 'nnnnn'],
  C_CloseSession: [13, 'n'],
  C_Login: [18, 'nnnn'],
  C_GetAttributeValue: [24, 'nnnn'],
  C_FindObjectsInit: [26, 'nnn'],
  C_FindObjects: [27, 'nnnn'],
  C_FindObjectsFinal: [28, 'n'],
  C_EncryptInit: [29, 'nnn'],
  C_Encrypt: [30, 'nnnnn'],
  C_DecryptInit: [33, 'nnn'],
  C_Decrypt: [34, 'nnnnn'],
  C_GenerateKey: [58, 'nnnnn'],
} as const
type FunctionName = keyof typeof functions
const tableSize = wordSize * (1 + 68)

/** Memory outside every heap, that does not move while a native call has its address. Zeroed when it is given back. */
export class Arena {
  readonly #base: bigint
  readonly #bytes: Uint8Array
  #used = 0

  constructor(size: number) {
    // koffi.alloc gives memory of malloc; it belongs to this arena until the process ends, so that no view can dangle.
    this.#base = BigInt(koffi.alloc('uint8_t', size) as number | bigint)
    this.#bytes = new Uint8Array(koffi.view(this.#base, size))
    this.#bytes.fill(0)
  }

  /** `size` zero bytes at an address that a structure may hold. */
  take(size: number): { readonly address: bigint; readonly bytes: Uint8Array } {
    const at = this.#used
    const room = Math.ceil(Math.max(size, 1) / wordSize) * wordSize
    if (at + room > this.#bytes.length) throw new Error('assertion failed: what a call needs fits its memory')
    this.#used += room
    return { address: this.#base + BigInt(at), bytes: this.#bytes.subarray(at, at + size) }
  }

  put(bytes: Uint8Array): bigint {
    const { address, bytes: place } = this.take(bytes.length)
    place.set(bytes)
    return address
  }

  /** A structure of words; addresses are words. */
  putWords(...words: readonly (number | bigint)[]): bigint {
    const { address, bytes } = this.take(words.length * wordSize)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (const [i, word] of words.entries()) view.setBigUint64(i * wordSize, BigInt(word), true)
    return address
  }

  /** Whatever the last calls put there is zeroes again. */
  clear(): void {
    this.#bytes.fill(0, 0, this.#used)
    this.#used = 0
  }
}

/** Word `i` of what a module wrote. */
export function wordAt(bytes: Uint8Array, i = 0): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(i * wordSize, true))
}

/** A module that is loaded and initialised. */
export interface Module {
  /** Calls a function on a thread of its own; the event loop goes on. @throws kek/pkcs11-... unless it returns CKR_OK */
  call(name: FunctionName, ...args: readonly (number | bigint)[]): Promise<void>
}

/** The library is the operator's, and nobody else may put another in its place: it runs in this process. */
async function verifyLibrary(path: string): Promise<string> {
  const refuse = (message: string, hint: string) =>
    new Failure<KekCode>('kek/pkcs11-module', message, { detail: { hint } })
  if (!isAbsolute(path)) throw refuse(`module-path ${path} is not absolute`, 'write it from the root: /usr/lib/…')
  let file: string
  try {
    file = await realpath(path)
  } catch (cause) {
    const hint = 'install the module of your token, or correct module-path'
    throw new Failure<KekCode>('kek/pkcs11-module', `there is no PKCS #11 module ${path}`, { cause, detail: { hint } })
  }
  const { mode, uid } = await stat(file)
  if ((mode & 0o022) !== 0) throw refuse(`${file} may be written by others than its owner`, `chmod go-w ${file}`)
  const own = process.getuid?.() ?? 0
  if (uid !== 0 && uid !== own) throw refuse(`${file} belongs to another user (${uid})`, `chown root ${file}`)
  return file
}

type Native = (...args: readonly unknown[]) => unknown

/**
 * Libraries that were loaded. Invariant: none is ever unloaded. koffi closes a library when its handle is collected, and knows
 * nothing of the addresses that C_GetFunctionList gave out: the next call would jump to where the library was.
 */
const loaded = new Map<string, LibraryHandle>()

function load(path: string): LibraryHandle {
  const library = loaded.get(path) ?? koffi.load(path)
  loaded.set(path, library)
  return library
}

function loadTable(path: string): ReadonlyMap<FunctionName, Native> {
  const failed = (message: string, cause?: unknown) => {
    const hint = 'module-path must name a PKCS #11 module of version 2.40 or 3 for this machine'
    return new Failure<KekCode>('kek/pkcs11-module', `${path}: ${message}`, { cause, detail: { hint } })
  }
  let getFunctionList: Native
  try {
    getFunctionList = load(path).func('uint64_t C_GetFunctionList(uintptr_t)')
  } catch (cause) {
    throw failed('it is no PKCS #11 module, or does not load', cause)
  }
  const out = new Arena(wordSize)
  const place = out.take(wordSize)
  const rv = Number(getFunctionList(place.address))
  const address = new DataView(place.bytes.buffer, place.bytes.byteOffset).getBigUint64(0, true)
  if (rv !== CKR.OK || address === 0n) throw failed('C_GetFunctionList gives no functions')
  const table = new Uint8Array(koffi.view(address, tableSize))
  // The version, two bytes, stands in a word of its own; the functions of version 3 have a list beside this one.
  if (table[0] !== 2 && table[0] !== 3) throw failed(`version ${table[0]}.${table[1]} is not known here`)
  const view = new DataView(table.buffer, table.byteOffset)
  return new Map(
    Object.entries(functions).map(([name, [at, args]]) => {
      const entry = view.getBigUint64((1 + at) * wordSize, true)
      if (entry === 0n) throw failed(`it has no ${name}`)
      const types = [...args].map((one) => (one === 'b' ? 'uint8_t' : 'uint64_t'))
      return [name as FunctionName, koffi.decode(entry, koffi.proto('uint64_t', types)) as Native]
    }),
  )
}

type Asynchronous = Native & { async(...args: readonly unknown[]): void }

/**
 * The module at `path`, initialised with locks of the operating system. It stays so until the process ends: others of this
 * process may use it too, and C_Finalize would take it from them.
 *
 * throws  kek/pkcs11-module, kek/pkcs11-failed
 */
export async function loadModule(path: string): Promise<Module> {
  const table = loadTable(await verifyLibrary(path))
  const invoke = (name: FunctionName, args: readonly (number | bigint)[]) =>
    new Promise<number>((resolve, reject) => {
      const done = (error: unknown, rv: unknown) => (error ? reject(error) : resolve(Number(rv)))
      ;(table.get(name) as Asynchronous).async(...args, done)
    })
  return {
    async call(name, ...args) {
      const rv = await invoke(name, args)
      if (rv !== CKR.OK) throw new CryptokiFailure(name, rv)
    },
  }
}

/** CK_C_INITIALIZE_ARGS: no mutexes of ours, those of the operating system. Once for each process, whoever was first. */
export async function initialize(module: Module, arena: Arena): Promise<void> {
  try {
    await module.call('C_Initialize', arena.putWords(0, 0, 0, 0, CKF.OS_LOCKING_OK, 0))
  } catch (error) {
    if (!(error instanceof CryptokiFailure) || error.rv !== CKR.CRYPTOKI_ALREADY_INITIALIZED) throw error
  }
}
