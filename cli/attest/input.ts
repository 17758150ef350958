/**
 * What belongs in cli/attest: the commands below `claviger attest`, with how they read files and print. What evidence is
 * worth is decided in attest/ and nowhere here.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { NamedFile } from '#attest/pool.js'
import {
  type Beside,
  besideCountMax,
  besideSizeMax,
  type FoundEvidence,
  filesIn,
  findEvidence,
} from '#attest/reader/beside.js'
import { loadShippedCertificates } from '#attest/service/shipped.js'
import { takeKbsApart } from '#cli/attest/kbs.js'
import { type InputCode, readInput } from '#cli/input.js'
import { Failure, isFailure } from '#core/failure.js'

/** How deep below a folder of collateral files may stand. */
const depthMax = 5

/** Every file below a folder, by its path in there. @throws input/unreadable, input/size */
async function filesBelow(folder: string): Promise<readonly NamedFile[]> {
  const out: NamedFile[] = []
  let size = 0
  const visit = async (path: string, depth: number): Promise<void> => {
    const entries = (await readdir(path, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      const file = join(path, entry.name)
      if (entry.isDirectory() && depth < depthMax) await visit(file, depth + 1)
      if (!entry.isFile()) continue
      size += (await stat(file)).size
      if (out.length >= besideCountMax || size > besideSizeMax)
        throw new Failure<InputCode>(
          'input/size',
          `${folder} holds more than ${besideCountMax} files or ${besideSizeMax} bytes`,
        )
      out.push({ name: file.slice(folder.length + 1), bytes: new Uint8Array(await readFile(file)) })
    }
  }
  try {
    await visit(folder.replace(/\/+$/, ''), 0)
  } catch (cause) {
    if (isFailure(cause)) throw cause
    const reason = (cause as { code?: string }).code ?? 'unknown'
    throw new Failure<InputCode>('input/unreadable', `cannot read folder ${folder}: ${reason}`, { cause })
  }
  return out
}

/** A folder of files, an offline bundle of `claviger collateral export`, or one document. @throws input/..., collateral/... */
async function filesAt(path: string): Promise<readonly NamedFile[]> {
  const isFile = (await stat(path).catch(() => undefined))?.isFile() === true
  if (!isFile) return filesBelow(path)
  return filesIn({ name: basename(path), bytes: await readInput(path, 'collateral') })
}

/** What lies beside evidence on this machine: the folder of collateral, and what is shipped. */
export function besideAt(collateral: string | undefined): Beside {
  return {
    given: async () => (collateral === undefined ? [] : filesAt(collateral)),
    shipped: loadShippedCertificates,
    takeApart: takeKbsApart,
  }
}

/** What bytes hold, with the folder of collateral beside them. @throws input/..., evidence/..., kbs/... */
export function findEvidenceBeside(bytes: Uint8Array, collateral: string | undefined): Promise<FoundEvidence> {
  return findEvidence(bytes, besideAt(collateral))
}
