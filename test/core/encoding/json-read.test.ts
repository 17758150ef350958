import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { column, items, member, members, readJson } from '#core/encoding/json-read.js'
import { oneOf, text, whole } from '#core/encoding/json-scalars.js'
import { integer, list, object, optional, type Shape, oneOf as strictOneOf, string } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import { jsonDepthMax, jsonItemsMax } from '#core/limits.js'

const level = members(
  { svns: items(member('svn', whole(255)), { min: 2, max: 2 }), status: oneOf('new', 'old') },
  { notes: items(text(8), { max: 2 }) },
)
const read = members({ id: text(4), levels: items(level, { max: 3 }) })
/** The same, numbers of a list at once. */
const quickLevel = members(
  { svns: column('svn', 255, 2), status: oneOf('new', 'old') },
  { notes: items(text(8), { max: 2 }) },
)
const quickRead = members({ id: text(4), levels: items(quickLevel, { max: 3 }) })
const levels = [
  { svns: [0, 255], status: 'new', notes: ['x'] },
  { svns: [7, 10], status: 'old' },
]
const good = { id: 'a', levels }
/** As it is spelled: each number an object. */
const spelled = { id: 'a', levels: levels.map((one) => ({ ...one, svns: one.svns.map((svn) => ({ svn })) })) }

/** The same as `read`, by the general parser and strict shapes, to which what is not known is not shown. */
function knownOnly<const M extends { readonly [name: string]: Shape<unknown> }>(shapes: M) {
  const strict = object(shapes)
  return (value: Json | undefined, path: string) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return strict(value, path)
    return strict(Object.fromEntries(Object.entries(value).filter(([name]) => Object.hasOwn(shapes, name))), path)
  }
}
const svns: Shape<readonly number[]> = (value, path) =>
  list(knownOnly({ svn: integer({ max: 255 }) }), { min: 2, max: 2 })(value, path).map(({ svn }) => svn)
const strictLevel = knownOnly({
  svns,
  status: strictOneOf('new', 'old'),
  notes: optional(list(string({ max: 8 }), { max: 2 })),
})
const strictRead = knownOnly({ id: string({ max: 4 }), levels: list(strictLevel, { max: 3 }) })

function outcome<T>(read: () => T): { readonly value: T } | { readonly code: string } {
  try {
    return { value: read() }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { code: error.code }
  }
}
const codeOf = (json: string) => {
  const found = outcome(() => readJson(utf8(json), read))
  const quick = outcome(() => readJson(utf8(json), quickRead))
  expect(quick).toEqual(found)
  return 'code' in found ? found.code : 'ok'
}

describe('reading by shape', () => {
  test('gives what was asked for, in whatever order and spelling it comes, and nothing else', () => {
    expect(readJson(utf8(JSON.stringify(spelled)), read)).toEqual(good)
    expect(readJson(utf8(JSON.stringify(spelled, null, 3)), read)).toEqual(good)
    const turned =
      '{"more":[1,{"a":null}],"levels":[{"x":"\\ud83d\\ude00","\\u0073tatus":"\\u006eew",' +
      '"svns":[{"y":{},"svn":1},{"svn":2,"y":0}]}],"id":"a"}'
    expect(readJson(utf8(turned), quickRead)).toEqual(readJson(utf8(turned), read))
    expect(readJson(utf8(turned), read)).toEqual({ id: 'a', levels: [{ svns: [1, 2], status: 'new' }] })
  })

  test('a number that goes on with an exponent or a fraction is that number, however alike the ends of objects are', () => {
    const json = '{"id":"a","levels":[{"status":"new","svns":[{"svn":1e1,"x":0},{"svn":2e1,"x":0}]}]}'
    for (const one of [read, quickRead])
      expect(readJson(utf8(json), one)).toMatchObject({ levels: [{ svns: [10, 20] }] })
    expect(codeOf(json.replaceAll('e1', '.5'))).toBe('shape/type')
    expect(codeOf(json.replace('2e1', '2.5'))).toBe('shape/type')
  })

  test.each([
    ['a member that is missing', '{"levels":[]}', 'shape/missing'],
    ['a known member twice', '{"id":"a","id":"a","levels":[]}', 'json/duplicate'],
    ['a known member twice, once with an escape', '{"id":"a","\\u0069d":"a","levels":[]}', 'json/duplicate'],
    ['an unknown member twice', '{"id":"a","x":1,"levels":[],"x":1}', 'json/duplicate'],
    ['an unknown member twice, deeper', '{"id":"a","x":{"y":1,"y":1},"levels":[]}', 'json/duplicate'],
    ['a string that is too long', '{"id":"abcde","levels":[]}', 'shape/range'],
    ['a number for a string', '{"id":1,"levels":[]}', 'shape/type'],
    ['an object for a list', '{"id":"a","levels":{}}', 'shape/type'],
    ['a list for an object', '[]', 'shape/type'],
    [
      'too many items',
      `{"id":"a","levels":[${Array(4).fill(JSON.stringify(spelled.levels[1])).join()}]}`,
      'shape/range',
    ],
    ['too few items', '{"id":"a","levels":[{"status":"new","svns":[{"svn":1}]}]}', 'shape/range'],
    [
      'a number out of its range',
      '{"id":"a","levels":[{"status":"new","svns":[{"svn":256},{"svn":1}]}]}',
      'shape/range',
    ],
    ['a number below zero', '{"id":"a","levels":[{"status":"new","svns":[{"svn":-1},{"svn":1}]}]}', 'shape/range'],
    ['a fraction', '{"id":"a","levels":[{"status":"new","svns":[{"svn":1.5},{"svn":1}]}]}', 'shape/type'],
    ['a leading zero', '{"id":"a","levels":[{"status":"new","svns":[{"svn":01},{"svn":1}]}]}', 'json/syntax'],
    ['another word', '{"id":"a","levels":[{"status":"newer","svns":[{"svn":1},{"svn":1}]}]}', 'shape/form'],
    ['text after the value', '{"id":"a","levels":[]} 1', 'json/syntax'],
    ['a comma before the end', '{"id":"a","levels":[],}', 'json/syntax'],
    ['a comma before the end of a list', '{"id":"a","levels":[{"status":"new","svns":[{"svn":1},]}]}', 'shape/type'],
    ['no comma', '{"id":"a" "levels":[]}', 'json/syntax'],
    ['an end that is missing', '{"id":"a","levels":[]', 'json/syntax'],
    ['half a surrogate pair that is not read', '{"id":"a","x":"\\ud800","levels":[]}', 'json/surrogate'],
    ['a number beyond 2^53 that is not read', '{"id":"a","x":9007199254740993,"levels":[]}', 'json/number'],
    ['nesting that is not read', `{"id":"a","x":${'['.repeat(5000)}${']'.repeat(5000)},"levels":[]}`, 'json/limit'],
  ])('refuses %s', (_, json, code) => {
    expect(codeOf(json)).toBe(code)
  })

  test('says where', () => {
    const json = '{"id":"a","levels":[{"status":"new","svns":[{"svn":1},{"svn":256}]}]}'
    expect(() => readJson(utf8(json), read)).toThrow(/^levels\[0\]\.svns\[1\]\.svn: expected 0 to 255$/)
    const turned = '{"x":[{"\\"y":"]}"},{}],"levels":[{"status":"old","svns":[{"svn":1},{"svn":2}]} , {"svns" : 1}]}'
    expect(() => readJson(utf8(turned), read)).toThrow(/^levels\[1\]\.svns: expected a list$/)
    expect(() => readJson(utf8('{"x":1,"id":"abcde"}'), read)).toThrow(/^id: longer than 4 characters$/)
    expect(() => readJson(utf8('{"id":"a","levels":[]}'), members({ id: text(), no: text() }))).toThrow(
      /^value: member no is missing$/,
    )
  })
})

test('a string is itself, whatever stood before it in the document', () => {
  const words = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '1', '\u00e9'), maxLength: 5 }), {
    maxLength: 200,
  })
  fc.assert(
    fc.property(words, (given) => {
      expect(readJson(utf8(JSON.stringify(given)), items(text(), { max: 200 }))).toEqual(given)
    }),
  )
})

test.each([
  ['a string that is read', '{"id":"?","levels":[]}'],
  ['a string that is not read', '{"id":"a","x":"?","levels":[]}'],
  ['the name of a member', '{"id":"a","?":0,"levels":[]}'],
])('refuses bytes that are no UTF-8 in %s', (_, json) => {
  for (const wrong of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf]]) {
    const [before, after] = json.split('?')
    const bytes = new Uint8Array([...utf8(before!), ...wrong, ...utf8(after!)])
    expect(outcome(() => readJson(bytes, read))).toEqual({ code: 'bytes/utf8' })
  }
})

test('reads of a document what parseJson and strict shapes read of it, and refuses what they refuse', () => {
  const strange = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(256, -1, -0, 1.5, 1e3, '', 'new', 'ne\u00e9', 'x'.repeat(9), 9_007_199_254_740_992),
  )
  const name = fc.constantFrom('id', 'levels', 'svns', 'svn', 'status', 'notes', 'x', '__proto__', 'constructor')
  /** A change of a member or an item somewhere in the document, by walking into it. */
  const change = fc.record({ steps: fc.array(fc.nat(9), { maxLength: 5 }), how: fc.nat(3), name, value: strange })
  const layout = fc.record({ spaces: fc.constantFrom('', ' ', '\n\t'), escapes: fc.boolean(), cut: fc.nat(2000) })
  const piece = fc.constantFrom(
    '',
    ',',
    '}',
    ']',
    '"',
    ' ',
    '1',
    '\\',
    '{"svn":1}',
    ',"x":{}',
    '"id":"b",',
    '\u007f',
    'null',
  )
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 3 }),
      layout,
      fc.option(piece),
      (changes, { spaces, escapes, cut }, extra) => {
        const document = structuredClone(spelled) as unknown as Json
        for (const one of changes) alter(document, structuredClone(one) as Change)
        let json = JSON.stringify(document).replace(/[{}[\],:]/g, (mark) => `${spaces}${mark}${spaces}`)
        if (escapes) json = json.replace('"id"', '"\\u0069d"').replace('svn"', '\\u0073vn"')
        const at = cut % (json.length + 1)
        if (extra !== null) json = json.slice(0, at) + extra + json.slice(extra === '' ? at + 1 : at)
        const found = outcome(() => readJson(utf8(json), read))
        const quick = outcome(() => readJson(utf8(json), quickRead))
        expect('value' in found ? quick : 'code' in quick).toEqual('value' in found ? found : true)
        const strict = outcome(() => strictRead(parseJson(utf8(json)), ''))
        if ('code' in strict) expect(found).toEqual({ code: expect.stringMatching(/^(json|shape)\//) })
        else expect(found).toEqual(strict)
      },
    ),
    { numRuns: 5000 },
  )
})

interface Change {
  readonly steps: readonly number[]
  readonly how: number
  readonly name: string
  readonly value: unknown
}

function alter(document: Json, { steps, how, name, value }: Change): void {
  let at = document as Record<string, Json>
  for (const step of steps) {
    const inner = Object.values(at).filter((one) => one !== null && typeof one === 'object')
    if (inner.length > 0) at = inner[step % inner.length] as Record<string, Json>
  }
  const key = Array.isArray(at) ? String(steps.length % (at.length + 1)) : name
  if (how === 0) delete at[key]
  else Object.defineProperty(at, key, { value, writable: true, enumerable: true, configurable: true })
}

test('holds what it reads over to the same depth and number of values as parseJson', () => {
  const both = (json: string) => [outcome(() => readJson(utf8(json), wrapped)), outcome(() => parseJson(utf8(json)))]
  const codes = (json: string) => both(json).map((one) => ('code' in one ? one.code : 'ok'))
  const deep = (depth: number) => `{"x":${'['.repeat(depth)}"y"${']'.repeat(depth)},"end":0}`
  const many = (count: number) => `{"x":[${'0,'.repeat(count - 1)}0],"end":0}`
  const wide = (count: number) => `{${Array.from({ length: count }, (_, i) => `"x${i}":"",`).join('')}"end":0}`
  for (const [form, most] of [
    [deep, jsonDepthMax - 1],
    [many, jsonItemsMax - 3],
    [wide, jsonItemsMax - 2],
  ] as const) {
    expect(codes(form(most))).toEqual(['ok', 'ok'])
    expect(codes(form(most + 1))).toEqual(['json/limit', 'json/limit'])
  }
})

/** Reads over everything else: what it takes and refuses is what the grammar takes and refuses. */
const wrapped = members({ end: whole(0) })

test('takes and refuses the texts that parseJson takes and refuses, wherever one character is changed', () => {
  const mark = fc.constantFrom(...'{}[]",:\\ \n-01.eE+tfnu\u00e9\ud800\u0001')
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), fc.nat(), mark, fc.nat(2), (value, at, change, kind) => {
      const inner = JSON.stringify(value)
      const index = at % (inner.length + 1)
      const changed = inner.slice(0, index) + (kind === 0 ? '' : change) + inner.slice(index + (kind === 1 ? 0 : 1))
      const json = `{"x":${changed},"end":0}`
      const strict = outcome(() => parseJson(utf8(json)))
      const found = outcome(() => readJson(utf8(json), wrapped))
      // Half of a surrogate pair has no UTF-8, and so does not reach parseJson as it stands.
      if (!/[\ud800-\udfff]/.test(json)) expect('value' in found).toBe(hasEnd(strict))
    }),
    { numRuns: 5000 },
  )
})

/** Whether a text is JSON, and the change did not put another object around. */
function hasEnd(strict: object): boolean {
  return 'value' in strict && (strict.value as { readonly end?: unknown }).end === 0
}
