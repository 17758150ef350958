import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { readInput } from '#cli/input.js'
import { stateFolder } from '#cli/places.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { integer, object, record, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import {
  type TrustFile,
  type TrustMemory,
  trustFileShape,
  type VerifiedTrust,
  verifyTrustFile,
} from '#core/wire/trust-file.js'
import { makeFolder, writeFileDurably } from '#host/files.js'
import { lockFileSoon } from '#host/folder-lock.js'

/** Failures of the reader's own trust file on this machine. */
export type TrustStoreCode = 'trust-file/unreadable'

const memoryShape = record(object({ author: string(), version: integer(), digest: string() }))

/** Where this user remembers the newest version of each trust file used: protection against an older one. */
export function trustMemoryPath(): string {
  return join(stateFolder(), 'trust-memory.json')
}

async function readMemory(path: string): Promise<Memory> {
  try {
    return memoryShape(parseJson(await readFile(path)), 'trust memory')
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return {}
    throw error
  }
}

/** The trust file at `path`, unverified. @throws trust-file/unreadable, json/..., shape/... */
export async function readTrustFile(path: string): Promise<TrustFile> {
  let bytes: Uint8Array
  try {
    bytes = await readInput(path, 'trust file')
  } catch (cause) {
    if (isFailure(cause) && cause.code === 'input/size') throw cause
    throw new Failure<TrustStoreCode>('trust-file/unreadable', `cannot read trust file ${path}`, {
      cause,
      detail: { hint: 'make one with: ./claviger init --broker URL --owner KEYS --out trust.json' },
    })
  }
  try {
    return trustFileShape(parseJson(bytes), 'trust file')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure(cause.code, `${path} is no trust file: ${cause.message}`, { cause })
  }
}

type Memory = Readonly<Record<string, TrustMemory>>

/** The trust file as this memory knows its line of versions. @throws what verifyTrustFile throws */
async function verifyRemembered(file: TrustFile, memory: Memory, at: UnixSeconds, memoryPath: string) {
  const { name } = (await verifyTrustFile(file, null, at)).trust
  const known = Object.hasOwn(memory, name) ? memory[name]! : null
  const verified = await verifyTrustFile(file, known, at).catch((error: unknown) => {
    if (!isFailure(error)) throw error
    const hint = `if you replaced this trust file on purpose, remove its line from ${memoryPath}`
    throw new Failure(error.code, error.message, { cause: error, detail: { hint } })
  })
  return { name, verified, isNew: known?.digest !== verified.digest }
}

const lockWaitMs = 20_000

/**
 * The anchors in the trust file at `path`, current and not older than the one this user used before; remembers it.
 *
 * throws  trust-file/unreadable, lock/held, and what verifyTrustFile throws
 */
export async function loadTrust(path: string, at: UnixSeconds, memoryPath = trustMemoryPath()): Promise<VerifiedTrust> {
  const file = await readTrustFile(path)
  const found = await verifyRemembered(file, await readMemory(memoryPath), at, memoryPath)
  if (!found.isNew) return found.verified
  await makeFolder(dirname(memoryPath), 0o700)
  // Invariant: what is remembered is read and written under one lock: of two commands at once, neither takes away what the
  // other has just remembered, nor puts an older version in its place.
  const lock = await lockFileSoon(`${memoryPath}.lock`, lockWaitMs)
  try {
    const memory = await readMemory(memoryPath)
    const { name, verified } = await verifyRemembered(file, memory, at, memoryPath)
    const entry = { author: verified.author, version: verified.trust.version, digest: verified.digest }
    await writeFileDurably(memoryPath, canonicalJson({ ...memory, [name]: entry }))
    return verified
  } finally {
    lock.release()
  }
}
