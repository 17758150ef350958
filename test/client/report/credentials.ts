import { toHex } from '#core/bytes/bytes.js'
import { documentDigest } from '#core/wire/binding.js'
import { release } from '#keybroker/release.js'
import { type Registered, request, startTime, testNode } from '#test/keybroker/fixtures.js'
import { presentAll, type Shown, type SourcesWorld } from '#test/policies/credentials/presented.js'

export { makeSources } from '#test/policies/credentials/presented.js'

export const operator = (country: string): Shown => ({
  kind: 'operator-control',
  change: { controllers: [{ country, shareBp: 10_000, veto: true }] },
})
export const placed: Shown = { kind: 'platform-placement' }

/** What a node is answered that presents these. */
export async function asked(chain: Registered, world: SourcesWorld, shown: readonly Shown[]) {
  const { broker } = chain.test
  const made = await request(chain, await testNode(chain))
  const nonce = documentDigest(made.binding)
  const to = { audience: broker.signer.id, nonce, now: startTime, platformId: toHex(chain.platform.chipId) }
  return release(broker, { ...made, presented: await presentAll(world, to, shown) })
}
