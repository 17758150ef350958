import type { Anchors } from '#attest/anchors.js'
import type { Supplied } from '#attest/collateral/supply.js'
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
  const floors = await options.collateral.floors()
  // Of two floors the stricter holds, since each of them must be met.
  const strict = { ...anchors, collateralFloors: [...(anchors.collateralFloors ?? []), ...floors] }
  const context = { simulatedRoots: anchors.simulatedRoots, at: options.now() }
  try {
    const { evidence, used, unavailable } = await options.collateral.complete(document, context, asker)
    const collateral = { used, unavailable }
    return { evidence: shape({ ...evidence } as Json, 'evidence'), anchors: strict, collateral }
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('database/') || error.code.startsWith('shape/')) throw error
    const collateral = { used: [], unavailable: [] }
    return { evidence: asItCame(document, shape, error), anchors: strict, collateral }
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
