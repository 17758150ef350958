import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from '#core/bytes/bytes.js'
import { type Cbor, type CborKey, type CborOptions, decodeCbor, encodeCbor, isCborMap } from '#core/encoding/cbor.js'
import { cborDepthMax, cborItemsMax } from '#core/limits.js'
import { codeOf } from '../../fakes/code-of.js'

const read = (hex: string, options: CborOptions = {}) => decodeCbor(fromHex(hex), options)
const codeFor = (hex: string, options: CborOptions = {}) => codeOf(() => read(hex, options))
const loose = { indefinite: 'containers' } as const

// Known answers of RFC 8949, "Examples of Encoded CBOR Data Items".
test.each<[string, Cbor]>([
  ['00', 0],
  ['17', 23],
  ['1818', 24],
  ['1903e8', 1000],
  ['1a000f4240', 1_000_000],
  ['1b000000e8d4a51000', 1_000_000_000_000],
  ['1bffffffffffffffff', 18_446_744_073_709_551_615n],
  ['20', -1],
  ['3863', -100],
  ['3903e7', -1000],
  ['3bffffffffffffffff', -18_446_744_073_709_551_616n],
  ['f4', false],
  ['f5', true],
  ['f6', null],
  ['4401020304', new Uint8Array([1, 2, 3, 4])],
  ['62c3bc', 'ü'],
  ['80', []],
  ['83010203', [1, 2, 3]],
  ['8301820203820405', [1, [2, 3], [4, 5]]],
  [
    'a201020304',
    new Map<CborKey, Cbor>([
      [1, 2],
      [3, 4],
    ]),
  ],
  [
    'a26161016162820203',
    new Map<CborKey, Cbor>([
      ['a', 1],
      ['b', [2, 3]],
    ]),
  ],
  ['c11a514b67b0', { tag: 1, value: 1_363_896_240 }],
  ['1b001fffffffffffff', Number.MAX_SAFE_INTEGER],
  ['1b0020000000000000', 9_007_199_254_740_992n],
  ['3b001ffffffffffffe', Number.MIN_SAFE_INTEGER],
])('%s is read, and written again', (hex, value) => {
  expect(read(hex)).toEqual(value)
  expect(toHex(encodeCbor(value))).toBe(hex)
})

describe('refused', () => {
  test.each([
    ['nothing', '', 'cbor/truncated'],
    ['a number cut off', '1903', 'cbor/truncated'],
    ['bytes cut off', '420a', 'cbor/truncated'],
    ['an array cut off', '8201', 'cbor/truncated'],
    ['a map without its last value', 'a101', 'cbor/truncated'],
    ['an array longer than anything', '9bffffffffffffffff', 'cbor/truncated'],
    ['a map that claims more than is there', 'a30102', 'cbor/truncated'],
    ['text longer than anything', '7bffffffffffffffff', 'cbor/truncated'],
    ['a byte after the value', '0000', 'cbor/trailing'],
    ['a break after the value', '00ff', 'cbor/trailing'],
    ['23 in two bytes', '1817', 'cbor/not-shortest'],
    ['255 in three bytes', '1900ff', 'cbor/not-shortest'],
    ['65535 in five bytes', '1a0000ffff', 'cbor/not-shortest'],
    ['2^32 - 1 in nine bytes', '1b00000000ffffffff', 'cbor/not-shortest'],
    ['a length in two bytes', '580100', 'cbor/not-shortest'],
    ['the size of an array in two bytes', '980100', 'cbor/not-shortest'],
    ['a tag in two bytes', 'd81200', 'cbor/not-shortest'],
    ['a key twice', 'a201000100', 'cbor/duplicate-key'],
    ['a text key twice', 'a2616100616100', 'cbor/duplicate-key'],
    ['a key of bytes', 'a1410000', 'cbor/key'],
    ['a key that is null', 'a1f600', 'cbor/key'],
    ['a key beyond 2^53', 'a11b002000000000000000', 'cbor/key'],
    ['half precision', 'f93c00', 'cbor/unsupported'],
    ['single precision', 'fa47c35000', 'cbor/unsupported'],
    ['double precision', 'fb3ff199999999999a', 'cbor/unsupported'],
    ['undefined', 'f7', 'cbor/unsupported'],
    ['a simple value', 'f820', 'cbor/unsupported'],
    ['false in two bytes', 'f814', 'cbor/unsupported'],
    ['a reserved length', '1c', 'cbor/unsupported'],
    ['a break alone', 'ff', 'cbor/unsupported'],
    ['a number of indefinite length', '1f', 'cbor/unsupported'],
    ['a tag of indefinite length', 'df00', 'cbor/unsupported'],
    ['a tag beyond 2^53', 'db002000000000000000', 'cbor/unsupported'],
    ['bytes in pieces', '5f4100ff', 'cbor/indefinite'],
    ['text in pieces', '7f6161ff', 'cbor/indefinite'],
    ['an array of indefinite length', '9fff', 'cbor/indefinite'],
    ['a map of indefinite length', 'bfff', 'cbor/indefinite'],
    ['text that is not UTF-8', '61ff', 'cbor/text'],
    ['a surrogate in text', '63eda080', 'cbor/text'],
  ])('%s: %s is %s', (_, hex, expected) => {
    expect(codeFor(hex)).toBe(expected)
  })

  test('a number key and a text key that look alike are two', () => {
    expect((read('a201006131f5') as ReadonlyMap<CborKey, Cbor>).size).toBe(2)
  })

  test('what goes deeper, is longer or holds more than it may', () => {
    expect(codeFor(`${'81'.repeat(cborDepthMax - 1)}00`)).toBe('ok')
    expect(codeFor(`${'81'.repeat(cborDepthMax)}00`)).toBe('cbor/depth')
    expect(codeFor(`${'c6'.repeat(cborDepthMax)}00`)).toBe('cbor/depth')
    expect(codeFor(`${'a100'.repeat(100_000)}00`)).toBe('cbor/depth')
    expect(codeFor('8100', { depthMax: 1 })).toBe('cbor/depth')
    expect(codeFor(`99${(cborItemsMax - 1).toString(16)}${'00'.repeat(cborItemsMax - 1)}`)).toBe('ok')
    expect(codeFor(`99${cborItemsMax.toString(16)}${'00'.repeat(cborItemsMax)}`)).toBe('cbor/items')
    expect(codeFor('83010203', { itemsMax: 3 })).toBe('cbor/items')
    expect(codeFor('420000', { sizeMax: 2 })).toBe('cbor/size')
  })
})

describe('containers of indefinite length, where they are asked for', () => {
  test.each<[string, Cbor]>([
    ['9fff', []],
    ['9f01820203ff', [1, [2, 3]]],
    ['bf616101ff', new Map([['a', 1]])],
    ['82019f02ff', [1, [2]]],
  ])('%s', (hex, value) => {
    expect(read(hex, loose)).toEqual(value)
  })
  test.each([
    ['no break', '9f01', 'cbor/truncated'],
    ['no break after a key', 'bf6161', 'cbor/truncated'],
    ['a break in place of a value', 'bf6161ff', 'cbor/unsupported'],
    ['a key twice', 'bf616101616102ff', 'cbor/duplicate-key'],
    ['strings in pieces all the same', '9f5f4100ffff', 'cbor/indefinite'],
    ['numbers that are not the shortest', '9f1800ff', 'cbor/not-shortest'],
    ['a break inside a definite array', '8100ff', 'cbor/trailing'],
    ['nesting', '9f'.repeat(50), 'cbor/depth'],
  ])('%s: %s is %s', (_, hex, expected) => {
    expect(codeFor(hex, loose)).toBe(expected)
  })
})

describe('properties', () => {
  const key = fc.oneof(fc.maxSafeInteger(), fc.string({ unit: 'binary' }))
  const { value } = fc.letrec<{ value: Cbor }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(fc.maxSafeInteger(), fc.boolean(), fc.constant(null), fc.string({ unit: 'binary' })),
      fc.uint8Array(),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
      fc.array(tie('value'), { maxLength: 5 }),
      fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map((entries) => new Map(entries)),
      fc.record({ tag: fc.nat(), value: tie('value') }),
    ),
  }))

  test('what is written is what is read', () => {
    fc.assert(
      fc.property(value, (one) => {
        expect(decodeCbor(encodeCbor(one))).toEqual(one)
      }),
    )
  })

  test('on any bytes only a Failure is thrown, and what is read has one spelling', () => {
    const near = value.chain((one) => {
      const good = encodeCbor(one)
      return fc
        .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 })
        .map((changes) => changes.reduce((bytes, [at, to]) => bytes.with(at, to), good))
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), near), (bytes) => {
        const code = codeOf(() => decodeCbor(bytes, loose))
        expect(code).toMatch(/^(ok|cbor\/[a-z-]+)$/)
        if (codeOf(() => decodeCbor(bytes)) === 'ok') expect(encodeCbor(decodeCbor(bytes))).toEqual(bytes)
      }),
      { numRuns: 2000 },
    )
  })

  test('cutting any value short is refused', () => {
    fc.assert(
      fc.property(value, fc.nat(), (one, size) => {
        const good = encodeCbor(one)
        expect(codeOf(() => decodeCbor(good.subarray(0, size % good.length)))).toBe('cbor/truncated')
      }),
    )
  })

  test('keys stay in the order in which they stood', () => {
    const found = read('a303f502f56162f6')
    expect(isCborMap(found) && [...found.keys()]).toEqual([3, 2, 'b'])
  })
})
