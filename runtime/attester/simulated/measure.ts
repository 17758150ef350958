import { lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha384 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'

/** Failures of measuring a built runtime. */
export type MeasureCode = 'attester/measure'

const filesMax = 20_000
/** What runs in a node: nothing else of the build is measured. */
const measuredFolders = ['core', 'runtime']

async function filesBelow(root: string, folder: string, out: string[]): Promise<void> {
  let names: string[]
  try {
    names = await readdir(join(root, folder))
  } catch (cause) {
    throw new Failure<MeasureCode>('attester/measure', `folder ${folder} of the built runtime cannot be read`, {
      cause,
    })
  }
  for (const name of names) {
    const path = `${folder}/${name}`
    const found = await lstat(join(root, path))
    if (found.isDirectory()) await filesBelow(root, path, out)
    else if (found.isFile()) out.push(path)
    else throw new Failure<MeasureCode>('attester/measure', `${path} is neither file nor folder`)
    if (out.length > filesMax) throw new Failure<MeasureCode>('attester/measure', `more than ${filesMax} files`)
  }
}

/**
 * The measurement of a simulated guest, hex: SHA-384 over one line for each file below `core` and `runtime` of the
 * build at `folder`, sorted by path as UTF-16 code units: the file's SHA-384 in hex, two spaces, path, line feed.
 *
 * On hardware firmware measures the image; here the node measures itself, which proves nothing to a stranger.
 * throws  attester/measure
 */
export async function measureRuntime(folder: string): Promise<string> {
  const paths: string[] = []
  for (const one of measuredFolders) await filesBelow(folder, one, paths)
  paths.sort()
  const lines: string[] = []
  for (const path of paths)
    lines.push(`${toHex(sha384(new Uint8Array(await readFile(join(folder, path)))))}  ${path}\n`)
  return toHex(sha384(utf8(lines.join(''))))
}
