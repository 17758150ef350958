import { createCipheriv, createDecipheriv } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import fc from 'fast-check'
import * as HPKE from 'hpke'
import { describe, expect, test } from 'vitest'
import { concat, fromBase64Url, fromHex, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import {
  exportRecipientKey,
  forgetRecipientKey,
  generateHybridKey,
  generateRecipientKey,
  hpkeOpen,
  hpkeSeal,
  importRecipientKey,
  setupRecipient,
  setupSender,
} from '#core/crypto/hpke.js'
import { hybridSuite, recipientJwk, thumbprint, x25519ToJwk } from '#core/crypto/jwk.js'
import { xwingDecapsulate, xwingEncapsulate, xwingEncapsulateFrom, xwingPublicKey } from '#core/crypto/xwing.js'
import { xwingKem } from '#core/crypto/xwing-kem.js'
import { verifyXwingKey } from '#core/crypto/xwing-key.js'
import { isFailure } from '#core/failure.js'
import { backend } from '#crypto-backend'

interface KemCase {
  readonly seed: string
  readonly eseed: string
  readonly ss: string
  readonly pk: string
  readonly ct: string
}
interface HpkeCase {
  readonly info: string
  readonly ikmE: string
  readonly skRm: string
  readonly pkRm: string
  readonly enc: string
  readonly shared_secret: string
  readonly encryptions: readonly { readonly aad: string; readonly ct: string; readonly pt: string }[]
  readonly exports: readonly {
    readonly exporter_context: string
    readonly L: number
    readonly exported_value: string
  }[]
}
interface Refused {
  readonly name: string
  readonly of: 'publicKey' | 'enc' | 'seed'
  readonly at?: number
  readonly bytes?: string
  readonly cut?: number
  readonly code: string
}
const vectors = JSON.parse(readFileSync('test/vectors/xwing/cases.json', 'utf8')) as {
  readonly kem: readonly KemCase[]
  readonly hpke: readonly HpkeCase[]
  readonly refused: readonly Refused[]
}
const seedOf = (byte: number) => new Uint8Array(32).fill(byte)
const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size })
const codeAsync = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

describe(`X-Wing on the ${backend.name} backend`, () => {
  test.each(vectors.kem.map((one, i) => [i, one] as const))('gives known answer %i of the draft', async (_, one) => {
    const seed = fromHex(one.seed)
    expect(toHex(await xwingPublicKey(seed))).toBe(one.pk)
    const { secret, enc } = await xwingEncapsulateFrom(fromHex(one.pk), fromHex(one.eseed))
    expect(toHex(enc)).toBe(one.ct)
    expect(toHex(secret)).toBe(one.ss)
    expect(toHex(await xwingDecapsulate(fromHex(one.ct), seed))).toBe(one.ss)
    expect(toHex(seed)).toBe(one.seed) // what the caller holds is the caller's to wipe
  })

  test.each(vectors.refused.map((one) => [one.name, one] as const))('refuses a %s', async (_, one) => {
    const [from] = vectors.kem
    const parts = { publicKey: fromHex(from!.pk), enc: fromHex(from!.ct), seed: fromHex(from!.seed) }
    if (one.bytes !== undefined) parts[one.of].set(fromHex(one.bytes), one.at)
    const given = { ...parts, [one.of]: parts[one.of].subarray(0, one.cut) }
    const work =
      one.of === 'publicKey'
        ? xwingEncapsulateFrom(given.publicKey, fromHex(from!.eseed))
        : xwingDecapsulate(given.enc, given.seed)
    expect(await codeAsync(work)).toBe(one.code)
  })

  test('agrees with another implementation, in both directions', async () => {
    for (let i = 0; i < 4; i++) {
      const seed = randomBytes(32)
      const eseed = randomBytes(64)
      const theirs = ml_kem768_x25519.keygen(seed.slice())
      expect(await xwingPublicKey(seed)).toEqual(theirs.publicKey)
      const ours = await xwingEncapsulateFrom(theirs.publicKey, eseed)
      expect(ml_kem768_x25519.encapsulate(theirs.publicKey, eseed.slice()).cipherText).toEqual(ours.enc)
      expect(ml_kem768_x25519.decapsulate(ours.enc, theirs.secretKey)).toEqual(ours.secret)
    }
  })

  test('makes another secret each time, which its key alone finds again, and the other implementation too', async () => {
    const theirs = ml_kem768_x25519.keygen(randomBytes(32))
    const seed = seedOf(5)
    const own = await xwingPublicKey(seed)
    const made = [await xwingEncapsulate(own), await xwingEncapsulate(own)] as const
    expect(toHex(made[0].secret)).not.toBe(toHex(made[1].secret))
    // Both halves are fresh: a lattice half or a point that came twice would be half a secret.
    expect(toHex(made[0].enc.subarray(0, 1088))).not.toBe(toHex(made[1].enc.subarray(0, 1088)))
    expect(toHex(made[0].enc.subarray(1088))).not.toBe(toHex(made[1].enc.subarray(1088)))
    for (const { secret, enc } of made) expect(await xwingDecapsulate(enc, seed)).toEqual(secret)
    const { secret, enc } = await xwingEncapsulate(theirs.publicKey)
    expect(ml_kem768_x25519.decapsulate(enc, theirs.secretKey)).toEqual(secret)
  })

  test('a key whose curve half is of small order is refused, however the exchange is made', async () => {
    const key = await xwingPublicKey(seedOf(6))
    key.set(new Uint8Array(32), 1184)
    expect(await codeAsync(xwingEncapsulate(key))).toBe('crypto/key')
  })

  test('one flipped bit anywhere in an encapsulation gives another secret, or a refusal', async () => {
    const seed = seedOf(7)
    const { secret, enc } = await xwingEncapsulateFrom(await xwingPublicKey(seed), randomBytes(64))
    await fc.assert(
      fc.asyncProperty(fc.nat(enc.length * 8 - 1), async (bit) => {
        const flipped = enc.slice()
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        // The top bit of a point is not read: the combiner takes the bytes as they are, so the secret is another one still.
        const other = await xwingDecapsulate(flipped, seed)
        expect(toHex(other)).not.toBe(toHex(secret))
      }),
      { numRuns: 12, examples: [[0], [1088 * 8], [1120 * 8 - 1]] },
    )
  })

  test('any bytes are a key or are not, and only a failure says so', async () => {
    const seed = seedOf(3)
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes(1216), fc.uint8Array({ maxLength: 2000 })), async (key) => {
        expect(['ok', 'crypto/key']).toContain(await codeAsync(xwingEncapsulateFrom(key, randomBytes(64))))
      }),
      { numRuns: 12 },
    )
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes(1120), fc.uint8Array({ maxLength: 2000 })), async (enc) => {
        expect(['ok', 'crypto/key']).toContain(await codeAsync(xwingDecapsulate(enc, seed)))
      }),
      { numRuns: 12 },
    )
  })

  test('a coefficient that is not below the modulus is found wherever it stands', async () => {
    const key = await xwingPublicKey(seedOf(1))
    fc.assert(
      fc.property(fc.nat(767), fc.integer({ min: 3329, max: 4095 }), (index, value) => {
        const bent = key.slice()
        const at = Math.floor(index / 2) * 3
        if (index % 2 === 0) {
          bent[at] = value & 0xff
          bent[at + 1] = (bent[at + 1]! & 0xf0) | (value >> 8)
        } else {
          bent[at + 1] = (bent[at + 1]! & 0x0f) | ((value & 0x0f) << 4)
          bent[at + 2] = value >> 4
        }
        expect(() => verifyXwingKey(bent)).toThrow('not below 3329')
      }),
    )
    expect(() => verifyXwingKey(key)).not.toThrow()
  })
})

/** ChaCha20-Poly1305 as the draft's answers have it; product code has AES-256-GCM alone. */
const chacha: HPKE.AEADFactory = () => ({
  id: 0x0003,
  type: 'AEAD',
  name: 'ChaCha20Poly1305',
  Nk: 32,
  Nn: 12,
  Nt: 16,
  async Seal(key, nonce, aad, plaintext) {
    const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
    cipher.setAAD(aad, { plaintextLength: plaintext.length })
    return concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag())
  },
  async Open(key, nonce, aad, ciphertext) {
    const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
    const end = ciphertext.length - 16
    decipher.setAAD(aad, { plaintextLength: end })
    decipher.setAuthTag(ciphertext.subarray(end))
    return concat(decipher.update(ciphertext.subarray(0, end)), decipher.final())
  },
})

describe(`HPKE with X-Wing on the ${backend.name} backend`, () => {
  test.each(vectors.hpke.map((one, i) => [i, one] as const))('gives known answer %i of the draft', async (_, one) => {
    const suite = new HPKE.CipherSuite(xwingKem, HPKE.KDF_HKDF_SHA256, chacha)
    const { secret, enc } = await xwingEncapsulateFrom(fromHex(one.pkRm), fromHex(one.ikmE))
    expect([toHex(enc), toHex(secret)]).toEqual([one.enc, one.shared_secret])
    expect(toHex(await xwingPublicKey(fromHex(one.skRm)))).toBe(one.pkRm)
    const privateKey = await suite.DeserializePrivateKey(fromHex(one.skRm), false)
    const opened = await suite.SetupRecipient(privateKey, fromHex(one.enc), { info: fromHex(one.info) })
    for (const { aad, ct, pt } of one.encryptions) expect(toHex(await opened.Open(fromHex(ct), fromHex(aad)))).toBe(pt)
    for (const { exporter_context, L, exported_value } of one.exports)
      expect(toHex(await opened.Export(fromHex(exporter_context), L))).toBe(exported_value)
  })

  test('opens what was sealed, with the same info, aad and key only', async () => {
    const [key, other] = [await generateHybridKey(), await generateHybridKey()]
    const sealed = await hpkeSeal(key.publicKey, utf8('info'), utf8('aad'), utf8('secret'))
    expect(sealed).toHaveLength(1120 + 6 + 16)
    expect(await hpkeOpen(key, utf8('info'), utf8('aad'), sealed)).toEqual(utf8('secret'))
    expect(await codeAsync(hpkeOpen(key, utf8('other'), utf8('aad'), sealed))).toBe('crypto/hpke-open')
    expect(await codeAsync(hpkeOpen(key, utf8('info'), utf8('other'), sealed))).toBe('crypto/hpke-open')
    expect(await codeAsync(hpkeOpen(other, utf8('info'), utf8('aad'), sealed))).toBe('crypto/hpke-open')
    for (const size of [0, 31, 32, 1119, 1120, 1135])
      expect(await codeAsync(hpkeOpen(key, utf8('info'), utf8('aad'), sealed.subarray(0, size)))).toBe(
        'crypto/hpke-open',
      )
  })

  test('nothing sealed under one suite opens under the other, although the curve key is the same', async () => {
    const hybrid = await generateHybridKey(true)
    const scalar = shake256(await exportRecipientKey(hybrid), { dkLen: 96 }).subarray(64)
    const point = fromBase64Url(hybrid.publicKey.pub, 1216).subarray(1184)
    const plain = await importRecipientKey(scalar, x25519ToJwk(point))
    const [info, none] = [utf8('info'), new Uint8Array(0)]
    const ofHybrid = await hpkeSeal(hybrid.publicKey, info, none, utf8('secret'))
    const ofPlain = await hpkeSeal(plain.publicKey, info, none, utf8('secret'))
    expect(await hpkeOpen(plain, info, none, ofPlain)).toEqual(utf8('secret'))
    expect(await codeAsync(hpkeOpen(plain, info, none, ofHybrid))).toBe('crypto/hpke-open')
    expect(await codeAsync(hpkeOpen(hybrid, info, none, ofPlain))).toBe('crypto/hpke-open')
    // The lattice half taken off, and one put before it that anybody can make.
    expect(await codeAsync(hpkeOpen(plain, info, none, ofHybrid.subarray(1088)))).toBe('crypto/hpke-open')
    const before = ml_kem768.encapsulate(fromBase64Url(hybrid.publicKey.pub, 1216).subarray(0, 1184)).cipherText
    expect(await codeAsync(hpkeOpen(hybrid, info, none, concat(before, ofPlain)))).toBe('crypto/hpke-open')
  })

  test('the KEM number is part of what is derived: the same secret gives other keys under another one', async () => {
    const otherKem: HPKE.KEMFactory = () => ({ ...xwingKem(), id: 0x0020 })
    const ours = new HPKE.CipherSuite(xwingKem, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_256_GCM)
    const theirs = new HPKE.CipherSuite(otherKem, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_256_GCM)
    const seed = seedOf(5)
    const publicKey = await ours.DeserializePublicKey(await xwingPublicKey(seed))
    const privateKey = await ours.DeserializePrivateKey(seed, false)
    const { encapsulatedSecret, ctx } = await ours.SetupSender(publicKey, {})
    const sealed = await ctx.Seal(utf8('secret'))
    expect(await (await ours.SetupRecipient(privateKey, encapsulatedSecret, {})).Open(sealed)).toEqual(utf8('secret'))
    const bent = await theirs.SetupRecipient(privateKey, encapsulatedSecret, {})
    await expect(bent.Open(sealed)).rejects.toThrow()
  })

  test('exported secrets agree on both sides, and messages open in order alone', async () => {
    const key = await generateHybridKey()
    const sender = await setupSender(key.publicKey, utf8('info'))
    const recipient = await setupRecipient(key, sender.enc, utf8('info'))
    expect(await recipient.exportSecret(utf8('x'), 32)).toEqual(await sender.exportSecret(utf8('x'), 32))
    const none = new Uint8Array(0)
    const first = await sender.seal(utf8('one'), none)
    const second = await sender.seal(utf8('two'), none)
    expect(await codeAsync(recipient.open(second, none))).toBe('crypto/hpke-open')
    expect(await recipient.open(first, none)).toEqual(utf8('one'))
    expect(await recipient.open(second, none)).toEqual(utf8('two'))
  })

  test('a key that was forgotten opens nothing', async () => {
    const key = await generateHybridKey()
    const sealed = await hpkeSeal(key.publicKey, utf8('info'), utf8(''), utf8('secret'))
    forgetRecipientKey(key)
    expect(await codeAsync(hpkeOpen(key, utf8('info'), utf8(''), sealed))).toBe('crypto/hpke-open')
  })

  test('a key pair is kept as its seed, and is taken with its own public half alone', async () => {
    const key = await generateHybridKey(true)
    const seed = await exportRecipientKey(key)
    expect(seed).toHaveLength(32)
    const again = await importRecipientKey(seed, key.publicKey)
    const sealed = await hpkeSeal(key.publicKey, utf8('info'), utf8(''), utf8('secret'))
    expect(await hpkeOpen(again, utf8('info'), utf8(''), sealed)).toEqual(utf8('secret'))
    const other = await generateHybridKey()
    expect(await codeAsync(importRecipientKey(seed, other.publicKey))).toBe('crypto/key')
    expect(await codeAsync(importRecipientKey(seed.subarray(1), key.publicKey))).toBe('crypto/key')
    const closed = await generateHybridKey()
    await expect(exportRecipientKey(closed)).rejects.toThrow('extractable')
  })
})

describe('recipient keys as JWK', () => {
  const pub = toBase64Url(fromHex(vectors.kem[0]!.pk))
  const jwk = { kty: 'AKP', alg: hybridSuite, pub } as const

  test('the page shows the first key of the vectors', () => {
    const [first] = readFileSync('docs/spec/recipient-keys.md', 'utf8').match(/(?<=```json\n)[^`]+/) ?? ['']
    expect(recipientJwk(JSON.parse(first), 'key')).toEqual(jwk)
  })

  test('says the suite by its kind, and has a thumbprint of its own', async () => {
    expect(recipientJwk(jwk, 'key')).toEqual(jwk)
    const plain = (await generateRecipientKey()).publicKey
    expect(recipientJwk(plain, 'key')).toEqual(plain)
    expect(thumbprint(jwk)).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(thumbprint(jwk)).not.toBe(thumbprint(plain))
  })

  test.each([
    ['another suite', { ...jwk, alg: 'ML-KEM-768' }],
    ['the kind of the other suite', { ...jwk, kty: 'OKP' }],
    ['a member more', { ...jwk, priv: 'AA' }],
    ['a cut key', { ...jwk, pub: pub.slice(4) }],
    ['a coefficient that is too large', { ...jwk, pub: `____${pub.slice(4)}` }],
    ['a key of X25519 in its place', { ...jwk, pub: pub.slice(0, 43) }],
  ])('refuses %s', (_, value) => {
    expect(() => recipientJwk(value, 'key')).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^shape\//) }),
    )
  })
})
