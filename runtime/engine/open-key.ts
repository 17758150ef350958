import { wipe } from '#core/bytes/secret.js'
import { hpkeOpen, type RecipientKey } from '#core/crypto/hpke.js'
import type { XwingJwk } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'
import { dekSize } from '#core/sealed/keys.js'
import type { SealedManifest } from '#core/sealed/manifest.js'
import type { WrappedKey } from '#runtime/engine/messages.js'
import { type KeyCode, type OpenedKey, openShares } from '#runtime/engine/shares.js'

/** What was sealed to this process, in a buffer outside V8's heap. @throws engine/key */
async function openSealed(
  key: RecipientKey<XwingJwk>,
  { sealed, info }: WrappedKey,
  aad: Uint8Array,
): Promise<Uint8Array> {
  try {
    return await hpkeOpen(key, info, aad, sealed)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<KeyCode>('engine/key', 'the wrapped key was sealed to another engine, or for another release', {
      cause,
    })
  }
}

/**
 * The DEK, for the caller to wipe, and the shares that were wrong.
 *
 * key     made in this process
 * keys    one whole key of index 0, or shares
 * throws  engine/key, engine/share
 */
export async function openKey(
  key: RecipientKey<XwingJwk>,
  keys: readonly WrappedKey[],
  aad: Uint8Array,
  manifest: SealedManifest,
): Promise<OpenedKey> {
  if (manifest.quorum !== undefined)
    return openShares(manifest, manifest.quorum, keys, (one) => openSealed(key, one, aad))
  const [only] = keys
  if (only?.index !== 0 || keys.length !== 1)
    throw new Failure<KeyCode>('engine/key', `expected one whole key, found ${keys.length} shares`)
  const dek = await openSealed(key, only, aad)
  if (dek.length !== dekSize) {
    wipe(dek)
    throw new Failure<KeyCode>('engine/key', `the wrapped key has ${dek.length} bytes, expected ${dekSize}`)
  }
  return { dek, wrongShares: [] }
}
