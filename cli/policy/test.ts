import type { Command } from 'commander'
import { readInput } from '#cli/input.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { policyText } from '#cli/policy/text.js'
import { Failure } from '#core/failure.js'
import { jsonSizeMax } from '#core/limits.js'
import { validatePolicy } from '#policies/index.js'
import { libraryWorlds } from '#policies/library/read.js'
import { readWorlds, tryWorlds } from '#policies/worlds.js'

/** Failures of trying a policy in worlds. */
export type PolicyTestCode =
  /** the library has none for a policy of this name */
  'policy-test/worlds'

export interface TestArguments {
  readonly worlds?: string | undefined
  readonly json?: boolean | undefined
}

async function worldsOf(nameOrFile: string, { worlds }: TestArguments): Promise<Uint8Array> {
  if (worlds !== undefined) return readInput(worlds, 'worlds', jsonSizeMax)
  const found = libraryWorlds(nameOrFile)
  if (found !== null) return found
  throw new Failure<PolicyTestCode>('policy-test/worlds', `the library has no worlds for ${nameOrFile}`, {
    detail: { hint: 'name a file with --worlds; docs/spec/policy.md says what stands in it' },
  })
}

/** Tries a policy in the worlds that it has to allow and to deny. Exit 0 when it decides each as it has to, 3 otherwise. */
export async function runTest(nameOrFile: string, args: TestArguments, io: Io): Promise<number> {
  const policy = validatePolicy(await policyText(nameOrFile))
  const tried = tryWorlds(policy, readWorlds(await worldsOf(nameOrFile, args)))
  const failed = tried.filter(({ passed }) => !passed)
  if (args.json) {
    const worlds = tried.map(({ world, passed, by }) => ({ name: world.name, expect: world.expect, passed, by }))
    io.stdout(
      `${JSON.stringify({ digest: policy.digest, passed: tried.length - failed.length, failed: failed.length, worlds }, null, 2)}\n`,
    )
  } else {
    for (const { world, passed, by } of tried) {
      const mark = passed ? paint(io, 'green', 'ok  ') : paint(io, 'red', 'FAIL')
      io.stdout(`${mark} ${world.expect.padEnd(5)} ${printable(world.name)} (${printable(by.join(', '))})\n`)
    }
    io.stdout(`${tried.length - failed.length} passed, ${failed.length} failed\n`)
  }
  return failed.length === 0 ? exitCodes.ok : exitCodes.verdict
}

export function describeTest(policy: Command, io: Io): void {
  policy
    .command('test')
    .argument('<file>', 'a Cedar policy, or a name of the library')
    .description('try a policy in the worlds that it has to allow and to deny')
    .option('--worlds <file>', 'the worlds; of a policy of the library those that ship with it')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger policy test third-country-control\n\nExit 0 as it has to be, 3 otherwise.',
    )
    .action(async (file: string, args: TestArguments) => io.exit(await runTest(file, args, io)))
}
