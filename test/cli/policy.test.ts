import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { Io } from '#cli/output.js'
import { runCheck } from '#cli/policy/check.js'
import { runDiff } from '#cli/policy/diff.js'
import { runExplain } from '#cli/policy/explain.js'
import { runTest } from '#cli/policy/test.js'
import { runLibrary } from '#cli/policy.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { decide, recordOf, validatePolicy } from '#policies/index.js'
import { libraryPolicy, libraryWorlds, listLibrary } from '#policies/library/read.js'
import type { DecisionRecord } from '#policies/record.js'
import { readWorlds } from '#policies/worlds.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-policy-'))
afterAll(() => rmSync(folder, { recursive: true }))

function terminal() {
  const written = { out: '', err: '' }
  const io: Io = {
    stdout: (text) => void (written.out += text),
    stderr: (text) => void (written.err += text),
    isTerminal: false,
    now: () => 0,
    exit: () => {},
    ask: async () => null,
  }
  return { io, written }
}

function file(text: string): string {
  const path = join(folder, 'my.cedar')
  writeFileSync(path, text)
  return path
}

test('a valid policy is named by its digest, with advice on what a refused host would miss', async () => {
  const { io, written } = terminal()
  const text = '@id("anywhere") permit (principal, action, resource);'
  expect(await runCheck(file(text), {}, io)).toBe(0)
  expect(written.out).toBe(`valid sha256 ${validatePolicy(text).digest}\n  permit anywhere\n`)
  expect(written.err).toMatch(
    /anywhere has no @explain[\s\S]*anywhere has no @remedy[\s\S]*accepts attestation results with warnings/,
  )
})

test('a policy of the library is found by name and needs no advice', async () => {
  const { io, written } = terminal()
  expect(await runCheck('eu-only.cedar', { json: true }, io)).toBe(0)
  expect(JSON.parse(written.out)).toEqual({
    digest: validatePolicy(libraryPolicy('eu-only').text).digest,
    rules: [{ id: 'eu-place-and-seat', effect: 'permit', advice: [] }],
  })
})

test('a policy that permits nothing is valid, with a warning', async () => {
  const { io, written } = terminal()
  const text = '@id("f") @explain("x") @remedy("y") forbid (principal, action, resource) when { context.place.stated };'
  expect(await runCheck(file(text), {}, io)).toBe(0)
  expect(written.err).toBe('warning: it permits nothing: every release is denied\n')
})

test('a policy that a broker would refuse is refused with its place and a hint', async () => {
  const text = '@id("a")\npermit (principal, action == Claviger::Action::"relase", resource);'
  await expect(runCheck(file(text), {}, terminal().io)).rejects.toMatchObject({
    code: 'policy/invalid',
    message: expect.stringMatching(/^line 2, column 30: /),
    detail: { hint: expect.stringContaining('release') },
  })
})

const germany = (extra = '') => `
@id("germany") permit (principal, action, resource)
when { context.evidence.tier == "affirming" && context.place.stated && context.place.country == "DE"${extra} };`
const invariant = (country: string) =>
  saved(`
@id("never-elsewhere") @explain("Nowhere else.")
forbid (principal, action, resource) unless { context.place.stated && context.place.country == "${country}" };`)
/** A file of its own for each text. */
function saved(text: string): string {
  const path = join(folder, `saved-${count++}.cedar`)
  writeFileSync(path, text)
  return path
}
let count = 0

test('what a policy never allows is proved, or the smallest world that shows otherwise is told', async () => {
  const held = terminal()
  expect(await runCheck(saved(germany()), { invariant: invariant('DE') }, held.io)).toBe(0)
  expect(held.written.out).toMatch(
    /\n\d+ worlds, for a release and a renewal; 1 allowed\n\d+ tried one by one: each other is denied for one group of facts, whatever the others are\nHOLDS {2}never-elsewhere: Nowhere else\.\n$/,
  )

  const broken = terminal()
  expect(await runCheck(saved(germany()), { invariant: invariant('FR') }, broken.io)).toBe(3)
  expect(broken.written.out).toMatch(
    /BROKEN never-elsewhere: Nowhere else\.\n {2}in 1, the smallest first\n {2}release and renew allowed by germany\n {4}context\.evidence\.tier is "affirming"\n {4}context\.place\.stated is true\n {4}context\.place\.country is "DE"\n$/,
  )
})

test('a pack comes with what it never allows; a policy without is told so', async () => {
  const { io, written } = terminal()
  expect(await runCheck('time-boxed-licence', { invariant: true }, io)).toBe(0)
  expect(written.out.match(/^HOLDS .*No release /gm)?.length).toBe(3)
  expect(await codeOfPromise(runCheck('eu-only', { invariant: true }, terminal().io))).toBe('policy-check/invariant')
})

test('an invariant that has to read an absent fact is broken, and says so', async () => {
  const { io, written } = terminal()
  const reads = saved('@id("reads") forbid (principal, action, resource) when { context.operator.country == "US" };')
  expect(await runCheck(saved(germany()), { invariant: reads, limit: 1 }, io)).toBe(3)
  expect(written.out).toContain('allowed by germany, and the invariant reads a fact that is absent\n')
  expect(written.out).toContain('not stated: context.operator.country\n')
})

test('what is proved is there as JSON', async () => {
  const { io, written } = terminal()
  expect(await runCheck(saved(germany()), { invariant: invariant('FR'), json: true }, io)).toBe(3)
  expect(JSON.parse(written.out)).toMatchObject({
    checked: {
      allowed: 1,
      invariants: [
        {
          id: 'never-elsewhere',
          holds: false,
          broken: 1,
          counterexamples: [{ read: { 'place.country': 'DE' }, acts: ['release', 'renew'] }],
        },
      ],
    },
  })
})

test('worlds in which two policies decide differently, those that are allowed now first', async () => {
  const { io, written } = terminal()
  const changed = germany(' && context.purpose.stated').replace('country == "DE"', 'country == "FR"')
  expect(await runDiff(saved(germany()), saved(changed), {}, io)).toBe(3)
  expect(written.out).toMatch(
    /^ {2}NOW ALLOWED release and renew: before by no rule, now by germany\n[\s\S]*"FR"[\s\S]*NOW DENIED/,
  )
  expect(written.out).toMatch(
    /\n\d+ worlds, for a release and a renewal: 1 denied before and allowed now, 2 allowed before and denied now\n$/,
  )

  const alike = terminal()
  expect(await runDiff(saved(germany()), saved(`// a comment${germany()}`), {}, alike.io)).toBe(0)
  expect(alike.written.out).toMatch(/: 0 denied before and allowed now, 0 allowed before and denied now\n$/)

  const json = terminal()
  expect(await runDiff(saved(germany()), saved(changed), { json: true, limit: 1 }, json.io)).toBe(3)
  expect(JSON.parse(json.written.out)).toMatchObject({
    loosened: 1,
    tightened: 2,
    changed: [{ now: 'allowed' }, { now: 'denied' }],
  })
})

test('no part of the worlds is tried where all are too many, and a permit is no invariant', async () => {
  const few = { invariant: invariant('DE'), maxWorlds: 1 }
  expect(await codeOfPromise(runCheck(saved(germany()), few, terminal().io))).toBe('exhaust/worlds')
  const permit = { invariant: saved(germany()) }
  expect(await codeOfPromise(runCheck(saved(germany()), permit, terminal().io))).toBe('exhaust/invariant')
  const like = saved('@id("a") permit (principal, action, resource) when { context.model.name like "w*" };')
  expect(await codeOfPromise(runDiff(like, saved(germany()), {}, terminal().io))).toBe('exhaust/like')
})

test('a file that is not there, and bytes that are no text', async () => {
  await expect(runCheck(join(folder, 'none.cedar'), {}, terminal().io)).rejects.toMatchObject({
    code: 'policy-command/file',
  })
  writeFileSync(join(folder, 'bytes.cedar'), new Uint8Array([0xff, 0xfe, 0x00]))
  await expect(runCheck(join(folder, 'bytes.cedar'), {}, terminal().io)).rejects.toMatchObject({ code: 'bytes/utf8' })
})

test('the library is listed with what each policy does, and printed to the letter', () => {
  const { io, written } = terminal()
  expect(runLibrary(undefined, {}, io)).toBe(0)
  expect(written.out.trimEnd().split('\n')).toEqual(
    listLibrary().map(({ name, title }) => expect.stringMatching(new RegExp(`^${name} +${title[0]}.*\\.$`))),
  )
  const one = terminal()
  expect(runLibrary('development', {}, one.io)).toBe(0)
  expect(one.written.out).toBe(libraryPolicy('development').text)
})

const pack = 'third-country-control'
const control = validatePolicy(libraryPolicy(pack).text)
const worlds = readWorlds(libraryWorlds(pack)!)
function recordIn(world: string): DecisionRecord {
  const { facts } = worlds.find(({ name }) => name.startsWith(world))!
  return recordOf(decide({ policy: control, facts, action: 'release' }))
}
const savedJson = (value: unknown, name = 'decision.json') => {
  writeFileSync(join(folder, name), JSON.stringify(value))
  return join(folder, name)
}

test('a policy is tried in its worlds: 0 as it has to be, 3 otherwise', async () => {
  const { io, written } = terminal()
  expect(await runTest(pack, {}, io)).toBe(0)
  expect(written.out).toMatch(/ok {3}deny {2}a veto outside \(third-country-shares\)\n/)
  expect(written.out).toMatch(/18 passed, 0 failed\n$/)
  const worldsFile = savedJson(JSON.parse(fromUtf8(libraryWorlds(pack)!)), 'worlds.json')
  const open = terminal()
  const text = file('@id("all") permit (principal, action, resource);')
  expect(await runTest(text, { worlds: worldsFile, json: true }, open.io)).toBe(3)
  expect(JSON.parse(open.written.out)).toMatchObject({
    failed: expect.any(Number),
    digest: validatePolicy('@id("all") permit (principal, action, resource);').digest,
  })
  expect(await codeOfPromise(runTest(text, {}, io))).toBe('policy-test/worlds')
})

test('a denial is explained on one screen: rule, law, what was found and by whom, and what would turn it', async () => {
  const { io, written } = terminal()
  const record = recordIn('a subsidiary in Paris')
  expect(await runExplain(savedJson(record), { policy: pack }, io)).toBe(0)
  expect(written.out).toContain('DENIED release of whisper v1 at 2026-09-21T14:13:20Z, by policy')
  expect(written.out).toContain('  third-country-shares: One holder outside')
  expect(written.out).toContain('context.company.outsideMaxBp is 10000')
  expect(written.out).toMatch(/what would turn it\n {2}context.company.outside/)
  expect(written.out).toContain('company   Exemple SA, FR: credential, L3, by french-auditor, 1000 s old')
  expect(written.out).toContain('site      par-1, FR: auditor, L3, by french-auditor, 500 s old')
  expect(written.out).toContain('SecNumCloud 3.2')
  expect(written.out.split('\n').length).toBeLessThanOrEqual(40)
  const json = terminal()
  expect(await runExplain(savedJson(record), { policy: pack, json: true }, json.io)).toBe(0)
  expect(JSON.parse(json.written.out)).toMatchObject({
    allow: false,
    policy: { reasons: [{ id: 'third-country-shares' }] },
  })
})

test('an allowed decision, one refused in code, and one without facts are explained too', async () => {
  const allowed = terminal()
  await runExplain(savedJson(recordIn('a French company')), { policy: pack }, allowed.io)
  expect(allowed.written.out).toMatch(/^ALLOWED release .*\n {2}union-control: The company/)
  const refused = terminal()
  const byCode = {
    ...recordIn('a French company'),
    allow: false,
    reasons: [{ id: 'broker/node-limit', effect: 'code' }],
  }
  await runExplain(savedJson(byCode), { policy: pack }, refused.io)
  expect(refused.written.out).toContain('broker/node-limit: refused in code, whatever the policy says')
  const silent = terminal()
  const without = { ...byCode, facts: null, factsDigest: null, reasons: [{ id: 'judge/facts', effect: 'code' }] }
  await runExplain(savedJson(without), { policy: pack }, silent.io)
  expect(silent.written.out).toMatch(/^DENIED release, by policy/)
})

test('a bundle is explained by the policy in it; a record only by its own text and outcome', async () => {
  const { bundle } = JSON.parse(readFileSync('test/vectors/bundle/cases.json', 'utf8')) as { bundle: unknown }
  const { io, written } = terminal()
  expect(await runExplain(savedJson(bundle), {}, io)).toBe(0)
  expect(written.out).toMatch(/DENIED release .* by policy test [0-9a-f]{16}\n {2}place\n/)
  const record = recordIn('a veto outside')
  const code = (value: unknown, policy?: string) => codeOfPromise(runExplain(savedJson(value), { policy }, io))
  expect(await code(record)).toBe('policy-explain/policy')
  expect(await code(record, 'eu-only')).toBe('decision/policy')
  expect(await code({ ...record, reasons: [{ id: 'union-control', effect: 'no-permit' }] }, pack)).toBe(
    'decision/replay',
  )
  expect(await code({ ...record, allow: true, reasons: [{ id: 'union-control', effect: 'permit' }] }, pack)).toBe(
    'decision/replay',
  )
  expect(await code({ ...record, factsDigest: '00'.repeat(32) }, pack)).toBe('decision/replay')
  expect(
    await code({ ...record, facts: { ...record.facts, site: { proven: false, contradicted: false } } }, pack),
  ).toBe('decision/replay')
})
