import { readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyFolderCode } from '#attest/service/failures.js'
import { type SignatureJwk, signatureJwk, thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { list, literal, object, type Shaped } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { timeShape } from '#core/wire/names.js'
import { createSecretFile, type FileCode, makeFolder, writeFileDurably } from '#host/files.js'
import { createSigningKeyFile, loadSigningKeyFile } from '#host/signing-key-file.js'

/** Keys that still verify, the current one among them. */
const keysMax = 16
const indexName = 'keys.json'
const indexShape = object({
  format: literal('claviger-attest-keys/1'),
  current: thumbprintShape,
  keys: list(object({ publicKey: signatureJwk, createdAt: timeShape }), { min: 1, max: keysMax }),
})
type Index = Shaped<typeof indexShape>

/** The key that signs, and every key whose signatures count, newest first: an announced one, the current one, older ones. */
export interface KeySet {
  readonly current: SigningKey
  readonly publicKeys: readonly SignatureJwk[]
}

/** The key that was announced and does not sign yet: the only one that is newer than the current one. */
function announcedIn(index: Index): string | null {
  const newest = thumbprint(index.keys[0]!.publicKey)
  return newest === index.current ? null : newest
}

const privateFile = (folder: string, id: string) => join(folder, `${id}.pk8`)

function encodeIndex(index: Index): Uint8Array {
  return canonicalJson(index)
}

async function readIndex(folder: string): Promise<Index> {
  const path = join(folder, indexName)
  let bytes: Buffer
  try {
    if ((await stat(path)).size > 64 * KiB) throw new Failure<FileCode>('file/size', `${path} is too large`)
    bytes = await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    // State that must exist is made by an explicit command: a verifier never makes itself a new identity.
    throw new Failure<FileCode>('file/absent', `there are no verifier keys in ${folder}`)
  }
  const index = indexShape(parseJson(new Uint8Array(bytes)), indexName)
  // At most one key, the announced one, is newer than the key that signs.
  if (!index.keys.slice(0, 2).some(({ publicKey }) => thumbprint(publicKey) === index.current))
    throw new Failure<KeyFolderCode>('attest-keys/form', `${indexName} does not list its current key where it belongs`)
  return index
}

async function writeIndex(folder: string, index: Index): Promise<void> {
  await writeFileDurably(join(folder, indexName), encodeIndex(index), { mode: 0o600 })
}

/** Makes a key under a name that only its thumbprint gives. */
async function createKey(folder: string, algorithm: 'Ed25519' | 'ES256'): Promise<SigningKey> {
  const temporary = join(folder, 'new.pk8')
  await rm(temporary, { force: true }) // left by a run that died before it named the key
  const key = await createSigningKeyFile(temporary, algorithm)
  await rename(temporary, privateFile(folder, key.id))
  return key
}

/** A new folder of verifier keys with one key. An existing one is never written over. @throws file/exists */
export async function createKeyFolder(
  folder: string,
  at: UnixSeconds,
  algorithm: 'Ed25519' | 'ES256' = 'Ed25519',
): Promise<KeySet> {
  await makeFolder(folder, 0o700)
  const found = await stat(join(folder, indexName)).catch(() => undefined)
  if (found) throw new Failure<FileCode>('file/exists', `${folder} holds verifier keys`)
  const key = await createKey(folder, algorithm)
  const index: Index = {
    format: 'claviger-attest-keys/1',
    current: key.id,
    keys: [{ publicKey: key.publicKey, createdAt: at }],
  }
  await createSecretFile(join(folder, indexName), encodeIndex(index))
  return loadKeySet(folder)
}

/**
 * A new key is shown, and signs nothing yet. Owners list it in their trust statements, so that their nodes take the
 * results that it signs from the roll-over on.
 *
 * throws  attest-keys/announced, attest-keys/count when 16 keys count, and all of loadKeySet
 */
export async function announceKey(
  folder: string,
  at: UnixSeconds,
  algorithm: 'Ed25519' | 'ES256' = 'Ed25519',
): Promise<KeySet> {
  const index = await readIndex(folder)
  const announced = announcedIn(index)
  if (announced !== null)
    throw new Failure<KeyFolderCode>('attest-keys/announced', `key ${announced} is announced already`)
  if (index.keys.length >= keysMax)
    throw new Failure<KeyFolderCode>('attest-keys/count', `${keysMax} keys still count: retire one first`)
  const { publicKey } = await createKey(folder, algorithm)
  // A crash before this line leaves a private key that nobody names.
  await writeIndex(folder, { ...index, keys: [{ publicKey, createdAt: at }, ...index.keys] })
  return loadKeySet(folder)
}

/**
 * From now on the announced key signs, or a new one where none was announced; signatures of the old ones count until
 * they are retired. The private part of the old key is deleted: it has nothing left to sign.
 *
 * throws  file/absent, attest-keys/count when 16 keys still count, and all of loadKeySet
 */
export async function rollKeys(
  folder: string,
  at: UnixSeconds,
  algorithm: 'Ed25519' | 'ES256' = 'Ed25519',
): Promise<KeySet> {
  const announced = announcedIn(await readIndex(folder))
  if (announced === null) await announceKey(folder, at, algorithm)
  const index = await readIndex(folder)
  // A crash before this line leaves the new key announced; after it the old private part, which nobody uses.
  await writeIndex(folder, { ...index, current: announcedIn(index)! })
  await rm(privateFile(folder, index.current), { force: true })
  return loadKeySet(folder)
}

/** From now on signatures of this key count no more. @throws attest-keys/unknown, attest-keys/current */
export async function retireKey(folder: string, id: string): Promise<KeySet> {
  const index = await readIndex(folder)
  if (id === index.current) throw new Failure<KeyFolderCode>('attest-keys/current', 'the current key signs: roll first')
  const keys = index.keys.filter(({ publicKey }) => thumbprint(publicKey) !== id)
  if (keys.length === index.keys.length)
    throw new Failure<KeyFolderCode>('attest-keys/unknown', `there is no key ${id}`)
  await writeIndex(folder, { ...index, keys })
  await rm(privateFile(folder, id), { force: true }) // an announced key had one
  return loadKeySet(folder)
}

/** The keys of a folder. @throws file/absent, file/permissions, file/kind, file/size, crypto/key, attest-keys/form */
export async function loadKeySet(folder: string): Promise<KeySet> {
  const index = await readIndex(folder)
  const current = await loadSigningKeyFile(privateFile(folder, index.current))
  if (current.id !== index.current)
    throw new Failure<KeyFolderCode>('attest-keys/form', `the private key of ${index.current} is that of another key`)
  return { current, publicKeys: index.keys.map(({ publicKey }) => publicKey) }
}

/** The keys of a folder as they stand now, whoever changes them: read anew when the list of keys was written. */
export function followKeySet(folder: string): () => Promise<KeySet> {
  let known: { readonly mark: string; readonly keys: KeySet } | undefined
  // Invariant: a list is replaced whole, by a new file (writeFileDurably), so that its mark changes with every change.
  const markNow = async () => {
    const found = await stat(join(folder, indexName), { bigint: true }).catch(() => undefined)
    return found === undefined ? 'absent' : `${found.ino} ${found.mtimeNs} ${found.size}`
  }
  return async () => {
    for (let tries = 1; ; tries++) {
      const mark = await markNow()
      if (known?.mark === mark) return known.keys
      try {
        known = { mark, keys: await loadKeySet(folder) }
        return known.keys
      } catch (error) {
        // The current key's file goes away when the keys are rolled between the two reads.
        if (tries > 3 || (await markNow()) === mark) throw error
      }
    }
  }
}
