import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concat, fromBase64, fromHex, fromUtf8, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { jwkToSpki, type SignatureJwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { manifestDigest, verifyManifestDigest } from '#core/sealed/manifest.js'
import { verifyManifest } from '#core/sealed/signature.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

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

interface Signed {
  subject: { name: string; digest: { sha256: string } }[]
  predicate: {
    serialization: { allow_symlinks: boolean }
    resources: { name: string; algorithm: string; digest: string }[]
  }
}

describe('an owner’s own signature of something that is no sealed folder', () => {
  /** The owner signs the good statement again, with one thing in it otherwise; the subject names it unless told. */
  async function resigned(edit: (statement: Signed) => void, keepSubject = false): Promise<string> {
    const { key } = await generateSigningKey('ES256')
    const mine = JSON.parse(good.manifest)
    mine.owner = key.publicKey
    mine.model.id = `${key.id}/${mine.model.id.slice(44)}`
    const bytes = canonicalJson(mine)
    const bundle = JSON.parse(good.signature) as Bundle
    const statement = JSON.parse(fromUtf8(fromBase64(bundle.dsseEnvelope.payload))) as Signed
    const { resources } = statement.predicate
    resources.find(({ name }) => name === 'manifest.json')!.digest = manifestDigest(bytes)
    const name = () => {
      const all = concat(...statement.predicate.resources.map(({ digest }) => fromHex(digest)))
      statement.subject[0]!.digest.sha256 = toHex(sha256(all))
    }
    name()
    edit(statement)
    if (!keepSubject) name()
    const payload = canonicalJson(statement)
    const envelope = await signEnvelope('application/vnd.in-toto+json', payload, [key])
    const hint = toHex(sha256(utf8(encodePem(jwkToSpki(key.publicKey), 'PUBLIC KEY'))))
    const signature = {
      ...bundle,
      verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
      dsseEnvelope: envelope,
    }
    return codeOfPromise(verifyManifest(bytes, canonicalJson(signature), key.publicKey))
  }
  const first = ({ predicate }: Signed) => predicate.resources.find(({ name }) => name.startsWith('files/'))!

  test('the control: the same, signed again', async () => {
    expect(await resigned(() => undefined)).toBe('ok')
  })
  test.each<[string, (statement: Signed) => void, boolean]>([
    ['links may stand in for files', ({ predicate }) => void (predicate.serialization.allow_symlinks = true), false],
    ['another file in the place of one', (statement) => void (first(statement).name = 'files/another.floe'), false],
    [
      'a file twice, with two digests',
      (statement) => {
        statement.predicate.resources.push({ ...first(statement), digest: '0'.repeat(64) })
      },
      false,
    ],
    ['a subject that is not the resources', (statement) => void (first(statement).digest = '0'.repeat(64)), true],
  ])('%s', async (_, edit, keepSubject) => {
    expect(await resigned(edit, keepSubject)).toBe('sealed/statement')
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
