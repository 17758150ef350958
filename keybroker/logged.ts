import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { Cosigner } from '#core/tlog/policy.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import type { Statement } from '#core/wire/statements.js'
import { independentCosigners } from '#core/wire/witnesses.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'

/**
 * The proof is one that the owner's nodes accept, and this broker's clock is that of the witnesses: a broker whose clock
 * was set back would find leases alive that have ended (TRUST 15). For a production tenant, a witness whom the owner holds to
 * be independent has seen it (TRUST 2).
 *
 * throws  broker/log-proof, broker/witnesses, broker/clock
 */
export async function verifyLogged(
  broker: Broker,
  proof: string,
  leaf: Uint8Array,
  trust: Statement<'trust'>,
): Promise<void> {
  const { logs, witnessPolicy } = trust
  let cosigners: readonly Cosigner[]
  try {
    const inclusion = await verifyTlogProof(proof, leaf, { logVkeys: logs, policy: witnessPolicy })
    cosigners = inclusion.cosigners
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    const message = `the log's proof is not one that the owner's trust statement accepts: ${cause.message}`
    throw new Failure<BrokerCode>('broker/log-proof', message, { cause })
  }
  const independent = independentCosigners(cosigners, trust.independentWitnesses)
  if (trust.class === 'production' && independent.length === 0) {
    throw new Failure<BrokerCode>('broker/witnesses', 'no witness that the owner holds to be independent cosigned')
  }
  const times = cosigners.map((one) => one.time).toSorted((a, b) => a - b)
  const median = times[Math.floor(times.length / 2)]
  const at = broker.clock()
  if (median !== undefined && Math.abs(median - at) > clockSkewSeconds) {
    throw new Failure<BrokerCode>('broker/clock', `this broker's clock says ${at}, the witnesses say ${median}`)
  }
}
