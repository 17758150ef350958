import { posix } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parsePath } from '#core/encoding/path.js'
import { isFailure } from '#core/failure.js'

describe('parsePath', () => {
  test.each(['a', 'config.json', 'onnx/model.onnx_data', 'a b/c-d+e=f@g,h(i)~1'])('takes %s', (text) => {
    expect(parsePath(text)).toBe(text)
  })

  test.each([
    ['nothing', ''],
    ['a root', '/a'],
    ['the folder itself', '.'],
    ['the folder above', '..'],
    ['a way out in the middle', 'a/../../b'],
    ['a second spelling', 'a//b'],
    ['another second spelling', './a'],
    ['a slash at the end', 'a/'],
    ['a backslash', 'a\\b'],
    ['a drive', 'C:/a'],
    ['a stream', 'a:b'],
    ['a hidden file', 'a/.b'],
    ['a dot at the end, which Windows drops', 'a.'],
    ['a space at the end, which Windows drops', 'a /b'],
    ['a control character', 'a\n'],
    ['a null', 'a\0b'],
    ['a letter with two spellings', 'é'],
    ['a wildcard', '*'],
    ['17 parts', Array(17).fill('a').join('/')],
    ['513 characters', 'a'.repeat(513)],
  ])('refuses %s', (_, text) => {
    expect(() => parsePath(text)).toThrow(expect.objectContaining({ code: 'path/form' }))
  })

  test('what it takes stays below any folder, and is its own only spelling', () => {
    const characters = fc.constantFrom(...'a.b/ \\:-_'.split(''))
    fc.assert(
      fc.property(fc.string({ unit: characters, maxLength: 12 }), (text) => {
        try {
          const path = parsePath(text)
          expect(posix.join('/base', path)).toBe(`/base/${path}`)
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      }),
      { numRuns: 2000 },
    )
  })
})
