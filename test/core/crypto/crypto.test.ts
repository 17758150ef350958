import { describe, expect, test, vi } from 'vitest'
import { concat, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { generateRecipientKey, hpkeOpen, hpkeSeal } from '#core/crypto/hpke.js'
import { generateSigningKey, sign, verifySignature } from '#core/crypto/sign.js'
import { backend } from '#crypto-backend'
import { azureKeys } from '#test/fakes/azure.js'

describe(`crypto on the ${backend.name} backend`, () => {
  test('hashes as FIPS 180-4 prints', () => {
    expect(toHex(sha256(utf8('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })

  test.each(['Ed25519', 'ES256'] as const)(
    'signs and verifies with %s, and refuses a flipped bit',
    async (algorithm) => {
      const { key } = await generateSigningKey(algorithm)
      const signature = await sign(key, utf8('message'))
      await verifySignature(key.publicKey, utf8('message'), signature, 'test')
      signature[0]! ^= 1
      await expect(verifySignature(key.publicKey, utf8('message'), signature, 'test')).rejects.toMatchObject({
        code: 'crypto/signature',
      })
    },
  )

  test('where a browser gives no cryptography no signature is called bad: nothing was verified', async () => {
    const { pkcs8, spki } = await backend.generateKey('ES256')
    const signature = await backend.sign(await backend.importPrivateKey('ES256', pkcs8), utf8('message'))
    vi.stubGlobal('crypto', {})
    vi.resetModules()
    try {
      const bare = (await import('#core/crypto/backend.browser.js')).backend
      await expect(bare.verify('ES256', spki, utf8('message'), signature)).rejects.toThrow('this runtime has WebCrypto')
    } finally {
      vi.unstubAllGlobals()
      vi.resetModules()
    }
  })

  test.each([
    ['ES256', 32],
    ['ES384', 48],
  ] as const)(
    'verifies with a key of %s from one spelling of a point of the curve, and from no other bytes',
    async (algorithm, size) => {
      const { pkcs8, spki } = await backend.generateKey(algorithm)
      const message = utf8('message')
      const signature = await backend.sign(await backend.importPrivateKey(algorithm, pkcs8), message)
      const verifies = (key: Uint8Array) => backend.verify(algorithm, key, message, signature)
      const shared = new Uint8Array(new SharedArrayBuffer(spki.length))
      shared.set(spki)
      // At once, and again: with a key that is new to the backend, and with one that it may have kept.
      expect(await Promise.all([shared, spki, spki].map(verifies))).toEqual([true, true, true])
      expect(await verifies(spki)).toBe(true)
      const from = spki.length - 2 * size
      const [x, y] = [spki.subarray(from, from + size), spki.subarray(from + size)]
      const spelled = (...parts: readonly Uint8Array[]) => concat(spki.subarray(0, from), ...parts)
      const next = y.with(size - 1, y[size - 1]! ^ 1)
      const wrong = {
        'a point off the curve': spelled(x, next),
        'coordinates in the other order': spelled(y, x),
        'no point at all': spelled(new Uint8Array(2 * size)),
        'coordinates beyond the field': spelled(new Uint8Array(2 * size).fill(0xff)),
        'a compressed point': concat(spki.subarray(0, from - 1), new Uint8Array([2 + (y[size - 1]! & 1)]), x),
        'a hybrid point': spelled(x, y).with(from - 1, 6 + (y[size - 1]! & 1)),
        'one byte less': spki.subarray(0, -1),
        'one byte more': concat(spki, new Uint8Array(1)),
      }
      for (const [what, key] of Object.entries(wrong))
        expect({ what, verifies: await verifies(key) }).toEqual({ what, verifies: false })
      expect(await backend.verify(algorithm === 'ES256' ? 'ES384' : 'ES256', spki, message, signature)).toBe(false)
      const zero = new Uint8Array(1)
      const [r, s] = [signature.subarray(0, size), signature.subarray(size)]
      // The same two numbers, and half of them: a signature has its length.
      for (const other of [concat(zero, r, zero, s), r, concat(signature, zero)])
        expect(await backend.verify(algorithm, spki, message, other)).toBe(false)
    },
  )

  test('verifies RSASSA-PKCS1-v1_5 with SHA-256 in its one form, for the key that signed', async () => {
    const [signer, other] = [azureKeys.ak, azureKeys.other]
    const handle = await backend.importPrivateKey('RSA-SHA256', signer.pkcs8)
    const signature = await backend.sign(handle, utf8('message'))
    const verifies = (spki: Uint8Array, message: string, bytes: Uint8Array) =>
      backend.verify('RSA-SHA256', spki, utf8(message), bytes)
    expect(signature).toHaveLength(256)
    // It has no randomness: both backends write the same bytes.
    expect(toHex(sha256(signature))).toBe('f98856d173c2c40368041a127cfb0252ead48ab88cc915903f62b19eabf20952')
    expect(await verifies(signer.spki, 'message', signature)).toBe(true)
    expect(await verifies(signer.spki, 'another', signature)).toBe(false)
    expect(await verifies(other.spki, 'message', signature)).toBe(false)
    expect(await verifies(signer.spki, 'message', signature.subarray(1))).toBe(false)
    expect(await verifies(signer.spki, 'message', new Uint8Array(256))).toBe(false)
    const flipped = signature.slice()
    flipped[255]! ^= 1
    expect(await verifies(signer.spki, 'message', flipped)).toBe(false)
    // The signature of the same digest under another padding is none.
    const pss = await backend.importPrivateKey('RSA-PSS-SHA384', signer.pkcs8)
    expect(await verifies(signer.spki, 'message', await backend.sign(pss, utf8('message')))).toBe(false)
  })

  test('opens what was sealed, with the same info only', async () => {
    const key = await generateRecipientKey()
    const sealed = await hpkeSeal(key.publicKey, utf8('info'), utf8('aad'), utf8('secret'))
    expect(await hpkeOpen(key, utf8('info'), utf8('aad'), sealed)).toEqual(utf8('secret'))
    await expect(hpkeOpen(key, utf8('other'), utf8('aad'), sealed)).rejects.toMatchObject({ code: 'crypto/hpke-open' })
  })
})
