import type { Command } from 'commander'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { policyText } from '#cli/policy/text.js'
import { addBounds, type BoundsArguments, tellWorld, tryingWorlds } from '#cli/policy/worlds.js'
import { diffPolicies } from '#policies/exhaust/diff.js'
import { validatePolicy } from '#policies/index.js'

export interface DiffArguments extends BoundsArguments {
  readonly json?: boolean | undefined
}

const rulesOf = (ids: readonly string[]): string => (ids.length === 0 ? 'no rule' : ids.join(', '))

/** The worlds in which two policies decide differently, the smallest first. Exit 0 when there are none, 3 otherwise. */
export async function runDiff(before: string, after: string, args: DiffArguments, io: Io): Promise<number> {
  const [old, now] = [validatePolicy(await policyText(before)), validatePolicy(await policyText(after))]
  const difference = await tryingWorlds(args, io, (bounds) => diffPolicies(old, now, bounds))
  const { worlds, loosened, tightened, changed } = difference
  if (args.json) io.stdout(`${JSON.stringify({ before: old.digest, after: now.digest, ...difference }, null, 2)}\n`)
  else {
    for (const one of changed) {
      const word = one.now === 'allowed' ? paint(io, 'red', 'NOW ALLOWED') : paint(io, 'yellow', 'NOW DENIED')
      tellWorld(
        one,
        `${word} ${one.acts.join(' and ')}: before by ${rulesOf(one.before)}, now by ${rulesOf(one.after)}`,
        io,
      )
    }
    io.stdout(
      `${worlds} worlds, for a release and a renewal: ${loosened} denied before and allowed now, ${tightened} allowed before and denied now\n`,
    )
  }
  return loosened + tightened === 0 ? exitCodes.ok : exitCodes.verdict
}

export function describeDiff(policy: Command, io: Io): void {
  addBounds(
    policy
      .command('diff')
      .argument('<old>', 'a Cedar policy, or a name of the library')
      .argument('<new>', 'the one that would take its place')
      .description('the worlds in which two policies decide differently, by trying every one'),
  )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger policy diff old.cedar new.cedar\n\nExit 0 they decide alike in every world, 3 they do not.',
    )
    .action(async (before: string, after: string, args: DiffArguments) =>
      io.exit(await runDiff(before, after, args, io)),
    )
}
