import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'

const sizeMax = 16 * 1024 * 1024
const codeOf = (text: string) => {
  try {
    parseJson(utf8(text), sizeMax)
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
  return 'ok'
}

describe('strings that need a second look', () => {
  test.each([
    ['\\u0041', 'A'],
    ['\\n', '\n'],
    ['a\\"', 'a"'],
    ['é\\\\', 'é\\'],
  ])('%s is read however often it stands there, up to the bound of the document', (spelled, meant) => {
    const count = Math.floor((sizeMax - 100) / utf8(spelled).length)
    const found = parseJson(utf8(`{"a":"${spelled.repeat(count)}","b":1}`), sizeMax) as { readonly a: string }
    expect(found.a.length).toBe(meant.length * count)
    expect(found.a.startsWith(meant) && found.a.endsWith(meant)).toBe(true)
  })

  test('what is refused is so wherever it stands, also where one part of a long string ends', () => {
    for (const at of [0, 1, 4094, 4095, 4096, 4097, 8192, 100_000]) {
      const before = `\\n${'x'.repeat(at)}`
      for (const bad of ['\\x', '\\u12', '\n', '\\', '\u0000']) expect(codeOf(`"${before}${bad}"`)).toBe('json/syntax')
      expect(codeOf(`"${before}`)).toBe('json/syntax')
      expect(codeOf(`"${before}\\ud800"`)).toBe('json/surrogate')
      expect(codeOf(`"${before}\\""`)).toBe('ok')
      expect(codeOf(`"${before}\\ud83d\\ude00"`)).toBe('ok')
    }
  })

  test('a name of a member is read as any other string, and what follows it is found', () => {
    const name = `\t${'é'.repeat(5000)}"`
    expect(parseJson(canonicalJson({ [name]: [1] }))).toEqual({ [name]: [1] })
  })
})
