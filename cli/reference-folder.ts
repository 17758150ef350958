import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Provenance, Publisher } from '#attest/reference/provenance.js'
import { type ReferenceInput, verifyReferenceSeen } from '#attest/reference/verify.js'
import { stateFolder } from '#cli/places.js'
import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { base64, literal, nullable, object } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { nameShape } from '#core/wire/names.js'
import { makeFolder, writeFileDurably } from '#host/files.js'

/** Failures of the folder of a reader's reference values. */
export type ReferenceFolderCode =
  | 'reference/absent'
  /** a file in there is not what was written: what was taken in is not known */
  | 'reference/damaged'

const sizeMax = 16 * MiB
/** A signed document as it was taken in. Nothing of it is believed: it is verified again each time it is read. */
const storedShape = object({
  format: literal('claviger-reference/1'),
  name: nameShape,
  signed: base64(undefined, sizeMax),
  values: nullable(base64(undefined, sizeMax)),
})

/** Where this user keeps signed reference values. */
export const referenceFolder = () => join(stateFolder(), 'reference')

const pathOf = (folder: string, name: string) => join(folder, `${nameShape(name, 'name')}.json`)
const isAbsent = (error: unknown) => (error as { code?: string }).code === 'ENOENT'

export async function listReferences(folder: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(folder)).filter((file) => /^[a-z0-9][a-z0-9._-]*\.json$/.test(file))
    return names.map((file) => file.slice(0, -'.json'.length)).sort()
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

/** null when nothing of this name was taken in. @throws reference/damaged */
export async function loadReference(folder: string, name: string): Promise<ReferenceInput | null> {
  const path = pathOf(folder, name)
  let bytes: Uint8Array
  try {
    bytes = new Uint8Array(await readFile(path))
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
  try {
    const { signed, values } = storedShape(parseJson(bytes, 4 * sizeMax), name)
    return { signed: fromBase64(signed), values: values === null ? null : fromBase64(values) }
  } catch (cause) {
    throw damaged(path, cause)
  }
}

/** Nothing is written over such a file by itself: which version it held, and with it what counts as older, is its owner's to say. */
function damaged(path: string, cause: unknown): unknown {
  if (!isFailure(cause)) return cause
  return new Failure<ReferenceFolderCode>('reference/damaged', `${path} is damaged: ${cause.message}`, {
    cause,
    detail: {
      hint: 'put it back from a backup, or remove it and take the newest document in again: ./claviger reference import FILE',
    },
  })
}

/** @throws reference/absent */
export async function loadKnownReference(folder: string, name: string): Promise<ReferenceInput> {
  const found = await loadReference(folder, name)
  if (found !== null) return found
  throw new Failure<ReferenceFolderCode>('reference/absent', `no reference values are called ${name}`, {
    detail: { hint: './claviger reference list shows what was taken in; ./claviger reference import takes in more' },
  })
}

/** What stands under the name, expired or not; null for nothing, and of a publisher who is not trusted: it holds no floor. @throws reference/damaged */
export async function standingReference(folder: string, name: string, publishers: readonly Publisher[]) {
  const input = await loadReference(folder, name)
  try {
    return input && (await verifyReferenceSeen(input, publishers))
  } catch (error) {
    if (isFailure(error) && error.code === 'reference/publisher') return null
    throw isFailure(error) && error.code === 'reference/damaged' ? error : damaged(pathOf(folder, name), error)
  }
}

/** Everything that was taken in, under whatever name. @throws reference/damaged: what stood there may have been newer */
export async function seenReferences(folder: string, publishers: readonly Publisher[]): Promise<readonly Provenance[]> {
  const seen: Provenance[] = []
  for (const name of await listReferences(folder)) {
    const standing = await standingReference(folder, name, publishers)
    if (standing !== null) seen.push(standing.provenance)
  }
  return seen
}

export async function storeReference(folder: string, name: string, { signed, values }: ReferenceInput): Promise<void> {
  await makeFolder(folder, 0o700)
  const stored = {
    format: 'claviger-reference/1',
    name,
    signed: toBase64(signed),
    values: values === null ? null : toBase64(values),
  }
  await writeFileDurably(pathOf(folder, name), canonicalJson(stored))
}
