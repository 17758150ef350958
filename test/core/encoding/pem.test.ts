import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodePem, parsePem, parsePemBlocks } from '#core/encoding/pem.js'
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

  test('reads blocks of any label, each with its own', () => {
    const labels = fc.constantFrom('CERTIFICATE', 'X509 CRL', 'REPORT 2')
    const blocks = fc.array(fc.record({ label: labels, der: fc.uint8Array({ minLength: 1, maxLength: 200 }) }), {
      minLength: 1,
      maxLength: 5,
    })
    fc.assert(
      fc.property(blocks, (all) => {
        const text = all.map(({ der, label }) => encodePem(der, label)).join('\n')
        expect(parsePemBlocks(text, 5)).toEqual(all)
      }),
    )
  })

  test.each([
    ['more blocks than allowed', one + one, 'pem/count'],
    ['no block', ' \n', 'pem/count'],
    ['text before a block', `x${one}`, 'pem/form'],
    ['an end of another label', one.replace('END CERTIFICATE', 'END X509 CRL'), 'pem/form'],
    ['broken base64', one.replace('W', ''), 'bytes/base64'],
  ])('refuses %s among blocks of any label', (_, text, code) => {
    expect(() => parsePemBlocks(text, 1)).toThrowError(expect.objectContaining({ code }))
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

/** The grammar in one expression: what the reader has to take, and how it has to refuse. */
function byGrammar(text: string, label: string, max: number): string {
  const block = /-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----(?:\r?\n|$)/y
  const out: string[] = []
  let at = 0
  for (;;) {
    while (at < text.length && /\s/.test(text[at]!)) at++
    if (at === text.length) return out.length === 0 ? 'pem/count' : out.join()
    block.lastIndex = at
    const [, name, body] = block.exec(text) ?? []
    if (name === undefined) return 'pem/form'
    if (name !== label) return 'pem/label'
    if (out.length === max) return 'pem/count'
    const spelled = body!.replace(/[\r\n]/g, '')
    if (Buffer.from(spelled, 'base64').toString('base64') !== spelled) return 'bytes/base64'
    out.push(spelled)
    at = block.lastIndex
  }
}

test('takes and refuses what the grammar takes and refuses, wherever texts are changed, cut or put together', () => {
  const piece = fc.constantFrom(
    ...['-----BEGIN A-----\n', '-----BEGIN B-----\r\n', '-----END A-----', '-----END A-----\n', '-----END B-----\r\n'],
    ...[
      'AAAA',
      'AAAA\r\n',
      'AAA=\n',
      'AB==',
      'AA==',
      'A',
      '\n',
      '\r',
      '\r\n',
      ' ',
      '-',
      '_',
      '=',
      '\u00e9',
      '\ud800',
      '-----',
    ],
    ...['-----BEGIN A-----\nAAAA\n-----END A-----\n', '-----BEGIN B-----\nAA*A\n-----END B-----\n'],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.nat(400), (pieces, cut) => {
      const text = pieces.join('').slice(0, cut)
      let found: string
      try {
        found = parsePem(text, 'A', 2)
          .map((one) => Buffer.from(one).toString('base64'))
          .join()
      } catch (error) {
        if (!isFailure(error)) throw error
        found = error.code
      }
      expect(found).toBe(byGrammar(text, 'A', 2))
    }),
    { numRuns: 20_000 },
  )
})
