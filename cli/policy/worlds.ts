import { setImmediate } from 'node:timers/promises'
import type { Command } from 'commander'
import { wholeNumber } from '#cli/option-values.js'
import { type Io, printable } from '#cli/output.js'
import type { Bounds } from '#policies/exhaust/check.js'
import type { Found } from '#policies/exhaust/search.js'

export interface BoundsArguments {
  readonly maxWorlds?: number | undefined
  readonly limit?: number | undefined
}

const defaultWorlds = 200_000
const defaultLimit = 3

export function addBounds(command: Command): Command {
  return command
    .option(
      '--max-worlds <n>',
      'give up, rather than try more',
      wholeNumber(1, 100_000_000, defaultWorlds),
      defaultWorlds,
    )
    .option('--limit <n>', 'how many worlds to print of each kind', wholeNumber(1, 1000, defaultLimit), defaultLimit)
}

/** Tries worlds with a count of them on a terminal; somebody may end it in between. */
export async function tryingWorlds<T>(
  { maxWorlds = defaultWorlds, limit = defaultLimit }: BoundsArguments,
  io: Io,
  work: (bounds: Bounds) => Promise<T>,
): Promise<T> {
  const onTried = async (tried: number, all: number) => {
    if (io.isTerminal) io.stderr(`\r\x1b[2K${tried} of ${all} worlds`)
    await setImmediate()
  }
  try {
    return await work({ worldsMax: maxWorlds, keep: limit, onTried })
  } finally {
    if (io.isTerminal) io.stderr('\r\x1b[2K')
  }
}

/** A world by the facts that the rules read; all others are the same in every world. */
export function tellWorld({ read, absent }: Found, headline: string, io: Io): void {
  io.stdout(`  ${headline}\n`)
  for (const [path, value] of Object.entries(read))
    io.stdout(`    context.${path} is ${printable(JSON.stringify(value))}\n`)
  if (absent.length > 0) io.stdout(`    not stated: ${absent.map((path) => `context.${path}`).join(', ')}\n`)
}
