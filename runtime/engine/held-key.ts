import { wipe } from '#core/bytes/secret.js'
import { forgetRecipientKey, generateHybridKey } from '#core/crypto/hpke.js'
import { Failure } from '#core/failure.js'
import { isKekManifest } from '#core/sealed/kek.js'
import { kekOf } from '#core/sealed/keys.js'
import { parseManifest } from '#core/sealed/manifest.js'
import { openDigests } from '#core/sealed/secret.js'
import type { EngineCode } from '#runtime/api/engine.js'
import { openKey } from '#runtime/engine/open-key.js'
import type { KeyCode } from '#runtime/engine/shares.js'
import type { SessionEngine } from '#runtime/ports.js'

/** Who uses a key-encryption key while its session lives. */
export interface KekHolder {
  /** kek: 32 bytes, the holder's from now on */
  take(kek: Uint8Array): void
  /** Nothing of it is left in memory that is ours on return. */
  drop(): void
}

/**
 * In the place of an engine's process: a key-encryption key in this process, which runs no model. Whoever released it cannot
 * tell the difference, and need not; its own code is what was attested.
 */
export async function holdKey(holder: KekHolder): Promise<SessionEngine> {
  const release = await generateHybridKey()
  let isHeld = false
  const noModel = async (): Promise<never> => {
    throw new Failure<EngineCode>('engine/not-loaded', 'a key-encryption key runs no model')
  }
  return {
    releaseKey: release.publicKey,
    ready: () => isHeld,
    infer: noModel,
    transcribe: noModel,
    async load({ manifestBytes, aad, ...key }) {
      const manifest = parseManifest(manifestBytes)
      if (!isKekManifest(manifest))
        throw new Failure<KeyCode>('engine/key', 'the folder seals a model, and no key-encryption key')
      const keys = 'shares' in key ? key.shares : [{ index: 0, sealed: key.sealed, info: key.info }]
      const { dek, wrongShares } = await openKey(release, keys, aad, manifest)
      try {
        await openDigests(dek, manifest) // the key is the one that the owner sealed this folder with
        holder.take(kekOf(dek))
        isHeld = true
      } finally {
        wipe(dek)
        forgetRecipientKey(release) // it opened what it was made for
      }
      const nothing = { inputs: [], outputs: [], provider: 'none', threads: 0, knownAnswers: 0 }
      return { pipeline: 'tensors', runtime: 'key-encryption key', ...nothing, wrongShares }
    },
    async unload() {
      isHeld = false
      forgetRecipientKey(release)
      holder.drop()
    },
    ended: new Promise(() => undefined), // it ends with the session, and never by itself
  }
}
