import type { Anchors } from '#attest/anchors.js'
import type { CollateralSupply, Supplied } from '#attest/collateral/supply.js'
import type { AttestServiceCode } from '#attest/service/failures.js'
import type { AttestRoutesOptions } from '#attest/service/options.js'
import type { Json } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

/** Evidence as it is verified, under what, and what of its collateral did not come along; null without a store. */
export interface SuppliedEvidence<E extends AnyEvidence> {
  readonly evidence: E
  readonly anchors: Anchors
  readonly collateral: Pick<Supplied, 'used' | 'unavailable'> | null
}

/** Whoever holds the service's token asks with one credential. */
const asker = { kind: 'credential', id: 'token' } as const

/**
 * The evidence of a request, completed from the service's store of collateral where there is one, under its floors.
 *
 * throws  shape/... for what is no evidence; attest/evidence, attest/collateral for what came without its collateral and
 *         cannot be completed; database/...
 */
export async function suppliedEvidence<E extends AnyEvidence>(
  options: Pick<AttestRoutesOptions, 'anchors' | 'collateral' | 'now'>,
  document: Json,
  shape: Shape<E>,
): Promise<SuppliedEvidence<E>> {
  const anchors = await options.anchors()
  if (!options.collateral) return { evidence: shape(document, 'evidence'), anchors, collateral: null }
  const { evidence, collateral } = await completed(options.collateral, document, shape, {
    simulatedRoots: anchors.simulatedRoots,
    at: options.now(),
  })
  // Afterwards: what was fetched for this evidence counts for it. Of two floors the stricter holds, since each must be met.
  const floors = await options.collateral.floors()
  const collateralFloors = [...(anchors.collateralFloors ?? []), ...floors]
  return { evidence, anchors: { ...anchors, collateralFloors }, collateral }
}

async function completed<E extends AnyEvidence>(
  supply: CollateralSupply,
  document: Json,
  shape: Shape<E>,
  context: Parameters<CollateralSupply['complete']>[1],
): Promise<Pick<SuppliedEvidence<E>, 'evidence' | 'collateral'>> {
  try {
    const { evidence, used, unavailable } = await supply.complete(document, context, asker)
    return { evidence: shape({ ...evidence } as Json, 'evidence'), collateral: { used, unavailable } }
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('database/') || error.code.startsWith('shape/')) throw error
    return { evidence: asItCame(document, shape, error), collateral: { used: [], unavailable: [] } }
  }
}

/** What is wrong with evidence that came whole is a result. @throws attest/evidence, attest/collateral for what did not */
function asItCame<E extends AnyEvidence>(document: Json, shape: Shape<E>, failure: Failure): E {
  try {
    return shape(document, 'evidence')
  } catch (error) {
    if (!isFailure(error)) throw error
    const code: AttestServiceCode = failure.code === 'collateral/absent' ? 'attest/collateral' : 'attest/evidence'
    throw new Failure<AttestServiceCode>(code, failure.message, { detail: { reason: failure.code } })
  }
}
