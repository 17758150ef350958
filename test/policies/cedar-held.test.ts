import { expect, test } from 'vitest'
import { policiesHeldMax, policySizeMax } from '#core/limits.js'
import { requestOf } from '#policies/judge.js'
import { evaluate } from '#policies/language/cedar.js'
import { releaseVocabulary } from '#policies/language/vocabulary.js'
import { factsWith } from '#test/policies/worlds.js'

test('more policies than Cedar may hold are decided each by its own, also those that made room', () => {
  const long = 'x'.repeat(policySizeMax)
  const count = Math.ceil(policiesHeldMax / policySizeMax) + 20
  const request = requestOf(factsWith(), 'release')
  const decisionOf = (n: number) => {
    const effect = n % 3 === 0 ? 'permit' : 'forbid'
    const text = `@explain("${long}") ${effect} (principal, action, resource);`
    const answer = evaluate(releaseVocabulary, `held ${n}`, () => ({ [`rule-${n}`]: text }), request)
    return 'wrong' in answer ? answer.wrong.message : [answer.decision, answer.determining]
  }
  const expected = (n: number) => [n % 3 === 0 ? 'allow' : 'deny', [`rule-${n}`]]
  for (let round = 0; round < 2; round++)
    for (let n = 0; n < count; n++) expect([n, decisionOf(n)]).toEqual([n, expected(n)])
})

test('policies that Cedar cannot read are said to be, each time, and cost no others', () => {
  const request = requestOf(factsWith(), 'release')
  const broken = () => evaluate(releaseVocabulary, 'broken', () => ({ a: 'permit (' }), request)
  const fine = () =>
    evaluate(releaseVocabulary, 'fine', () => ({ a: 'permit (principal, action, resource);' }), request)
  for (let n = 0; n < 3; n++) {
    expect(broken()).toMatchObject({ wrong: { message: expect.any(String) } })
    expect(fine()).toMatchObject({ decision: 'allow', determining: ['a'] })
  }
})
