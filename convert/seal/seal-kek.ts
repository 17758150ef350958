import { join } from 'node:path'
import { type SealOptions, type SealResult, sealModel, verifySealPlace } from '#convert/seal/seal.js'
import { kekFile, kekFileName } from '#core/sealed/kek.js'
import { withScratch } from '#host/aside.js'
import { writeFileDurably } from '#host/files.js'

/**
 * `out` is a sealed folder whose key stands for a new key-encryption key: it is registered, released and leased as the key of
 * a model is, and opens no model.
 *
 * throws  as sealModel
 */
export async function sealKek(options: Omit<SealOptions, 'folder' | 'what'>): Promise<SealResult> {
  await verifySealPlace(options.out)
  return withScratch({ place: options.out, word: 'kek', mode: 0o700 }, async (folder) => {
    await writeFileDurably(join(folder, kekFileName), kekFile)
    return sealModel({ ...options, folder, what: 'kek' })
  })
}
