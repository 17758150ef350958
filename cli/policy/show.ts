import type { Command } from 'commander'
import { modelName } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import {
  describeOwner,
  type OwnerArguments,
  type OwnerCode,
  openOwner,
  ownerExample,
  registrationOf,
} from '#cli/owner.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { validatePolicy } from '#policies/index.js'

export interface PolicyShowArguments extends OwnerArguments {
  readonly model: string
}

/**
 * The policy that decides about a model, as its owner signed it last: read from the broker, verified with the owner's own
 * key. Version and digest are those that leases, receipts and answer cards name.
 */
export async function runShow(args: PolicyShowArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const model = owner.modelId(args.model)
  const { version } = await registrationOf(owner, model)
  const signed = await owner.newest('policy', model)
  if (signed === null) {
    throw new Failure<OwnerCode>('owner/model', `no policy was signed for ${model}: nothing of it is released`, {
      detail: { hint: `sign one with: ./claviger policy set POLICY --model ${args.model}` },
    })
  }
  const { name, language, text, sequence, issuedAt } = signed.value
  const { digest } = validatePolicy(text)
  const shown = {
    model,
    modelVersion: version,
    name,
    language,
    version: sequence,
    digest,
    accepts: signed.value.accepts ?? null,
    signedBy: owner.key.id,
    issuedAt,
    statement: { sequence, digest: signed.digest },
    text,
  }
  if (args.json) {
    io.stdout(`${JSON.stringify(shown, null, 2)}\n`)
    return exitCodes.ok
  }
  // The text alone is the result, as `policy library` prints one: it goes into a file and to `policy set` again.
  io.stderr(`policy     ${name} v${sequence} of ${model.slice(44)} (model v${version})\n`)
  io.stderr(`digest     sha256 ${digest}\n`)
  if (shown.accepts !== null) io.stderr(`accepts    ${shown.accepts}: also one that somebody broke\n`)
  io.stderr(`signed by  ${owner.key.id}, ${formatTime(issuedAt)}\n`)
  io.stderr(`statement  ${sequence}, sha256 ${signed.digest}\n`)
  io.stdout(text.endsWith('\n') ? text : `${text}\n`)
  return exitCodes.ok
}

export function describeShow(policy: Command, io: Io): void {
  describeOwner(policy.command('show').description('the policy that decides about a model of yours, verified'), false)
    .requiredOption('--model <name>', 'the model, as it is registered', modelName)
    .addHelpText('after', `\nExample:\n  ./claviger policy show --model whisper ${ownerExample}`)
    .action(async (args: PolicyShowArguments) => io.exit(await runShow(args, io)))
}
