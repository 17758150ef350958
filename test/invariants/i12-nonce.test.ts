/**
 * I12: a nonce is used once, consumed before verification starts, whatever its outcome.
 *
 * Further attacks: test/keybroker/refusals.test.ts, test/keybroker/store/store.test.ts (many at the same time, on each
 * database), test/keybroker/kbs/routes.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestChain, testChain } from '#test/e2e/fixtures.js'
import { asking } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

test('a request that got its key gets nothing a second time, nor does a fresh one over the same nonce', async () => {
  const node = await asking(one)
  const nonce = await node.challenge()
  const request = await node.request(nonce)
  expect((await node.release(request)).status).toBe(200)
  for (const again of [request, await node.request(nonce)]) {
    const { status, body } = await node.release(again)
    expect([status, body.code, body.wrapped]).toEqual([422, 'store/nonce-unknown', undefined])
  }
})

test('of twenty at the same time one gets an answer', async () => {
  const node = await asking(one)
  const nonce = await node.challenge()
  const requests = await Promise.all(Array.from({ length: 20 }, () => node.request(nonce)))
  const answers = await Promise.all(requests.map((request) => node.release(request)))
  expect(answers.filter(({ body }) => typeof body.wrapped === 'string')).toHaveLength(1)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
})

test('a denial takes the nonce with it, and a nonce that nobody gave out is none', async () => {
  const node = await asking(one)
  const nonce = await node.challenge()
  const request = await node.request(nonce)
  const denied = await node.release({ ...request, evidence: { ...request.evidence, crl: null } })
  expect(denied.status).toBe(403)
  expect((await node.release(request)).body.code).toBe('store/nonce-unknown')
  const invented = Buffer.alloc(32, 7).toString('base64url')
  expect((await node.release(await node.request(invented))).body.code).toBe('store/nonce-unknown')
})
