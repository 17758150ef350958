import { describe, expect, test } from 'vitest'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { generateRecipientKey, hpkeOpen, hpkeSeal } from '#core/crypto/hpke.js'
import { generateSigningKey, sign, verifySignature } from '#core/crypto/sign.js'
import { backend } from '#crypto-backend'

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

  test('opens what was sealed, with the same info only', async () => {
    const key = await generateRecipientKey()
    const sealed = await hpkeSeal(key.publicKey, utf8('info'), utf8('aad'), utf8('secret'))
    expect(await hpkeOpen(key, utf8('info'), utf8('aad'), sealed)).toEqual(utf8('secret'))
    await expect(hpkeOpen(key, utf8('other'), utf8('aad'), sealed)).rejects.toMatchObject({ code: 'crypto/hpke-open' })
  })
})
