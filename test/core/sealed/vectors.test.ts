import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromBase64, fromHex, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'
import { Floe, headerSize } from '#core/sealed/floe.js'
import { fileKey } from '#core/sealed/keys.js'
import { segmentLength, segmentPlace } from '#core/sealed/layout.js'
import { ciphertextPath, fileAad, type SealedFile, type VerifiedManifest } from '#core/sealed/manifest.js'
import { openDigests } from '#core/sealed/secret.js'
import { verifyManifest } from '#core/sealed/signature.js'

interface Case {
  readonly name: string
  readonly expected: string
  readonly manifest: string
  readonly signature: string
  readonly files: Readonly<Record<string, string>>
}
interface Vectors {
  readonly owner: SignatureJwk
  readonly dek: string
  readonly cases: readonly Case[]
}

const file = new URL('../../vectors/sealed/cases.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors
const dek = fromHex(vectors.dek, 32)

/** One file, opened as a node does: length, header, signed segments, decryption, plaintext. */
async function openFile(one: Case, manifest: VerifiedManifest, entry: SealedFile, digest: string): Promise<void> {
  const sealed = fromBase64(one.files[ciphertextPath(entry.path)] ?? '')
  if (sealed.length !== entry.ciphertextLength) throw new Failure('unseal/file', 'another length')
  const header = sealed.subarray(0, headerSize)
  if (toBase64(header) !== entry.header) throw new Failure('sealed/header', 'another header')
  const floe = Floe.open(
    { segmentLength },
    fileKey(dek, entry.path),
    fileAad(manifest.model, entry.path, entry.plaintextLength),
    header,
  )
  const { at, length, last } = segmentPlace(entry.plaintextLength, 0) // every file of the vectors has one segment
  const segment = sealed.subarray(at, at + length)
  if (toHex(sha256(segment)) !== entry.segments[0]) throw new Failure('sealed/segment-digest', 'another segment')
  const plaintext = await floe.openSegment(0, last, segment)
  if (toHex(sha256(plaintext)) !== digest) throw new Failure('sealed/plaintext-digest', 'another plaintext')
}

async function outcome(one: Case): Promise<string> {
  try {
    const manifest = await verifyManifest(utf8(one.manifest), utf8(one.signature), vectors.owner)
    const digests = await openDigests(dek, manifest)
    for (const entry of manifest.files) await openFile(one, manifest, entry, digests.get(entry.path)!)
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}

describe('vectors of the sealed format', () => {
  test.each(vectors.cases.map((one) => [one.name, one.expected, one] as const))('%s: %s', async (_, expected, one) => {
    expect(await outcome(one)).toBe(expected)
  })

  test('the page of the format opens with the manifest of the first case', () => {
    const page = readFileSync(new URL('../../../docs/spec/sealed-model.md', import.meta.url), 'utf8')
    const [, example] = /```json\n(.*?)```/s.exec(page)!
    expect(JSON.parse(example!)).toEqual(JSON.parse(vectors.cases[0]!.manifest))
  })
})
