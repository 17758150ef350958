/**
 * I11: key use ends with its lease.
 *
 * Further attacks: test/runtime/session.test.ts (each clock stopped or set back, beats missed or replayed), test/runtime/
 * with-broker.test.ts, test/keybroker/faults.test.ts (revocation against renewal), i01-plaintext.test.ts (what is left).
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { inferRequest, type TestChain, testChain, testClient } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { isAlive, openOwner, post } from '#test/invariants/fixtures.js'
import { asking, oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain({ leaseSeconds: 24 })
})
afterAll(async () => one?.chain.close())

test('the owner revokes the lease: unloaded, requests refused, no beat and no way back under that lease', async () => {
  const { node, stack } = one.chain
  const { client } = await testClient(one.chain)
  expect((await client.request(inferRequest(one.width))).status).toBe(200)
  const owner = await openOwner(one.options.folder, stack.url)
  const { id } = node.session.grant.lease
  const revoked = [{ kind: 'lease', value: id }] as const
  const said = await owner.say('revocation', { model: owner.model, revoked: [...revoked], reason: 'licence ended' })
  expect(said.status).toBe(200)

  expect((await node.ended).code).toBe('broker/denied')
  expect(isAlive(node.enginePid)).toBe(false)
  expect(node.session.isServing).toBe(false)
  // The client has verified the node a moment ago and would send: there is nobody any more.
  expect(await codeOfPromise(client.request(inferRequest(one.width)))).toBe('client/unreachable')
  // The session itself serves nothing either, for whoever still holds it.
  expect(await codeOfPromise(Promise.resolve().then(() => node.session.debit(1)))).toBe('broker/denied')

  const again = await asking(one)
  const nonce = await again.challenge()
  const renewal = { ...(await again.request(nonce, { binding: { purpose: 'claviger.renew.v1' } })), lease: id }
  const answer = await post(stack.url, '/v1/renewals', renewal)
  expect(answer.status).not.toBe(200)
  // A new lease is a new decision: this owner revoked the lease, not the machine.
  const second = await oneMoreNode(one)
  expect(second.session.grant.lease.id).not.toBe(id)
  await second.close()
  expect(isAlive(second.enginePid)).toBe(false)
})
