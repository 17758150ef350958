import fc from 'fast-check'
import { expect, test } from 'vitest'
import { concat, toHex } from '#core/bytes/bytes.js'
import { ecdsaDerToRaw, ecdsaRawToDer } from '#core/crypto/ecdsa.js'

test.each([32, 48] as const)('two numbers of %i bytes have one spelling in DER, and come back from it', (size) => {
  // Zeros in front are what DER leaves out, and a set bit in front is what it puts a zero before.
  const number = fc
    .tuple(fc.nat(size - 1), fc.uint8Array({ minLength: size, maxLength: size }))
    .map(([zeros, bytes]) => bytes.map((byte, i) => (i < zeros ? 0 : i === size - 1 ? byte | 1 : byte)))
  fc.assert(
    fc.property(number, number, (r, s) => {
      const raw = concat(r, s)
      expect(toHex(ecdsaDerToRaw(ecdsaRawToDer(raw), size))).toBe(toHex(raw))
    }),
  )
})

test('the spelling is that of X.690', () => {
  const spelled = (r: string, s: string) =>
    toHex(ecdsaRawToDer(new Uint8Array(Buffer.from(r.padStart(64, '0') + s.padStart(64, '0'), 'hex'))))
  expect(spelled('01', '80')).toBe('300702010102020080')
  expect(spelled('7f', 'ff00')).toBe('300802017f020300ff00')
  expect(spelled('00', '00')).toBe('3006020100020100')
  expect(spelled('f'.repeat(64), '1')).toBe(`3026022100${'f'.repeat(64)}020101`)
})
