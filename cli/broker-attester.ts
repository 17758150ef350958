import type { Command } from 'commander'
import type { Io } from '#cli/output.js'
import { openSimulatedAttester, simulatedPlatformPath } from '#cli/simulated-attester.js'
import type { BrokerAttester } from '#keybroker/ports.js'

/* What a broker makes evidence of itself with (I16): the same as a node. */

export interface BrokerAttesterArguments {
  readonly dangerousAllowSimulated?: boolean | undefined
  readonly platformState?: string | undefined
}

/**
 * What makes evidence of a broker that is started here; undefined where nothing does: it is an `UNATTESTED BROKER` then. A
 * simulated machine is never taken for want of another.
 *
 * throws  attester/..., file/...
 */
export async function brokerAttesterOf(args: BrokerAttesterArguments, io: Io): Promise<BrokerAttester | undefined> {
  if (args.dangerousAllowSimulated !== true) return undefined
  const { platform, attest } = await openSimulatedAttester(args.platformState ?? simulatedPlatformPath(), io.now())
  return { platform, attest }
}

export function brokerAttesterOptions(command: Command): Command {
  return command
    .option('--dangerous-allow-simulated', 'the broker shows simulated evidence of itself: NOT HARDWARE')
    .option('--platform-state <file>', 'keys of the simulated machine; made on first use')
}
