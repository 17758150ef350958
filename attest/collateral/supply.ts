import { makeCaches } from '#attest/caches.js'
import type { Asker } from '#attest/collateral/budget.js'
import type { CollateralStatus } from '#attest/collateral/status.js'
import type { CollateralStore } from '#attest/collateral/store.js'
import type { Need } from '#attest/endorsements/choose.js'
import { type Completed, completeEvidence, learnOf } from '#attest/endorsements/complete.js'
import type { VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import type { Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Evidence } from '#core/wire/evidence.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'

/** Evidence made whole, and what was looked for and could not be had: never silently left out. */
export interface Supplied extends Completed {
  readonly unavailable: readonly { readonly name: string; readonly code: string; readonly message: string }[]
}

interface Context {
  readonly simulatedRoots: readonly string[]
  readonly at: UnixSeconds
}

/** A store as a verifier's service uses it. */
export interface CollateralSupply {
  /**
   * Evidence with what it lacks, or has older than it is held. A vendor is asked, for askers who may have that done, only
   * for what the evidence cannot be verified without.
   *
   * throws  what completeEvidence throws; database/...
   */
  complete(document: Json, context: Context, asker: Asker): Promise<Supplied>
  /**
   * Has the answers on devices beside a machine asked for behind the caller's back, on behalf of platforms that are known:
   * evidence that was verified, whose machine signed over the answers in it.
   */
  learn(evidence: Evidence, context: Context): Promise<void>
  floors(): Promise<readonly CollateralFloor[]>
  status(): Promise<CollateralStatus>
}

/** Devices of nodes that got a verdict: their answers have a budget beside those of callers (TRUST 14). */
const platforms: Asker = { kind: 'credential', id: 'platforms' }

async function found(
  store: CollateralStore,
  name: CollateralName,
  root: string | null,
  need: Exclude<Need, 'now'>,
  asker: Asker,
  above: readonly Uint8Array[],
): Promise<VerifiedItem | null> {
  const held = await store.find(name, root)
  if (held === null && need === 'soon') store.obtainSoon(name, asker, above)
  return held
}

export function collateralSupply(store: CollateralStore): CollateralSupply {
  const caches = makeCaches()
  return {
    async complete(document, context, asker) {
      const unavailable: { name: string; code: string; message: string }[] = []
      const completed = await completeEvidence(
        document,
        async (name, root, need, above) => {
          if (need !== 'now') return found(store, name, root, need, asker, above)
          try {
            return await store.obtain(name, root, asker, above)
          } catch (error) {
            if (!isFailure(error) || error.code.startsWith('database/')) throw error
            unavailable.push({ name: formatName(name), code: error.code, message: error.message })
            return null
          }
        },
        { ...context, caches },
      )
      return { ...completed, unavailable }
    },
    learn: (evidence, context) =>
      learnOf(
        evidence,
        (name, root, need, above) => found(store, name, root, need === 'no' ? 'no' : 'soon', platforms, above),
        { ...context, caches },
      ),
    floors: () => store.floors(),
    status: () => store.status(),
  }
}
