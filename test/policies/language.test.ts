import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure, isFailure } from '#core/failure.js'
import { policyCountMax, policySizeMax } from '#core/limits.js'
import { type PolicySet, policyDigest, policySchema, validatePolicy } from '#policies/index.js'
import { libraryPolicy, listLibrary } from '#policies/library/read.js'

interface Vector {
  readonly name: string
  readonly text: string
  readonly expected: string
  readonly line?: number
  readonly column?: number
}
const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../vectors/policy/policies.json', import.meta.url), 'utf8'),
)

/** The set, or the failure: anything else that is thrown is a bug and fails the test. */
function outcome(text: string): PolicySet | Failure {
  try {
    return validatePolicy(text)
  } catch (error) {
    if (isFailure(error)) return error
    throw error
  }
}

const anywhere = '@id("a") permit (principal, action, resource);'

describe('policy vectors', () => {
  test.each(vectors)('$expected: $name', ({ text, expected, line, column }) => {
    const result = outcome(text)
    expect(result instanceof Failure ? result.code : 'ok').toBe(expected)
    if (result instanceof Failure && line !== undefined) expect(result.detail).toMatchObject({ line, column })
  })

  test('say hint where it is known', () => {
    expect(outcome('@id("a") permit (principal, action == Claviger::Action::"relase", resource);')).toMatchObject({
      detail: { hint: expect.stringContaining('Claviger::Action::"release"') },
    })
    expect(
      outcome('@id("a") permit (principal, action, resource) when { context.place.country == "UK" };'),
    ).toMatchObject({ detail: { hint: 'did you mean GB?' } })
  })
})

describe('a policy set', () => {
  test('is named by the digest of its exact text', () => {
    const text = libraryPolicy('eu-only').text
    expect(validatePolicy(text).digest).toBe(policyDigest(text))
    expect(validatePolicy(`${text}\n`).digest).not.toBe(policyDigest(text))
  })

  test('keeps its policies in the order of the text, under their own ids', () => {
    const ids = Array.from({ length: 13 }, (_, i) => `rule-${i}`)
    const text = ids.map((id) => `@id("${id}") permit (principal, action, resource);`).join('\n')
    expect(validatePolicy(text).policies.map((policy) => policy.id)).toEqual(ids)
  })

  test('holds at most the policies and bytes that limits allow', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, i) => `@id("r${i}") permit (principal, action, resource);`).join('\n')
    expect(validatePolicy(many(policyCountMax)).policies).toHaveLength(policyCountMax)
    expect(outcome(many(policyCountMax + 1))).toMatchObject({ code: 'policy/limit' })
    const padded = (size: number) => `// ${'x'.repeat(size - anywhere.length - 4)}\n${anywhere}`
    expect(padded(policySizeMax)).toHaveLength(policySizeMax)
    expect(validatePolicy(padded(policySizeMax)).policies).toHaveLength(1)
    expect(outcome(padded(policySizeMax + 1))).toMatchObject({ code: 'policy/limit' })
    expect(outcome(padded(policySizeMax).replace('xx', 'éx'))).toMatchObject({ code: 'policy/limit' })
  })

  test('uses a schema without parents, where Cedar cannot answer `in` by silence', () => {
    expect(policySchema).toMatch(/entity Node;\n {2}entity Model;\n/)
    expect(policySchema).not.toMatch(/entity \w+ in/)
  })
})

// Each of these texts ends Cedar's parser when it gets that far: the module then answers nobody until a restart.
const hostile: Readonly<Record<string, string>> = {
  brackets: `${'('.repeat(20_000)}true${')'.repeat(20_000)}`,
  sets: `${'['.repeat(300)}1${']'.repeat(300)} == []`,
  records: `${'{a:'.repeat(300)}1${'}'.repeat(300)} == {}`,
  negations: `${'!'.repeat(5000)}true`,
  conjunctions: Array(6000).fill('true').join('&&'),
  members: `context${'.a'.repeat(3000)}`,
  choices: `${'if true then '.repeat(2000)}true${' else true'.repeat(2000)}`,
  sums: `${Array(3000).fill('1').join('+')} == 1`,
  comparisons: Array(3000).fill('1').join('<'),
  memberships: Array(3000).fill('principal').join(' in '),
}

describe('a hostile text', () => {
  test.each(Object.keys(hostile))('%s are refused before the engine reads them, and the engine lives on', (name) => {
    const result = outcome(`@id("a") permit (principal, action, resource) when { ${hostile[name]} };`)
    expect(result).toMatchObject({ code: 'policy/limit' })
    expect(validatePolicy(anywhere).policies).toHaveLength(1)
  })

  test('a set of thousands of literals is read', () => {
    const values = Array.from({ length: 5000 }, (_, i) => `"v${i}"`).join(',')
    expect(
      outcome(`@id("a") permit (principal, action, resource) when { [${values}].contains(context.model.name) };`),
    ).not.toBeInstanceOf(Failure)
  })

  test('of any characters gives a set or a failure of ours', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const result = outcome(text)
        if (result instanceof Failure) expect(result.code).toMatch(/^policy\/(syntax|invalid|limit)$/)
      }),
      { numRuns: 300 },
    )
  })

  test('of the language’s own words gives a set or a failure of ours', () => {
    const words = (
      'permit forbid ( ) , ; principal action resource when unless { } [ ] @id("a") @law("x") context . place country ' +
      'stated == != < && || ! "DE" 1 true if then else in is has like contains Claviger::Node ::"x" ?principal // \n'
    ).split(' ')
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 60 }), (parts) => {
        const result = outcome(parts.join(' '))
        if (result instanceof Failure) expect(result.code).toMatch(/^policy\/(syntax|invalid|limit)$/)
      }),
      { numRuns: 500 },
    )
  })

  test('made of a valid one by one changed character gives a set or a failure of ours', () => {
    const texts = listLibrary().map((policy) => policy.text)
    fc.assert(
      fc.property(fc.constantFrom(...texts), fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }), (text, at, put) => {
        const i = at % text.length
        const result = outcome(text.slice(0, i) + put + text.slice(i + 1))
        if (result instanceof Failure) expect(result.code).toMatch(/^policy\/(syntax|invalid|limit)$/)
      }),
      { numRuns: 200 },
    )
  })
})
