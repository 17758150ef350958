import type { Command } from 'commander'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { loadServices, servicePlaces } from '#cli/service-state.js'
import { addHybridKey } from '#keybroker/service/own-keys.js'
import { closeMemory } from '#runtime/engine/closed.js'

export interface HybridKeyArguments {
  readonly state: string
}

/** A broker that was created before there was a hybrid wrapping key has one from its next start on. @throws serve/absent, file/exists */
export async function runHybridKey(args: HybridKeyArguments, io: Io): Promise<number> {
  await loadServices(args.state)
  await addHybridKey(servicePlaces(args.state).broker)
  io.stdout('hybrid wrapping key made: X-Wing\n')
  io.stderr(`${paint(io, 'yellow', 'now:')} start the broker again; its document offers the key from then on\n`)
  return exitCodes.ok
}

export function describeHybridKey(keybroker: Command, io: Io): void {
  keybroker
    .command('hybrid-key')
    .description('gives a broker that was created before there was one a wrapping key of X-Wing, once')
    .requiredOption('--state <folder>', 'what `claviger serve create` made')
    .addHelpText('after', '\nExample:\n  ./claviger keybroker hybrid-key --state services')
    .action(async (args: HybridKeyArguments) => {
      closeMemory()
      io.exit(await runHybridKey(args, io))
    })
}
