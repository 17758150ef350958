/**
 * I14: what a node trusts is part of what it proves.
 *
 * Further attacks: test/runtime/session.test.ts (another broker, trust statement, log, owner), test/keybroker/
 * refusals.test.ts (settings that the evidence does not bind), test/client/node.test.ts.
 */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeClientOptions } from '#cli/client-options.js'
import { NodeClient } from '#client/node-client.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { type TestChain, testChain, testClient, testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { asking, between, changing, oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

test('settings that the evidence does not bind get no key; weaker ones that it binds are shown', async () => {
  const node = await asking(one)
  const request = await node.request(await node.challenge())
  const { status, body } = await node.release({ ...request, config: { ...request.config, dangerousAllowPlain: true } })
  expect([status, body.wrapped]).toEqual([422, undefined])

  const weak = await oneMoreNode(one, { dangerousAllowPlain: true })
  try {
    const { weakenings, config } = weak.session.document(null)
    expect(weakenings).toContain('unsealed requests are answered')
    expect(config.dangerousAllowPlain).toBe(true)
  } finally {
    await weak.close()
  }
})

test('a host that swaps the broker, or its trust statement, gets no node', async () => {
  const { key } = await generateSigningKey('Ed25519')
  expect(await codeOfPromise(oneMoreNode(one, { broker: key.id }))).toMatch(/^own\//)
  const trust = one.chain.node.session.own.trust.envelope
  const forged = {
    ...trust,
    payload: Buffer.from(trust.payload, 'base64')
      .toString('base64')
      .replace(/.$/, (c) => (c === 'A' ? 'B' : 'A')),
  }
  expect(await codeOfPromise(oneMoreNode(one, { trust: forged }))).not.toBe('ok')
})

test('a client sees every setting that was changed on the way', async () => {
  const { trust, policy } = await testClient(one.chain)
  const config = one.chain.node.session.own.config
  const changes: readonly [string, unknown, string][] = [
    ['dangerousAllowInspection', true, 'client/config-splice'],
    ['dangerousAllowPlain', true, 'client/config-splice'],
    ['broker', 'A'.repeat(43), 'client/config-splice'],
    ['requestSizeMax', 7, 'client/config-splice'],
    ['hostStatement', null, 'client/config-splice'],
    ['engineConfinement', 'confined', 'client/config-splice'],
  ]
  for (const [name, value, code] of changes) {
    const proxy = await between(
      () => one.chain.node.url,
      changing('/.well-known/claviger/node', (document) => {
        document.config = { ...config, [name]: value }
      }),
    )
    const client = new NodeClient(nodeClientOptions(proxy.url, trust, policy, null, testIo()))
    expect([name, await codeOfPromise(client.node())]).toEqual([name, code])
    await proxy.close()
  }
  const proxy = await between(
    () => one.chain.node.url,
    changing('/.well-known/claviger/node', (document) => {
      document.weakenings = []
    }),
  )
  const client = new NodeClient(nodeClientOptions(proxy.url, trust, policy, null, testIo()))
  expect(await codeOfPromise(client.node())).toBe('client/weakenings')
  await proxy.close()
})
