import { timingSafeEqual } from 'node:crypto'
import { dirname, join } from 'node:path'
import { equal, fromHex, fromUtf8, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { forgetRecipientKey } from '#core/crypto/hpke.js'
import { Failure } from '#core/failure.js'
import { createSecretFile, type FileCode, makeFolder, readSecretFile } from '#host/files.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { createKekFile } from '#keybroker/kek/file.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'
import { type KekPorts, openKek } from '#keybroker/kek/open.js'
import { type KekRing, kekRing } from '#keybroker/kek/ring.js'
import type { KekSetting } from '#keybroker/kek/setting.js'
import {
  areOwnKeysSealed,
  createOwnKeys,
  type OwnKeys,
  openPlainKeys,
  openSealedKeys,
} from '#keybroker/service/own-keys.js'

/** Files of a broker's folder, beside its own keys. Each is of mode 0600 and is never written over. */
const names = { kek: 'kek.key', admin: 'admin-token.sha256' } as const

/** A broker's own keys, open until they are closed. */
export interface BrokerKeys extends OwnKeys {
  readonly kek: KekRing
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
export async function openKeks({ current, previous }: KekSettings, ports: KekPorts = {}): Promise<KekRing> {
  const opened: OpenKek[] = []
  try {
    for (const setting of [current, ...previous]) opened.push(await openKek(setting, ports))
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
 * kek      `file`: the key-encryption key is made there too; `elsewhere`: the operator has one that was made before; else the one
 *          that was released to this process, under which the keys are sealed
 * returns  the broker's thumbprint, which owners pin, and the admin token: it is shown this once and not kept
 * throws   file/exists, kek/...
 */
export async function createBroker(
  folder: string,
  { kek }: { readonly kek: 'file' | 'elsewhere' | OpenKek } = { kek: 'file' },
): Promise<{ readonly broker: string; readonly adminToken: string }> {
  await makeFolder(folder, 0o700)
  const broker = await createOwnKeys(folder, typeof kek === 'string' ? null : kek)
  if (kek === 'file') await createKekFile(join(folder, names.kek))
  const adminToken = toBase64Url(randomBytes(32))
  await createSecretFile(join(folder, names.admin), utf8(`${toHex(sha256(utf8(adminToken)))}\n`))
  return { broker, adminToken }
}

/**
 * The keys of a broker that was created here. One that is missing is fatal: it is never made anew on the way.
 *
 * keks    where the key-encryption keys live; default: the one file in the folder
 * ports   as in openKek
 * throws  file/absent, file/permissions, file/kind, file/size, broker/admin-wildcard, kek/..., crypto/key
 */
export async function openBrokerKeys(
  folder: string,
  keks: KekSettings = ownKekSettings(folder),
  ports: KekPorts = {},
): Promise<BrokerKeys> {
  const adminTokenDigest = await readAdminTokenDigest(folder)
  const isSealed = await areOwnKeysSealed(folder)
  verifyFolderFits(folder, isSealed, keks)
  const plain = isSealed ? null : await openPlainKeys(folder)
  const kek = await openKeks(keks, ports)
  try {
    const own = plain ?? (await openSealedKeys(folder, kek))
    return {
      ...own,
      kek,
      adminTokenDigest,
      async close() {
        wipe(own.callerSecret)
        forgetRecipientKey(own.wrappingHybrid)
        await kek.close()
      },
    }
  } catch (error) {
    await kek.close()
    throw error
  }
}

/**
 * A key-encryption key that its operator cannot use says nothing of a broker whose own keys the operator can read: what owners
 * seal to them would be open without any TEE. @throws kek/folder
 */
function verifyFolderFits(folder: string, isSealed: boolean, { current }: KekSettings): void {
  if (isSealed || current.provider !== 'broker') return
  const message = `the broker's own keys lie in the clear in ${folder}: its operator opens with them what owners seal to it`
  const hint =
    "make a new broker inside its TEE: ./claviger serve create --state NEW --kek 'broker:…', and have owners register there"
  throw new Failure<KekCode>('kek/folder', message, { detail: { hint } })
}

/** Failures of a broker's own folder. */
export type BrokerFolderCode =
  /** the admin token is one that everybody knows */
  'broker/admin-wildcard'

/** Texts that stand for anybody, or that nobody chose. */
const everybody: readonly Uint8Array[] = ['', '*', '\n', '*\n', 'admin', 'changeme', 'password', 'secret'].map((text) =>
  sha256(utf8(text)),
)

/**
 * SHA-256 of the text of the admin token of the broker in `folder`: for a service beside it.
 *
 * throws  broker/admin-wildcard, file/..., bytes/hex
 */
export async function readAdminTokenDigest(folder: string): Promise<Uint8Array> {
  const path = join(folder, names.admin)
  const file = await readSecretFile(path)
  const digest = file.length === 65 ? fromHex(fromUtf8(file.subarray(0, 64)), 32) : null
  const isWildcard = digest === null ? /^\*?\s*$/.test(fromUtf8(file)) : everybody.some((one) => equal(one, digest))
  if (isWildcard) {
    const token = join(dirname(folder), 'admin-token')
    const hint = `make a token: openssl rand 32 | basenc --base64url | tr -d '=' > ${token}; tr -d '\\n' < ${token} | sha256sum | cut -c1-64 > ${path}`
    throw new Failure<BrokerFolderCode>('broker/admin-wildcard', `${path} would let anybody administer this broker`, {
      detail: { hint },
    })
  }
  if (digest === null) throw new Failure<FileCode>('file/size', `${path} has ${file.length} bytes, expected 65`)
  return digest
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
