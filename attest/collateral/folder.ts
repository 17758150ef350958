import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  bundleItemsMax,
  bundleOfFiles,
  bundleSizeMax,
  type CollateralBundle,
  encodeBundle,
  filesOfBundle,
  parseBundle,
} from '#attest/endorsements/bundle.js'
import type { EndorsementCode } from '#attest/endorsements/names.js'
import { Failure, isFailure } from '#core/failure.js'
import { makeFolder, readBounded, writeFileDurably } from '#host/files.js'

const depthMax = 6

function refuse(message: string, hint?: string): Failure<EndorsementCode> {
  return new Failure<EndorsementCode>('collateral/bundle-form', message, hint === undefined ? {} : { detail: { hint } })
}

/** The bytes of a file as they come: a device or a pipe says no size, and may have no end. */
async function readAtMost(file: string, sizeMax: number, tooLarge: string): Promise<Uint8Array> {
  try {
    return await readBounded(file, sizeMax)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(tooLarge)
  }
}

/** Every file below a folder by its path in there. What is no plain file or folder is refused: a link leads elsewhere. */
async function filesBelow(folder: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  const tooLarge = `${folder} holds more than ${bundleItemsMax} documents or ${bundleSizeMax} bytes`
  let size = 0
  const visit = async (inside: string, depth: number): Promise<void> => {
    if (depth > depthMax) throw refuse(`${join(folder, inside)} is more than ${depthMax} folders deep`)
    for (const entry of await readdir(join(folder, inside), { withFileTypes: true })) {
      const path = inside === '' ? entry.name : `${inside}/${entry.name}`
      if (entry.isDirectory()) {
        await visit(path, depth + 1)
        continue
      }
      if (!entry.isFile()) throw refuse(`${join(folder, path)} is no plain file`)
      if (files.size >= 2 * bundleItemsMax) throw refuse(tooLarge)
      const bytes = await readAtMost(join(folder, path), bundleSizeMax - size, tooLarge)
      size += bytes.length
      files.set(path, bytes)
    }
  }
  await visit('', 0)
  return files
}

/**
 * The documents of an offline bundle, a file or a folder. Nothing of it is believed yet.
 *
 * throws  collateral/bundle-form, collateral/name, collateral/size; what the operating system says of the path
 */
export async function loadBundle(path: string): Promise<CollateralBundle> {
  if ((await stat(path)).isDirectory()) return bundleOfFiles(await filesBelow(path))
  return parseBundle(await readAtMost(path, bundleSizeMax, `${path} has more than ${bundleSizeMax} bytes`))
}

/**
 * The same of a bundle that somebody means to hold something: one without documents is most often another path.
 *
 * throws  as loadBundle
 */
export async function loadFilledBundle(path: string): Promise<CollateralBundle> {
  const bundle = await loadBundle(path)
  if (bundle.length > 0) return bundle
  throw refuse(
    `${path} holds no document`,
    'is the path right? ./claviger collateral export and fetch write bundles, with a folder for each vendor',
  )
}

/** The documents are in one file, where the path ends with .json, else in files of a folder; others there stay. */
export async function storeBundle(path: string, bundle: CollateralBundle): Promise<void> {
  if (path.endsWith('.json')) return writeFileDurably(path, encodeBundle(bundle))
  for (const [name, bytes] of filesOfBundle(bundle)) {
    const file = join(path, name)
    await makeFolder(dirname(file))
    await writeFileDurably(file, bytes)
  }
}
