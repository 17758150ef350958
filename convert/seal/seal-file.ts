import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Classified } from '#convert/seal/classify.js'
import type { PlaintextFile } from '#convert/seal/source.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { randomBytes, runningSha256, sha256 } from '#core/crypto/hash.js'
import { Floe, floeIvSize, segmentIvSize } from '#core/sealed/floe.js'
import { fileKey } from '#core/sealed/keys.js'
import { ciphertextLength, segmentCount, segmentLength, segmentPlace } from '#core/sealed/layout.js'
import { fileAad, fileDigest, type SealedFile, type SealedManifest } from '#core/sealed/manifest.js'

/** One sealed file, and the digests that stand elsewhere: of all ciphertext in the signature, of plaintext encrypted. */
export interface SealedFileResult {
  readonly entry: SealedFile
  readonly ciphertextSha256: string
  readonly plaintextSha256: string
}

/** Two buffers of one segment, used for every file: memory does not grow with the model. */
export interface Scratch {
  readonly plaintext: Uint8Array
  readonly sealed: Uint8Array
}

export function makeScratch(): Scratch {
  return { plaintext: new Uint8Array(segmentLength), sealed: new Uint8Array(segmentLength) }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done)
}

/**
 * The file's ciphertext is at `outPath`, durable: header, then segments.
 *
 * onSegment  called with the plaintext bytes of each segment that was written; may wait, so that others get a turn
 * throws     seal/changed when the file is not as long as it was said to be
 */
export async function sealFile(
  file: Classified,
  plaintext: PlaintextFile,
  outPath: string,
  model: SealedManifest['model'],
  dek: Uint8Array,
  scratch: Scratch,
  onSegment: (bytes: number) => Promise<void>,
): Promise<SealedFileResult> {
  const key = fileKey(dek, file.path)
  const floe = Floe.seal({ segmentLength }, key, fileAad(model, file.path, file.size), randomBytes(floeIvSize))
  wipe(key)
  mkdirSync(dirname(outPath), { recursive: true })
  const fd = openSync(outPath, 'wx', 0o644)
  const ofPlaintext = runningSha256()
  const ofCiphertext = runningSha256()
  const segments: string[] = []
  try {
    writeAll(fd, floe.header)
    ofCiphertext.update(floe.header)
    for (let i = 0; i < segmentCount(file.size); i++) {
      const place = segmentPlace(file.size, i)
      const piece = scratch.plaintext.subarray(0, place.plaintextLength)
      const sealed = scratch.sealed.subarray(0, place.length)
      plaintext.read(place.plaintextAt, piece)
      floe.sealSegmentInto(i, place.last, randomBytes(segmentIvSize), piece, sealed)
      writeAll(fd, sealed)
      ofPlaintext.update(piece)
      ofCiphertext.update(sealed)
      segments.push(toHex(sha256(sealed)))
      await onSegment(piece.length)
    }
    fsyncSync(fd)
  } finally {
    closeSync(fd)
    floe.zero()
  }
  const entry: SealedFile = {
    path: file.path,
    role: file.role,
    engine: file.engine,
    plaintextLength: file.size,
    ciphertextLength: ciphertextLength(file.size),
    header: toBase64(floe.header),
    segments,
    digest: fileDigest(segments),
  }
  return {
    entry,
    ciphertextSha256: toHex(ofCiphertext.digest()),
    plaintextSha256: toHex(ofPlaintext.digest()),
  }
}
