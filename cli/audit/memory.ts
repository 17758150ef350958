import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stateFolder } from '#cli/places.js'
import { type AuditState, decodeState, encodeState } from '#client/audit/state.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { makeFolder, readBounded, writeFileDurably } from '#host/files.js'
import { type FolderLock, lockFile } from '#host/folder-lock.js'

/** Failures of what an auditor remembers on this machine. */
export type AuditMemoryCode = 'audit-state/unreadable' | 'audit-state/in-use'

const stateSizeMax = 1024 * MiB

/** Where this user remembers a log, by the address that it is read at. */
export const auditStatePath = (url: string): string =>
  join(stateFolder(), 'audit', `${toHex(sha256(utf8(url))).slice(0, 16)}.jsonl`)

/** What an auditor remembers of a log between its runs; nobody else audits with it until `close`. */
export interface AuditMemory {
  /** null of a log that was never read */
  read(): Promise<AuditState | null>
  /** The part of a reading that was stopped is forgotten: it is in here, or it was of no tree. */
  write(state: AuditState): Promise<void>
  /** where a reading was stopped; null where none was */
  readPart(): Promise<AuditState | null>
  writePart(state: AuditState): Promise<void>
  close(): void
}

/** @throws audit-state/in-use */
export async function openMemory(path: string): Promise<AuditMemory> {
  await makeFolder(dirname(path), 0o700)
  const lock = lockOf(path)
  const part = `${path}.part`
  const write = (at: string, state: AuditState) => writeFileDurably(at, encodeState(state), { mode: 0o600 })
  return {
    read: () => readState(path),
    async write(state) {
      await write(path, state)
      await rm(part, { force: true })
    },
    readPart: () => readState(part),
    writePart: (state) => write(part, state),
    close: () => lock.release(),
  }
}

async function readState(path: string): Promise<AuditState | null> {
  if (!existsSync(path)) return null
  try {
    return decodeState(await readBounded(path, stateSizeMax))
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    const hint = 'remove the file to read the whole log again: what was seen of it before is then forgotten'
    throw new Failure<AuditMemoryCode>('audit-state/unreadable', `${path} is no memory of an audit: ${cause.message}`, {
      cause,
      detail: { hint },
    })
  }
}

function lockOf(path: string): FolderLock {
  try {
    return lockFile(`${path}.lock`)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'lock/held') throw error
    throw new Failure<AuditMemoryCode>('audit-state/in-use', 'another audit of this log runs', {
      cause: error,
      detail: { hint: 'wait for it, or give this one a memory of its own with --state FILE' },
    })
  }
}
