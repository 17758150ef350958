import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { parseJson } from '#core/encoding/json.js'
import {
  decide,
  explainFor,
  factsDigest,
  factWords,
  parseDecisionRecord,
  parseFacts,
  policySchema,
  recordOf,
  validatePolicy,
} from '#policies/index.js'
import { factsWith, placed } from '#test/policies/worlds.js'

const read = (name: string) => readFileSync(new URL(`../../docs/spec/${name}`, import.meta.url), 'utf8')
const policyPage = read('policy.md')
const factsPage = read('facts.md')
const recordPage = read('decision-record.md')

/** The fenced blocks of a language, in order. */
function blocks(page: string, language: string): readonly string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map((found) => found[1]!)
}
const example = validatePolicy(blocks(policyPage, 'cedar')[0]!)

test('the page on facts opens with facts, and names their digest', () => {
  const facts = parseFacts(parseJson(utf8(blocks(factsPage, 'json')[0]!)))
  expect(facts).toEqual(factsWith())
  expect(factsPage).toContain(factsDigest(facts))
})

test('the page on facts shows what credentials establish', () => {
  const groups = parseJson(utf8(blocks(factsPage, 'json')[1]!)) as object
  expect(parseFacts({ ...factsWith(), ...groups } as never)).toMatchObject(groups)
})

test('the page on facts lists every fact that a policy can read, and no other', () => {
  const rows = factWords.map(
    (word) => `| \`context.${word.path}\` | ${word.type} | ${word.about} | ${word.mayBeAbsent ? 'yes' : 'no'} |`,
  )
  expect(factsPage.split('\n').filter((line) => line.startsWith('| `context.'))).toEqual(rows)
})

test('the page on policies opens with a policy, and shows what its denial says; that on records, its record', () => {
  const [explanation] = blocks(policyPage, 'json')
  const [record] = blocks(recordPage, 'json')
  expect(JSON.parse(explanation!)).toEqual(
    explainFor('host', decide({ policy: example, facts: placed('CH'), action: 'release' })),
  )
  expect(parseDecisionRecord(parseJson(utf8(record!)))).toEqual(
    recordOf(decide({ policy: example, facts: factsWith(), action: 'release' })),
  )
})

test('the page on policies prints the schema', () => {
  expect(blocks(policyPage, 'cedarschema')).toEqual([policySchema])
})

test('every failure code of policies stands on a page', () => {
  for (const code of [
    'policy/syntax',
    'policy/invalid',
    'policy/limit',
    'policy/engine',
    'decision/policy',
    'decision/replay',
  ])
    expect(policyPage).toContain(`\`${code}\``)
  for (const code of ['decision/policy', 'decision/replay']) expect(recordPage).toContain(`\`${code}\``)
  for (const code of ['facts/time', 'facts/country', 'facts/model', 'facts/order', 'facts/groups'])
    expect(factsPage).toContain(`\`${code}\``)
})
