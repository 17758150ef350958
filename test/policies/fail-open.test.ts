import * as cedar from '@cedar-policy/cedar-wasm/nodejs'
import { describe, expect, test } from 'vitest'
import { decide, explainFor, type Facts, policySchema, validatePolicy } from '#policies/index.js'
import { requestSchema } from '#policies/language/vocabulary.js'
import { factsWith, modelId, placed } from '#test/policies/worlds.js'

/*
 * Each way in which Cedar by itself would have allowed, shown with Cedar by itself, beside what this product does. Should
 * a new version of Cedar close one, its test says so.
 */

const node = { type: 'Claviger::Node', id: 'ab'.repeat(32) }
const model = { type: 'Claviger::Model', id: modelId }
const entities = [node, model].map((uid) => ({ uid, attrs: {}, parents: [] }))

interface Bare {
  readonly policies: Readonly<Record<string, string>>
  readonly context?: object
  readonly schema?: string
  readonly entities?: typeof entities
}

/** What Cedar answers when nobody looks after it. */
function bareCedar(ask: Bare): cedar.AuthorizationAnswer {
  const { type: _, ...context } = factsWith()
  return cedar.isAuthorized({
    principal: node,
    action: { type: 'Claviger::Action', id: 'release' },
    resource: model,
    context: (ask.context ?? context) as cedar.Context,
    policies: { staticPolicies: { ...ask.policies } },
    entities: ask.entities ?? entities,
    ...(ask.schema === undefined ? {} : { schema: ask.schema }),
    validateRequest: true,
  })
}
const contextOf = (facts: Facts): object => {
  const { type: _, ...context } = facts
  return context
}
const release = (text: string, facts: Facts) => decide({ policy: validatePolicy(text), facts, action: 'release' })

const permitAll = '@id("all") permit (principal, action, resource);'
const notStated = placed(null)

describe('Cedar alone would have allowed', () => {
  test('where a forbid reads a fact that is absent: it is skipped; here its error denies', () => {
    const forbid = '@id("us") forbid (principal, action, resource) when { context.place.country == "US" };'
    const bare = bareCedar({
      policies: { all: permitAll, us: forbid },
      context: contextOf(notStated),
      schema: requestSchema,
    })
    expect(bare).toMatchObject({
      type: 'success',
      response: { decision: 'allow', diagnostics: { errors: [{ policyId: 'us' }] } },
    })

    const decision = release(`${permitAll}\n${forbid}`, notStated)
    expect(decision).toMatchObject({ allow: false, errors: [{ policyId: 'us' }] })
    expect(explainFor('host', decision).reasons).toMatchObject([
      { id: 'us', effect: 'forbid', actual: 'context.place.country is not stated' },
    ])
  })

  test('where a forbid reads an absent fact only in its exception: the same', () => {
    const forbid = '@id("eu") forbid (principal, action, resource) unless { context.place.country == "DE" };'
    const bare = bareCedar({
      policies: { all: permitAll, eu: forbid },
      context: contextOf(notStated),
      schema: requestSchema,
    })
    expect(bare).toMatchObject({ response: { decision: 'allow' } })
    expect(release(`${permitAll}\n${forbid}`, notStated).allow).toBe(false)
  })

  test('where one permit fails and another is satisfied: here the failure denies, and a guard avoids it', () => {
    const eu = '@id("eu") permit (principal, action, resource) when { context.place.country == "DE" };'
    const bare = bareCedar({ policies: { all: permitAll, eu }, context: contextOf(notStated), schema: requestSchema })
    expect(bare).toMatchObject({ response: { decision: 'allow' } })
    expect(release(`${permitAll}\n${eu}`, notStated).allow).toBe(false)
    const guarded = eu.replace('{ ', '{ context.place.stated && ')
    expect(release(`${permitAll}\n${guarded}`, notStated).allow).toBe(true)
  })

  test('where a forbid overflows: it is skipped; here arithmetic is no part of the language', () => {
    const forbid = '@id("f") forbid (principal, action, resource) when { context.time + 9223372036854775807 > 0 };'
    expect(
      bareCedar({
        policies: { all: permitAll, f: forbid },
        schema: requestSchema,
      }),
    ).toMatchObject({
      response: { decision: 'allow', diagnostics: { errors: [{ policyId: 'f' }] } },
    })
    expect(() => validatePolicy(`${permitAll}\n${forbid}`)).toThrow(expect.objectContaining({ code: 'policy/invalid' }))
  })

  test('where no schema is given: a misspelt fact is skipped; here a set is never evaluated without the schema', () => {
    const forbid = '@id("f") forbid (principal, action, resource) when { context.place.contry == "US" };'
    expect(bareCedar({ policies: { all: permitAll, f: forbid } })).toMatchObject({ response: { decision: 'allow' } })
    expect(() => validatePolicy(`${permitAll}\n${forbid}`)).toThrow(expect.objectContaining({ code: 'policy/invalid' }))
  })

  test('where validation "succeeded" with errors in its lists: here the lists count', () => {
    const text = 'permit (principal, action, resource) when { context.place.contry == "US" };'
    expect(cedar.validate({ schema: policySchema, policies: { staticPolicies: { f: text } } })).toMatchObject({
      type: 'success',
      validationErrors: expect.arrayContaining([expect.objectContaining({ policyId: 'f' })]),
    })
    expect(() => validatePolicy(`@id("f") ${text}`)).toThrow(expect.objectContaining({ code: 'policy/invalid' }))
  })

  test('where an ancestor is absent: `in` is silently false; here no entity has ancestors', () => {
    const schema =
      'entity Group; entity Node in [Group]; action release appliesTo { principal: [Node], resource: [Node] };'
    const n = { type: 'Node', id: 'n' }
    const bare = cedar.isAuthorized({
      principal: n,
      action: { type: 'Action', id: 'release' },
      resource: n,
      context: {},
      schema,
      validateRequest: true,
      policies: {
        staticPolicies: {
          all: 'permit (principal, action, resource);',
          f: 'forbid (principal in Group::"denied", action, resource);',
        },
      },
      entities: [],
    })
    expect(bare).toMatchObject({ response: { decision: 'allow', diagnostics: { errors: [] } } })
    expect(policySchema).not.toMatch(/entity \w+ in/)
    expect(() =>
      validatePolicy(`${permitAll}\n@id("f") forbid (principal in Claviger::Group::"denied", action, resource);`),
    ).toThrow(expect.objectContaining({ code: 'policy/invalid' }))
  })

  test('where a country is compared with a code that does not exist: the rule never fires; here it is refused', () => {
    const forbid = '@id("f") forbid (principal, action, resource) when { context.place.country == "UK" };'
    expect(
      bareCedar({ policies: { all: permitAll, f: forbid }, context: contextOf(placed('GB')), schema: requestSchema }),
    ).toMatchObject({ response: { decision: 'allow' } })
    expect(() => validatePolicy(`${permitAll}\n${forbid}`)).toThrow(/never "UK"/)
  })

  test('where a policy can never apply: validation only warns; here the warning refuses', () => {
    const forbid = '@id("f") forbid (principal, action, resource) when { context.evidence.debug && false };'
    expect(cedar.validate({ schema: policySchema, policies: { staticPolicies: { f: forbid } } })).toMatchObject({
      type: 'success',
      validationErrors: [],
    })
    expect(() => validatePolicy(`${permitAll}\n${forbid}`)).toThrow(/impossible/)
  })

  test('where more than twelve policies are given as text: an id names another policy; here ids are the author’s', () => {
    const texts = Array.from(
      { length: 12 },
      (_, i) => `@id("r${i}") permit (principal, action, resource) when { context.model.version == ${i} };`,
    )
    const parts = cedar.policySetTextToParts(texts.join('\n'))
    expect(parts.type === 'success' && parts.policies[2]).toBe(texts[10])
    expect(release(texts.join('\n'), factsWith({ model: { ...factsWith().model, version: 2 } })).reasons).toMatchObject(
      [{ policyId: 'r2' }],
    )
  })
})
