import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Finder } from '#test/fakes/finder.js'

/** What must not be found, by a name that a failing test can print. The bytes are at least 16. */
export type Needles = Readonly<Record<string, Uint8Array>>

export interface Finding {
  /** `pid 12 [heap]`, or a path */
  readonly where: string
  /** the needle's name and its spelling: raw, hex, HEX, base64, base64url */
  readonly needle: string
  readonly count: number
}

const windowSize = 8 * 1024 * 1024
const pageSize = 4096

/**
 * Base64 of a needle that may stand anywhere in what was encoded: in each of the three places that its first byte can have
 * within a group, the whole groups. Padding follows them, or does not.
 */
function base64Of(bytes: Buffer, alphabet: 'base64' | 'base64url'): readonly string[] {
  return [0, 1, 2].map((from) => {
    const size = Math.floor((bytes.length - from) / 3) * 3
    return bytes.subarray(from, from + size).toString(alphabet)
  })
}

interface Wanted {
  readonly names: readonly string[]
  readonly finder: Finder
}

function spellings(needles: Needles): Wanted {
  const all = Object.entries(needles).flatMap(([name, bytes]): [string, Buffer][] => {
    if (bytes.length < 16) throw new Error(`needle ${name} is too short to mean anything`)
    const raw = Buffer.from(bytes)
    const hex = raw.toString('hex')
    const plain = base64Of(raw, 'base64')
    // Without a character that the alphabets differ in, one spelling is both.
    const url = base64Of(raw, 'base64url').filter((text) => !plain.includes(text))
    return [
      [`${name} raw`, raw],
      [`${name} hex`, Buffer.from(hex)],
      [`${name} HEX`, Buffer.from(hex.toUpperCase())],
      ...plain.map((text): [string, Buffer] => [`${name} base64`, Buffer.from(text)]),
      ...url.map((text): [string, Buffer] => [`${name} base64url`, Buffer.from(text)]),
    ]
  })
  return { names: all.map(([name]) => name), finder: new Finder(all.map(([, bytes]) => bytes)) }
}

interface Range {
  readonly at: number
  readonly size: number
}

/** Reads a range in overlapping windows, and counts. */
function countIn(fd: number, { at, size }: Range, wanted: Wanted, add: (name: string) => void) {
  const overlap = wanted.finder.lengthMax - 1
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
    wanted.finder.find(window, (pattern, end) => {
      // One that lies wholly in the kept part was counted in the window before.
      if (end > kept) add(wanted.names[pattern]!)
    })
    done += read
    kept = Math.min(overlap, window.length)
    window.copyWithin(0, window.length - kept)
  }
}

interface Region extends Range {
  readonly name: string
  readonly readable: boolean
}

function regionsOf(pid: number): readonly Region[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const found = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$/.exec(line)
      if (!found) return []
      const [, from = '', to = '', rights = '', name = ''] = found
      if (name === '[vsyscall]' || name.startsWith('[vvar')) return []
      const at = Number.parseInt(from, 16)
      const size = Number.parseInt(to, 16) - at
      return [{ at, size, name: name || 'anonymous', readable: rights.startsWith('r') }]
    })
}

/**
 * The parts of memory that no file stands behind in which there is something: pages that are present, or swapped out. Also
 * where the process itself may not read any more.
 *
 * source  proc(5), "/proc/pid/pagemap": bit 63 present, bit 62 swapped
 */
function touched(pagemap: number, { at, size }: Region): readonly Range[] {
  const ranges: { at: number; size: number }[] = []
  const pages = size / pageSize
  const entries = Buffer.alloc(Math.min(pages, 1 << 17) * 8)
  for (let page = 0; page < pages; ) {
    const read = readSync(pagemap, entries, 0, Math.min(entries.length, (pages - page) * 8), (at / pageSize + page) * 8)
    if (read === 0) return ranges
    for (let i = 0; i < read / 8; i++) {
      if ((entries[i * 8 + 7]! & 0xc0) === 0) continue
      const here = at + (page + i) * pageSize
      const last = ranges.at(-1)
      if (last !== undefined && last.at + last.size === here) last.size += pageSize
      else ranges.push({ at: here, size: pageSize })
    }
    page += read / 8
  }
  return ranges
}

/**
 * Every place in the memory of these processes where a needle stands, in any spelling. An empty list means that all memory
 * in which there was something was read, and none was found.
 *
 * throws  when a process is gone or its memory may not be opened: what was not read proves nothing
 */
export function scanMemory(pids: readonly number[], needles: Needles): readonly Finding[] {
  const wanted = spellings(needles)
  return pids.flatMap((pid) => {
    const counts = new Map<string, number>()
    const memory = openSync(`/proc/${pid}/mem`, 'r')
    const pagemap = openSync(`/proc/${pid}/pagemap`, 'r')
    try {
      for (const region of regionsOf(pid)) {
        const hasFile = region.name.startsWith('/')
        if (hasFile && !region.readable) continue
        for (const range of hasFile ? [region] : touched(pagemap, region)) {
          countIn(memory, range, wanted, (needle) => {
            const key = `${needle}\0pid ${pid} ${region.name}`
            counts.set(key, (counts.get(key) ?? 0) + 1)
          })
        }
      }
    } finally {
      closeSync(memory)
      closeSync(pagemap)
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
      countIn(fd, { at: 0, size: statSync(path).size }, wanted, (needle) => {
        counts.set(needle, (counts.get(needle) ?? 0) + 1)
      })
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
