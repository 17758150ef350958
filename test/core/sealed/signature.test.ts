import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromBase64, fromUtf8, toBase64, utf8 } from '#core/bytes/bytes.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { canonicalJson } from '#core/encoding/json.js'
import { manifestDigest, verifyManifestDigest } from '#core/sealed/manifest.js'
import { verifyManifest } from '#core/sealed/signature.js'

interface Bundle {
  mediaType: string
  verificationMaterial: { publicKey: { hint: string }; tlogEntries: unknown[] }
  dsseEnvelope: { payloadType: string; payload: string; signatures: { keyid: string; sig: string }[] }
}

const file = new URL('../../vectors/sealed/cases.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly owner: SignatureJwk
  readonly cases: readonly { readonly expected: string; readonly manifest: string; readonly signature: string }[]
}
const good = vectors.cases.find((one) => one.expected === 'ok')!
const manifest = utf8(good.manifest)

/** The good signature with one thing broken. */
function broken(edit: (bundle: Bundle) => void): Uint8Array {
  const bundle = JSON.parse(good.signature) as Bundle
  edit(bundle)
  return canonicalJson(bundle)
}
function flip(text: string): string {
  const bytes = fromBase64(text)
  bytes[bytes.length - 1]! ^= 1
  return toBase64(bytes)
}

describe('the signature of a sealed folder', () => {
  test('verifies as it was made', async () => {
    expect(await verifyManifest(manifest, utf8(good.signature), vectors.owner)).toMatchObject({ owner: vectors.owner })
  })

  test.each<[string, string, (bundle: Bundle) => void]>([
    [
      'a flipped bit of it',
      'crypto/signature',
      (bundle) => {
        const [signature] = bundle.dsseEnvelope.signatures
        signature!.sig = flip(signature!.sig)
      },
    ],
    [
      'a changed statement',
      'crypto/signature',
      (bundle) => {
        const text = fromUtf8(fromBase64(bundle.dsseEnvelope.payload))
        bundle.dsseEnvelope.payload = toBase64(utf8(text.replace('"files"', '"shard"')))
      },
    ],
    ['no signature', 'shape/range', (bundle) => void (bundle.dsseEnvelope.signatures = [])],
    ['another payload type', 'dsse/type', (bundle) => void (bundle.dsseEnvelope.payloadType = 'text/plain')],
    ['another bundle', 'shape/form', (bundle) => void (bundle.mediaType = 'application/json')],
    [
      'the hint of another key',
      'sealed/statement',
      (b) => void (b.verificationMaterial.publicKey.hint = '0'.repeat(64)),
    ],
    ['log entries that nobody looked at', 'shape/range', (b) => void b.verificationMaterial.tlogEntries.push({})],
  ])('is refused with %s (%s)', async (_, code, edit) => {
    await expect(verifyManifest(manifest, broken(edit), vectors.owner)).rejects.toMatchObject({ code })
  })
})

describe('verifyManifestDigest', () => {
  test('takes the manifest that the digest names, and no other', () => {
    expect(verifyManifestDigest(manifest, manifestDigest(manifest)).owner).toEqual(vectors.owner)
    expect(() => verifyManifestDigest(manifest, '0'.repeat(64))).toThrow(
      expect.objectContaining({ code: 'sealed/manifest-digest' }),
    )
  })
})
