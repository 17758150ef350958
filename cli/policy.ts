import type { Command } from 'commander'
import { exitCodes, type Io } from '#cli/output.js'
import { describeCheck } from '#cli/policy/check.js'
import { describeDiff } from '#cli/policy/diff.js'
import { describeDryRun } from '#cli/policy/dry-run.js'
import { describeExplain } from '#cli/policy/explain.js'
import { describeReport } from '#cli/policy/report.js'
import { describeSet } from '#cli/policy/set.js'
import { describeShow } from '#cli/policy/show.js'
import { describeTest } from '#cli/policy/test.js'
import { policySchema } from '#policies/index.js'
import { libraryPolicy, listLibrary } from '#policies/library/read.js'

interface JsonOption {
  readonly json?: boolean | undefined
}

/** Lists the shipped policies, or prints one. */
export function runLibrary(name: string | undefined, options: JsonOption, io: Io): number {
  if (name !== undefined) {
    io.stdout(libraryPolicy(name).text)
    return exitCodes.ok
  }
  const all = listLibrary().map((policy) => ({ name: policy.name, title: policy.title }))
  const width = Math.max(...all.map((policy) => policy.name.length))
  if (options.json) io.stdout(`${JSON.stringify(all, null, 2)}\n`)
  else for (const policy of all) io.stdout(`${policy.name.padEnd(width)}  ${policy.title}\n`)
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const policy = program.command('policy').description('the policies of models: read, check, set and show them')
  describeCheck(policy, io)
  describeDiff(policy, io)
  policy
    .command('library')
    .argument('[name]', 'print this policy')
    .description('list the policies that ship with claviger, or print one')
    .option('--json', 'print the list as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger policy library eu-only > my.cedar')
    .action((name: string | undefined, options: JsonOption) => io.exit(runLibrary(name, options, io)))
  policy
    .command('schema')
    .description('print the Cedar schema that policies are validated against')
    .addHelpText('after', '\nExample:\n  ./claviger policy schema > claviger.cedarschema')
    .action(() => {
      io.stdout(policySchema)
      io.exit(exitCodes.ok)
    })
  describeTest(policy, io)
  describeExplain(policy, io)
  describeSet(policy, io)
  describeDryRun(policy, io)
  describeShow(policy, io)
  describeReport(policy, io)
}
