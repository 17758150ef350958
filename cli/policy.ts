import type { Command } from 'commander'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { describeDryRun } from '#cli/policy-dry-run.js'
import { describeExplain } from '#cli/policy-explain.js'
import { describeSet } from '#cli/policy-set.js'
import { describeShow } from '#cli/policy-show.js'
import { describeTest } from '#cli/policy-test.js'
import { policyText } from '#cli/policy-text.js'
import { type Policy, policySchema, validatePolicy } from '#policies/index.js'
import { libraryPolicy, listLibrary } from '#policies/library/read.js'

interface JsonOption {
  readonly json?: boolean | undefined
}

/** What a reader of a rule misses: nothing that a decision depends on. */
function advice(policy: Policy): readonly string[] {
  const notes: string[] = []
  if (policy.explain === null) notes.push('has no @explain: a refused host reads the condition only')
  if (policy.remedy === null) notes.push('has no @remedy: a refused host is not told what you would accept')
  const readsTier = policy.text.includes('context.evidence.tier')
  if (policy.effect === 'permit' && !readsTier)
    notes.push('does not ask for context.evidence.tier: it accepts attestation results with warnings')
  return notes
}

/** Reads a policy as a broker does. Exit 0 when a broker would accept it. */
export async function runCheck(nameOrFile: string, options: JsonOption, io: Io): Promise<number> {
  const set = validatePolicy(await policyText(nameOrFile))
  const rules = set.policies.map((policy) => ({ id: policy.id, effect: policy.effect, advice: advice(policy) }))
  if (options.json) {
    io.stdout(`${JSON.stringify({ digest: set.digest, rules }, null, 2)}\n`)
    return exitCodes.ok
  }
  io.stdout(`${paint(io, 'green', 'valid')} sha256 ${set.digest}\n`)
  for (const { id, effect, advice: notes } of rules) {
    io.stdout(`  ${effect.padEnd(6)} ${id}\n`)
    for (const note of notes) io.stderr(`${paint(io, 'cyan', 'hint:')} ${id} ${printable(note)}\n`)
  }
  if (!rules.some((rule) => rule.effect === 'permit'))
    io.stderr(`${paint(io, 'yellow', 'warning:')} it permits nothing: every release is denied\n`)
  return exitCodes.ok
}

/** Lists the shipped policies, or prints one. */
export function runLibrary(name: string | undefined, options: JsonOption, io: Io): number {
  if (name !== undefined) {
    io.stdout(libraryPolicy(name).text)
    return exitCodes.ok
  }
  const all = listLibrary().map((policy) => ({ name: policy.name, title: policy.title }))
  if (options.json) io.stdout(`${JSON.stringify(all, null, 2)}\n`)
  else for (const policy of all) io.stdout(`${policy.name.padEnd(22)} ${policy.title}\n`)
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const policy = program.command('policy').description('the policies of models: read, check, set and show them')
  policy
    .command('check')
    .argument('<file>', 'a Cedar policy, or a name of the library')
    .description('read a policy as a broker does, and say where it would be refused')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger policy check eu-only.cedar\n\nExit 0 valid, 1 refused.')
    .action(async (file: string, options: JsonOption) => io.exit(await runCheck(file, options, io)))
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
}
