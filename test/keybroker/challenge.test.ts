import { describe, expect, test } from 'vitest'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { challengesMax, challengesPerLeaseMax } from '#core/limits.js'
import { challenge } from '#keybroker/challenge.js'
import type { Store } from '#keybroker/ports.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { ask, gist, granted, type Registered, registered, request, testNode } from './fixtures.js'

const { open } = anyDatabase()

/** A node with a lease at a broker whose pot for strangers is empty: as many challenges wait as may. */
async function besieged() {
  const chain = await registered(await open())
  const node = await testNode(chain)
  const { lease, renewalToken } = granted(await ask(chain, node))
  const { id } = JSON.parse(Buffer.from(lease.payload, 'base64').toString()) as { id: string }
  const { broker } = chain.test
  const store: Store = {
    ...broker.store,
    storeNonce: (nonce, context, of) =>
      broker.store.storeNonce(nonce, context, { ...of, most: of.most === challengesMax ? 0 : of.most }),
  }
  const full: Registered = { ...chain, test: { ...chain.test, broker: { ...broker, store } } }
  return { chain: full, node, id, renewal: { lease: id, token: renewalToken }, close: () => chain.test.close() }
}

describe('strangers who take every challenge', () => {
  test('do not keep a node from renewing its lease', async () => {
    const { chain, node, id, renewal, close } = await besieged()
    const { broker } = chain.test
    const { model } = chain.owner
    expect(await codeOfPromise(challenge(broker, model, null))).toBe('broker/challenges')
    const { nonce } = await challenge(broker, model, renewal)
    expect(gist(await ask(chain, node, { lease: id, nonce }))).toBe('granted')
    await close()
  })

  test('nor by a lease whose id is public: its token is not', async () => {
    const { chain, id, renewal, close } = await besieged()
    const { broker } = chain.test
    const { model } = chain.owner
    const others = [
      { lease: id, token: toBase64Url(randomBytes(32)) },
      { lease: '00'.repeat(16), token: renewal.token },
    ]
    for (const other of others) expect(await codeOfPromise(challenge(broker, model, other))).toBe('broker/challenges')
    // The lease's own pot is untouched, and bounded too.
    for (let i = 0; i < challengesPerLeaseMax; i++) await challenge(broker, model, renewal)
    expect(await codeOfPromise(challenge(broker, model, renewal))).toBe('broker/challenges')
    chain.test.clock.now += 120
    await challenge(broker, model, renewal)
    await close()
  })

  test('a lease of another model, or one that has ended, has no pot', async () => {
    const { chain, renewal, close } = await besieged()
    const { broker, clock } = chain.test
    expect(await codeOfPromise(challenge(broker, `${chain.owner.id}/other`, renewal))).toBe('broker/challenges')
    clock.now += 300
    expect(await codeOfPromise(challenge(broker, chain.owner.model, renewal))).toBe('broker/challenges')
    await close()
  })
})

test('a challenge of a lease answers for renewals of that lease alone', async () => {
  const { chain, node, id, renewal, close } = await besieged()
  const { broker } = chain.test
  const { nonce } = await challenge(broker, chain.owner.model, renewal)
  const first = await request(chain, node, { nonce })
  const { release } = await import('#keybroker/release.js')
  expect(await codeOfPromise(release(broker, first))).toBe('store/nonce-unknown')
  expect(gist(await ask(chain, node, { lease: id, nonce }))).toBe('granted')
  await close()
})
