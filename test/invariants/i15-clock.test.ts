/**
 * I15: nobody believes a guest's clock.
 *
 * Further attacks: test/runtime/session.test.ts (frozen, slowed, stepped clocks; recorded beats; a pause past expiry),
 * test/keybroker/release.test.ts (a broker whose clock the witnesses contradict), test/client/node.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NodeClient } from '#client/node-client.js'
import { inferRequest, type TestChain, testChain, testClient } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { openOwner } from '#test/invariants/fixtures.js'
import { type Between, between, oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
const open: Between[] = []
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => {
  for (const proxy of open) await proxy.close()
  await one?.chain.close()
})

test('a node whose time the host has stopped is given up by the client’s own clock', async () => {
  const { options } = await testClient(one.chain)
  // The host hands out what the frozen guest said, for ever, and answers no nonce: the clock of the client alone moves.
  const { lease, beat } = one.chain.node.session.document(null)
  const frozen = await between(
    () => one.chain.node.url,
    (answer) => {
      if (!answer.path.startsWith('/.well-known/claviger/node')) return answer
      const document = { ...JSON.parse(Buffer.from(answer.text, 'latin1').toString()), lease, beat }
      return { status: 200, text: Buffer.from(JSON.stringify(document)).toString('latin1') }
    },
  )
  open.push(frozen)
  let ahead = 0
  const client = new NodeClient({ ...options, url: frozen.url, now: () => options.now() + ahead })
  expect((await client.request(inferRequest(one.width))).status).toBe(200)
  ahead = 61
  const sent = frozen.seen.join('').length
  expect(await codeOfPromise(client.request(inferRequest(one.width)))).toBe('client/lease-expired')
  expect(frozen.seen.join('').length).toBe(sent)
})

test('a node that is cut off from its broker does the requests that were paid for, and not one more', async () => {
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const envelope = (await owner.heads()).find((head) => head.kind === 'registration')!.statement
  const said = JSON.parse(Buffer.from(envelope.payload, 'base64').toString())
  const { type: _t, tenant: _n, sequence: _s, previous: _p, issuedAt: _i, ...body } = said
  const lease = { ...body.lease, budget: { ...body.lease.budget, requests: 3 } }
  expect((await owner.say('registration', { ...body, lease })).status).toBe(200)

  let cut = false
  const proxy = await between(
    () => one.chain.stack.url,
    (answer) => (cut ? { status: 503, text: '{}' } : answer),
  )
  open.push(proxy)
  const node = await oneMoreNode(one, { brokerUrl: proxy.url })
  cut = true
  try {
    const { client } = await testClient({ ...one.chain, node })
    const outcomes: (number | string)[] = []
    for (let i = 0; i < 5; i++) {
      const asked = client.request(inferRequest(one.width))
      outcomes.push(
        await asked.then(
          (answer) => answer.status,
          (error: { code: string }) => error.code,
        ),
      )
    }
    expect(outcomes.filter((outcome) => outcome === 200)).toHaveLength(3)
    expect(node.session.left.requests).toBe(0)
    expect(outcomes.slice(3)).not.toContain(200)
  } finally {
    await node.close()
  }
})
