import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { equal, fromBase64, fromHex, fromUtf8, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type SignatureJwk, signatureJwk } from '#core/crypto/jwk.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { Floe, headerSize } from '#core/sealed/floe.js'
import { fileKey } from '#core/sealed/keys.js'
import { segmentCount, segmentLength, segmentPlace } from '#core/sealed/layout.js'
import { encodeManifest, fileAad, parseManifest, verifyManifestDigest } from '#core/sealed/manifest.js'
import { openDigests } from '#core/sealed/secret.js'
import { verifyManifest } from '#core/sealed/signature.js'

type Case =
  | { kind: 'manifest'; name: string; outcome: string; ownerKey: SignatureJwk; manifest: string; signature: string }
  | { kind: 'digest'; name: string; outcome: string; manifest: string; digest: string }
  | {
      kind: 'open'
      name: string
      outcome: string
      dek: string
      manifest: string
      path: string
      ciphertext: string
      plaintext?: string
    }

const cases = JSON.parse(
  readFileSync(new URL('../../vectors/sealed/cases.json', import.meta.url), 'utf8'),
) as readonly Case[]

/** docs/spec/sealed-model.md, "Opening a file". */
async function openFile(one: Extract<Case, { kind: 'open' }>): Promise<Uint8Array> {
  const manifest = parseManifest(utf8(one.manifest))
  const dek = fromHex(one.dek, 32)
  const file = manifest.files.find((entry) => entry.path === one.path)!
  const bytes = fromBase64(one.ciphertext)
  const header = bytes.subarray(0, headerSize)
  if (!equal(header, fromBase64(file.header))) throw new Failure('sealed/header', 'not the manifest’s')
  const aad = fileAad(manifest.model, file.path, file.plaintextLength)
  const floe = Floe.open({ segmentLength }, fileKey(dek, file.path), aad, header)
  const digests = await openDigests(dek, manifest)
  const plaintext = new Uint8Array(file.plaintextLength)
  for (let i = 0; i < segmentCount(file.plaintextLength); i++) {
    const place = segmentPlace(file.plaintextLength, i)
    const sealed = bytes.subarray(place.at, place.at + place.length)
    if (toHex(sha256(sealed)) !== file.segments[i]) throw new Failure('sealed/segment-digest', 'not the signed one')
    plaintext.set(await floe.openSegment(i, place.last, sealed), place.plaintextAt)
  }
  if (toHex(sha256(plaintext)) !== digests.get(file.path)) throw new Failure('sealed/plaintext-digest', 'another file')
  return plaintext
}

async function run(one: Case): Promise<void> {
  if (one.kind === 'manifest') {
    const key = signatureJwk(parseJson(utf8(JSON.stringify(one.ownerKey))), 'ownerKey')
    await verifyManifest(utf8(one.manifest), utf8(one.signature), key)
  } else if (one.kind === 'digest') {
    verifyManifestDigest(utf8(one.manifest), one.digest)
  } else {
    const plaintext = await openFile(one)
    if (one.outcome === 'ok') expect(toBase64(plaintext)).toBe(one.plaintext)
  }
}

describe('sealed-model vectors', () => {
  test.each(cases.map((one) => [one.kind, one.name, one] as const))('%s: %s', async (_, __, one) => {
    const outcome = await run(one).then(
      () => 'ok',
      (error: unknown) => {
        if (isFailure(error)) return error.code
        throw error
      },
    )
    expect(outcome).toBe(one.outcome)
  })

  test('raise every code of the format', () => {
    const source = readFileSync(new URL('../../../core/sealed/failures.ts', import.meta.url), 'utf8')
    const codes = [...source.matchAll(/\| '(sealed\/[a-z-]+)'/g)].map((found) => found[1]!)
    expect(codes.length).toBeGreaterThan(8)
    expect(codes.filter((code) => !cases.some((one) => one.outcome === code))).toEqual([])
  })
})

describe('parseManifest', () => {
  const good = cases.find((one) => one.outcome === 'ok')!.manifest

  test('and encodeManifest are each other’s inverse', () => {
    expect(fromUtf8(encodeManifest(parseManifest(utf8(good))))).toBe(good)
  })

  test('throws Failure and nothing else on any text, and on any change of a manifest', () => {
    const only = (bytes: Uint8Array) => {
      try {
        parseManifest(bytes)
        return false
      } catch (error) {
        if (!isFailure(error)) throw error
        return true
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), only))
    const bytes = utf8(good)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = bytes.slice()
        changed[at]! ^= flip
        only(changed)
      }),
      { numRuns: 500 },
    )
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (size) => only(bytes.subarray(0, size))),
      { numRuns: 100 },
    )
  })
})
