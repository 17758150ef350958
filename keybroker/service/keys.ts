import { timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import { concat, fromHex, fromUtf8, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { exportRecipientKey, generateRecipientKey, importRecipientKey, type RecipientKey } from '#core/crypto/hpke.js'
import { x25519ToJwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { createSecretFile, type FileCode, makeFolder, readSecretFile } from '#host/files.js'
import { createSigningKeyFile, loadSigningKeyFile } from '#host/signing-key-file.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { createKekFile } from '#keybroker/kek/file.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { openKek } from '#keybroker/kek/open.js'
import { type KekRing, kekRing } from '#keybroker/kek/ring.js'
import type { KekSetting } from '#keybroker/kek/setting.js'

/** The files of a broker's folder. Each is of mode 0600 and is never written over. */
const names = {
  signing: 'signing.key',
  wrapping: 'wrapping.key',
  kek: 'kek.key',
  callerSecret: 'caller-secret.key',
  admin: 'admin-token.sha256',
} as const

/** A broker's own keys, open until they are closed. */
export interface BrokerKeys {
  readonly signer: SigningKey
  readonly wrapping: RecipientKey
  readonly kek: KekRing
  readonly callerSecret: Uint8Array
  /** SHA-256 of the text of the admin token */
  readonly adminTokenDigest: Uint8Array
  close(): Promise<void>
}

/** Where a broker's key-encryption key lives, and where the one before, while rows are wrapped again. */
export interface KekSettings {
  readonly current: KekSetting
  readonly previous: readonly KekSetting[]
}

/** The file that `createBroker` makes, unless another place is named. */
export function ownKekSettings(folder: string): KekSettings {
  return { current: { provider: 'file', path: join(folder, names.kek) }, previous: [] }
}

/**
 * The keys of the settings, each of which must be there.
 *
 * throws  kek/..., file/...; none stays open then
 */
export async function openKeks(
  { current, previous }: KekSettings,
  onTrouble?: (failure: Failure) => void,
): Promise<KekRing> {
  const opened: OpenKek[] = []
  try {
    for (const setting of [current, ...previous]) opened.push(await openKek(setting, onTrouble))
  } catch (error) {
    for (const one of opened) await one.close()
    throw error
  }
  return kekRing(opened[0]!, opened.slice(1))
}

/**
 * A new broker's keys stand in `folder`, which is made when it is not there. The operator's explicit act: a broker with
 * new keys is a new broker, and nothing that another one stored opens again.
 *
 * kek      whether the key-encryption key is made there too; another one was made elsewhere
 * returns  the broker's thumbprint, which owners pin, and the admin token: it is shown this once and not kept
 * throws   file/exists
 */
export async function createBroker(
  folder: string,
  { kek }: { readonly kek: boolean } = { kek: true },
): Promise<{ readonly broker: string; readonly adminToken: string }> {
  await makeFolder(folder, 0o700)
  const signer = await createSigningKeyFile(join(folder, names.signing), 'Ed25519')
  await createWrappingKey(join(folder, names.wrapping))
  if (kek) await createKekFile(join(folder, names.kek))
  const callerSecret = randomBytes(32)
  await createSecretFile(join(folder, names.callerSecret), callerSecret)
  wipe(callerSecret)
  const adminToken = toBase64Url(randomBytes(32))
  await createSecretFile(join(folder, names.admin), utf8(`${toHex(sha256(utf8(adminToken)))}\n`))
  return { broker: signer.id, adminToken }
}

/** 32 private bytes, then 32 public bytes. */
async function createWrappingKey(path: string): Promise<void> {
  const key = await generateRecipientKey(true)
  const secret = await exportRecipientKey(key)
  const file = concat(secret, Buffer.from(key.publicKey.x, 'base64url'))
  try {
    await createSecretFile(path, file)
  } finally {
    wipe(secret, file)
  }
}

/**
 * The keys of a broker that was created here. One that is missing is fatal: it is never made anew on the way.
 *
 * keks       where the key-encryption keys live; default: the one file in the folder
 * onTrouble  as in openKek
 * throws     file/absent, file/permissions, file/kind, file/size, kek/..., crypto/key
 */
export async function openBrokerKeys(
  folder: string,
  keks: KekSettings = ownKekSettings(folder),
  onTrouble?: (failure: Failure) => void,
): Promise<BrokerKeys> {
  const signer = await loadSigningKeyFile(join(folder, names.signing))
  const wrapping = await readWrappingKey(join(folder, names.wrapping))
  const callerSecret = await readSized(join(folder, names.callerSecret), 32)
  const adminTokenDigest = await readAdminTokenDigest(folder)
  const kek = await openKeks(keks, onTrouble)
  return {
    signer,
    wrapping,
    kek,
    callerSecret,
    adminTokenDigest,
    async close() {
      wipe(callerSecret)
      await kek.close()
    },
  }
}

/** SHA-256 of the text of the admin token of the broker in `folder`: for a service beside it. @throws file/..., bytes/hex */
export async function readAdminTokenDigest(folder: string): Promise<Uint8Array> {
  const digest = await readSized(join(folder, names.admin), 65)
  return fromHex(fromUtf8(digest.subarray(0, 64)), 32)
}

async function readSized(path: string, size: number): Promise<Uint8Array> {
  const bytes = await readSecretFile(path)
  if (bytes.length !== size)
    throw new Failure<FileCode>('file/size', `${path} has ${bytes.length} bytes, expected ${size}`)
  return bytes
}

async function readWrappingKey(path: string): Promise<RecipientKey> {
  const bytes = await readSized(path, 64)
  try {
    return await importRecipientKey(bytes.subarray(0, 32), x25519ToJwk(bytes.subarray(32)))
  } finally {
    wipe(bytes)
  }
}

const bearerForm = /^Bearer ([A-Za-z0-9_-]{43})$/i

/** Whether the header carries the broker's admin token, on routes that take other credentials as well. */
export function isAdminToken(authorization: string | undefined, tokenDigest: Uint8Array): boolean {
  const token = bearerForm.exec(authorization ?? '')?.[1]
  return token !== undefined && timingSafeEqual(sha256(utf8(token)), tokenDigest)
}

/** Returns only when the header carries the broker's admin token. @throws broker/admin-token */
export function verifyAdminToken(authorization: string | undefined, tokenDigest: Uint8Array): void {
  if (!isAdminToken(authorization, tokenDigest))
    throw new Failure<BrokerCode>('broker/admin-token', 'this needs the admin token of the broker')
}
