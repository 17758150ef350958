import { join } from 'node:path'
import { concat, fromBase64Url, fromHex } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { randomBytes } from '#core/crypto/hash.js'
import {
  exportRecipientKey,
  forgetRecipientKey,
  generateHybridKey,
  generateRecipientKey,
  importRecipientKey,
  type RecipientKey,
} from '#core/crypto/hpke.js'
import {
  type Ed25519Jwk,
  publicBytesOf,
  type RecipientJwk,
  type X25519Jwk,
  type XwingJwk,
  x25519ToJwk,
  xwingToJwk,
} from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { xwingSizes } from '#core/crypto/xwing-key.js'
import { Failure, isFailure } from '#core/failure.js'
import { createSecretFile, type FileCode, readSecretFile } from '#host/files.js'
import { createSigningKeyFile, loadSigningKeyFile, signingKeyOf } from '#host/signing-key-file.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import {
  areKeysSealed,
  createSealedKey,
  type OwnKey,
  readSealedKey,
  sealAgain,
} from '#keybroker/service/sealed-keys.js'

/* The keys by which a broker is itself: in files, in the clear or sealed under a key-encryption key that was released to it. */

/** Files of a broker's folder, each of mode 0600. Sealed ones have `.sealed` behind the name. */
const names = {
  signing: 'signing.key',
  wrapping: 'wrapping.key',
  wrappingHybrid: 'wrapping-hybrid.key',
  callerSecret: 'caller-secret.key',
} as const

export interface OwnKeys {
  readonly signer: SigningKey
  readonly wrapping: RecipientKey<X25519Jwk>
  readonly wrappingHybrid: RecipientKey<XwingJwk>
  readonly callerSecret: Uint8Array
}

/** Whether the own keys of the broker in `folder` are sealed. */
export const areOwnKeysSealed = (folder: string): Promise<boolean> => areKeysSealed(folder, names.signing)

/** New keys stand in the folder; returns the broker's thumbprint. @throws file/exists, kek/... */
export function createOwnKeys(folder: string, sealTo: OpenKek | null): Promise<string> {
  return sealTo === null ? createPlainKeys(folder) : createSealedKeys(folder, sealTo)
}

async function createPlainKeys(folder: string): Promise<string> {
  const signer = await createSigningKeyFile(join(folder, names.signing), 'Ed25519')
  await createWrappingKey(join(folder, names.wrapping), await generateRecipientKey(true))
  await createWrappingKey(join(folder, names.wrappingHybrid), await generateHybridKey(true))
  const callerSecret = randomBytes(32)
  await createSecretFile(join(folder, names.callerSecret), callerSecret)
  wipe(callerSecret)
  return signer.id
}

/** Nothing of these keys is in a file in the clear, at no moment. */
async function createSealedKeys(folder: string, kek: OpenKek): Promise<string> {
  const { key: signer, pkcs8 } = await generateSigningKey('Ed25519')
  const store = async (name: string, secret: Uint8Array, publicBytes: Uint8Array | null) => {
    try {
      await createSealedKey(folder, kek, name, { secret, publicBytes })
    } finally {
      wipe(secret)
    }
  }
  const seed = secretBytes(32)
  seed.set(pkcs8.subarray(-32)) // RFC 8410, "Private Key Format": the last 32 of its 48 bytes
  wipe(pkcs8)
  await store(names.signing, seed, fromBase64Url((signer.publicKey as Ed25519Jwk).x, 32))
  for (const [name, key] of [
    [names.wrapping, await generateRecipientKey(true)],
    [names.wrappingHybrid, await generateHybridKey(true)],
  ] as const) {
    const secret = await exportRecipientKey(key)
    forgetRecipientKey(key)
    await store(name, secret, publicBytesOf(key.publicKey))
  }
  await store(names.callerSecret, randomBytes(32), null)
  return signer.id
}

/**
 * A broker that was created before there was a hybrid key has one from its next start on. The operator's explicit act, done
 * once. @throws file/exists
 */
export async function addHybridKey(folder: string): Promise<void> {
  if (await areOwnKeysSealed(folder))
    throw new Failure<FileCode>('file/exists', `the keys in ${folder} are sealed, and the hybrid one is among them`)
  await createWrappingKey(join(folder, names.wrappingHybrid), await generateHybridKey(true))
}

/** 32 private bytes, then the public ones: 32, or 1,216 of X-Wing. */
async function createWrappingKey(path: string, key: RecipientKey): Promise<void> {
  const secret = await exportRecipientKey(key)
  forgetRecipientKey(key)
  const file = concat(secret, publicBytesOf(key.publicKey))
  try {
    await createSecretFile(path, file)
  } finally {
    wipe(secret, file)
  }
}

/** Keys in the clear. @throws file/..., crypto/key */
export async function openPlainKeys(folder: string): Promise<OwnKeys> {
  return {
    signer: await loadSigningKeyFile(join(folder, names.signing)),
    wrapping: await readWrappingKey(join(folder, names.wrapping), 32, x25519ToJwk),
    wrappingHybrid: await readHybridKey(join(folder, names.wrappingHybrid)),
    callerSecret: await readSized(join(folder, names.callerSecret), 32),
  }
}

const ed25519Head = fromHex('302e020100300506032b657004220420')

/** Keys that were sealed under a key of the ring. @throws kek/..., file/..., crypto/key */
export async function openSealedKeys(folder: string, kek: OpenKek): Promise<OwnKeys> {
  const opened = async <T>(name: string, use: (key: OwnKey) => Promise<T>): Promise<T> => {
    const key = await readSealedKey(folder, kek, name)
    try {
      return await use(key)
    } finally {
      if (name !== names.callerSecret) wipe(key.secret)
    }
  }
  const recipient = <K extends RecipientJwk>(name: string, toJwk: (raw: Uint8Array) => K) =>
    opened(name, ({ secret, publicBytes }) => importRecipientKey(secret, toJwk(publicBytes ?? new Uint8Array(0))))
  return {
    signer: await opened(names.signing, async ({ secret }) => {
      const pkcs8 = concat(ed25519Head, secret)
      return signingKeyOf(pkcs8).finally(() => wipe(pkcs8))
    }),
    wrapping: await recipient(names.wrapping, x25519ToJwk),
    wrappingHybrid: await recipient(names.wrappingHybrid, xwingToJwk),
    callerSecret: await opened(names.callerSecret, async ({ secret }) => secret),
  }
}

/** The own keys of a broker are sealed by the current key of the ring; those in the clear stay so. @throws kek/..., file/... */
export async function resealOwnKeys(folder: string, kek: OpenKek): Promise<void> {
  if (await areOwnKeysSealed(folder)) await sealAgain(folder, kek, Object.values(names))
}

async function readSized(path: string, size: number): Promise<Uint8Array> {
  const bytes = await readSecretFile(path)
  if (bytes.length !== size)
    throw new Failure<FileCode>('file/size', `${path} has ${bytes.length} bytes, expected ${size}`)
  return bytes
}

/** A broker that offered less than before because a file is gone would be a downgrade that nobody asked for. */
async function readHybridKey(path: string): Promise<RecipientKey<XwingJwk>> {
  try {
    return await readWrappingKey(path, xwingSizes.publicKey, xwingToJwk)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'file/absent') throw error
    throw new Failure<FileCode>('file/absent', error.message, {
      cause: error,
      detail: { hint: 'a broker from before there was this key gets one with ./claviger keybroker hybrid-key' },
    })
  }
}

async function readWrappingKey<K extends RecipientJwk>(
  path: string,
  publicSize: number,
  toJwk: (raw: Uint8Array) => K,
): Promise<RecipientKey<K>> {
  const bytes = await readSized(path, 32 + publicSize)
  try {
    return await importRecipientKey(bytes.subarray(0, 32), toJwk(bytes.subarray(32)))
  } finally {
    wipe(bytes)
  }
}
