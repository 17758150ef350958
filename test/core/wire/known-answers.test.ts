import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { isKnownAnswer, knownAnswersSizeMax, parseKnownAnswers } from '#core/wire/known-answers.js'
import type { Tensor } from '#core/wire/tensor.js'
import { codeOf } from '#test/fakes/code-of.js'

const { cases } = JSON.parse(readFileSync('test/vectors/known-answers/cases.json', 'utf8')) as {
  cases: { name: string; expected: string; file: string }[]
}

describe('vectors of known answers', () => {
  test.each(cases)('$name: $expected', ({ file, expected }) => {
    expect(codeOf(() => parseKnownAnswers(utf8(file)))).toBe(expected)
  })

  test('the page shows the first', () => {
    const page = readFileSync('docs/spec/known-answers.md', 'utf8')
    const shown = JSON.parse(page.split('```json\n')[1]!.split('```')[0]!) as unknown
    expect(shown).toEqual(JSON.parse(cases[0]!.file))
  })
})

test('more bytes than a file may have are not looked at', () => {
  expect(codeOf(() => parseKnownAnswers(new Uint8Array(knownAnswersSizeMax + 1)))).toBe('json/limit')
})

test('any bytes are known answers or a failure', () => {
  const known = cases.map(({ file }) => utf8(file))
  const harmless = (bytes: Uint8Array) => {
    try {
      parseKnownAnswers(bytes)
    } catch (error) {
      if (!isFailure(error)) throw error
    }
  }
  fc.assert(
    fc.property(fc.constantFrom(...known), fc.nat(), fc.nat(255), (bytes, at, byte) => {
      const copy = bytes.slice()
      copy[at % copy.length] = byte
      harmless(copy)
    }),
    { numRuns: 500 },
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), harmless))
})

describe('what counts as the known answer', () => {
  const y = (values: readonly number[]): Tensor => {
    return { name: 'y', datatype: 'FP32', shape: [values.length], data: Float32Array.from(values) }
  }
  const near = { absolute: 0.01, relative: 0.1 }
  const exact = { absolute: 0, relative: 0 }
  const text = (...data: string[]): Tensor => ({ name: 't', datatype: 'BYTES', shape: [data.length], data })
  const whole = (value: bigint): Tensor => ({ name: 'n', datatype: 'INT64', shape: [1], data: BigInt64Array.of(value) })

  test.each<[string, Tensor, Tensor, typeof near, boolean]>([
    ['the same', y([1, -2]), y([1, -2]), exact, true],
    ['within the tolerance', y([1.1, -2.2]), y([1, -2]), near, true],
    ['beyond it', y([1, -2.22]), y([1, -2]), near, false],
    ['0 within what is absolute', y([0.0099]), y([0]), near, true],
    ['0 beyond it', y([0.011]), y([0]), near, false],
    ['no number', y([Number.NaN]), y([0]), near, false],
    ['infinity', y([Number.POSITIVE_INFINITY]), y([1]), near, false],
    ['another shape of the same values', { ...y([1, 2]), shape: [2, 1] }, y([1, 2]), near, false],
    ['fewer values', y([1]), y([1, 2]), near, false],
    ['another name', { ...y([1]), name: 'z' }, y([1]), near, false],
    ['another type', { ...y([1]), datatype: 'FP64', data: Float64Array.of(1) }, y([1]), near, false],
    ['less data than the shape says', { ...y([1, 2]), data: Float32Array.of(1) }, y([1, 2]), near, false],
    ['the same text', text('a', 'b'), text('a', 'b'), near, true],
    ['other text', text('a', 'c'), text('a', 'b'), near, false],
    ['whole numbers near each other', whole(100n), whole(101n), near, false],
    ['the same whole number', whole(2n ** 60n), whole(2n ** 60n), exact, true],
  ])('%s', (_, actual, expected, tolerance, same) => {
    expect(isKnownAnswer(actual, expected, tolerance)).toBe(same)
  })
})
