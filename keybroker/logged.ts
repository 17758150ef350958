import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import type { Statement } from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'

/**
 * The proof is one that the owner's nodes accept, and this broker's clock is that of the witnesses: a broker whose clock
 * was set back would find leases alive that have ended (TRUST 15).
 */
export async function verifyLogged(
  broker: Broker,
  proof: string,
  leaf: Uint8Array,
  trust: Statement<'trust'>,
): Promise<void> {
  const { logs, witnessPolicy } = trust
  let times: readonly UnixSeconds[]
  try {
    const { cosigners } = await verifyTlogProof(proof, leaf, { logVkeys: logs, policy: witnessPolicy })
    times = cosigners.map((one) => one.time).toSorted((a, b) => a - b)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    const message = `the log's proof is not one that the owner's trust statement accepts: ${cause.message}`
    throw new Failure<BrokerCode>('broker/log-proof', message, { cause })
  }
  const median = times[Math.floor(times.length / 2)]
  const at = broker.clock()
  if (median !== undefined && Math.abs(median - at) > clockSkewSeconds) {
    throw new Failure<BrokerCode>('broker/clock', `this broker's clock says ${at}, the witnesses say ${median}`)
  }
}
