import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { isFailure } from '#core/failure.js'
import {
  ciphertextLength,
  segmentCount,
  segmentLength,
  segmentPlace,
  segmentPlaintextLength,
} from '#core/sealed/layout.js'
import { encodeManifest, parseManifest } from '#core/sealed/manifest.js'
import { verifyFolderSignature, verifyManifest } from '#core/sealed/signature.js'

const file = new URL('../../vectors/sealed/cases.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly owner: SignatureJwk
  readonly cases: readonly { readonly manifest: string; readonly signature: string }[]
}
const { manifest, signature } = vectors.cases[0]!

/** Whether the work was done; anything thrown but a Failure is a bug. */
async function succeeds(work: () => unknown): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (isFailure(error)) return false
    throw error
  }
}

/** The bytes with one of them changed, one taken out, or some put in. */
const changed = (text: string) =>
  fc
    .tuple(fc.nat(utf8(text).length - 1), fc.integer({ min: 1, max: 255 }), fc.constantFrom('flip', 'cut', 'add'))
    .map(([at, value, how]) => {
      const bytes = utf8(text)
      if (how === 'cut') return new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(at + 1)])
      if (how === 'add') return new Uint8Array([...bytes.subarray(0, at), value, ...bytes.subarray(at)])
      bytes[at]! ^= value
      return bytes
    })

describe('properties of manifest and signature', () => {
  test('any bytes are a manifest or a Failure', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.json().map(utf8)), async (bytes) => {
        expect(await succeeds(() => parseManifest(bytes))).toBe(false)
        expect(await succeeds(() => verifyFolderSignature(bytes, vectors.owner))).toBe(false)
      }),
    )
  })

  test('no changed byte of a manifest is accepted under the signature, nor of what the signature covers', async () => {
    await fc.assert(
      fc.asyncProperty(changed(manifest), async (bytes) => {
        expect(await succeeds(() => verifyManifest(bytes, utf8(signature), vectors.owner))).toBe(false)
      }),
      { numRuns: 200 },
    )
    const envelope = JSON.parse(signature) as { dsseEnvelope: { payload: string } }
    await fc.assert(
      fc.asyncProperty(changed(Buffer.from(envelope.dsseEnvelope.payload, 'base64').toString()), async (bytes) => {
        const dsseEnvelope = { ...envelope.dsseEnvelope, payload: Buffer.from(bytes).toString('base64') }
        const forged = utf8(JSON.stringify({ ...envelope, dsseEnvelope }))
        expect(await succeeds(() => verifyManifest(utf8(manifest), forged, vectors.owner))).toBe(false)
      }),
      { numRuns: 200 },
    )
  })

  test('what is parsed is encoded to the same bytes', () => {
    expect(encodeManifest(parseManifest(utf8(manifest)))).toEqual(utf8(manifest))
  })

  test('segments cover a file without gap, and their places follow from its length alone', () => {
    const lengths = fc.oneof(
      fc.nat(5_000_000),
      fc.nat(4).map((n) => n * segmentPlaintextLength),
    )
    fc.assert(
      fc.property(lengths, (length) => {
        let plaintext = 0
        let at = 74
        for (let i = 0; i < segmentCount(length); i++) {
          const place = segmentPlace(length, i)
          expect(place).toMatchObject({ at, plaintextAt: plaintext, last: i === segmentCount(length) - 1 })
          if (!place.last) expect(place.length).toBe(segmentLength)
          plaintext += place.plaintextLength
          at += place.length
        }
        expect({ plaintext, at }).toEqual({ plaintext: length, at: ciphertextLength(length) })
      }),
    )
  })
})
