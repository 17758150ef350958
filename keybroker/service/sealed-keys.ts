import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fromBase64, toBase64, toBase64Url } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { base64, base64Url, literal, nullable, object } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { createSecretFile, readSecretFile, writeFileDurably } from '#host/files.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'

/*
 * The own keys of a broker whose key-encryption key is released to its evidence: they lie in its folder wrapped under that key,
 * and are in the clear in its memory alone. In plain files its operator could open, with them, what owners seal to the broker.
 */

const sealedKeyShape = object({
  format: literal('claviger-sealed-key/1'),
  /** of the key-encryption key */
  keyId: base64Url(16),
  /** what belongs to the secret and is none; bound to it */
  public: nullable(base64(undefined, 4096)),
  wrapped: base64(undefined, 256),
})

/** A secret of 32 bytes, and what is public of it. */
export interface OwnKey {
  /** for the caller to wipe */
  readonly secret: Uint8Array
  readonly publicBytes: Uint8Array | null
}

const pathOf = (folder: string, name: string) => join(folder, `${name}.sealed`)

/** Swapped files, and another public key beside a secret, open nothing. */
function aadOf(name: string, publicBytes: Uint8Array | null): Uint8Array {
  const about = { file: name, public: publicBytes && toBase64Url(publicBytes) }
  return canonicalJson({ purpose: 'claviger broker key v1', ...about })
}

/** Whether the own keys of the broker in `folder` are sealed. */
export async function areKeysSealed(folder: string, name: string): Promise<boolean> {
  return (await stat(pathOf(folder, name)).catch(() => null)) !== null
}

async function encodeSealed(kek: OpenKek, name: string, { secret, publicBytes }: OwnKey): Promise<Uint8Array> {
  return canonicalJson({
    format: 'claviger-sealed-key/1',
    keyId: kek.keyId,
    public: publicBytes && toBase64(publicBytes),
    wrapped: toBase64(await kek.wrapDek(secret, aadOf(name, publicBytes))),
  })
}

/** The key stands in a new file, wrapped. @throws file/exists, kek/... */
export async function createSealedKey(folder: string, kek: OpenKek, name: string, key: OwnKey): Promise<void> {
  await createSecretFile(pathOf(folder, name), await encodeSealed(kek, name, key))
}

/**
 * What `createSealedKey` wrote.
 *
 * throws  kek/folder when it is absent or has not its form, kek/unwrap, kek/key-id, file/...
 */
export async function readSealedKey(folder: string, kek: OpenKek, name: string): Promise<OwnKey> {
  const path = pathOf(folder, name)
  const sealed = parseSealed(await readSecretFile(path), path)
  const publicBytes = sealed.public === null ? null : fromBase64(sealed.public)
  const aad = aadOf(name, publicBytes)
  return { secret: await kek.unwrapDek(fromBase64(sealed.wrapped), aad, sealed.keyId), publicBytes }
}

/** A file's bytes, read strictly. @throws kek/folder */
export function parseSealed(bytes: Uint8Array, path: string) {
  try {
    return sealedKeyShape(parseCanonicalJson(bytes), path)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<KekCode>('kek/folder', `${path} is no sealed key: ${cause.message}`, { cause })
  }
}

/** Each key is wrapped by the current key-encryption key of the ring, one file after another. @throws kek/..., file/... */
export async function sealAgain(folder: string, kek: OpenKek, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const key = await readSealedKey(folder, kek, name)
    try {
      await writeFileDurably(pathOf(folder, name), await encodeSealed(kek, name, key), { mode: 0o600 })
    } finally {
      wipe(key.secret)
    }
  }
}
