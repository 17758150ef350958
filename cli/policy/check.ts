import type { Command } from 'commander'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { policyText } from '#cli/policy/text.js'
import { addBounds, type BoundsArguments, tellWorld, tryingWorlds } from '#cli/policy/worlds.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { type Checked, checkInvariants } from '#policies/exhaust/check.js'
import { type Policy, type PolicySet, validatePolicy } from '#policies/index.js'
import { libraryInvariants } from '#policies/library/read.js'

/** Failures of proving what a policy never allows. */
export type PolicyCheckCode =
  /** the library says nothing of what a policy of this name never allows */
  'policy-check/invariant'

export interface CheckArguments extends BoundsArguments {
  /** a file; true for those that ship with a policy of the library */
  readonly invariant?: string | true | undefined
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

function tellRules(set: PolicySet, io: Io): void {
  io.stdout(`${paint(io, 'green', 'valid')} sha256 ${set.digest}\n`)
  for (const policy of set.policies) {
    io.stdout(`  ${policy.effect.padEnd(6)} ${policy.id}\n`)
    for (const note of advice(policy)) io.stderr(`${paint(io, 'cyan', 'hint:')} ${policy.id} ${printable(note)}\n`)
  }
  if (!set.policies.some((rule) => rule.effect === 'permit'))
    io.stderr(`${paint(io, 'yellow', 'warning:')} it permits nothing: every release is denied\n`)
}

async function invariantsOf(nameOrFile: string, invariant: string | true): Promise<PolicySet> {
  if (invariant !== true) return validatePolicy(await policyText(invariant))
  const found = libraryInvariants(nameOrFile)
  if (found !== null) return validatePolicy(fromUtf8(found))
  throw new Failure<PolicyCheckCode>('policy-check/invariant', `the library has no invariants for ${nameOrFile}`, {
    detail: { hint: 'name a file after --invariant; docs/spec/policy.md says what stands in it' },
  })
}

function tellInvariants({ worlds, tried, allowed, invariants }: Checked, io: Io): void {
  io.stdout(`${worlds} worlds, for a release and a renewal; ${allowed} allowed\n`)
  if (tried < worlds)
    io.stdout(`${tried} tried one by one: each other is denied for one group of facts, whatever the others are\n`)
  for (const { id, holds, explain, broken, counterexamples } of invariants) {
    const said = explain === null ? '' : `: ${printable(explain)}`
    if (holds) io.stdout(`${paint(io, 'green', 'HOLDS ')} ${id}${said}\n`)
    else {
      io.stdout(`${paint(io, 'red', 'BROKEN')} ${id}${said}\n  in ${broken}, the smallest first\n`)
      for (const one of counterexamples) {
        const why = one.why === 'refuses' ? '' : ', and the invariant reads a fact that is absent'
        tellWorld(one, `${one.acts.join(' and ')} allowed by ${one.allowedBy.join(', ')}${why}`, io)
      }
    }
  }
}

/** Reads a policy as a broker does, and tries every world for its invariants. Exit 0 when a broker would accept it and they hold. */
export async function runCheck(nameOrFile: string, args: CheckArguments, io: Io): Promise<number> {
  const set = validatePolicy(await policyText(nameOrFile))
  const invariants = args.invariant === undefined ? null : await invariantsOf(nameOrFile, args.invariant)
  if (!args.json) tellRules(set, io)
  const checked = invariants && (await tryingWorlds(args, io, (bounds) => checkInvariants(set, invariants, bounds)))
  if (args.json) {
    const rules = set.policies.map((policy) => ({ id: policy.id, effect: policy.effect, advice: advice(policy) }))
    io.stdout(`${JSON.stringify({ digest: set.digest, rules, ...(checked === null ? {} : { checked }) }, null, 2)}\n`)
  } else if (checked !== null) tellInvariants(checked, io)
  return checked === null || checked.invariants.every(({ holds }) => holds) ? exitCodes.ok : exitCodes.verdict
}

export function describeCheck(policy: Command, io: Io): void {
  addBounds(
    policy
      .command('check')
      .argument('<file>', 'a Cedar policy, or a name of the library')
      .description('read a policy as a broker does, and prove what it never allows by trying every world')
      .option(
        '--invariant [file]',
        'forbid rules that say what must never be released; of a policy of the library its own',
      ),
  )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  ./claviger policy check eu-only.cedar
  ./claviger policy check eu-only.cedar --invariant never-outside.cedar
  ./claviger policy check eu-personal-data --invariant

An invariant is a forbid, as this one:
  @id("never-outside-the-eea")
  forbid (principal, action, resource) unless { context.site.jurisdictions.contains("EEA") };

Exit 0 valid and every invariant holds, 1 refused, 3 an invariant is broken.`,
    )
    .action(async (file: string, args: CheckArguments) => io.exit(await runCheck(file, args, io)))
}
