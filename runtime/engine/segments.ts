import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { equal, fromBase64, toHex } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import type { SealedCode } from '#core/sealed/failures.js'
import { Floe, headerSize } from '#core/sealed/floe.js'
import { fileKey } from '#core/sealed/keys.js'
import { segmentCount, segmentLength, segmentPlace } from '#core/sealed/layout.js'
import { ciphertextPath, fileAad, type SealedFile, type SealedManifest } from '#core/sealed/manifest.js'
import { viewPages } from '#runtime/engine/pages.js'

/** A file of the sealed folder is not there, not a plain file, or not as long as the manifest says. */
export type FolderCode = 'engine/file-absent' | 'engine/file-kind' | 'engine/file-length'

/** A file of the manifest, and the memory that its plaintext goes to. */
export interface Target {
  readonly file: SealedFile
  /** of memory of this process that holds `file.plaintextLength` bytes */
  readonly address: bigint
}

/** What several threads of one process do together. */
export interface SharedWork {
  /** absolute path of the sealed folder */
  readonly folder: string
  readonly model: SealedManifest['model']
  readonly targets: readonly Target[]
  /** the DEK in shared memory; who shared it wipes it */
  readonly dek: Uint8Array
  /** the next segment of all files that nobody has taken; another thread's failure moves it past the end */
  readonly next: Int32Array
}

function openFile(folder: string, { path, ciphertextLength }: SealedFile): number {
  const name = ciphertextPath(path)
  let fd: number
  try {
    // Without O_NONBLOCK a pipe of that name would hold the load for ever.
    fd = openSync(join(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    throw new Failure<FolderCode>('engine/file-absent', `${name} cannot be opened`, { cause })
  }
  const stat = fstatSync(fd)
  if (stat.isFile() && stat.size === ciphertextLength) return fd
  closeSync(fd)
  if (!stat.isFile()) throw new Failure<FolderCode>('engine/file-kind', `${name} is not a plain file`)
  throw new Failure<FolderCode>('engine/file-length', `${name} has ${stat.size} bytes, expected ${ciphertextLength}`)
}

function readAt(fd: number, file: SealedFile, position: number, into: Uint8Array): void {
  for (let at = 0; at < into.length; ) {
    const count = readSync(fd, into, at, into.length - at, position + at)
    if (count === 0) {
      throw new Failure<FolderCode>('engine/file-length', `${ciphertextPath(file.path)} became shorter`)
    }
    at += count
  }
}

/** One file that a thread is opening segments of. */
class OpenFile {
  readonly target: Target
  readonly #fd: number
  readonly #floe: Floe
  readonly #plaintext: Uint8Array

  constructor(work: SharedWork, target: Target) {
    const { file } = target
    this.target = target
    this.#plaintext = viewPages(target.address, file.plaintextLength)
    this.#fd = openFile(work.folder, file)
    const key = fileKey(work.dek, file.path)
    try {
      const signed = fromBase64(file.header, headerSize)
      const header = new Uint8Array(headerSize)
      readAt(this.#fd, file, 0, header)
      if (!equal(header, signed)) {
        throw new Failure<SealedCode>('sealed/header', `${file.path}: header is not the one that the owner signed`)
      }
      this.#floe = Floe.open({ segmentLength }, key, fileAad(work.model, file.path, file.plaintextLength), signed)
    } catch (error) {
      closeSync(this.#fd)
      throw error
    } finally {
      wipe(key)
    }
  }

  /** The plaintext of one segment is in its place. */
  openSegment(index: number, scratch: Uint8Array): void {
    const { file } = this.target
    const place = segmentPlace(file.plaintextLength, index)
    const sealed = scratch.subarray(0, place.length)
    readAt(this.#fd, file, place.at, sealed)
    // Invariant: before decryption, and over these very bytes. Who holds the DEK can make valid tags; only the owner signs.
    const digest = toHex(sha256(sealed))
    if (digest !== file.segments[index]) {
      throw new Failure<SealedCode>('sealed/segment-digest', `${file.path}: segment ${index} has digest ${digest}`, {
        detail: { path: file.path, segment: index },
      })
    }
    const to = this.#plaintext.subarray(place.plaintextAt, place.plaintextAt + place.plaintextLength)
    this.#floe.openSegmentInto(index, place.last, sealed, to)
  }

  close(): void {
    this.#floe.zero()
    closeSync(this.#fd)
  }
}

/**
 * No segment is left to take: those that this thread took are decrypted in place, each after its digest was that of the
 * manifest. Other threads may still be at theirs. On failure nobody takes another one.
 *
 * throws  engine/file-absent, engine/file-kind, engine/file-length, sealed/header, sealed/header-tag,
 *         sealed/segment-digest, sealed/segment-form, sealed/segment-tag
 */
export function openSegments(work: SharedWork): void {
  const total = work.targets.reduce((sum, { file }) => sum + segmentCount(file.plaintextLength), 0)
  const scratch = new Uint8Array(segmentLength) // ciphertext only
  let open: OpenFile | undefined
  let number = 0 // of the target that `first` is the first segment of
  let first = 0
  try {
    for (let taken = Atomics.add(work.next, 0, 1); taken < total; taken = Atomics.add(work.next, 0, 1)) {
      for (;;) {
        const count = segmentCount(work.targets[number]!.file.plaintextLength)
        if (taken < first + count) break
        first += count
        number++
      }
      const target = work.targets[number]!
      if (open?.target !== target) {
        open?.close()
        open = undefined
        open = new OpenFile(work, target)
      }
      open.openSegment(taken - first, scratch)
    }
  } catch (error) {
    Atomics.store(work.next, 0, total)
    throw error
  } finally {
    open?.close()
  }
}
