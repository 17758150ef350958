import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodePem, parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'

const bytes = new Uint8Array(100).fill(0x5a)
const one = encodePem(bytes, 'CERTIFICATE')

describe('PEM', () => {
  test('reads what it writes, in order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 4 }),
        (blocks) => {
          const text = blocks.map((block) => encodePem(block, 'X509 CRL')).join('\n')
          expect(parsePem(text, 'X509 CRL', 4)).toEqual(blocks)
        },
      ),
    )
  })

  test.each([
    ['another label', one, 'X509 CRL', 1, 'pem/label'],
    ['more blocks than allowed', one + one, 'CERTIFICATE', 1, 'pem/count'],
    ['no block', ' \n', 'CERTIFICATE', 1, 'pem/count'],
    ['text before a block', `subject=x\n${one}`, 'CERTIFICATE', 1, 'pem/form'],
    ['text after a block', `${one}x`, 'CERTIFICATE', 1, 'pem/form'],
    ['an end of another label', one.replace('END CERTIFICATE', 'END X509 CRL'), 'CERTIFICATE', 1, 'pem/form'],
    ['a header line', one.replace('-----\n', '-----\nProc-Type: 4\n'), 'CERTIFICATE', 1, 'pem/form'],
    ['broken base64', one.replace('W', ''), 'CERTIFICATE', 1, 'bytes/base64'],
  ])('refuses %s', (_, text, label, max, code) => {
    expect(() => parsePem(text, label, max)).toThrowError(expect.objectContaining({ code }))
  })

  test('any text is read or refused by a Failure', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => one + text),
        ),
        (text) => {
          try {
            parsePem(text, 'CERTIFICATE', 4)
          } catch (error) {
            expect(isFailure(error)).toBe(true)
          }
        },
      ),
    )
  })
})
