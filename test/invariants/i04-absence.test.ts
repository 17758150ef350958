/**
 * I4: absence is never success.
 *
 * Further attacks: test/policies/fail-open.test.ts, test/keybroker/refusals.test.ts (each absent part under a code of its
 * own), test/attest (each step of the verifier), test/core (strict parsers), test/keybroker/kbs/routes.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestChain, testChain } from '#test/e2e/fixtures.js'
import { openOwner } from '#test/invariants/fixtures.js'
import { asking } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

test('each member of a release request left out, or one more: refused, and no key', async () => {
  const node = await asking(one)
  const request = await node.request(await node.challenge())
  // What a first release does not have is left out of it already.
  const sent = Object.entries(request).filter(([, value]) => value !== undefined)
  for (const [name] of sent) {
    const { [name as keyof typeof request]: _, ...rest } = request
    const { status, body } = await node.release(rest)
    expect([name, status]).toEqual([name, 400])
    expect(body.wrapped).toBeUndefined()
  }
  expect((await node.release({ ...request, accept: true })).status).toBe(400)
  expect((await node.release({ ...request, evidence: null })).status).toBe(400)
  // None of these took the nonce with it: the request as it should be still stands.
  expect((await node.release(request)).status).toBe(200)
})

test('evidence without its CRL, a host that says nothing of its place: denied', async () => {
  const node = await asking(one)
  const bare = await node.request(await node.challenge())
  const noCrl = await node.release({ ...bare, evidence: { ...bare.evidence, crl: null } })
  expect([noCrl.status, noCrl.body.wrapped]).toEqual([403, undefined])

  const silent = await node.request(await node.challenge(), { config: { hostStatement: null } })
  const noPlace = await node.release({ ...silent, host: null })
  expect([noPlace.status, noPlace.body.wrapped]).toEqual([403, undefined])
})

test('a policy that permits nothing, and a forbid that cannot be evaluated: denied', async () => {
  const node = await asking(one)
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const say = async (text: string) => {
    const said = await owner.say('policy', { model: owner.model, name: 'p', language: 'cedar', text })
    expect(said.status, JSON.stringify(said.body)).toBe(200)
  }
  const reasons = async (silent: boolean) => {
    const nonce = await node.challenge()
    const request = await node.request(nonce, silent ? { config: { hostStatement: null } } : {})
    const { status, body } = await node.release(silent ? { ...request, host: null } : request)
    return status === 200 ? 'granted' : `${status} ${body.reasons.map((reason: { id: string }) => reason.id)}`
  }
  await say('@id("never") permit (principal, action, resource) when { context.place.country == "FR" };')
  expect(await reasons(false)).toBe('403 never')
  const permit = '@id("all") permit (principal, action, resource);'
  await say(`${permit} @id("not-here") forbid (principal, action, resource) when { context.place.country == "US" };`)
  // Of this host no place is known: the forbid has no answer, and no answer is a no.
  expect(await reasons(true)).toBe('403 not-here')
  expect(await reasons(false)).toBe('granted')
})
