import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { OnProgress } from '#convert/progress.js'
import { listFiles } from '#convert/seal/walk.js'
import type { UnsealCode } from '#convert/unseal/failures.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { runningSha256, sha256 } from '#core/crypto/hash.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import { manifestSizeMax } from '#core/limits.js'
import type { SealedCode } from '#core/sealed/failures.js'
import { headerSize, segmentOverhead } from '#core/sealed/floe.js'
import { segmentLength, segmentPlace } from '#core/sealed/layout.js'
import { ciphertextPath, parseManifest, type SealedFile, type VerifiedManifest } from '#core/sealed/manifest.js'
import {
  manifestName,
  recoveryName,
  signatureName,
  verifyFolderSignature,
  verifyManifest,
} from '#core/sealed/signature.js'

const smallFileMax = Math.max(4 * 1024 * 1024, manifestSizeMax)
// Whoever made the folder may have put a link, or a pipe that would hold us for ever, in the place of a file.
const readPlain = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

function unreadable(folder: string, name: string, cause: unknown): Failure {
  const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message
  const detail = { hint: 'is the path right, and is it a folder that ./claviger seal made?' }
  return new Failure<UnsealCode>('unseal/file', `cannot read ${name} of the sealed folder ${folder}: ${reason}`, {
    cause,
    detail,
  })
}

/** A small file of a sealed folder: plain, and as long as it was when it was opened. @throws unseal/file */
export async function readSmallFile(folder: string, name: string): Promise<Uint8Array> {
  try {
    const handle = await open(join(folder, name), readPlain)
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw new TypeError('no plain file')
      if (stat.size > smallFileMax) throw new RangeError(`${stat.size} bytes`)
      const bytes = new Uint8Array(stat.size)
      for (let at = 0; at < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, at, bytes.length - at)
        if (bytesRead === 0) throw new RangeError('it became shorter')
        at += bytesRead
      }
      return bytes
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw unreadable(folder, name, cause)
  }
}

/**
 * A sealed folder whose manifest its owner signed.
 *
 * ownerKey  the key that the reader trusts; null for the one that the manifest brings and its model id is named after
 * throws    unseal/file and all of verifyManifest
 */
export async function openSealedFolder(
  folder: string,
  ownerKey: SignatureJwk | null,
): Promise<{ readonly manifest: VerifiedManifest; readonly bytes: Uint8Array; readonly signature: Uint8Array }> {
  const bytes = await readSmallFile(folder, manifestName)
  const signature = await readSmallFile(folder, signatureName)
  const manifest = await verifyManifest(bytes, signature, ownerKey ?? parseManifest(bytes).owner)
  return { manifest, bytes, signature }
}

/**
 * Calls `visit` with each segment of a file in order, once it is known to be the one that was signed. The bytes are
 * valid until `visit` is done.
 *
 * throws  unseal/file for another length, sealed/header, sealed/segment-digest
 */
export async function readSegments(
  folder: string,
  file: SealedFile,
  visit: (index: number, sealed: Uint8Array, header: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const name = ciphertextPath(file.path)
  let fd: number
  try {
    fd = openSync(join(folder, name), readPlain)
  } catch (cause) {
    throw unreadable(folder, name, cause)
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw new Failure<UnsealCode>('unseal/file', `${name} is not a plain file`)
    const { size } = stat
    if (size !== file.ciphertextLength) {
      throw new Failure<UnsealCode>('unseal/file', `${name} has ${size} bytes, expected ${file.ciphertextLength}`)
    }
    const fill = (at: number, target: Uint8Array): Uint8Array => {
      for (let done = 0; done < target.length; ) {
        const got = readSync(fd, target, done, target.length - done, at + done)
        if (got === 0) throw new Failure<UnsealCode>('unseal/file', `${name} became shorter while it was read`)
        done += got
      }
      return target
    }
    const header = fill(0, new Uint8Array(headerSize))
    if (toBase64(header) !== file.header) {
      throw new Failure<SealedCode>('sealed/header', `${name} begins with another header than the manifest's`)
    }
    const buffer = new Uint8Array(segmentLength)
    for (let i = 0; i < file.segments.length; i++) {
      const place = segmentPlace(file.plaintextLength, i)
      const sealed = fill(place.at, buffer.subarray(0, place.length))
      if (toHex(sha256(sealed)) !== file.segments[i]) {
        throw new Failure<SealedCode>('sealed/segment-digest', `segment ${i} of ${name} is not the one that was signed`)
      }
      await visit(i, sealed, header)
      await setImmediate()
    }
  } finally {
    closeSync(fd)
  }
}

/**
 * Every file of the folder is the one that was signed, and there is no other.
 *
 * throws  unseal/file, sealed/header, sealed/segment-digest, sealed/statement
 */
export async function verifyContents(
  folder: string,
  manifest: VerifiedManifest,
  signature: Uint8Array,
  onProgress?: OnProgress,
): Promise<void> {
  const signed = await verifyFolderSignature(signature, manifest.owner)
  for (const name of (await listFiles(folder)).keys()) {
    if (name !== signatureName && !signed.has(name)) {
      throw new Failure<SealedCode>('sealed/statement', `${name} lies in the folder and was not signed`)
    }
  }
  const recovery = toHex(sha256(await readSmallFile(folder, recoveryName)))
  if (signed.get(recoveryName) !== recovery) {
    throw new Failure<SealedCode>('sealed/statement', `${recoveryName} is not the one that was signed`)
  }
  let done = 0
  for (const file of manifest.files) {
    const whole = runningSha256()
    await readSegments(folder, file, (i, sealed, header) => {
      if (i === 0) whole.update(header)
      whole.update(sealed)
      done += sealed.length - segmentOverhead
      onProgress?.({ what: file.path, done, total: manifest.size })
    })
    if (signed.get(ciphertextPath(file.path)) !== toHex(whole.digest())) {
      throw new Failure<SealedCode>('sealed/statement', `${file.path}: statement and manifest name different bytes`)
    }
  }
}
