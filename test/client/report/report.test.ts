import { describe, expect, test } from 'vitest'
import { renderReport } from '#client/report/content.js'
import { factGroups } from '#client/report/groups.js'
import type { Json } from '#core/encoding/json.js'
import type { Bundle } from '#core/wire/bundle.js'
import { acceptApproval } from '#keybroker/approvals/settle.js'
import { factWords } from '#policies/index.js'
import { libraryPolicy } from '#policies/library/read.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { approve, person, proposeChange, setBody } from '#test/keybroker/approvals-world.js'
import {
  ask,
  change,
  granted,
  permitAll,
  type Registered,
  readersTrust,
  registered,
  startTime,
  testNode,
} from '#test/keybroker/fixtures.js'
import { guest, pathOf } from '#test/keybroker/kbs/fixtures.js'
import { asked, makeSources, operator, placed } from './credentials.js'
import { reportOn, sourceAt, trouble } from './fixtures.js'

const { open } = anyDatabase()

const country = (name: string, more = '') => `${more}
@id("in-${name.toLowerCase()}") @law("Act of ${name}, section 1") @explain("Only in ${name}.") @remedy("Move.")
permit (principal, action, resource) when { context.place.stated && context.place.country == "${name}" };
@id("no-old-word") forbid (principal, action, resource) unless { context.place.ageSeconds <= 999999 };`

/** Simulated evidence comes with a warning. */
const simulatedToo = libraryPolicy('eu-personal-data').text.replace('context.evidence.tier == "affirming" &&', '')

async function denied(chain: Registered, host?: { country: string; legalName?: string }): Promise<number> {
  const outcome = await ask(chain, await testNode(chain, host && { host }))
  if (outcome.kind !== 'denied') throw new Error('it was to be denied')
  return outcome.entry
}

describe('a report on a model', () => {
  test('counts what was decided by which rule, from bundles that verify, with their entries', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    const node = await testNode(chain, { host: { country: 'DE' } })
    const { id } = JSON.parse(atob(granted(await ask(chain, node)).lease.payload)) as { id: string }
    granted(await ask(chain, node, { lease: id }))
    const entry = await denied(chain, { country: 'FR' })
    await denied(chain)
    const [at] = (await reportOn(chain)).brokers
    expect(at!.decisions.map(({ act, allow }) => [act, allow])).toEqual([
      ['denial', false],
      ['denial', false],
      ['renewal', true],
      ['release', true],
    ])
    expect(at!.decisions[1]).toMatchObject({
      entry,
      where: 'FR (declared, L0)',
      whom: 'Example GmbH, seat FR (declared, L0)',
      platform: 'simulated',
      reasons: [{ id: 'in-de', effect: 'no-permit' }],
    })
    const [policy] = at!.policies
    expect(at!.policies).toHaveLength(1)
    expect(policy).toMatchObject({ isInForce: true, decisions: 4, header: null, effect: { entry: 3 } })
    expect(policy!.rules.map(({ id, law, counts }) => [id, law, counts])).toEqual([
      ['in-de', 'Act of DE, section 1', { allowed: 2, refused: 0, notSatisfied: 2 }],
      ['no-old-word', null, { allowed: 0, refused: 1, notSatisfied: 0 }],
    ])
    expect(policy!.rules[0]!.facts).toEqual(['place.country', 'place.stated'])
    expect(at!.evidence.find(({ group, says }) => group === 'place' && says === 'not stated')).toMatchObject({
      denied: 1,
    })
    expect([at!.notVerified, at!.log.unnamed, at!.log.others, at!.log.isWhole]).toEqual([[], [], 0, true])
    expect(at!.sources).toBeNull()
    const md = renderReport(await reportOn(chain), 'md')
    expect(md).toContain(`[\\#${entry}](<https://broker.example/v1/log/proofs/${entry}>)`)
    expect(md).toContain(`\`claviger bundle ${entry}\``)
    expect(md).toContain('### Act of DE, section 1')
    expect(md).toContain('NOT HARDWARE')
    expect(md).toContain('UNATTESTED BROKER')
    await chain.test.close()
  })

  test('says what changed, and by which policy what was decided', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    const node = await testNode(chain, { host: { country: 'DE' } })
    granted(await ask(chain, node))
    const text = country('FR', '// Only in France.\n//\n// Honest limits: none are known.\n')
    await change(chain, 'policy', { name: 'later', language: 'cedar', text, accepts: undefined })
    await change(chain, 'revocation', {
      revoked: [{ kind: 'operator', value: 'Old | Name' }],
      reason: 'a breach of contract',
    })
    await denied(chain, { country: 'DE' })
    const report = await reportOn(chain)
    const [at] = report.brokers
    expect(at!.policies.map(({ name, isInForce, decisions }) => [name, isInForce, decisions])).toEqual([
      ['later', true, 1],
      ['test', false, 1],
    ])
    expect(at!.policies[0]!.header).toMatchObject({ title: 'Only in France.', limits: 'none are known.', owner: null })
    const [made, ...rest] = at!.changes
    expect([made!.change, rest.map((one) => one.change)]).toEqual([
      'tenant',
      ['trust', 'registration', 'policy', 'reference-values', 'policy', 'revocation'],
    ])
    expect(rest.at(-2)).toMatchObject({
      sequence: 2,
      state: 'in force',
      says: [expect.stringContaining('in place of test')],
    })
    expect(rest.at(-1)!.says).toEqual(['taken back: operator Old | Name', 'reason: a breach of contract'])
    expect(at!.policies[0]!.effect!.entry).toBe(rest.at(-2)!.entry)
    const md = renderReport(report, 'md')
    expect(md).toContain('Rules of earlier or other decisions: test')
    expect(md).toContain('taken back: operator Old \\| Name')
    await chain.test.close()
  })

  test('names registry, issuers and what credentials founded, and whether the reader believes the keepers', async () => {
    const chain = await registered(await open(), { policy: simulatedToo })
    const world = await makeSources({ now: startTime })
    await change(chain, 'sources', world.body)
    granted(await asked(chain, world, [operator('FR'), placed]))
    const refused = await asked(chain, world, [operator('FR')])
    expect(refused.kind).toBe('denied')
    const keeper = { alias: 'keeper', key: world.keeper.publicKey }
    const trust = { ...readersTrust(chain), registries: [keeper], issuers: [keeper] }
    const report = await reportOn(chain, { trust })
    const [at] = report.brokers
    expect(at!.notVerified).toEqual([])
    expect(at!.decisions.map(({ where }) => where)).toEqual([
      'not stated',
      expect.stringMatching(/^FR \(auditor, L3, by [a-z-]+\)$/),
    ])
    expect(at!.sources).toMatchObject({ inside: 'EU', registry: { name: 'law', version: 1, refused: null } })
    expect(at!.sources!.issuers.length).toBeGreaterThan(0)
    expect(at!.evidence.filter(({ group }) => group === 'company')).toMatchObject([{ allowed: 1, denied: 1 }])
    expect(at!.changes.at(-1)!.says[0]).toContain('registry of jurisdictions law version 1')
    const md = renderReport(report, 'md')
    expect(md).toContain('### GDPR, Regulation \\(EU\\) 2016/679, Articles 44 and 45')
    expect(md).toContain('Its author says: both are documentary')
    // Whoever does not believe the keepers learns that, and counts nothing that rests on them.
    const [other] = (await reportOn(chain)).brokers
    expect(other!.sources!.registry.refused).not.toBeNull()
    expect(other!.notVerified.map(({ code }) => code)).toEqual(['client/keepers', 'client/keepers'])
    expect(other!.decisions).toEqual([])
    await chain.test.close()
  })

  test('has decisions of the KBS route, and a policy that says nothing of itself is said to', async () => {
    const silent = '@id("all") permit (principal, action, resource);'
    const delivery = ['v1', 'kbs'] as const
    const chain = await registered(await open(), { policy: silent, registration: { delivery } })
    expect((await (await guest(chain)).get(pathOf(chain))).status).toBe(200)
    await change(chain, 'policy', {
      name: 'none',
      language: 'cedar',
      text: silent.replace('permit', 'forbid'),
      accepts: undefined,
    })
    expect((await (await guest(chain)).get(pathOf(chain))).status).toBe(403)
    const report = await reportOn(chain)
    const [at] = report.brokers
    expect(at!.decisions.map(({ act, allow, reasons }) => [act, allow, reasons.map(({ id }) => id)])).toEqual([
      ['kbs', false, ['claviger/no-permit', 'all']],
      ['kbs', true, ['all']],
    ])
    expect([at!.log.unnamed, at!.notVerified]).toEqual([[], []])
    const md = renderReport(report, 'md')
    expect(md).toContain('2 decisions: **1 allowed** \\(1 KBS route\\), **1 denied**.')
    expect(md).toContain('| `claviger/no-permit` | 0 | 1 |')
    for (const words of [
      'The policy’s text has no comment above its rules',
      'No rule of this policy cites a law',
      'Its author says nothing about it in plain words.',
      'Its author names no limits in the policy’s text.',
      'The rules read no fact',
    ])
      expect(md).toContain(words)
    await chain.test.close()
  })

  test('tells a change that is proposed from one that is in force', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    const people = [await person('ada'), await person('bo')] as const
    await change(chain, 'approvers', setBody(people, chain))
    const opened = { name: 'open', language: 'cedar', text: permitAll, accepts: undefined } as const
    const proposed = await proposeChange(chain, 'policy', opened)
    const waiting = (await reportOn(chain)).brokers[0]!
    expect(waiting.policies.map(({ name }) => name)).toEqual(['test'])
    expect(waiting.changes.slice(-2)).toMatchObject([
      { change: 'approvers', state: 'in force' },
      { change: 'policy', state: 'proposed', sequence: 2, says: [expect.stringMatching(/^policy open, sha256 /)] },
    ])
    for (const one of people) await acceptApproval(chain.test.broker, await approve(chain, proposed, one))
    const agreed = await reportOn(chain)
    const [at] = agreed.brokers
    expect(at!.notVerified).toEqual([])
    expect(at!.changes.slice(-2).map(({ change: kind, state }) => [kind, state])).toEqual([
      ['policy', 'proposed'],
      ['policy', 'in force'],
    ])
    expect(at!.policies[0]).toMatchObject({ name: 'open', effect: { entry: at!.changes.at(-1)!.entry } })
    expect(renderReport(agreed, 'md')).toContain('| `policy` 2, proposed |')
    await chain.test.close()
  })

  test('of an empty period says so; of another model, counts without looking', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    const empty = await reportOn(chain)
    expect(empty.brokers[0]!.decisions).toEqual([])
    expect(empty.brokers[0]!.policies[0]!.effect).toMatchObject({ entry: 3 })
    expect(renderReport(empty, 'md')).toContain('Nothing about this model was decided in the period.')
    granted(await ask(chain, await testNode(chain, { host: { country: 'DE' } })))
    const before = await reportOn(chain, { since: startTime - 20, until: startTime - 10 })
    expect([before.brokers[0]!.decisions, before.brokers[0]!.changes]).toEqual([[], []])
    const decisions = async (from: number | null) =>
      (await (await sourceAt(chain)).decisions(from)).map((one) => ({ ...one, model: `${chain.owner.id}/other` }))
    const other = await reportOn(chain, {}, { decisions })
    expect([other.brokers[0]!.decisions, other.brokers[0]!.log.others]).toEqual([[], 1])
    expect(renderReport(other, 'md')).toContain('1 more decisions of this owner')
    await chain.test.close()
  })
})

describe('what a broker does not say, or says falsely', () => {
  test('a decision that it does not name is found in the log; one that is none in the log is told', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    const entry = await denied(chain)
    const second = await denied(chain)
    const named = await (await sourceAt(chain)).decisions(null)
    const silent = async (from: number | null) => (from === null ? named.filter((one) => one.entry !== entry) : [])
    const [found] = (await reportOn(chain, {}, { decisions: silent })).brokers
    expect(found!.decisions.map((one) => one.entry)).toEqual([second, entry])
    expect(found!.log.unnamed).toEqual([entry])
    const nothing = (await reportOn(chain, {}, { decisions: async () => [] })).brokers[0]!
    expect(nothing.log.unnamed).toEqual([entry, second])
    const liar = async (from: number | null) => (from === null ? [...named, { ...named[0]!, entry: 0 }] : [])
    expect((await reportOn(chain, {}, { decisions: liar })).brokers[0]!.notVerified).toMatchObject([
      { entry: 0, code: 'client/entry-index' },
    ])
    await chain.test.close()
  })

  test('a bundle of another entry, a changed one and a missing one are counted nowhere, and told', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    const entries = [await denied(chain), await denied(chain), await denied(chain), await denied(chain)]
    const source = await sourceAt(chain)
    const bundle = async (entry: number): Promise<Json | null> => {
      if (entry === entries[0]) return null
      if (entry === entries[1]) return source.bundle(entries[2]!)
      const true_ = await source.bundle(entry)
      return entry === entries[3] ? ({ ...(true_ as unknown as Bundle), at: startTime + 1 } as unknown as Json) : true_
    }
    const report = await reportOn(chain, {}, { bundle })
    const [at] = report.brokers
    expect(at!.decisions.map(({ entry }) => entry)).toEqual([entries[2]])
    expect(at!.notVerified.map(({ entry, code }) => [entry, code])).toEqual([
      [entries[0], 'broker/unknown-entry'],
      [entries[1], 'client/entry-index'],
      [entries[3], 'client/bundle-splice'],
    ])
    expect(renderReport(report, 'md')).toContain('3 entries did not verify')
    await chain.test.close()
  })

  test('a broker that does not answer, and a log of somebody else, end in no report', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    await denied(chain)
    expect(await codeOfPromise(reportOn(chain, {}, { bundle: async () => trouble() }))).toBe('test/trouble')
    const trust = { ...readersTrust(chain), logs: [] }
    expect(await codeOfPromise(reportOn(chain, { trust }))).toBe('tlog/unknown-log')
    expect(await codeOfPromise(reportOn(chain, { model: `${chain.owner.id}/never` }))).toBe('report/model')
    const none = { decisions: async () => [], bundle: async () => null }
    expect(await codeOfPromise(reportOn(chain, {}, none))).toBe('report/unlogged')
    await chain.test.close()
  })

  test('more than was asked for is not looked at, and that is said', async () => {
    const chain = await registered(await open(), { policy: country('DE') })
    await denied(chain)
    const entry = await denied(chain)
    const report = await reportOn(chain, { last: 1 })
    expect(report.brokers[0]!.decisions.map((one) => one.entry)).toEqual([entry])
    expect(report.brokers[0]!.log.notLookedAt).toBe(1)
    expect(renderReport(report, 'md')).toContain('1 older decisions of the period were not looked at')
    await chain.test.close()
  })
})

test('every fact that a policy can read has a group that says what it rests on', () => {
  const groups = [...new Set(factWords.map(({ path }) => path.split('.')[0]))]
  expect(factGroups.map(({ group }) => group)).toEqual(expect.arrayContaining(groups))
  expect(factGroups).toHaveLength(groups.length)
})
