import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromHex, toHex } from '#core/bytes/bytes.js'
import { derTag, derUnsigned, parseDer } from '#core/encoding/der.js'
import { isFailure } from '#core/failure.js'
import { RevokedSerials } from '#core/x509/revoked.js'
import * as mint from '#runtime/attester/simulated/der.js'

const few = fc.uint8Array({ max: 2, minLength: 0, maxLength: 3 })
const contents = fc.oneof(few, fc.uint8Array({ minLength: 1, maxLength: 20 }))

function codeOf(read: () => unknown): string {
  try {
    read()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

test('says of every number what a set of all magnitudes says, whenever it is asked', () => {
  fc.assert(
    fc.property(fc.array(contents), fc.array(contents, { minLength: 1 }), fc.boolean(), (listed, asked, isCounted) => {
      const [all, serials] = [new Set<string>(), new RevokedSerials()]
      for (const one of listed) {
        const value = parseDer(mint.der(derTag.integer, one), derTag.integer, 'serial')
        const code = codeOf(() => all.add(toHex(derUnsigned(value, 'serial'))))
        expect(codeOf(() => serials.add(value))).toBe(code)
      }
      if (isCounted) expect(serials.size).toBe(all.size)
      for (const one of [...asked, ...[...all].map((hex) => fromHex(hex))])
        expect(serials.has(one)).toBe(all.has(toHex(one)))
      expect([...serials]).toEqual([...all])
      expect(serials.size).toBe(all.size)
    }),
    { numRuns: 2000 },
  )
})

test.each([
  ['the first question', 0],
  ['a later one', 1],
])('a number with a sign byte is found as its magnitude by %s, and no other is', (_, before) => {
  const listed = () => {
    const serials = new RevokedSerials()
    for (const hex of ['0080', '00', '01'])
      serials.add(parseDer(mint.der(derTag.integer, fromHex(hex)), derTag.integer, 'serial'))
    for (let i = 0; i < before; i++) serials.has(fromHex('7f'))
    return serials
  }
  const has = (hex: string) => listed().has(fromHex(hex))
  expect(['80', '00', '01'].map(has)).toEqual([true, true, true])
  expect(['0080', '0001', '', '81', '8000', '0100'].map(has)).toEqual([false, false, false, false, false, false])
})
