/**
 * I20: one keyset digest joins evidence, attestation result, release, node document and receipt.
 *
 * Further attacks: test/client/node.test.ts (every pairwise splice with its code), test/client/receipt.test.ts, test/runtime/
 * session.test.ts (evidence or keyset of another node in a request), test/keybroker/refusals.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RunningNode } from '#cli/start-node.js'
import { judged, Steps } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { receiptSteps, verifyReceipt } from '#client/verify-receipt.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import type { NodeDocument } from '#core/wire/node-document.js'
import { inferRequest, type TestChain, testChain, testClient } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { nowSeconds } from '#test/invariants/fixtures.js'
import { oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
let other: RunningNode
beforeAll(async () => {
  one = await testChain()
  other = await oneMoreNode(one)
})
afterAll(async () => {
  await other?.close()
  await one?.chain.close()
})

const members = ['keyset', 'release', 'ear', 'leaf', 'openings', 'decision', 'proof', 'lease', 'beat', 'fresh'] as const

test('two valid nodes of one owner, machine and broker: no set of members of the one fits into the other', async () => {
  const { trust, policy } = await testClient(one.chain)
  const nonce = toBase64Url(randomBytes(32))
  const documents = await Promise.all(
    [one.chain.node, other].map(async ({ session }) => session.document(await session.attestFor(nonce))),
  )
  const [first, second] = documents as [NodeDocument, NodeDocument]
  const judge = async (document: object) => {
    const input = { trust, policy, nonce, at: nowSeconds() }
    const verdict = await judged(nodeSteps, (steps) => verifyNode(document as Json, input, steps))
    return verdict.ok ? 'ok' : verdict.failure.code
  }
  expect(await judge(first)).toBe('ok')
  expect(await judge(second)).toBe('ok')
  const survivors: string[] = []
  // Every subset of the members, taken from the other node: all but none and all of them.
  for (let set = 1; set < 2 ** members.length - 1; set++) {
    const taken = members.filter((_, i) => set & (1 << i))
    const spliced = { ...first, ...Object.fromEntries(taken.map((name) => [name, second[name]])) }
    if ((await judge(spliced)) === 'ok') survivors.push(taken.join(' '))
  }
  expect(survivors).toEqual([])
}, 120_000)

test('the receipt of the one beside the document of the other', async () => {
  const { client, trust } = await testClient(one.chain)
  const { file } = await client.request(inferRequest(one.width))
  const input = { trust, policy: null, dangerousAllowSimulated: true, bodies: null } as const
  const verify = (node: NodeDocument) =>
    codeOfPromise(verifyReceipt({ ...file, node } as unknown as Json, input, new Steps(receiptSteps)))
  expect(await verify(file.node)).toBe('ok')
  expect(await verify(other.session.document(null))).not.toBe('ok')
  expect(await verify({ ...file.node, keyset: other.session.own.keyset })).not.toBe('ok')
  // A request sealed to the one is nothing to the other.
  const through = (async (url: URL, init?: RequestInit) => {
    const at = String(url).includes('/ohttp') ? new URL('/ohttp', other.url) : url
    return fetch(at, init)
  }) as typeof fetch
  const { client: misled } = await testClient(one.chain, {}, through)
  expect(await codeOfPromise(misled.request(inferRequest(one.width)))).toBe('client/answer')
})
