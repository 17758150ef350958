import type { Io } from '#cli/output.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { isFailure } from '#core/failure.js'
import { createSigningKeyFile, loadSigningKeyFile } from '#host/signing-key-file.js'

/** The key of the file, or null where there is none yet. @throws file/..., crypto/key */
export async function findOwnKey(path: string): Promise<SigningKey | null> {
  try {
    return await loadSigningKeyFile(path)
  } catch (error) {
    if (isFailure(error) && error.code === 'file/absent') return null
    throw error
  }
}

/**
 * The key of the file, made there on first use. It is told of once it is there, and not before: a key that somebody relies on
 * must exist.
 *
 * told    what is said of a new key, after `made `
 * throws  file/..., crypto/key, and what the file system refuses
 */
export async function openOwnKey(path: string, told: string, io: Io): Promise<SigningKey> {
  const found = await findOwnKey(path)
  if (found !== null) return found
  try {
    const key = await createSigningKeyFile(path)
    io.stderr(`made ${told}\n`)
    return key
  } catch (error) {
    // Another command made it meanwhile: that one is the key.
    if (!isFailure(error) || error.code !== 'file/exists') throw error
    return loadSigningKeyFile(path)
  }
}
