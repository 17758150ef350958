import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { equal, toHex } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { combineShares, splitSecret } from '#core/crypto/shamir.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { encodeManifest, modelName, type VerifiedManifest } from '#core/sealed/manifest.js'
import { type Quorum, shareCommitment, shareRecordSize, verifyQuorum, verifyShare } from '#core/sealed/quorum.js'
import { openDigests } from '#core/sealed/secret.js'
import { manifestName, signatureName, signFolder, verifyFolderSignature } from '#core/sealed/signature.js'
import { writeFileDurably } from '#host/files.js'

/** Who is to hold a share, in the order of the shares. */
export type Holder = Omit<Quorum['shares'][number], 'commitment'>

/** A split key: what is signed of it, and what each holder gets. */
export interface SplitKey {
  readonly quorum: Quorum
  /** one record behind the other, for the caller to wipe */
  readonly records: Uint8Array
}

/** The record of share `index`, from 1: a view. */
export function recordAt(records: Uint8Array, index: number): Uint8Array {
  return records.subarray((index - 1) * shareRecordSize, index * shareRecordSize)
}

/**
 * The model's key in shares, with fresh randomness that nobody keeps. The key opens the manifest's encrypted part, and the first
 * shares give it back: a split that would lose it is not made.
 *
 * throws  sealed/manifest-secret, sealed/quorum, crypto/shares
 */
export async function splitKey(
  dek: Uint8Array,
  manifest: VerifiedManifest,
  holders: readonly Holder[],
  threshold: number,
): Promise<SplitKey> {
  await openDigests(dek, manifest)
  const random = randomBytes((threshold - 1) * dek.length)
  const shares = splitSecret(dek, { threshold, count: holders.length }, random)
  wipe(random)
  const records = secretBytes(shareRecordSize * shares.length)
  for (const { index, value } of shares) {
    const record = recordAt(records, index)
    record.set(randomBytes(shareRecordSize - value.length))
    record.set(value, shareRecordSize - value.length)
    wipe(value)
  }
  const { model } = manifest
  const quorum: Quorum = {
    threshold,
    shares: holders.map((holder, at) => ({
      ...holder,
      commitment: shareCommitment({ model, threshold, index: at + 1 }, recordAt(records, at + 1)),
    })),
  }
  verifyQuorum(quorum)
  const some = quorum.shares
    .slice(-threshold)
    .map((_, at) => quorum.shares.length - threshold + at + 1)
    .map((index) => verifyShare(quorum, { model, index }, recordAt(records, index)))
  const again = combineShares(some)
  const same = equal(again, dek)
  wipe(again)
  if (!same) throw new Error('assertion failed: the shares do not give the key back')
  return { quorum, records }
}

/** A manifest and the signature over the folder that it stands in. */
export interface SignedManifest {
  readonly manifest: Uint8Array
  readonly signature: Uint8Array
}

/** The same sealed folder, whose manifest names a quorum. @throws sealed/..., dsse/..., crypto/signature */
export async function signQuorum(
  manifest: VerifiedManifest,
  signature: Uint8Array,
  quorum: Quorum,
  owner: SigningKey,
): Promise<SignedManifest> {
  const bytes = encodeManifest({ ...manifest, quorum })
  const files = await verifyFolderSignature(signature, owner.publicKey)
  const resources = [...files].map(([name, digest]) => ({
    name,
    digest: name === manifestName ? toHex(sha256(bytes)) : digest,
  }))
  return { manifest: bytes, signature: await signFolder(owner, modelName(manifest), resources) }
}

/** Both stand in the folder, one right after the other: between two renames alone is the one not the other's. */
export async function replaceManifest(folder: string, { manifest, signature }: SignedManifest): Promise<void> {
  const next = (name: string) => join(folder, `.${name}.next`)
  await writeFileDurably(next(manifestName), manifest)
  await writeFileDurably(next(signatureName), signature)
  await rename(next(signatureName), join(folder, signatureName))
  await rename(next(manifestName), join(folder, manifestName))
}
