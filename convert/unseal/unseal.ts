import { lstat, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ageOpen } from '#convert/keys/age.js'
import type { OnProgress } from '#convert/progress.js'
import type { UnsealCode } from '#convert/unseal/failures.js'
import { openSealedFolder, readSegments, readSmallFile, verifyContents } from '#convert/unseal/sealed-folder.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { runningSha256 } from '#core/crypto/hash.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import type { SealedCode } from '#core/sealed/failures.js'
import { Floe } from '#core/sealed/floe.js'
import { dekSize, fileKey } from '#core/sealed/keys.js'
import { segmentLength, segmentPlace } from '#core/sealed/layout.js'
import { fileAad, type SealedFile, type VerifiedManifest } from '#core/sealed/manifest.js'
import { openDigests } from '#core/sealed/secret.js'
import { recoveryName } from '#core/sealed/signature.js'
import { makeAside } from '#host/aside.js'
import { makeFolder } from '#host/files.js'

export interface UnsealOptions {
  readonly folder: string
  /** the model's folder: must not exist */
  readonly out: string
  /** the bytes of the age identity's file */
  readonly identity: Uint8Array
  /** the key that the reader trusts; null for the one that the model id is named after */
  readonly ownerKey: SignatureJwk | null
  readonly onProgress?: OnProgress
}

/** Decrypts one file to `outPath` and returns the SHA-256 of what it wrote. */
async function unsealFile(
  folder: string,
  file: SealedFile,
  floe: Floe,
  outPath: string,
  step: (bytes: number) => void,
): Promise<string> {
  const plaintext = new Uint8Array(segmentLength)
  const whole = runningSha256()
  await makeFolder(dirname(outPath))
  const out = await open(outPath, 'wx', 0o600)
  try {
    await readSegments(folder, file, async (i, sealed) => {
      const place = segmentPlace(file.plaintextLength, i)
      const piece = plaintext.subarray(0, place.plaintextLength)
      floe.openSegmentInto(i, place.last, sealed, piece)
      whole.update(piece)
      for (let done = 0; done < piece.length; ) done += (await out.write(piece, done)).bytesWritten
      step(piece.length)
    })
    await out.sync()
  } finally {
    wipe(plaintext)
    await out.close()
  }
  return toHex(whole.digest())
}

async function unsealFiles(manifest: VerifiedManifest, dek: Uint8Array, target: string, options: UnsealOptions) {
  const digests = await openDigests(dek, manifest)
  let done = 0
  for (const file of manifest.files) {
    const key = fileKey(dek, file.path)
    const aad = fileAad(manifest.model, file.path, file.plaintextLength)
    const floe = Floe.open({ segmentLength }, key, aad, fromBase64(file.header))
    wipe(key)
    try {
      const step = (bytes: number) => {
        done += bytes
        options.onProgress?.({ what: file.path, done, total: manifest.size })
      }
      const digest = await unsealFile(options.folder, file, floe, join(target, file.path), step)
      if (digest !== digests.get(file.path)) {
        throw new Failure<SealedCode>('sealed/plaintext-digest', `${file.path} is not the file that was sealed`)
      }
    } finally {
      floe.zero()
    }
  }
}

/** The folder's manifest, and its key by way of the identity, for the caller to wipe. `out` is free. */
async function openForUnseal({ folder, out, identity, ownerKey }: UnsealOptions) {
  if ((await lstat(out).catch(() => null)) !== null) {
    throw new Failure<UnsealCode>('unseal/output', `${out} exists and is not written over`)
  }
  const { manifest, signature } = await openSealedFolder(folder, ownerKey)
  return { manifest, signature, dek: await ageOpen(identity, await readSmallFile(folder, recoveryName), dekSize) }
}

/**
 * The sealed folder is whole as it was signed, and this identity opens it: `unsealToFolder` would do. Nothing is written, and
 * no file is decrypted.
 *
 * throws  as unsealToFolder, but for what only decryption shows
 */
export async function verifyUnseal(options: UnsealOptions): Promise<VerifiedManifest> {
  const { manifest, signature, dek } = await openForUnseal(options)
  try {
    await openDigests(dek, manifest)
  } finally {
    wipe(dek)
  }
  await verifyContents(options.folder, manifest, signature, options.onProgress)
  return manifest
}

/**
 * `out` holds the model's files as they were sealed, by way of the owner's recovery identity: no broker took part.
 * Signature, every segment and every plaintext digest were verified. Before that `out` does not exist.
 *
 * throws  unseal/*, keys/form, keys/age, sealed/*, all of verifyManifest
 */
export async function unsealToFolder(options: UnsealOptions): Promise<VerifiedManifest> {
  const { manifest, dek } = await openForUnseal(options)
  try {
    // Invariant: nothing of the model's plaintext stays beside it, whatever ended the work.
    await makeAside({ place: options.out, word: 'unsealing', mode: 0o700 }, (target) =>
      unsealFiles(manifest, dek, target, options),
    )
    return manifest
  } finally {
    wipe(dek)
  }
}
