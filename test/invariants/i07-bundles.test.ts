/**
 * I7: every decision can be judged again offline from one bundle, with the same outcome.
 *
 * Further attacks: test/client/bundle.test.ts, test/keybroker/bundles.test.ts (every kind of entry, none left out),
 * test/e2e/chain.test.ts (a release and a denial).
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as bundleCommand from '#cli/bundle.js'
import * as bundleVerify from '#cli/bundle-verify.js'
import { chainPlaces } from '#cli/chain.js'
import { type TestChain, testChain, testIo } from '#test/e2e/fixtures.js'
import { openOwner } from '#test/invariants/fixtures.js'
import { asking } from '#test/invariants/live.js'

type Bundle = Record<string, unknown> & { statements: Record<string, { payload: string } | null> }

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

async function bundleOf(entry: number): Promise<Bundle> {
  const out = join(one.folder, `bundle-${entry}.json`)
  const { keys } = chainPlaces(one.options.folder)
  expect(await bundleCommand.run({ entry, broker: one.chain.stack.url, keys, out }, testIo())).toBe(0)
  return JSON.parse(await readFile(out, 'utf8'))
}

async function exitOf(bundle: unknown): Promise<number> {
  const file = join(one.folder, 'changed.json')
  await writeFile(file, JSON.stringify(bundle))
  const args = { file, trust: one.chain.trustPath, dangerousAllowSimulated: true }
  return bundleVerify.run(args, testIo())
}

test('each part of a bundle taken from another decision makes it fail', async () => {
  const node = await asking(one)
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const release = await bundleOf(one.chain.node.session.grant.index)
  expect(await exitOf(release)).toBe(0)
  const text = '@id("closed") forbid (principal, action, resource);'
  await owner.say('policy', { model: owner.model, name: 'closed', language: 'cedar', text })
  const denied = await node.release(await node.request(await node.challenge()))
  expect(denied.status).toBe(403)
  const denial = await bundleOf(denied.body.entry)
  expect(await exitOf(denial)).toBe(0)

  for (const name of Object.keys(release).filter((key) => key !== 'type' && key !== 'at')) {
    expect([name, await exitOf({ ...release, [name]: denial[name] })]).toEqual([name, 3])
    expect([name, await exitOf({ ...denial, [name]: release[name] })]).toEqual([name, 3])
  }
  // What only changes the policy: a denial that looks as if the owner had allowed it, and the other way round.
  const withPolicy = (bundle: Bundle, from: Bundle) => ({
    ...bundle,
    statements: { ...bundle.statements, policy: from.statements.policy },
  })
  expect(await exitOf(withPolicy(denial, release))).toBe(3)
  expect(await exitOf(withPolicy(release, denial))).toBe(3)
})
