import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fromHex, toHex } from '#core/bytes/bytes.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { hex, integer, object, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { emptyRoot } from '#core/tlog/merkle.js'
import { encodeVkey, makeNoteSigner, type NoteSigner } from '#core/tlog/vkey.js'
import { makeFolder, writeFileDurably } from '#host/files.js'
import { type FolderLock, lockFolder } from '#host/folder-lock.js'
import { createSigningKeyFile, loadSigningKeyFile } from '#host/signing-key-file.js'
import type { SeenTree } from '#transparency/witness/rule.js'
import type { WitnessStore } from '#transparency/witness/witness.js'

/** Failures of a witness's own state. */
export type WitnessCode =
  /** no witness, or no record of this log, was created here: a lost record is not an empty one */
  | 'witness/absent'
  | 'witness/exists'
  /** a file of the state does not hold what it should */
  | 'witness/state'

const nameFile = 'witness.json'
const keyFile = 'witness.key'
const fileSizeMax = 4096

const nameShape = object({ name: string() })
const seenShape = object({ origin: string(), size: integer(), root_hash: hex(32) })

/** The file of a log: origins may hold any character, names of files may not. */
function seenPath(folder: string, origin: string): string {
  return join(folder, 'logs', `${createHash('sha256').update(origin).digest('hex')}.json`)
}

async function readState(path: string, what: string): Promise<Uint8Array> {
  try {
    if ((await stat(path)).size > fileSizeMax) throw new Failure<WitnessCode>('witness/state', `${path} is too large`)
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new Failure<WitnessCode>('witness/absent', `${what} was not created in this folder (${path})`)
  }
}

async function readSeen(folder: string, origin: string): Promise<SeenTree> {
  const path = seenPath(folder, origin)
  const bytes = await readState(path, `a record of log ${origin}`)
  try {
    const seen = seenShape(parseJson(bytes), '')
    if (seen.origin === origin) return { size: seen.size, rootHash: fromHex(seen.root_hash, 32) }
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<WitnessCode>('witness/state', `${path} is damaged`, { cause })
  }
  throw new Failure<WitnessCode>('witness/state', `${path} is the record of another log`)
}

function writeSeen(folder: string, origin: string, seen: SeenTree): Promise<void> {
  const value = { origin, size: seen.size, root_hash: toHex(seen.rootHash) }
  return writeFileDurably(seenPath(folder, origin), canonicalJson(value), { mode: 0o600 })
}

function signerOf(name: string, key: SigningKey): NoteSigner {
  return makeNoteSigner(name, 'cosigner', key)
}

/** A new witness with a new key is in the folder; returns its verifier key. @throws witness/exists, tlog/vkey */
export async function createWitness(folder: string, name: string): Promise<string> {
  await makeFolder(join(folder, 'logs'), 0o700)
  if (existsSync(join(folder, keyFile)) || existsSync(join(folder, nameFile))) {
    throw new Failure<WitnessCode>('witness/exists', `${folder} holds a witness already`)
  }
  const key = await createSigningKeyFile(join(folder, keyFile))
  const signer = signerOf(name, key)
  await writeFileDurably(join(folder, nameFile), canonicalJson({ name }), { mode: 0o600 })
  return encodeVkey(signer.verifier)
}

/** A log is one that this witness starts to cosign, from the empty tree on. @throws witness/absent, witness/exists */
export async function addLog(folder: string, origin: string): Promise<void> {
  await readState(join(folder, nameFile), 'a witness')
  const lock = lockFolder(folder)
  try {
    if (existsSync(seenPath(folder, origin))) {
      throw new Failure<WitnessCode>('witness/exists', `log ${origin} is known here already`)
    }
    await writeSeen(folder, origin, { size: 0, rootHash: emptyRoot })
  } finally {
    lock.release()
  }
}

/** A witness's folder, open for this process alone. */
export interface WitnessState {
  readonly signer: NoteSigner
  readonly store: WitnessStore
  close(): void
}

/**
 * The witness of a folder. A record for each of `origins` is there.
 *
 * throws  witness/absent, witness/state, database/locked when another process has the folder, file/..., crypto/key
 */
export async function openWitness(folder: string, origins: readonly string[]): Promise<WitnessState> {
  const bytes = await readState(join(folder, nameFile), 'a witness')
  let lock: FolderLock | undefined
  try {
    lock = lockFolder(folder)
    const { name } = nameShape(parseJson(bytes), '')
    const signer = signerOf(name, await loadSigningKeyFile(join(folder, keyFile)))
    for (const origin of origins) await readSeen(folder, origin)
    const held = lock
    return {
      signer,
      store: { seen: (origin) => readSeen(folder, origin), record: (origin, seen) => writeSeen(folder, origin, seen) },
      close: () => held.release(),
    }
  } catch (error) {
    lock?.release()
    throw error
  }
}
