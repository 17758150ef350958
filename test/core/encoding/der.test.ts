import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import {
  DerReader,
  derAscii,
  derBits,
  derBoolean,
  derInteger,
  derOid,
  derOidIs,
  derTag,
  derUnsigned,
  oidArc,
  parseDer,
} from '#core/encoding/der.js'
import { readDerTime } from '#core/encoding/der-time.js'
import { isFailure } from '#core/failure.js'
import * as mint from '#runtime/attester/simulated/der.js'

const code = (read: () => unknown): string => {
  try {
    read()
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
  return 'ok'
}
const value = (hex: string) => {
  const bytes = fromHex(hex)
  return parseDer(bytes, bytes[0]!, 'value')
}

describe('structure', () => {
  test.each([
    ['an empty input', '', 'der/truncated'],
    ['a tag alone', '30', 'der/truncated'],
    ['a length cut off', '3082', 'der/truncated'],
    ['contents cut off', '300201', 'der/truncated'],
    ['an indefinite length', '30800000', 'der/length'],
    ['a length of five bytes', '30850000000001ff', 'der/length'],
    ['a long length below 128', '30810101', 'der/length'],
    ['a long length with a leading zero', `30820080${'00'.repeat(128)}`, 'der/length'],
    ['another tag', '3100', 'der/tag'],
    ['a byte after the end', '300000', 'der/trailing'],
    ['an empty sequence', '3000', 'ok'],
    ['a long length', `308180${'00'.repeat(128)}`, 'ok'],
  ])('reads %s as %s: %s', (_, hex, expected) => {
    expect(code(() => parseDer(fromHex(hex), derTag.sequence, 'value'))).toBe(expected)
  })

  test('an optional value of another tag is left where it is', () => {
    const reader = new DerReader(fromHex('020101'))
    expect(reader.optional(derTag.boolean, 'flag')).toBeUndefined()
    expect(derInteger(reader.next(derTag.integer, 'number'), 9, 'number')).toBe(1)
    reader.end('value')
  })

  test('any bytes are read or refused by a Failure, wherever reading starts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...Object.values(derTag)), (bytes, tag) => {
        const found = code(() => {
          const reader = new DerReader(bytes)
          while (!reader.done) {
            const one = reader.next(tag, 'value')
            for (const read of [derOid, derUnsigned, derBits, derAscii, derBoolean])
              code(() => (read as (v: typeof one, w: string) => unknown)(one, 'value'))
          }
        })
        expect(found).toMatch(/^(ok|der\/[a-z]+)$/)
      }),
    )
  })
})

test('what is read in place is what is read of a copy, and nothing behind the end of a value is looked at', () => {
  const size = fc.nat(20)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), size, size, fc.nat(60), (bytes, before, after, seed) => {
      const [inner, around] = [mint.der(derTag.sequence, bytes), new Uint8Array(bytes.length + 60).fill(seed)]
      const held = mint.der(derTag.sequence, around.subarray(0, before), inner, around.subarray(0, after))
      const outer = parseDer(held, derTag.sequence, 'value').reader()
      const read = (reader: DerReader) => {
        const out: unknown[] = []
        out.push(
          code(() => {
            while (!reader.done) {
              const one = reader.next(reader.tag!, 'value')
              out.push(one.tag, one.size, toHex(one.body), toHex(one.whole))
              for (const value of [derOid, derUnsigned, derBits, derAscii, derBoolean])
                out.push(code(() => (value as (v: typeof one, w: string) => unknown)(one, 'value')))
              out.push(code(() => readDerTime(new DerReader(one.whole), 'time', 'any')))
            }
          }),
        )
        return out
      }
      // What stands before the value may be anything, so it is found by its place.
      const at = held.length - after - inner.length
      const placed = new DerReader(held, at, at + inner.length).next(derTag.sequence, 'value')
      expect(read(placed.reader())).toEqual(read(new DerReader(bytes)))
      expect(outer.done).toBe(before + inner.length + after === 0)
    }),
  )
})

describe('values', () => {
  test.each([
    ['zero', '020100', '00'],
    ['a sign byte', '020200d9', 'd9'],
    ['127', '02017f', '7f'],
  ])('reads the magnitude of %s', (_, hex, expected) => {
    expect(toHex(derUnsigned(value(hex), 'number'))).toBe(expected)
  })
  test.each(['0200', '0201ff', '02020001'])('refuses integer %s', (hex) => {
    expect(code(() => derUnsigned(value(hex), 'number'))).toBe('der/value')
  })
  test('refuses an integer above its bound', () => {
    expect(derInteger(value('020200ff'), 255, 'number')).toBe(255)
    expect(code(() => derInteger(value('02020100'), 255, 'number'))).toBe('der/value')
    expect(code(() => derInteger(value('02050100000000'), 0xffff_ffff, 'number'))).toBe('der/value')
  })

  test.each(['2.5.29.19', '1.2.840.113549.1.1.10', '1.3.6.1.4.1.3704.1.3.8', '0.9.2342', '2.999.3'])(
    'reads object identifier %s',
    (dotted) => {
      expect(derOid(parseDer(mint.oid(dotted), derTag.oid, 'id'), 'id')).toBe(dotted)
    },
  )
  test('an identifier is the same below one whose text is known, and compared by its contents, as read by itself', () => {
    const dotted = '1.2.840.113741.1.13.1'
    const contents = fromHex('2a864886f84d010d01')
    const arcs = [oidArc(fromHex('551d'), '2.5.29'), oidArc(contents, dotted)]
    const tail = fc.oneof(
      fc.constant(new Uint8Array()),
      fc.uint8Array({ maxLength: 4 }),
      fc.constant(new Uint8Array(56)),
    )
    fc.assert(
      fc.property(fc.nat(contents.length), tail, (count, more) => {
        const id = parseDer(mint.der(derTag.oid, contents.subarray(0, count), more), derTag.oid, 'id')
        const alone = code(() => derOid(id, 'id'))
        expect(code(() => derOid(id, 'id', ...arcs))).toBe(alone)
        expect(code(() => derOidIs(id, contents, 'id'))).toBe(alone)
        if (alone !== 'ok') return
        expect(derOid(id, 'id', ...arcs)).toBe(derOid(id, 'id'))
        expect(derOidIs(id, contents, 'id')).toBe(derOid(id, 'id') === dotted)
      }),
      { numRuns: 3000 },
    )
  })
  test.each(['0600', '060180', '06028001', '060181', `0641${'01'.repeat(65)}`, `060a${'ff'.repeat(9)}7f`])(
    'refuses object identifier %s',
    (hex) => {
      expect(code(() => derOid(value(hex), 'id'))).toBe('der/value')
    },
  )

  test.each([
    ['010100', false],
    ['0101ff', true],
  ] as const)('reads boolean %s', (hex, expected) => {
    expect(derBoolean(value(hex), 'flag')).toBe(expected)
  })
  test.each(['0100', '010101', '0102ffff'])('refuses boolean %s', (hex) => {
    expect(code(() => derBoolean(value(hex), 'flag'))).toBe('der/value')
  })

  test.each(['0300', '030108', '030101', '03020101'])('refuses bit string %s', (hex) => {
    expect(code(() => derBits(value(hex), 'bits'))).toBe('der/value')
  })

  test('refuses text that is no printable ASCII, or too long', () => {
    expect(derAscii(value('160548656c6c6f'), 'text')).toBe('Hello')
    expect(code(() => derAscii(value('160109'), 'text'))).toBe('der/value')
    expect(code(() => derAscii(value('1602c3a9'), 'text'))).toBe('der/value')
    expect(code(() => derAscii(parseDer(mint.ia5('a'.repeat(1025)), derTag.ia5String, 'text'), 'text'))).toBe(
      'der/value',
    )
  })
})

describe('times', () => {
  const read = (tag: number, text: string) => {
    const reader = new DerReader(mint.der(tag, utf8(text)))
    return readDerTime(reader, 'time')
  }
  test.each([
    [derTag.utcTime, '261125091325Z', Date.UTC(2026, 10, 25, 9, 13, 25)],
    [derTag.utcTime, '491231235959Z', Date.UTC(2049, 11, 31, 23, 59, 59)],
    [derTag.utcTime, '500101000000Z', Date.UTC(1950, 0, 1)],
    [derTag.utcTime, '240229000000Z', Date.UTC(2024, 1, 29)],
    [derTag.generalizedTime, '20500101000000Z', Date.UTC(2050, 0, 1)],
  ])('reads %s %s', (tag, text, ms) => {
    expect(read(tag, text)).toBe(ms / 1000)
  })
  test.each([
    [derTag.utcTime, '2611250913Z', 'no seconds'],
    [derTag.utcTime, '261125091325+0100', 'another zone'],
    [derTag.utcTime, '230229000000Z', 'a day that is none'],
    [derTag.utcTime, '261325091325Z', 'a month that is none'],
    [derTag.utcTime, '261125240000Z', 'an hour that is none'],
    [derTag.generalizedTime, '20491231235959Z', 'a year that UTCTime spells'],
    [derTag.generalizedTime, '20500101000000.5Z', 'fractions'],
  ])('refuses %s %s: %s', (tag: number, text: string, _why: string) => {
    expect(code(() => read(tag, text))).toBe('der/value')
  })

  test('what the minter writes is what is read', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (at) => {
        expect(readDerTime(new DerReader(mint.time(at)), 'time')).toBe(at)
      }),
    )
  })
})
