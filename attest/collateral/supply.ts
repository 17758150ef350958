import type { Asker } from '#attest/collateral/budget.js'
import type { CollateralStatus } from '#attest/collateral/status.js'
import type { CollateralStore } from '#attest/collateral/store.js'
import { type Completed, completeEvidence } from '#attest/endorsements/complete.js'
import { formatName } from '#attest/endorsements/names.js'
import type { Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'

/** Evidence made whole, and what was looked for and could not be had: never silently left out. */
export interface Supplied extends Completed {
  readonly unavailable: readonly { readonly name: string; readonly code: string; readonly message: string }[]
}

/** A store as a verifier's service uses it. */
export interface CollateralSupply {
  /**
   * Evidence with what it lacks, or has older than it is held. A vendor is asked, for askers who may have that done, only
   * for what the evidence cannot be verified without.
   *
   * throws  what completeEvidence throws; database/...
   */
  complete(
    document: Json,
    context: { readonly simulatedRoots: readonly string[]; readonly at: UnixSeconds },
    asker: Asker,
  ): Promise<Supplied>
  floors(): Promise<readonly CollateralFloor[]>
  status(): Promise<CollateralStatus>
}

export function collateralSupply(store: CollateralStore): CollateralSupply {
  return {
    async complete(document, context, asker) {
      const unavailable: { name: string; code: string; message: string }[] = []
      const completed = await completeEvidence(
        document,
        async (name, root, isNeeded) => {
          if (!isNeeded) return store.find(name, root)
          try {
            return await store.obtain(name, root, asker)
          } catch (error) {
            if (!isFailure(error) || error.code.startsWith('database/')) throw error
            unavailable.push({ name: formatName(name), code: error.code, message: error.message })
            return null
          }
        },
        context,
      )
      return { ...completed, unavailable }
    },
    floors: () => store.floors(),
    status: () => store.status(),
  }
}
