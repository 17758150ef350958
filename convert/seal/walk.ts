import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { SealCode } from '#convert/seal/failures.js'
import { parsePath } from '#core/encoding/path.js'
import { Failure } from '#core/failure.js'
import { filesPerModelMax } from '#core/limits.js'

/**
 * The plain files below a folder with their sizes, by path, sorted. Everything else is refused, symbolic links before
 * all: what they lead to may lie anywhere.
 *
 * throws  seal/file, seal/folder, seal/limit, path/form for a name with a second spelling
 */
export async function listFiles(folder: string): Promise<ReadonlyMap<string, number>> {
  const root = await lstat(folder).catch(() => null)
  if (root === null || !root.isDirectory()) throw new Failure<SealCode>('seal/folder', `${folder} is not a folder`)
  const found: [string, number][] = []
  const visit = async (below: string): Promise<void> => {
    for (const name of (await readdir(join(folder, below))).sort()) {
      const path = parsePath(below === '' ? name : `${below}/${name}`)
      const entry = await lstat(join(folder, path))
      if (entry.isDirectory()) await visit(path)
      else if (!entry.isFile()) {
        const kind = entry.isSymbolicLink() ? 'a symbolic link' : 'no plain file'
        throw new Failure<SealCode>('seal/file', `${path} is ${kind}`)
      } else if (found.push([path, entry.size]) > filesPerModelMax) {
        throw new Failure<SealCode>('seal/limit', `more than ${filesPerModelMax} files`)
      }
    }
  }
  await visit('')
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}
