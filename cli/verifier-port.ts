import { appraiseEvidence } from '#attest/appraise.js'
import { makeCaches } from '#attest/caches.js'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import { issueEar } from '#attest/ear/issue.js'
import type { KeySet } from '#attest/service/keys.js'
import { issuer } from '#cli/service-apps.js'
import { build } from '#cli/version.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { describeError, type Log } from '#host/log.js'
import type { Broker } from '#keybroker/broker.js'

/** The verifier in this process: the same code as its service, without a network between. */
export function verifierPort(
  keys: () => Promise<KeySet>,
  collateral: Pick<CollateralSupply, 'floors' | 'learn'>,
  log: Pick<Log, 'error'>,
): Broker['appraise'] {
  const caches = makeCaches()
  return async (evidence, { simulatedRoots }, input) => {
    // What came with the evidence counts only if it is no older than what was seen here (TRUST 11).
    const collateralFloors = await collateral.floors()
    const result = await appraiseEvidence(evidence, { simulatedRoots, collateralFloors }, input, caches)
    // A platform that is known now (TRUST 14): what becomes of its devices is asked for, and nobody waits for that. Of
    // hardware alone: nobody outside answers for what is simulated.
    if (result.failure === null && ['affirming', 'warning'].includes(result.status))
      collateral
        .learn(evidence, { simulatedRoots: [], at: input.at })
        .catch((error: unknown) => log.error(describeError(error), 'answers on devices were not looked up'))
    return {
      ...result,
      issueEar: async (about) =>
        issueEar(result, { ...about, issuer, build, id: toBase64Url(randomBytes(16)) }, (await keys()).current),
    }
  }
}
