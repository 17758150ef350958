import type { Command } from 'commander'
import { atEach, sayIfSplit } from '#cli/each-broker.js'
import { modelName } from '#cli/option-values.js'
import type { Io } from '#cli/output.js'
import {
  describeOwner,
  type OwnerArguments,
  openOwner,
  ownerExample,
  registrationOf,
  reportSaid,
  say,
} from '#cli/owner.js'
import { type Accepts, acceptsOption, verifyAccepted } from '#cli/policy/accepts.js'
import { policyName, policyText } from '#cli/policy/text.js'
import { validatePolicy } from '#policies/index.js'

export interface PolicySetArguments extends OwnerArguments {
  readonly model: string
  readonly accept?: Accepts | undefined
}

/** Another policy for a registered model: it decides from the next release and the next renewal on. */
export async function runSet(nameOrFile: string, args: PolicySetArguments, io: Io): Promise<number> {
  const text = await policyText(nameOrFile)
  const policy = validatePolicy(text) // what the broker would refuse is refused before it is signed
  const { digest, policies } = policy
  const owner = await openOwner(args, io)
  const { model } = await registrationOf(owner, owner.modelId(args.model))
  const tenant = await owner.newest('tenant', null)
  verifyAccepted(tenant?.value.class ?? 'production', policy, args.accept)
  const name = policyName(nameOrFile)
  await sayIfSplit(owner, [model], args, io)
  const said = await say(owner, 'policy', { model, name, language: 'cedar', text, accepts: args.accept }, args, io)
  if (!policies.some((one) => one.effect === 'permit')) io.stderr('it permits nothing: every release is denied\n')
  return reportSaid(
    said,
    `policy ${name} decides about ${model.slice(44)}`,
    { model, name, digest, accepts: args.accept ?? null },
    args,
    io,
  )
}

export function describeSet(policy: Command, io: Io): void {
  describeOwner(
    policy.command('set').description('signs another policy for a registered model of yours'),
    true,
    'several',
  )
    .argument('<file>', 'a Cedar policy, or a name of the library')
    .requiredOption('--model <name>', 'the model, as it is registered', modelName)
    .addOption(acceptsOption())
    .addHelpText('after', `\nExample:\n  ./claviger policy set eu-personal-data --model whisper ${ownerExample}`)
    .action(async (file: string, args: PolicySetArguments) =>
      io.exit(await atEach(args, io, (one, own) => runSet(file, one, own))),
    )
}
