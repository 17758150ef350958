import { canonicalJson } from '#core/encoding/json.js'
import type { SealedManifest } from '#core/sealed/manifest.js'

/** The one file of a sealed folder whose key stands for a key-encryption key. It says that, and nothing else. */
export const kekFileName = 'kek.json'
export const kekFile = canonicalJson({ type: 'claviger/kek/v1' })

/** Whether a folder seals a key-encryption key, and no model: no graph is in it, and nothing that an engine runs. */
export function isKekManifest({ files }: Pick<SealedManifest, 'files'>): boolean {
  const [only, ...more] = files
  return more.length === 0 && only?.path === kekFileName && only.role === 'config'
}
