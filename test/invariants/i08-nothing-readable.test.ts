/**
 * I8: a client sends nothing readable before it has verified the node, and nobody between strips its policy.
 *
 * Further attacks: test/client/node.test.ts, test/runtime/service/app.test.ts (unsealed requests), test/e2e/chain.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeClientOptions } from '#cli/client-options.js'
import { NodeClient } from '#client/node-client.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { inferRequest, type TestChain, testChain, testClient, testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { type Between, between, type Change } from '#test/invariants/live.js'

const prompt = 0.710_938_77

let one: TestChain
const open: Between[] = []
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => {
  for (const proxy of open) await proxy.close()
  await one?.chain.close()
})

/** A client whose way to the node leads through somebody else. */
async function clientThrough(change: Change, args: object = {}) {
  const proxy = await between(() => one.chain.node.url, change)
  open.push(proxy)
  const { trust, policy } = await testClient(one.chain, args)
  return { proxy, policy, client: new NodeClient(nodeClientOptions(proxy.url, trust, policy, null, testIo())) }
}

test('who fails the verification has received no body at all', async () => {
  const cases: readonly [object, Change][] = [
    [{ countries: 'FR' }, (answer) => answer],
    [{ dangerousAllowSimulated: false }, (answer) => answer],
    [{}, ({ status, text }) => ({ status, text: text.replace('"budgetLeft"', '"budget"') })],
    [{}, ({ status, text }) => ({ status, text: text.replace(/"country":"DE"/g, '"country":"FR"') })],
  ]
  for (const [args, change] of cases) {
    const { client, proxy } = await clientThrough(change, args)
    expect(await codeOfPromise(client.request(inferRequest(one.width, prompt)))).not.toBe('ok')
    expect(proxy.seen.join('')).toBe('')
  }
})

test('who stands between sees neither prompt nor policy, and the receipt echoes the policy as it was sent', async () => {
  const { client, proxy, policy } = await clientThrough((answer) => answer, { countries: 'DE' })
  const answer = await client.request(inferRequest(one.width, prompt))
  expect(answer.status).toBe(200)
  expect(answer.receipt.receipt.clientPolicy).toEqual(policy)
  const wire = proxy.seen.join('')
  expect(wire.length).toBeGreaterThan(100)
  for (const readable of [String(prompt), 'client-policy', 'FP32', policy.model]) expect(wire).not.toContain(readable)
  expect(fromUtf8(answer.body)).toContain('outputs')
})

test('a changed byte of the sealed request or answer is an error, never another answer', async () => {
  const flip: Change = ({ path, status, text }) =>
    path === '/ohttp'
      ? { status, text: `${text.slice(0, -1)}${String.fromCharCode(text.charCodeAt(text.length - 1) ^ 1)}` }
      : { status, text }
  const { client } = await clientThrough(flip)
  expect(await codeOfPromise(client.request(inferRequest(one.width, prompt)))).toMatch(/^(ohttp|crypto)\//)
  const cut: Change = ({ path, status, text }) =>
    path === '/ohttp' ? { status, text: text.slice(0, -40) } : { status, text }
  const { client: second } = await clientThrough(cut)
  expect(await codeOfPromise(second.request(inferRequest(one.width, prompt)))).toMatch(/^(ohttp|crypto)\//)
})
