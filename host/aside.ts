import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { syncFolder } from '#host/files.js'
import { markUnfinished } from '#host/unfinished.js'

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** What processes that were killed left beside `place` is gone; what live ones are making stays. */
async function removeLeft(place: string, word: string): Promise<void> {
  const start = `${basename(place)}.${word}-`
  const names = await readdir(dirname(place)).catch(() => [])
  for (const name of names) {
    const pid = name.startsWith(start) ? /^([0-9]+)-[0-9a-f]{12}$/.exec(name.slice(start.length))?.[1] : undefined
    if (pid !== undefined && isGone(Number(pid)))
      await rm(join(dirname(place), name), { recursive: true, force: true }).catch(() => undefined)
  }
}

/** Where something is made. */
export interface Aside {
  readonly place: string
  /** says what the unfinished folder is, to whoever finds it */
  readonly word: string
  /** permissions of the folder */
  readonly mode: number
}

/**
 * `work` has a new folder beside `place`, `<place>.<word>-PID-…`, which is gone after: also after a failure or a signal, and what
 * a kill left is taken away by the next one.
 */
export async function withScratch<T>({ place, word, mode }: Aside, work: (folder: string) => Promise<T>): Promise<T> {
  const target = resolve(place) // a slash at the end would put the folder inside
  await removeLeft(target, word)
  const folder = `${target}.${word}-${process.pid}-${toHex(randomBytes(6))}`
  const finished = markUnfinished(folder)
  try {
    await mkdir(folder, { mode })
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
    finished()
  }
}

/**
 * What `work` makes stands at `place`, whole and under its name for good. Before, it goes on in a scratch folder beside it.
 *
 * returns  what `work` returned
 * throws   what `work` throws; EEXIST, ENOTEMPTY or ENOTDIR of the file system when something stands at `place` already
 */
export function makeAside<T>(aside: Aside, work: (folder: string) => Promise<T>): Promise<T> {
  return withScratch(aside, async (folder) => {
    const made = await work(folder)
    const target = resolve(aside.place)
    await rename(folder, target) // it takes the place of an empty folder, and of nothing else
    await syncFolder(dirname(target))
    return made
  })
}
