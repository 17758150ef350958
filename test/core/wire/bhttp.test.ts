import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { encodeVarint, readVarint } from '#core/bytes/varint.js'
import { isFailure } from '#core/failure.js'
import {
  type BinaryRequest,
  type BinaryResponse,
  encodeBinaryRequest,
  encodeBinaryResponse,
  fieldOf,
  paddedSize,
  parseBinaryRequest,
  parseBinaryResponse,
} from '#core/wire/bhttp.js'
import vectors from '../../vectors/bhttp/cases.json' with { type: 'json' }

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}

describe('vectors of binary HTTP', () => {
  test.each(vectors.cases)('$name: $expected', ({ kind, bytes, expected, value }) => {
    const input = fromHex(bytes.replaceAll(' ', ''))
    const parse = kind === 'request' ? parseBinaryRequest : parseBinaryResponse
    expect(codeOf(() => parse(input))).toBe(expected)
    if (expected !== 'ok') return
    const parsed = parse(input)
    expect({ ...parsed, body: toHex(parsed.body) }).toEqual(value)
  })

  test('every failure code of the format has a vector', () => {
    const codes = new Set(vectors.cases.map((one) => one.expected))
    for (const code of ['framing', 'truncated', 'control', 'status', 'field', 'limit', 'padding'] as const) {
      expect(codes).toContain(`bhttp/${code}`)
    }
  })
})

const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/)
const value = fc.stringMatching(/^([!-~]([ -~]{0,20}[!-~])?)?$/)
const fields = fc.array(fc.tuple(token, value), { maxLength: 5 })
const body = fc.uint8Array({ maxLength: 300 })
const requests: fc.Arbitrary<BinaryRequest> = fc.record({
  method: fc.constantFrom('GET', 'POST'),
  scheme: fc.constant('https'),
  authority: fc.constantFrom('', 'example.com'),
  path: fc.stringMatching(/^\/[a-z0-9/?=]{0,30}$/),
  headers: fields,
  body,
  trailers: fields,
})
const responses: fc.Arbitrary<BinaryResponse> = fc.record({
  status: fc.integer({ min: 200, max: 599 }),
  headers: fields,
  body,
  trailers: fields,
})

describe('properties of binary HTTP', () => {
  test('a message that was written is read as it was', () => {
    fc.assert(
      fc.property(requests, fc.boolean(), (request, pad) => {
        expect(parseBinaryRequest(encodeBinaryRequest(request, pad))).toEqual(request)
      }),
    )
    fc.assert(
      fc.property(responses, fc.boolean(), (response, pad) => {
        expect(parseBinaryResponse(encodeBinaryResponse(response, pad))).toEqual(response)
      }),
    )
  })

  test('any bytes are read or refused with a failure', () => {
    const start = fc.constantFrom(new Uint8Array(0), fromHex('0003474554056874747073000a'), fromHex('0140c8'))
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), (prefix, rest) => {
        const bytes = concat(prefix, rest)
        codeOf(() => parseBinaryRequest(bytes))
        codeOf(() => parseBinaryResponse(bytes))
      }),
      { numRuns: 2000 },
    )
  })

  test('a message is cut only where an empty part would begin', () => {
    fc.assert(
      fc.property(requests, fc.nat(), (request, at) => {
        const bytes = encodeBinaryRequest(request, false)
        const cut = bytes.subarray(0, at % bytes.length)
        if (codeOf(() => parseBinaryRequest(cut)) !== 'ok') return
        const read = parseBinaryRequest(cut)
        // Whoever takes a cut message sees empty parts, never a part of one: the sealed stream's end decides.
        for (const part of ['headers', 'body', 'trailers'] as const) {
          expect(read[part].length === 0 || read[part].length === request[part].length).toBe(true)
        }
      }),
    )
  })

  test('padding grows a message by less than an eighth and 256 bytes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40_000_000 }), (size) => {
        const padded = paddedSize(size)
        expect(padded).toBeGreaterThanOrEqual(size)
        expect(padded).toBeLessThan(size + Math.max(256, size / 8 + 1))
        expect(paddedSize(padded)).toBe(padded)
      }),
    )
  })
})

describe('variable-length integers', () => {
  test('the shortest form is the only one', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (number) => {
        expect(readVarint(new Reader(encodeVarint(number)))).toBe(number)
      }),
    )
    // RFC 9000, "Sample Variable-Length Integer Decoding": 0x4025 spells 37 in two bytes where one is enough.
    expect(readVarint(new Reader(fromHex('25')))).toBe(37)
    expect(codeOf(() => readVarint(new Reader(fromHex('4025'))))).toBe('bytes/varint')
    expect(readVarint(new Reader(fromHex('7bbd')))).toBe(15293)
    expect(readVarint(new Reader(fromHex('9d7f3e7d')))).toBe(494878333)
    // The fourth sample of RFC 9000 is 151288809941952652: no length of ours is beyond 2^53.
    expect(codeOf(() => readVarint(new Reader(fromHex('c2197c5eff14e88c'))))).toBe('bytes/varint')
    expect(codeOf(() => readVarint(new Reader(fromHex('ffffffffffffffff'))))).toBe('bytes/varint')
  })
})

test('a field that may occur once is refused twice', () => {
  expect(fieldOf([['a', '1']], 'a')).toBe('1')
  expect(fieldOf([['a', '1']], 'b')).toBe(null)
  expect(
    codeOf(() =>
      fieldOf(
        [
          ['a', '1'],
          ['a', '1'],
        ],
        'a',
      ),
    ),
  ).toBe('bhttp/duplicate')
})

test('what could not be read is not written', () => {
  const request: BinaryRequest = {
    method: 'GET',
    scheme: 'https',
    authority: '',
    path: '/',
    headers: [],
    body: utf8(''),
    trailers: [],
  }
  expect(codeOf(() => encodeBinaryRequest({ ...request, path: 'no-slash' }, false))).toBe('bhttp/control')
  expect(codeOf(() => encodeBinaryRequest({ ...request, headers: [['a', 'x\r\ny']] }, false))).toBe('bhttp/field')
  expect(codeOf(() => encodeBinaryRequest({ ...request, headers: [['A', 'x']] }, false))).toBe('bhttp/field')
  const many = Array.from({ length: 65 }, () => ['a', 'x'] as const)
  expect(codeOf(() => encodeBinaryRequest({ ...request, headers: many }, false))).toBe('bhttp/limit')
  expect(codeOf(() => encodeBinaryResponse({ ...request, status: 103 }, false))).toBe('bhttp/status')
})
