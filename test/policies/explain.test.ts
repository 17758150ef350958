import { describe, expect, test } from 'vitest'
import type { Json } from '#core/encoding/json.js'
import { decide, explainFor, type Facts, parseFacts, validatePolicy } from '#policies/index.js'
import { libraryPolicy } from '#policies/library/read.js'
import { factsWith, placed } from '#test/policies/worlds.js'

const approved = 'aa'.repeat(48)
const owned = validatePolicy(`
@id("approved-in-germany")
@explain("The owner's build, in Germany.")
permit (principal, action == Claviger::Action::"release", resource)
when { ["${approved}"].contains(context.evidence.measurement) && context.place.country == "DE" };

@id("no-us-operator")
@law("house rule 7")
@remedy("Let another company run it.")
forbid (principal, action, resource) when { context.operator.country == "US" };

@id("current-firmware")
forbid (principal, action, resource)
unless { context.evidence.tcb.snp >= 24 && context.evidence.product == "Genoa" };

@id("for-another-model")
permit (principal, action, resource == Claviger::Model::"other") when { context.place.country == "FR" };
`)
const explain = (reader: 'host' | 'owner', facts: Facts, policy = owned) =>
  explainFor(reader, decide({ policy, facts, action: 'release' }))

describe('a host reads', () => {
  test('which rule refused, what was expected, what was found and what would satisfy it', () => {
    expect(explain('host', placed('US', 'US'), validatePolicy(libraryPolicy('eu-only').text))).toMatchObject({
      allow: false,
      reasons: [
        {
          id: 'eu-place-and-seat',
          effect: 'no-permit',
          law: expect.stringContaining('GDPR'),
          explain: expect.stringContaining('European Union'),
          expected: expect.stringMatching(
            /^\["AT", .*"SK"\]\.contains\(context\.place\.country\) && \[.*\.contains\(context\.operator\.country\)$/,
          ),
          actual: 'context.place.country is "US", context.operator.country is "US"',
          remedy: expect.stringContaining('host statement'),
        },
      ],
      nearest: [
        expect.stringMatching(/^context\.place\.country is "US", needed is one of "AT", /),
        expect.stringMatching(/^context\.operator\.country is "US", needed is one of "AT", /),
      ],
    })
  })

  test('only the clauses that are not met', () => {
    const { reasons } = explain('host', placed('DE', 'US'), validatePolicy(libraryPolicy('eu-only').text))
    expect(reasons[0]!.expected).toMatch(/contains\(context\.operator\.country\)$/)
    expect(reasons[0]!.expected).not.toMatch(/place|tier/)
  })

  test('that a fact is not stated, and how to state it', () => {
    const policy = validatePolicy(
      '@id("r") permit (principal, action, resource) when { context.place.country == "DE" };',
    )
    expect(explain('host', placed(null), policy)).toMatchObject({
      reasons: [
        {
          id: 'r',
          expected: 'context.place.country == "DE"',
          actual: 'context.place.country is not stated',
          remedy: 'sign a host statement that says so and give it to `claviger run`',
        },
      ],
      nearest: ['context.place.country is not stated, needed is "DE"'],
    })
  })

  test('a forbid by its exception, or by the contrary of its condition', () => {
    const { reasons } = explain('host', placed('DE', 'US'))
    expect(
      reasons.map(({ id, effect, expected, actual, remedy }) => ({ id, effect, expected, actual, remedy })),
    ).toEqual([
      expect.objectContaining({ id: 'approved-in-germany', effect: 'no-permit' }),
      {
        id: 'no-us-operator',
        effect: 'forbid',
        expected: '!(context.operator.country == "US")',
        actual: 'context.operator.country is "US"',
        remedy: 'Let another company run it.',
      },
      {
        id: 'current-firmware',
        effect: 'forbid',
        expected: 'context.evidence.tcb.snp >= 24',
        actual: 'context.evidence.tcb.snp is 23',
        remedy: 'update the firmware of the platform and attest again',
      },
    ])
  })

  test('no measurement that the owner approves, anywhere; the owner reads it', () => {
    expect(JSON.stringify(explain('host', placed('US', 'US')))).not.toContain(approved)
    expect(explain('host', placed('DE')).reasons[0]).toMatchObject({
      id: 'approved-in-germany',
      expected: 'context.evidence.measurement as the owner approves (values not shown)',
      remedy: expect.stringContaining('the owner approves'),
    })
    const forOwner = JSON.stringify(explain('owner', placed('US', 'US')))
    expect(forOwner.split(approved).length).toBeGreaterThan(2) // in the clause and in the nearest change
  })

  test('nothing of rules made for another model; the owner does', () => {
    expect(JSON.stringify(explain('host', placed('US')))).not.toContain('for-another-model')
    expect(explain('owner', placed('US')).reasons.at(-1)).toMatchObject({
      id: 'for-another-model',
      expected: expect.stringContaining('resource == Claviger::Model::"other"'),
    })
    const others = validatePolicy('@id("secret") permit (principal, action, resource == Claviger::Model::"other");')
    expect(explain('host', factsWith(), others).reasons).toMatchObject([{ id: 'claviger/no-permit', expected: null }])
  })

  test('refusals by code before those of the policy', () => {
    const { reasons, nearest } = explain(
      'host',
      factsWith({}, { platform: 'simulated', debug: true }),
      validatePolicy(libraryPolicy('any-affirming').text),
    )
    expect(reasons.map((reason) => reason.id)).toEqual(['claviger/simulated-in-production', 'claviger/debug'])
    expect(nearest).toEqual([
      'context.evidence.platform is "simulated", needed is "hardware"',
      'context.evidence.debug is true, needed is false',
    ])
  })

  test('the rules that allowed, where it was allowed', () => {
    expect(explain('host', factsWith(), validatePolicy(libraryPolicy('any-affirming').text))).toMatchObject({
      allow: true,
      reasons: [],
      permittedBy: [{ id: 'affirming-anywhere', law: null }],
      nearest: [],
    })
  })

  test('bounded text, however long the rule', () => {
    const values = Array.from({ length: 4000 }, (_, i) => `"model-${i}"`).join(',')
    const policy = validatePolicy(
      `@id("r") permit (principal, action, resource) when { [${values}].contains(context.model.name) };`,
    )
    const { reasons } = explain('host', factsWith(), policy)
    expect(reasons[0]!.expected).toHaveLength(4000)
    expect(reasons[0]!.expected!.endsWith('…')).toBe(true)
  })

  test('some reason, where a policy has more conditions than are explained', () => {
    const rules = Array.from(
      { length: 90 },
      (_, i) =>
        `@id("r${i}") permit (principal, action, resource) when { ${Array.from({ length: 20 }, (_, j) => `context.model.version == ${i * 20 + j + 2}`).join(' && ')} };`,
    )
    expect(explain('host', factsWith(), validatePolicy(rules.join('\n'))).reasons.length).toBeGreaterThan(0)
  })
})

describe('the nearest change', () => {
  /** Facts with the changes made, the members of a statement that comes into being filled in. */
  function changed(facts: Facts, changes: readonly { fact: string; to: unknown }[]): Facts {
    const out = JSON.parse(JSON.stringify(facts))
    for (const { fact, to } of changes) {
      const [group, ...rest] = fact.split('.') as [string, ...string[]]
      if (out[group].stated === false) out[group] = { ...placed('AQ', 'AQ')[group as 'operator'] }
      rest.slice(0, -1).reduce((at, name) => at[name], out[group])[rest.at(-1)!] = to
    }
    return parseFacts(out as Json)
  }

  test('when made, allows: the smallest of those found', () => {
    const policy = validatePolicy(`
@id("long-way") permit (principal, action, resource)
when { context.place.country == "FR" && context.operator.country == "FR" && context.evidence.tcb.snp > 30 };
@id("short-way") permit (principal, action, resource) when { 100 < context.evidence.tcb.microcode || context.place.country == "FR" };
@id("fresh") forbid (principal, action, resource) when { context.evidence.ageSeconds > 3 };
@id("not-north") forbid (principal, action, resource) when { !(context.operator.name != "Rechenzentrum Nord GmbH") && context.model.version > 1 };`)
    const facts = factsWith()
    const decision = decide({ policy, facts, action: 'release' })
    expect(decision.nearest).toEqual([
      { fact: 'evidence.tcb.microcode', from: 84, to: 101, wanted: 'at least 101' },
      { fact: 'evidence.ageSeconds', from: 5, to: 3, wanted: 'at most 3' },
    ])
    expect(decide({ policy, facts: changed(facts, decision.nearest!), action: 'release' }).allow).toBe(true)
  })

  test('finds its way to a statement that is missing', () => {
    const policy = validatePolicy(libraryPolicy('eu-only').text)
    const facts = factsWith({ declared: null })
    const { nearest } = decide({ policy, facts, action: 'release' })
    expect(nearest!.map((change) => change.fact)).toEqual(['place.country', 'operator.country', 'place.ageSeconds'])
    expect(decide({ policy, facts: changed(facts, nearest!), action: 'release' }).allow).toBe(true)
  })

  test.each([
    ['a grade that nothing founds yet', 'context.place.grade >= 3'],
    ['another model', 'context.model.name == "other"'],
    ['another time', 'context.time < 5'],
    ['another tenant class', 'context.tenant.class == "development"'],
    ['a pattern', 'context.operator.name like "*AG"'],
  ])('is not made up where it would take %s', (_, condition) => {
    const policy = validatePolicy(`@id("r") permit (principal, action, resource) when { ${condition} };`)
    expect(decide({ policy, facts: factsWith(), action: 'release' })).toMatchObject({ allow: false, nearest: null })
  })
})
