import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { servicePlaces } from '#cli/service-state.js'
import { loadModelKey, ownerKeyFiles } from '#convert/keys/owner-keys.js'
import { pemToPrivateKey } from '#convert/keys/pem.js'
import { utf8 } from '#core/bytes/bytes.js'
import { fileKey, manifestKey } from '#core/sealed/keys.js'
import { manifestDigest, parseManifest } from '#core/sealed/manifest.js'
import { manifestName } from '#core/sealed/signature.js'
import type { Finding, Needles } from '#test/fakes/scan.js'

/** What only the owner and, of a released model, the engine's process may ever hold. */
export interface OwnerSecrets {
  /** the model's key and all that is derived from it */
  readonly model: Needles
  /** the identities, as the text that they are, and the signing key */
  readonly owner: Needles
}

/** The text of an age identity in its file. */
async function identityOf(path: string): Promise<Uint8Array> {
  const [line] = (await readFile(path, 'utf8')).split('\n').filter((one) => one.startsWith('AGE-SECRET-KEY-1'))
  return utf8(line!)
}

/** As the owner can find them out; trusts that the folder is the owner's. */
export async function ownerSecrets(keys: string, sealed: string): Promise<OwnerSecrets> {
  const manifest = new Uint8Array(await readFile(join(sealed, manifestName)))
  const dek = await loadModelKey(keys, manifestDigest(manifest))
  const files = parseManifest(manifest).files.map(({ path }) => [`file key of ${path}`, fileKey(dek, path)] as const)
  const pkcs8 = pemToPrivateKey(new Uint8Array(await readFile(join(keys, ownerKeyFiles.signing))))
  // PKCS#8 of a P-256 key: its 32 bytes stand behind 36 of structure.
  const signing = pkcs8.slice(36, 68)
  return {
    model: { dek, 'manifest key': manifestKey(dek), ...Object.fromEntries(files) },
    owner: {
      'signing key': signing,
      'store identity': await identityOf(join(keys, ownerKeyFiles.storeIdentity)),
      'recovery identity': await identityOf(join(keys, ownerKeyFiles.recoveryIdentity)),
    },
  }
}

/** What the broker's process alone may hold, for as long as it runs. */
export async function brokerSecrets(services: string): Promise<Needles> {
  const file = async (name: string) => new Uint8Array(await readFile(join(servicePlaces(services).broker, name)))
  return {
    kek: await file('kek.key'),
    'hybrid wrapping key': (await file('wrapping-hybrid.key')).slice(0, 32),
    'wrapping key': (await file('wrapping.key')).slice(0, 32),
    'caller secret': await file('caller-secret.key'),
  }
}

/** Which needles were found, and in which spelling: once each, in order. */
export const namesOf = (findings: readonly Finding[]) => [...new Set(findings.map(({ needle }) => needle))].sort()

/** What a request and its answer look like where they are readable: as numbers in memory, and as the text between. */
export function talkOf(row: Float32Array, body: Uint8Array, answer: Uint8Array): Needles {
  const parsed = JSON.parse(Buffer.from(answer).toString('utf8')) as { outputs: [{ data: number[] }] }
  const numbers = Float32Array.from(parsed.outputs[0].data)
  const middle = (bytes: Uint8Array) => {
    const at = Math.floor(bytes.length / 8) * 4
    return bytes.slice(at, at + 64)
  }
  const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength)
  return {
    'prompt numbers': middle(bytesOf(row)),
    'prompt text': middle(body),
    'answer numbers': middle(bytesOf(numbers)),
    'answer text': middle(answer),
  }
}
