import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { aesGcmOpen, aesGcmSeal } from '#core/crypto/aead.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { pathShape } from '#core/encoding/path.js'
import { hex, list, object, type Shaped } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { filesPerModelMax, manifestSizeMax } from '#core/limits.js'
import type { SealedCode } from '#core/sealed/failures.js'
import { manifestKey } from '#core/sealed/keys.js'
import { type SealedManifest, secretAad } from '#core/sealed/manifest.js'

/** SHA-256 of each plaintext, in the order of the manifest. Digests of plaintext are never shown in the clear (I10). */
const secretShape = object({
  files: list(object({ path: pathShape, sha256: hex(32) }), { min: 1, max: filesPerModelMax }),
})
type PlaintextDigests = Shaped<typeof secretShape>['files']

/** The manifest's encrypted part. `iv` 12 random bytes. */
export async function sealDigests(
  dek: Uint8Array,
  model: SealedManifest['model'],
  iv: Uint8Array,
  files: PlaintextDigests,
): Promise<SealedManifest['secret']> {
  const key = manifestKey(dek)
  const ciphertext = await aesGcmSeal(key, iv, secretAad(model), canonicalJson({ files }))
  wipe(key)
  return { iv: toBase64(iv), ciphertext: toBase64(ciphertext) }
}

/**
 * The SHA-256 of each plaintext, in hex, by path: one for each file of the manifest.
 *
 * throws  sealed/manifest-secret for another DEK, altered bytes, or digests of other files
 */
export async function openDigests(dek: Uint8Array, manifest: SealedManifest): Promise<ReadonlyMap<string, string>> {
  const key = manifestKey(dek)
  try {
    const { iv, ciphertext } = manifest.secret
    const bytes = await aesGcmOpen(key, fromBase64(iv, 12), secretAad(manifest.model), fromBase64(ciphertext))
    const digests = new Map(
      secretShape(parseCanonicalJson(bytes, manifestSizeMax), 'secret').files.map((file) => [file.path, file.sha256]),
    )
    if (digests.size !== manifest.files.length || !manifest.files.every((file) => digests.has(file.path))) {
      throw new Failure<SealedCode>('sealed/manifest-secret', 'encrypted part names other files than the manifest')
    }
    return digests
  } catch (error) {
    if (!isFailure(error) || error.code !== ('crypto/aead-tag' satisfies CryptoCode)) throw error
    throw new Failure<SealedCode>('sealed/manifest-secret', 'encrypted part does not open with this key', {
      cause: error,
    })
  } finally {
    wipe(key)
  }
}
