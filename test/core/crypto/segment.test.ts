import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { aesGcmOpen, aesGcmSeal } from '#core/crypto/aead.js'
import { directSegments, streamSegments } from '#core/crypto/backend.node.segments.js'
import { backend } from '#crypto-backend'

const direct = directSegments()
const ways = [['node:crypto', streamSegments] as const, ...(direct ? [["the process's OpenSSL", direct] as const] : [])]

describe.runIf(backend.name === 'node')('synchronous AES-256-GCM', () => {
  const key = utf8('0123456789abcdef0123456789abcdef')
  const iv = utf8('twelve bytes')
  const aad = utf8('frame')

  test("this Node exports its OpenSSL's symbols", () => expect(direct).not.toBeNull())

  test.each(ways)('by way of %s agrees with the promised form at every size', async (_, cipher) => {
    for (const size of [0, 1, 15, 16, 17, 65_535, 65_536, 65_537, 200_000]) {
      const plaintext = new Uint8Array(size).map((_, i) => i * 7)
      const sealed = await aesGcmSeal(key, iv, aad, plaintext)
      const again = new Uint8Array(size + 16)
      cipher.sealInto(key, iv, aad, plaintext, again)
      expect(again).toEqual(sealed)
      const shared = new Uint8Array(new SharedArrayBuffer(size + 20))
      expect(cipher.openInto(key, iv, aad, sealed, shared.subarray(2, size + 2))).toBe(true)
      expect(new Uint8Array(shared.subarray(2, size + 2))).toEqual(await aesGcmOpen(key, iv, aad, sealed))
      expect([...shared.subarray(0, 2), ...shared.subarray(size + 2)].every((byte) => byte === 0)).toBe(true)
    }
  })

  test.each(ways)('by way of %s leaves zeroes, not plaintext, when the tag is wrong', async (_, cipher) => {
    const sealed = await aesGcmSeal(key, iv, aad, new Uint8Array(100_000).fill(9))
    sealed[sealed.length - 1]! ^= 1
    const out = new Uint8Array(100_000).fill(1)
    expect(cipher.openInto(key, iv, aad, sealed, out)).toBe(false)
    expect(out.every((byte) => byte === 0)).toBe(true)
  })
})
