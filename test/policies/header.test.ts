import { expect, test } from 'vitest'
import { headerOf } from '#policies/language/header.js'
import { listLibrary } from '#policies/library/read.js'

const rule = '@id("r") permit (principal, action, resource);'

test('a header is read by its labels, over several lines and paragraphs', () => {
  const text = `// What it
//   is for.
//
// Allows this.
//
// And that.
//
// Honest limits: it asks
// for little.
//
// Nor for more.
//
// Owner: Ada.
//
// Sources: GDPR; a book.
${rule}
// Honest limits: a comment below a rule is none of the header.
@id("s") permit (principal, action, resource);`
  expect(headerOf(text)).toEqual({
    title: 'What it is for.',
    purpose: ['Allows this.', 'And that.'],
    limits: 'it asks for little. Nor for more.',
    owner: 'Ada.',
    sources: 'GDPR; a book.',
  })
})

test('a text without a comment above its rules has none, and one of a title alone names nothing else', () => {
  expect(headerOf(rule)).toBeNull()
  expect(headerOf(`\n\n${rule} // behind`)).toBeNull()
  expect(headerOf(`//\n//\n${rule}`)).toBeNull()
  const nothing = { purpose: [], limits: null, owner: null, sources: null }
  expect(headerOf(`// Mine\r\n${rule}`)).toEqual({ title: 'Mine', ...nothing })
})

test('every policy of the library says what it is and where its limits are', () => {
  const all = listLibrary()
  expect(all.length).toBeGreaterThan(10)
  for (const { name, title, text } of all) {
    const header = headerOf(text)
    expect(header?.title.startsWith(title), name).toBe(true)
    expect(header?.limits, name).toEqual(expect.stringMatching(/\w{3}/))
    expect(header?.purpose.length, name).toBeGreaterThan(0)
  }
})
