import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stateFolder } from '#cli/places.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { integer, object, record, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type TrustFile, trustFileShape, type VerifiedTrust, verifyTrustFile } from '#core/wire/trust-file.js'
import { writeFileDurably } from '#host/files.js'

/** Failures of the reader's own trust file on this machine. */
export type TrustStoreCode = 'trust-file/unreadable'

const memoryShape = record(object({ author: string(), version: integer(), digest: string() }))

/** Where this user remembers the newest version of each trust file used: protection against an older one. */
export function trustMemoryPath(): string {
  return join(stateFolder(), 'trust-memory.json')
}

async function readMemory(path: string) {
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
    bytes = await readFile(path)
  } catch (cause) {
    throw new Failure<TrustStoreCode>('trust-file/unreadable', `cannot read trust file ${path}`, {
      cause,
      detail: { hint: 'make one with: ./claviger init --broker URL --owner KEYS --out trust.json' },
    })
  }
  return trustFileShape(parseJson(bytes), 'trust file')
}

/**
 * The anchors in the trust file at `path`, current and not older than the one this user used before; remembers it.
 *
 * throws  trust-file/unreadable, and what verifyTrustFile throws
 */
export async function loadTrust(path: string, at: UnixSeconds, memoryPath = trustMemoryPath()): Promise<VerifiedTrust> {
  const file = await readTrustFile(path)
  const memory = await readMemory(memoryPath)
  const unverified = await verifyTrustFile(file, null, at)
  const { name } = unverified.trust
  const known = Object.hasOwn(memory, name) ? memory[name]! : null
  const verified = await verifyTrustFile(file, known, at).catch((error: unknown) => {
    if (!isFailure(error)) throw error
    const hint = `if you replaced this trust file on purpose, remove its line from ${memoryPath}`
    throw new Failure(error.code, error.message, { cause: error, detail: { hint } })
  })
  const entry = { author: verified.author, version: verified.trust.version, digest: verified.digest }
  if (known?.digest !== entry.digest) {
    await mkdir(dirname(memoryPath), { recursive: true, mode: 0o700 })
    await writeFileDurably(memoryPath, canonicalJson({ ...memory, [name]: entry }))
  }
  return verified
}
