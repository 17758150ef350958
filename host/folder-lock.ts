import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Failure, isFailure } from '#core/failure.js'
import type { DatabaseCode } from '#host/database-failures.js'
import { markUnfinished } from '#host/unfinished.js'

/** Failures of taking a lock. */
export type LockCode =
  /** another live process has it; `detail.pid` names it where it is known */
  'lock/held'

export interface FolderLock {
  release(): void
}

interface Holder {
  readonly pid: number
  /** when the process began, in clock ticks since boot: a pid alone is used again */
  readonly started: string
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined when there is no such process or no /proc. */
function startedOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // EPERM: somebody else's process, alive.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const started = startedOf(holder.pid)
  return started === undefined || holder.started === '' || started === holder.started
}

function holderOf(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>
    if (Number.isInteger(value.pid) && typeof value.started === 'string')
      return { pid: value.pid!, started: value.started }
  } catch {
    // Not a lock of ours; nobody can be named as its holder.
  }
  return undefined
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * The lock at `path` is this process's until `release`: that of a dead process is taken over, a live one refuses.
 *
 * The lock file appears whole, by linking a finished file to its name, so that no reader sees half of it.
 * throws  lock/held
 */
export function lockFile(path: string): FolderLock {
  const mine = `${path}.${process.pid}.${process.hrtime.bigint()}`
  const text = `${JSON.stringify({ pid: process.pid, started: startedOf(process.pid) ?? '' })}\n`
  writeFileSync(mine, text, { mode: 0o600, flag: 'wx', flush: true })
  try {
    for (let tries = 0; tries < 10; tries++) {
      try {
        linkSync(mine, path)
        const released = markUnfinished(path)
        return {
          release() {
            released()
            rmSync(path, { force: true })
          },
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      clearDead(path, mine)
    }
    throw new Failure<LockCode>('lock/held', `another process keeps taking the lock ${path}`, { detail: { path } })
  } finally {
    rmSync(mine, { force: true })
  }
}

/** The same, after others have had it for `waitMs` at the most; `onWait` is told once when they have. @throws lock/held */
export async function lockFileSoon(path: string, waitMs: number, onWait?: () => void): Promise<FolderLock> {
  const until = performance.now() + waitMs
  for (let tries = 0; ; tries++) {
    try {
      return lockFile(path)
    } catch (error) {
      if (!isFailure(error) || error.code !== 'lock/held' || performance.now() >= until) throw error
    }
    if (tries === 0) onWait?.()
    await pause(Math.min(10 + tries * 2, 500) + Math.random() * 20)
  }
}

/** The folder of a database is this process's until `release`. @throws database/locked */
export function lockFolder(folder: string): FolderLock {
  try {
    return lockFile(join(folder, 'lock'))
  } catch (error) {
    if (!isFailure(error) || error.code !== 'lock/held') throw error
    const pid = error.detail?.pid
    const who = typeof pid === 'number' ? `process ${pid}` : 'another process'
    const advice = 'stop it, or use a folder of your own; several processes need Postgres'
    throw new Failure<DatabaseCode>(
      'database/locked',
      `${who} has the database open (${join(folder, 'lock')}); ${advice}`,
      {
        detail: error.detail ?? {},
      },
    )
  }
}

/** Removes the lock if its holder is dead. @throws lock/held */
function clearDead(path: string, mine: string): void {
  const found = read(path)
  if (found === undefined) return
  const holder = holderOf(found)
  if (holder === undefined || isAlive(holder)) {
    const who = holder === undefined ? 'an unknown process' : `process ${holder.pid}`
    throw new Failure<LockCode>('lock/held', `${who} has the lock ${path}`, {
      detail: { path, pid: holder?.pid ?? null },
    })
  }
  // Two may find the same dead lock. What is moved away is looked at again: a rival's fresh lock is put back.
  const aside = `${mine}.dead`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (read(aside) !== found) {
    try {
      linkSync(aside, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
  rmSync(aside, { force: true })
}
