import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromBase64, fromPublicBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'

/** The platform's own reader forgives much; what it spells again as it was is canonical. */
function canonical(text: string): string | null {
  try {
    const binary = atob(text)
    return btoa(binary) === text ? binary : null
  } catch {
    return null
  }
}

function ours(text: string): string | null {
  const [own, shared] = [fromBase64, fromPublicBase64].map((read) => {
    try {
      return String.fromCharCode(...read(text))
    } catch (error) {
      if (!isFailure(error)) throw error
      expect(error.code).toBe('bytes/base64')
      return null
    }
  })
  expect(shared).toBe(own)
  return own ?? null
}

test('exactly the canonical texts are read, and as the platform reads them', () => {
  const few = fc.string({ unit: fc.constantFrom(...'AQgwZ/+-=\u0141é \n'), maxLength: 12 })
  fc.assert(
    fc.property(fc.oneof(few, fc.base64String(), fc.string(), fc.uint8Array().map(toBase64)), (text) => {
      expect(ours(text)).toBe(canonical(text))
    }),
    { numRuns: 5000 },
  )
})

test('bytes are spelled as the platform spells them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(toBase64(bytes)).toBe(btoa(String.fromCharCode(...bytes)))
      expect(toHex(bytes)).toBe([...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(''))
    }),
    { numRuns: 2000 },
  )
})

test.each(['', 'AA==', 'AAA=', 'AAAA', 'A', 'AA', 'AAA', 'AB==', 'AAB=', 'A===', '====', 'AAAAA===', '=AAA', 'AA=A'])(
  '%j is read as the platform reads it, or refused',
  (text) => {
    expect(ours(text)).toBe(canonical(text))
  },
)
