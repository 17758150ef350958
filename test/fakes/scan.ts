import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** What must not be found, by a name that a failing test can print. The bytes are at least 16. */
export type Needles = Readonly<Record<string, Uint8Array>>

export interface Finding {
  /** `pid 12 [heap]`, or a path */
  readonly where: string
  /** the needle's name and its spelling: raw, hex, base64url */
  readonly needle: string
  readonly count: number
}

const windowSize = 8 * 1024 * 1024

function spellings(needles: Needles): readonly [string, Buffer][] {
  return Object.entries(needles).flatMap(([name, bytes]): [string, Buffer][] => {
    if (bytes.length < 16) throw new Error(`needle ${name} is too short to mean anything`)
    const raw = Buffer.from(bytes)
    return [
      [`${name} raw`, raw],
      [`${name} hex`, Buffer.from(raw.toString('hex'))],
      [`${name} base64url`, Buffer.from(raw.toString('base64url'))],
    ]
  })
}

/** Reads `size` bytes from `at` in overlapping windows, and counts. */
function countIn(
  fd: number,
  at: number,
  size: number,
  wanted: readonly [string, Buffer][],
  add: (name: string) => void,
) {
  const overlap = Math.max(...wanted.map(([, bytes]) => bytes.length)) - 1
  const buffer = Buffer.alloc(Math.min(windowSize, size) + overlap)
  let kept = 0
  for (let done = 0; done < size; ) {
    let read: number
    try {
      read = readSync(fd, buffer, kept, Math.min(windowSize, size - done), at + done)
    } catch (error) {
      // A region that the kernel does not read out (device memory, or unmapped meanwhile) holds nothing that we can judge.
      if (['EIO', 'EFAULT', 'ENXIO'].includes((error as NodeJS.ErrnoException).code ?? '')) return
      throw error
    }
    if (read === 0) return
    const window = buffer.subarray(0, kept + read)
    for (const [name, bytes] of wanted) {
      for (let hit = window.indexOf(bytes); hit !== -1; hit = window.indexOf(bytes, hit + 1)) {
        // One that lies wholly in the kept part was counted in the window before.
        if (hit + bytes.length > kept) add(name)
      }
    }
    done += read
    kept = Math.min(overlap, window.length)
    window.copyWithin(0, window.length - kept)
  }
}

interface Region {
  readonly at: number
  readonly size: number
  readonly name: string
}

function regionsOf(pid: number): readonly Region[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const found = /^([0-9a-f]+)-([0-9a-f]+) (r\S+) \S+ \S+ \S+\s*(.*)$/.exec(line)
      if (!found) return []
      const [, from = '', to = '', , name = ''] = found
      if (name === '[vsyscall]' || name === '[vvar]') return []
      const at = Number.parseInt(from, 16)
      return [{ at, size: Number.parseInt(to, 16) - at, name: name || 'anonymous' }]
    })
}

/**
 * Every place in the memory of these processes where a needle stands: raw, in hex, in base64url. An empty list means that all
 * readable memory was read and none was found.
 *
 * throws  when a process is gone or its memory may not be opened: what was not read proves nothing
 */
export function scanMemory(pids: readonly number[], needles: Needles): readonly Finding[] {
  const wanted = spellings(needles)
  return pids.flatMap((pid) => {
    const counts = new Map<string, number>()
    const fd = openSync(`/proc/${pid}/mem`, 'r')
    try {
      for (const { at, size, name } of regionsOf(pid)) {
        countIn(fd, at, size, wanted, (needle) => {
          const key = `${needle}\0pid ${pid} ${name}`
          counts.set(key, (counts.get(key) ?? 0) + 1)
        })
      }
    } finally {
      closeSync(fd)
    }
    return [...counts].map(([key, count]) => ({ needle: key.split('\0')[0]!, where: key.split('\0')[1]!, count }))
  })
}

function filesBelow(path: string): readonly string[] {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return []
  if (stat.isDirectory()) return readdirSync(path).flatMap((name) => filesBelow(join(path, name)))
  return stat.isFile() ? [path] : []
}

/** The same for files: folders are searched whole. */
export function scanFiles(paths: readonly string[], needles: Needles): readonly Finding[] {
  const wanted = spellings(needles)
  return paths.flatMap(filesBelow).flatMap((path) => {
    const counts = new Map<string, number>()
    const fd = openSync(path, 'r')
    try {
      countIn(fd, 0, statSync(path).size, wanted, (needle) => counts.set(needle, (counts.get(needle) ?? 0) + 1))
    } finally {
      closeSync(fd)
    }
    return [...counts].map(([needle, count]) => ({ needle, where: path, count }))
  })
}

/** The files behind the descriptors of a process that have no name any more (unlinked, or memory): `fd path`. */
export function namelessFilesOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`)
      return target.includes('(deleted)') || target.startsWith('/memfd:') ? [`${fd} ${target}`] : []
    } catch {
      return [] // closed meanwhile
    }
  })
}
