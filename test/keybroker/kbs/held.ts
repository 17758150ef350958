import { Collection } from '#attest/collateral/collect.js'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import { completeEvidence } from '#attest/endorsements/complete.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { dcapRootDigest } from '#test/fakes/dcap.js'
import { testRootDigest, testTime } from '#test/fakes/platform.js'

/** Documents that a broker holds; `askers` are those who had something completed. */
export async function held(items: readonly CollateralItem[]) {
  const simulatedRoots = [testRootDigest, dcapRootDigest]
  const collection = await Collection.open(items, { simulatedRoots, at: testTime, fetchItem: null })
  const askers: unknown[] = []
  const collateral: Pick<CollateralSupply, 'complete'> = {
    async complete(document, context, asker) {
      askers.push(asker)
      const lookup = async (...[name, root]: Parameters<Collection['find']>) => collection.find(name, root)
      return { ...(await completeEvidence(document, lookup, context)), unavailable: [] }
    },
  }
  return { collateral, askers }
}
