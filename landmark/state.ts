/**
 * What belongs in landmark: the service that times nodes over UDP, its keys and the line of its receipts. An edge. Its messages
 * stand in core/wire, what follows from a receipt in policies/location: nothing here knows a border.
 */
import { join } from 'node:path'
import { toHex } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { sha256 } from '#core/crypto/hash.js'
import { exportRecipientKey, generateRecipientKey, importRecipientKey, type RecipientKey } from '#core/crypto/hpke.js'
import { type Ed25519Jwk, ed25519Jwk, type X25519Jwk, x25519Jwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { hex, integer, literal, nullable, object, type Shaped } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import { landmarkNameShape } from '#core/wire/landmark.js'
import { createSecretFile, makeFolder, readBounded, readSecretFile, writeFileDurably } from '#host/files.js'
import { createSigningKeyFile, loadSigningKeyFile } from '#host/signing-key-file.js'

/** Failures of a landmark's folder. */
export type LandmarkStateCode =
  /** a key that is not the one that the folder names */
  'landmark-state/key'

/**
 * The folder of a landmark:
 *
 *   receipt.key    signs receipts (0600)
 *   session.key    sessions are opened to it (0600)
 *   landmark.json  its name and public keys: what a directory lists
 *   head.json      how many receipts it signed, and the digest of the last
 */
const files = { receipt: 'receipt.key', session: 'session.key', public: 'landmark.json', head: 'head.json' } as const

const publicShape = object({
  type: literal('claviger/landmark/v1'),
  name: landmarkNameShape,
  receiptKey: ed25519Jwk,
  sessionKey: x25519Jwk,
})
export type LandmarkPublic = Shaped<typeof publicShape>

const headShape = object({ count: integer(), digest: nullable(hex(32)) })

export interface LandmarkKeys {
  readonly name: string
  readonly receiptKey: SigningKey
  readonly sessionKey: RecipientKey
}

const publicOf = (name: string, receiptKey: Ed25519Jwk, sessionKey: X25519Jwk): LandmarkPublic => ({
  type: 'claviger/landmark/v1',
  name,
  receiptKey,
  sessionKey,
})

/** A new landmark's folder, with keys that nothing else has. @throws file/exists */
export async function createLandmark(folder: string, name: string): Promise<LandmarkPublic> {
  await makeFolder(folder, 0o700)
  const receiptKey = await createSigningKeyFile(join(folder, files.receipt))
  const session = await generateRecipientKey(true)
  const secret = await exportRecipientKey(session)
  try {
    await createSecretFile(join(folder, files.session), secret)
  } finally {
    wipe(secret)
  }
  await writeFileDurably(join(folder, files.head), canonicalJson({ count: 0, digest: null }))
  const found = publicOf(name, receiptKey.publicKey as Ed25519Jwk, session.publicKey)
  await writeFileDurably(join(folder, files.public), canonicalJson(found))
  return found
}

/** The keys of a landmark's folder. @throws landmark-state/key, file/..., crypto/key, json/..., shape/... */
export async function loadLandmark(folder: string): Promise<LandmarkKeys> {
  const { name, receiptKey, sessionKey } = publicShape(
    parseJson(await readBounded(join(folder, files.public), 4 * KiB)),
    files.public,
  )
  const signing = await loadSigningKeyFile(join(folder, files.receipt))
  if (signing.publicKey.x !== receiptKey.x)
    throw new Failure<LandmarkStateCode>('landmark-state/key', `${files.receipt} is not the key of ${files.public}`)
  const secret = await readSecretFile(join(folder, files.session))
  try {
    return { name, receiptKey: signing, sessionKey: await importRecipientKey(secret, sessionKey) }
  } finally {
    wipe(secret)
  }
}

/** The line of a landmark's receipts: each names the one before it. */
export interface ReceiptLine {
  /** Signs what `make` gives for the digest before it; the new head is on disk before it resolves. One at a time. */
  add<T extends { readonly payload: Uint8Array }>(make: (previousDigest: string | null) => Promise<T>): Promise<T>
}

/** The line as it stands on disk. A landmark without its head does not begin another: the file has to be there. @throws file/..., json/..., shape/... */
export async function openLine(folder: string): Promise<ReceiptLine> {
  const path = join(folder, files.head)
  let head = headShape(parseJson(await readBounded(path, KiB)), files.head)
  let last: Promise<unknown> = Promise.resolve()
  return {
    add(make) {
      const next = last.then(async () => {
        const made = await make(head.digest)
        const after = { count: head.count + 1, digest: toHex(sha256(made.payload)) }
        await writeFileDurably(path, canonicalJson(after))
        head = after
        return made
      })
      last = next.catch(() => undefined)
      return next
    },
  }
}
