import type { Stats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Finding, finding } from '#cli/doctor/finding.js'

const filesMax = 10_000
const octal = (mode: number) => (mode & 0o777).toString(8).padStart(4, '0')

function findingOf(path: string, stats: Stats): Finding | null {
  const own = process.getuid?.() ?? 0
  if (stats.isSymbolicLink())
    return finding('files', 'fault', `${path} is a symbolic link`, `put the file itself there: cp --remove-destination`)
  if (stats.uid !== own && own !== 0)
    return finding('files', 'fault', `${path} belongs to user ${stats.uid}`, `chown ${own} ${path}`)
  if ((stats.mode & 0o077) === 0) return null
  const wanted = stats.isDirectory() ? '700' : '600'
  const message = `${path} has mode ${octal(stats.mode)}: others may read or change it`
  return finding('files', 'fault', message, `chmod ${wanted} ${path}`)
}

/**
 * Everything in the state folder is this user's alone: keys, the admin token, what the witness has seen. Databases are
 * looked at as folders: what lies in one that nobody else may enter is as closed as it is.
 */
export async function lookAtFiles(folder: string, databases: readonly string[]): Promise<readonly Finding[]> {
  const found: Finding[] = []
  const waiting = [folder]
  let count = 0
  for (let path = waiting.pop(); path !== undefined && count < filesMax; path = waiting.pop()) {
    count++
    const stats = await lstat(path)
    const one = findingOf(path, stats)
    if (one !== null) found.push(one)
    if (!stats.isDirectory() || databases.includes(path)) continue
    for (const name of await readdir(path)) waiting.push(join(path, name))
  }
  return found.length > 0 ? found : [finding('files', 'ok', `${count} files and folders are this user's alone`)]
}
