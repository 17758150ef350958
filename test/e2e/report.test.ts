import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chainPlaces } from '#cli/chain.js'
import { type ReportArguments, runReport } from '#cli/policy/report.js'
import { runSet } from '#cli/policy/set.js'
import * as revocation from '#cli/revoke.js'
import type { Report } from '#client/report/model.js'
import { createOwnerKeys } from '#convert/keys/owner-keys.js'
import { type TestChain, testChain, testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
let args: ReportArguments
beforeAll(async () => {
  one = await testChain({ leaseSeconds: 60 })
  const { keys, trust } = chainPlaces(one.options.folder)
  args = { broker: one.chain.stack.url, keys, trust, since: { days: 30 }, last: 100 }
}, 120_000)
afterAll(async () => one?.chain.close())

async function printed(more: Partial<ReportArguments> = {}, model = 'matmul') {
  const io = testIo()
  const code = await runReport(model, { ...args, ...more }, io)
  return { code, out: io.out(), err: io.err() }
}
const reported = async (more: Partial<ReportArguments> = {}) => {
  const { code, out } = await printed({ ...more, json: true })
  return { code, report: JSON.parse(out) as Report }
}

describe('claviger policy report, over a broker that runs', () => {
  test('tells of the release of the node that runs, its policy and where it stands in the log', async () => {
    const { code, report } = await reported()
    const [at] = report.brokers
    expect([code, at!.notVerified, at!.standing]).toEqual([0, [], 'UNATTESTED BROKER'])
    expect(at!.policies[0]).toMatchObject({ name: 'eu-development', isInForce: true })
    const release = at!.decisions.find(({ act }) => act === 'release')
    expect(release).toMatchObject({ entry: one.chain.node.session.grant.index, allow: true, platform: 'simulated' })
    expect(release!.policyDigest).toBe(at!.policies[0]!.digest)
    const { out, err } = await printed()
    expect(out).toMatch(/^# Compliance report: matmul\n\n> \*\*Not legal advice\.\*\*/)
    expect(err).toMatch(/: \d+ decisions, 0 entries not verified, 0 not looked at, log read from #0 of \d+\n$/)
    const link = /\(<(\S+\/v1\/log\/proofs\/\d+)>\), \[tile\]\(<(\S+)>\)/.exec(out)!
    const answers = await Promise.all([link[1]!, link[2]!].map((to) => fetch(to)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect(await answers[0]!.text()).toMatch(/^c2sp\.org\/tlog-proof/)
  })

  test('tells of a denial by another policy, and of what its owner took back', async () => {
    const owner = { ...args, json: true, why: 'compliance', note: 'the <audit> | of May' } as const
    expect(await runSet('eu-personal-data', { ...owner, model: 'matmul' }, testIo())).toBe(0)
    expect(await codeOfPromise(oneMoreNode(one))).toMatch(/^broker\//)
    const taken = { ...owner, kind: 'operator', model: 'matmul', reason: 'sold' } as const
    expect(await revocation.runRevoke('Nobody AG', taken, testIo())).toBe(0)
    const { code, report } = await reported()
    const [at] = report.brokers
    expect(code).toBe(0)
    expect(at!.decisions.find(({ allow }) => !allow)).toMatchObject({
      act: 'denial',
      reasons: [{ id: 'eu-personal-data', effect: 'no-permit' }],
    })
    expect(at!.policies.map(({ name, isInForce }) => [name, isInForce])).toEqual([
      ['eu-personal-data', true],
      ['eu-development', false],
    ])
    expect(at!.changes.slice(-2)).toMatchObject([
      { change: 'policy', sequence: 2, why: { code: 'compliance', note: 'the <audit> | of May' } },
      { change: 'revocation', says: ['taken back: operator Nobody AG', 'reason: sold'] },
    ])
    expect((await printed()).out).toContain('compliance: the \\<audit\\> \\| of May')
  })

  test('goes to a file, in the format that its name says, and never over another', async () => {
    const out = join(one.folder, 'report.html')
    expect(await printed({ out })).toMatchObject({ code: 0, out: `${out}\n` })
    const html = await readFile(out, 'utf8')
    expect(html).toMatch(/^<!doctype html>\n<html lang="en">/)
    expect(html).toContain('compliance: the &lt;audit&gt; | of May')
    expect((await stat(out)).mode & 0o777).toBe(0o600)
    expect(await codeOfPromise(printed({ out }))).toBe('file/exists')
    const asMarkdown = join(one.folder, 'second.html')
    await printed({ out: asMarkdown, format: 'md' })
    expect(await readFile(asMarkdown, 'utf8')).toMatch(/^# Compliance report/)
  })

  test('ends with 3 where it looked at fewer than there are, and is empty of a period before', async () => {
    const { code, report } = await reported({ last: 1 })
    expect([code, report.brokers[0]!.decisions.length]).toEqual([3, 1])
    expect(report.brokers[0]!.log.notLookedAt).toBeGreaterThan(0)
    const before = await reported({ since: { at: 1_700_000_000 }, until: 1_700_086_400 })
    expect([before.code, before.report.brokers[0]!.decisions, before.report.brokers[0]!.changes]).toEqual([0, [], []])
    expect(before.report.brokers[0]!.policies[0]!.effect).not.toBeNull()
  })

  test('refuses what cannot be reported on, by code', async () => {
    const now = testIo().now()
    expect(await codeOfPromise(printed({ until: now + 3600 }))).toBe('usage/period')
    expect(await codeOfPromise(printed({ since: { at: now }, until: now - 10 }))).toBe('usage/period')
    expect(await codeOfPromise(printed({ broker: `${args.broker},${args.broker}` }))).toBe('usage/brokers')
    expect(await codeOfPromise(printed({}, 'other'))).toBe('report/model')
    expect(await codeOfPromise(printed({}, `${'A'.repeat(43)}/matmul`))).toBe('owner/model')
    const keys = join(one.folder, 'stranger')
    await createOwnerKeys(keys, 'stranger')
    expect(await codeOfPromise(printed({ keys }))).toBe('owner/tenant')
  })
})
