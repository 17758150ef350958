import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { decide, type Facts, parseDecisionRecord, recordOf, validatePolicy, verifyDecision } from '#policies/index.js'
import { codeOf } from '#test/fakes/code-of.js'
import { factsWith, placed } from './worlds.js'

interface Case {
  readonly name: string
  readonly record: Json
  readonly expected: string
}
const path = 'test/vectors/decision-record/cases.json'
const text = /^```cedar\n([\s\S]*?)^```/m.exec(readFileSync('docs/spec/policy.md', 'utf8'))![1]!

function minted(): { readonly description: string; readonly policy: string; readonly cases: readonly Case[] } {
  const policy = validatePolicy(text)
  const of = (facts: Facts) => recordOf(decide({ policy, facts, action: 'release' }))
  const allowed = of(factsWith())
  const changed = (name: string, expected: string, change: object) => ({
    name,
    record: { ...allowed, ...change },
    expected,
  })
  const cases = [
    { name: 'a release that a rule permits', record: allowed, expected: 'ok' },
    { name: 'a denial by a rule', record: of(placed('CH')), expected: 'ok' },
    { name: 'a denial about facts that nobody could make', record: of({} as Facts), expected: 'ok' },
    changed('an outcome that was turned', 'decision/replay', { allow: false }),
    changed('facts of another place', 'decision/replay', { facts: placed('FR') }),
    changed('another digest of the facts', 'decision/replay', { factsDigest: '00'.repeat(32) }),
    changed('another rule', 'decision/replay', { reasons: [{ id: 'x', effect: 'permit' }] }),
    changed('another text of the policy', 'decision/policy', { policyDigest: '00'.repeat(32) }),
    changed('no reason', 'shape/range', { reasons: [] }),
    changed('an action that nobody knows', 'shape/form', { action: 'own' }),
    changed('another language', 'shape/form', { language: 'claviger/policy/v0' }),
    changed('one member more', 'shape/unknown', { note: '' }),
    changed('a fact that nobody knows', 'shape/unknown', { facts: { ...factsWith(), weather: 'fine' } }),
    { name: 'one member less', record: { ...allowed, factsDigest: undefined }, expected: 'shape/missing' },
  ]
  const description =
    'A policy and decision records; each is read and made again under the policy. docs/spec/decision-record.md'
  return { description, policy: text, cases: JSON.parse(JSON.stringify(cases)) }
}

const codeOfCase = (policy: string, { record }: Case) =>
  codeOf(() => verifyDecision(parseDecisionRecord(parseJson(utf8(JSON.stringify(record)))), validatePolicy(policy)))

// With CLAVIGER_MINT_VECTORS naming them, records made in this run take the place of the ones in the repository.
test('freshly made records agree', () => {
  const vectors = minted()
  for (const one of vectors.cases) expect(codeOfCase(vectors.policy, one), one.name).toBe(one.expected)
  const kept = (process.env.CLAVIGER_MINT_VECTORS ?? '').split(',').includes('decision-record')
  if (kept) writeFileSync(path, `${JSON.stringify(vectors, null, 1)}\n`)
})

describe('vectors of decision records', () => {
  const { policy, cases } = JSON.parse(readFileSync(path, 'utf8')) as ReturnType<typeof minted>
  test.each(cases)('$name: $expected', (one) => {
    expect(codeOfCase(policy, one)).toBe(one.expected)
  })
})
