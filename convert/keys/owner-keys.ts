import { mkdir, readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ageOpen, ageSeal, createAgeIdentity, parseRecipient } from '#convert/keys/age.js'
import type { KeysCode } from '#convert/keys/failures.js'
import { pemToPrivateKey, privateKeyToPem } from '#convert/keys/pem.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { jwkToSpki, type PublisherJwk, type SignatureJwk, spkiToJwk, spkiToPublisherJwk } from '#core/crypto/jwk.js'
import { generateSigningKey, importSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { encodePem, parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import { dekSize } from '#core/sealed/keys.js'
import { makeAside } from '#host/aside.js'
import { createSecretFile, makeFolder, readBounded, readSecretFile, writeFileDurably } from '#host/files.js'

/**
 * The folder of one owner:
 *
 *   owner.key.pem           signs; stays with the owner (0600)
 *   owner.pub.pem           goes to whoever verifies
 *   recovery-identity.txt   opens every sealed folder without a broker (0600): to be moved offline
 *   recovery-recipient.txt  seals to it; stays
 *   store-identity.txt      opens deks/ (0600); stays
 *   deks/DIGEST.age         key of the sealed model with that manifest digest, until it is registered and after
 *   deks/DIGEST.shares.age  the same of a key that is split: what each broker gets, so that registering can be taken up again
 */
export const ownerKeyFiles = {
  signing: 'owner.key.pem',
  public: 'owner.pub.pem',
  recoveryIdentity: 'recovery-identity.txt',
  recoveryRecipient: 'recovery-recipient.txt',
  storeIdentity: 'store-identity.txt',
  deks: 'deks',
} as const

export interface OwnerKeys {
  readonly folder: string
  readonly signingKey: SigningKey
  /** age recipient of the offline recovery identity */
  readonly recoveryRecipient: string
}

const textSizeMax = 64 * KiB

async function readText(path: string): Promise<string> {
  try {
    return fromUtf8(await readBounded(path, textSizeMax))
  } catch (cause) {
    if (isFailure(cause) && cause.code === 'file/size') throw cause
    const { code } = cause as NodeJS.ErrnoException
    const hint =
      code === 'EISDIR'
        ? `it is a folder: name ${ownerKeyFiles.public} in it`
        : 'is the path right? keys are made with: ./claviger keys new --out FOLDER --name NAME'
    throw new Failure<KeysCode>('keys/absent', `cannot read ${path}: ${isFailure(cause) ? cause.message : code}`, {
      cause,
      detail: { hint },
    })
  }
}

async function writeKeys(folder: string, name: string): Promise<OwnerKeys> {
  const path = (file: string) => join(folder, file)
  const recovery = await createAgeIdentity(
    `Recovery identity of ${name}. It opens every model that ${name} seals, without any broker.\nMove this file to a place that is not connected, and delete it here.`,
  )
  const store = await createAgeIdentity(`Opens deks/ of ${name}: the keys of sealed models. Stays beside them.`)
  const { key, pkcs8 } = await generateSigningKey('ES256') // OpenSSF model-signing knows no Ed25519
  const pem = privateKeyToPem(pkcs8)
  try {
    await mkdir(path(ownerKeyFiles.deks), { mode: 0o700 })
    await createSecretFile(path(ownerKeyFiles.recoveryIdentity), recovery.file)
    await createSecretFile(path(ownerKeyFiles.storeIdentity), store.file)
    await writeFileDurably(path(ownerKeyFiles.recoveryRecipient), utf8(`${recovery.recipient}\n`))
    await writeFileDurably(path(ownerKeyFiles.public), utf8(encodePem(jwkToSpki(key.publicKey), 'PUBLIC KEY')))
    await createSecretFile(path(ownerKeyFiles.signing), pem)
  } finally {
    wipe(pem, pkcs8, recovery.file, store.file)
  }
  return { folder, signingKey: key, recoveryRecipient: recovery.recipient }
}

const taken = (folder: string) =>
  new Failure<KeysCode>('keys/exists', `${folder} holds something already, and keys are new`)

/** Nothing stands where keys are to be made. @throws keys/exists, and what the file system refuses */
export async function verifyKeysPlace(folder: string): Promise<void> {
  const found = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  if (found.length > 0) throw taken(folder)
}

/**
 * A new folder with an owner's keys: P-256 signing key, recovery identity, store identity, all durable. It appears whole:
 * what a process that was killed leaves beside it, in `<folder>.making-…`, nobody has used.
 *
 * name    the owner's, for the comments that people read
 * throws  keys/exists when the folder holds anything: keys are never written over
 */
export async function createOwnerKeys(folder: string, name: string): Promise<OwnerKeys> {
  await verifyKeysPlace(folder)
  await makeFolder(dirname(resolve(folder)), 0o700)
  try {
    return {
      ...(await makeAside({ place: folder, word: 'making', mode: 0o700 }, (aside) => writeKeys(aside, name))),
      folder,
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw code === 'ENOTEMPTY' || code === 'EEXIST' ? taken(folder) : error
  }
}

/** The public key in a PEM file. @throws keys/absent, keys/form */
export const loadOwnerPublicKey = (path: string): Promise<SignatureJwk> => loadPublicKey(path, spkiToJwk)

/** The same of somebody who signs reference values, perhaps on P-384. @throws keys/absent, keys/form */
export const loadPublisherKey = (path: string): Promise<PublisherJwk> => loadPublicKey(path, spkiToPublisherJwk)

async function loadPublicKey<K extends PublisherJwk>(path: string, read: (spki: Uint8Array) => K): Promise<K> {
  const text = await readText(path)
  try {
    const [der] = parsePem(text, 'PUBLIC KEY', 1)
    return read(der!)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<KeysCode>('keys/form', `${path} holds no public key: ${cause.message}`, { cause })
  }
}

/** The keys that createOwnerKeys made. @throws keys/absent, keys/form, file/absent, file/permissions, pem/*, crypto/key */
export async function loadOwnerKeys(folder: string): Promise<OwnerKeys> {
  const publicKey = await loadOwnerPublicKey(join(folder, ownerKeyFiles.public))
  const recoveryRecipient = parseRecipient(await readText(join(folder, ownerKeyFiles.recoveryRecipient)))
  const pem = await readSecretFile(join(folder, ownerKeyFiles.signing))
  const pkcs8 = pemToPrivateKey(pem)
  try {
    return { folder, signingKey: await importSigningKey(pkcs8, jwkToSpki(publicKey)), recoveryRecipient }
  } finally {
    wipe(pem, pkcs8)
  }
}

async function storeRecipient(folder: string): Promise<string> {
  const identity = await readSecretFile(join(folder, ownerKeyFiles.storeIdentity))
  // Only the comments become a string: the secret stands below them.
  let end = 0
  while (identity[end] === 0x23 && identity.indexOf(0x0a, end) !== -1) end = identity.indexOf(0x0a, end) + 1
  const recipient = /^# public key: (age1[a-z0-9]+)$/m.exec(fromUtf8(identity.subarray(0, end)))?.[1]
  wipe(identity)
  if (recipient === undefined) {
    throw new Failure<KeysCode>('keys/form', `${ownerKeyFiles.storeIdentity} does not say its public key`)
  }
  return recipient
}

const digestForm = /^[0-9a-f]{64}$/

function dekPath(folder: string, manifestDigest: string, what = 'age'): string {
  if (!digestForm.test(manifestDigest)) throw new Failure<KeysCode>('keys/form', 'manifest digest is not 64 hex digits')
  return join(folder, ownerKeyFiles.deks, `${manifestDigest}.${what}`)
}

/** The model's key is in the owner's store, durably, under its manifest digest. @throws keys/form, file/exists */
export async function storeModelKey(folder: string, manifestDigest: string, dek: Uint8Array): Promise<void> {
  await createSecretFile(dekPath(folder, manifestDigest), await ageSeal(await storeRecipient(folder), dek))
}

/** The key of the sealed model with that manifest digest: 32 bytes for the caller to wipe. @throws file/absent, keys/age, keys/form */
export async function loadModelKey(folder: string, manifestDigest: string): Promise<Uint8Array> {
  return openStored(folder, dekPath(folder, manifestDigest), dekSize)
}

/** What each broker of a split key gets, one record behind the other, is in the owner's store. @throws keys/form, file/exists */
export async function storeShares(folder: string, manifestDigest: string, records: Uint8Array): Promise<void> {
  const path = dekPath(folder, manifestDigest, 'shares.age')
  await createSecretFile(path, await ageSeal(await storeRecipient(folder), records))
}

/** The same, for the caller to wipe. @throws file/absent, keys/age, keys/form */
export async function loadShares(folder: string, manifestDigest: string, size: number): Promise<Uint8Array> {
  return openStored(folder, dekPath(folder, manifestDigest, 'shares.age'), size)
}

async function openStored(folder: string, path: string, size: number): Promise<Uint8Array> {
  const sealed = await readSecretFile(path)
  const identity = await readSecretFile(join(folder, ownerKeyFiles.storeIdentity))
  try {
    return await ageOpen(identity, sealed, size)
  } finally {
    wipe(identity)
  }
}
