import { describe, expect, test } from 'vitest'
import { validatePolicy } from '#policies/index.js'
import { libraryPolicy } from '#policies/library/read.js'
import { asksForPlacement } from '#policies/placement.js'

const asks = (text: string) => asksForPlacement(validatePolicy(text))
const permit = (clauses: string, id = 'p') => `@id("${id}") permit (principal, action, resource) ${clauses};`
const forbid = (clauses: string, more = '') => `@id("f") ${more} forbid (principal, action, resource) ${clauses};`

describe('a policy is seen to ask for a placement', () => {
  test.each([
    ['in its permit', permit('when { context.site.proven && context.site.grade >= 3 }')],
    ['the other way round', permit('when { 3 <= context.site.grade }')],
    ['by another number', permit('when { context.site.grade > 2 }')],
    ['by a higher one', permit('when { context.site.grade == 4 }')],
    ['by what it excepts', permit('unless { context.site.grade < 3 }')],
    ['by what it excepts beside others', permit('unless { context.site.contradicted || !(context.site.grade >= 3) }')],
    [
      'in each way that it allows',
      permit('when { context.site.grade >= 3 || (context.site.grade >= 4 && context.site.proven) }'),
    ],
    ['in each permit', permit('when { context.site.grade >= 3 }') + permit('when { context.site.grade >= 4 }', 'q')],
    ['in a forbid', permit('') + forbid('unless { context.site.proven && context.site.grade >= 3 }')],
    ['in a forbid that says when', permit('') + forbid('when { context.site.grade < 3 }')],
    ['in a forbid among others', permit('') + forbid('when { context.evidence.debug || context.site.grade <= 2 }')],
  ])('%s', (_, text) => {
    expect(asks(text)).toBe(true)
  })
  test('where it permits nothing at all', () => {
    expect(asks(forbid('when { context.evidence.debug }'))).toBe(true)
  })
})

describe('it is not', () => {
  test.each([
    ['where it asks for nothing', permit('')],
    ['by a lower grade', permit('when { context.site.grade >= 2 }')],
    ['by a higher number that it excludes', permit('when { context.site.grade != 4 }')],
    ['by a bound from above', permit('when { context.site.grade <= 4 }')],
    ['by the grade of something else', permit('when { context.company.grade >= 3 }')],
    ['in one way of two', permit('when { context.site.grade >= 3 || context.evidence.tier == "affirming" }')],
    ['in one permit of two', permit('when { context.site.grade >= 3 }') + permit('', 'q')],
    [
      'in a rule that is waived while the glass is broken',
      permit('') + forbid('unless { context.site.grade >= 3 }', '@breakglass'),
    ],
    [
      'in a forbid about a renewal alone',
      `${permit('')} @id("f") forbid (principal, action == Claviger::Action::"renew", resource) unless { context.site.grade >= 3 };`,
    ],
    [
      'in a forbid with a condition beside',
      permit('') + forbid('when { context.evidence.debug } unless { context.site.grade >= 3 }'),
    ],
    [
      'in a forbid that both have to fail',
      permit('') + forbid('when { context.evidence.debug && context.site.grade < 3 }'),
    ],
  ])('%s', (_, text) => {
    expect(asks(text)).toBe(false)
  })
})

test('the packs of the library do, and those by declared places do not', () => {
  for (const name of ['eu-personal-data', 'third-country-control'])
    expect([name, asks(libraryPolicy(name).text)]).toEqual([name, true])
  for (const name of ['any-affirming', 'eu-only']) expect([name, asks(libraryPolicy(name).text)]).toEqual([name, false])
})
