import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromBase64 } from '#core/bytes/bytes.js'
import { Floe } from '#core/sealed/floe.js'
import { fileKey } from '#core/sealed/keys.js'
import { segmentCount, segmentLength, segmentPlace, segmentPlaintextLength } from '#core/sealed/layout.js'
import { ciphertextPath, fileAad, parseManifest, type SealedManifest } from '#core/sealed/manifest.js'
import { unsealModel } from '#runtime/engine/unseal.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { sealFixture } from '#test/fakes/sealed-model.js'

const work = mkdtempSync(join(tmpdir(), 'unseal-'))
const plain = join(work, 'plain')
const sealed = join(work, 'sealed')
/** Enough for a second thread to be started. */
const large = 132 * 1024 * 1024
const files: ReadonlyMap<string, Uint8Array> = new Map([
  ['config.json', new Uint8Array(Buffer.from('{"pipeline":"tensors"}'))],
  ['empty.bin', new Uint8Array(0)],
  ['exact.bin', new Uint8Array(randomBytes(2 * segmentPlaintextLength))],
  ['graphs/model.onnx', new Uint8Array(randomBytes(70_001))],
  ['graphs/weights.bin', new Uint8Array(randomBytes(2 * segmentPlaintextLength + 1))],
  ['same-length.bin', new Uint8Array(randomBytes(70_001))],
])
let manifest: SealedManifest
let dek: Uint8Array

function writePlain(folder: string, entries: Iterable<readonly [string, Uint8Array]>): void {
  for (const [path, bytes] of entries) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
}
beforeAll(async () => {
  writePlain(plain, files)
  const fixture = await sealFixture(plain, sealed)
  manifest = parseManifest(fixture.manifestBytes)
  dek = fixture.dek
})
afterAll(() => rmSync(work, { recursive: true }))

let copies = 0
/** The sealed folder with one thing broken. */
function broken(breakIt: (folder: string) => void): string {
  const folder = join(work, `broken-${++copies}`)
  cpSync(sealed, folder, { recursive: true })
  breakIt(folder)
  return folder
}
const at = (folder: string, path: string) => join(folder, ciphertextPath(path))
const unseal = (folder: string, key = dek, workers = 1) => unsealModel({ folder, manifest, dek: key, workers })
const codeOf = (breakIt: (folder: string) => void) => codeOfPromise(unseal(broken(breakIt)))
function alter(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path)
  change(bytes)
  writeFileSync(path, bytes)
}
const weights = 'graphs/weights.bin'

/** What a holder of the DEK can do: other plaintext in one segment, under a tag that is right. */
function rewriteSegment(folder: string, index: number): void {
  const file = manifest.files.find((one) => one.path === weights)!
  const aad = fileAad(manifest.model, weights, file.plaintextLength)
  const floe = Floe.open({ segmentLength }, fileKey(dek, weights), aad, fromBase64(file.header))
  const place = segmentPlace(file.plaintextLength, index)
  alter(at(folder, weights), (bytes) => {
    const target = new Uint8Array(bytes.buffer, bytes.byteOffset + place.at, place.length)
    floe.sealSegmentInto(index, place.last, randomBytes(12), new Uint8Array(randomBytes(place.plaintextLength)), target)
    // The rewritten segment is one that the format itself accepts.
    floe.openSegmentInto(index, place.last, target, new Uint8Array(place.plaintextLength))
  })
}

describe('unsealing a folder', () => {
  test('gives every file back as it was, and zero() leaves nothing of it', async () => {
    const before = new Uint8Array(dek)
    const unsealed = await unseal(sealed)
    expect([...unsealed.files.keys()]).toEqual([...files.keys()].sort())
    for (const [path, bytes] of files) {
      expect(Buffer.compare(unsealed.files.get(path)!, bytes), path).toBe(0)
    }
    expect(dek).toEqual(before)
    unsealed.zero()
    for (const bytes of unsealed.files.values()) expect(bytes.every((one) => one === 0)).toBe(true)
  })

  test('gives the same with several threads as with one, and fails as one does', async () => {
    const [from, to] = [join(work, 'large'), join(work, 'large-sealed')]
    writePlain(from, [
      ...files,
      ['a.bin', new Uint8Array(randomBytes(large))],
      ['z.bin', new Uint8Array(randomBytes(3_000_000))],
    ])
    const fixture = await sealFixture(from, to)
    const given = { folder: to, manifest: parseManifest(fixture.manifestBytes), dek: fixture.dek }
    const unsealed = await unsealModel({ ...given, workers: 3 })
    for (const [path, bytes] of unsealed.files) {
      expect(Buffer.compare(bytes, readFileSync(join(from, path))), path).toBe(0)
    }
    unsealed.zero()
    alter(at(to, 'a.bin'), (bytes) => bytes.writeUInt8(bytes[large >> 1]! ^ 1, large >> 1))
    expect(await codeOfPromise(unsealModel({ ...given, workers: 3 }))).toBe('sealed/segment-digest')
    rmSync(from, { recursive: true })
    rmSync(to, { recursive: true })
  })

  test.each([0, 1, 2])('rejects segment %i rewritten by a holder of the DEK under a valid tag', async (index) => {
    expect(segmentCount(files.get(weights)!.length)).toBe(3)
    expect(await codeOf((folder) => rewriteSegment(folder, index))).toBe('sealed/segment-digest')
  })

  test('rejects another DEK', async () => {
    expect(await codeOfPromise(unseal(sealed, new Uint8Array(randomBytes(32))))).toBe('sealed/header-tag')
  })

  test('rejects a manifest of another version of the model: its files were not sealed for it', async () => {
    const other = { ...manifest, model: { ...manifest.model, version: 2 } }
    expect(await codeOfPromise(unsealModel({ folder: sealed, manifest: other, dek, workers: 1 }))).toBe(
      'sealed/header-tag',
    )
  })

  test('rejects a header that is not the signed one', async () => {
    expect(await codeOf((folder) => alter(at(folder, weights), (bytes) => bytes.writeUInt8(bytes[20]! ^ 1, 20)))).toBe(
      'sealed/header',
    )
  })

  test('rejects two files of one length in each other’s place', async () => {
    const swapped = (folder: string) => {
      const [a, b] = [at(folder, 'graphs/model.onnx'), at(folder, 'same-length.bin')]
      copyFileSync(a, join(folder, 'aside'))
      renameSync(b, a)
      renameSync(join(folder, 'aside'), b)
    }
    expect(await codeOf(swapped)).toBe('sealed/header')
  })

  test('rejects two segments in each other’s place', async () => {
    const swapped = (folder: string) =>
      alter(at(folder, weights), (bytes) => {
        const [a, b] = [segmentPlace(3 * segmentLength, 0), segmentPlace(3 * segmentLength, 1)]
        const aside = Buffer.from(bytes.subarray(a.at, a.at + a.length))
        bytes.copyWithin(a.at, b.at, b.at + b.length)
        aside.copy(bytes, b.at)
      })
    expect(await codeOf(swapped)).toBe('sealed/segment-digest')
  })

  test('rejects a file that is cut, one byte longer, absent, a symbolic link, a pipe', async () => {
    const path = (folder: string) => at(folder, weights)
    expect(await codeOf((folder) => truncateSync(path(folder), 74 + segmentLength))).toBe('engine/file-length')
    expect(await codeOf((folder) => writeFileSync(path(folder), 'x', { flag: 'a' }))).toBe('engine/file-length')
    expect(await codeOf((folder) => unlinkSync(path(folder)))).toBe('engine/file-absent')
    const linked = (folder: string) => {
      renameSync(path(folder), join(folder, 'aside'))
      symlinkSync(join(folder, 'aside'), path(folder))
    }
    expect(await codeOf(linked)).toBe('engine/file-absent')
    const piped = (folder: string) => {
      unlinkSync(path(folder))
      execFileSync('mkfifo', [path(folder)])
    }
    expect(await codeOf(piped)).toBe('engine/file-kind')
  })
})
