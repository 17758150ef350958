import type { Command } from 'commander'
import { atEach, sayIfSplit } from '#cli/each-broker.js'
import { modelName } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { describeOwner, type OwnerArguments, openOwner, ownerExample } from '#cli/owner.js'
import { formatTime } from '#core/time.js'
import type { UsageAnswer } from '#core/wire/owner-query.js'

export interface UsageArguments extends OwnerArguments {
  readonly model?: string | undefined
}

type Version = UsageAnswer['usage'][number]

/** Inferences used of inferences allowed: of one model, or of all that were ever leased. */
export async function runUsage(args: UsageArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const model = args.model === undefined ? null : owner.modelId(args.model)
  await sayIfSplit(owner, model === null ? null : [model], args, io)
  const usage = (await owner.usage())
    .filter((one) => model === null || one.model === model)
    .map((one) => ({ ...one, left: leftOf(one) }))
  if (args.json) {
    io.stdout(`${JSON.stringify({ usage }, null, 2)}\n`)
    return exitCodes.ok
  }
  for (const one of usage) tell(one, io)
  if (usage.length === 0) io.stderr('nothing was leased, and nothing has an allowance\n')
  return exitCodes.ok
}

/** What the allowance still pays for; null where any number is allowed. */
function leftOf({ allowance, counted }: Version): number | null {
  const allowed = allowance?.inferences ?? null
  return allowed === null ? null : Math.max(0, allowed - counted)
}

function tell(one: Version & { readonly left: number | null }, io: Io): void {
  const { allowance, left, counted, used, outstanding, silent } = one
  const allowed = left === null ? 'of any number' : `of ${allowance?.inferences} allowed, ${left} left`
  const ends = allowance?.expiresAt ?? null
  io.stdout(`${one.model.slice(44)} v${one.version}: ${counted} inferences counted ${allowed}\n`)
  if (ends !== null) io.stdout(`  licence until ${formatTime(ends)}\n`)
  io.stdout(`  ${used} used by the word of TEEs, ${outstanding} outstanding with leases that run, `)
  io.stdout(`${silent} of leases that ended without a last word\n`)
  for (const { id, state, expiresAt, inferences } of one.leases) {
    const { debited, returned } = inferences
    const back = returned === null ? '' : `, ${returned} returned`
    const when = `${state === 'runs' ? 'runs' : 'over, was'} until ${formatTime(expiresAt)}`
    io.stdout(`  ${id}  ${inferences.used} used of ${debited}${back}, ${when}\n`)
  }
  if (one.more > 0) io.stdout(`  and ${one.more} older leases\n`)
}

export function describe(program: Command, io: Io): void {
  describeOwner(program.command('usage').description('inferences used of inferences allowed'), false, 'several')
    .argument('[model]', 'of this model only', modelName)
    .addHelpText('after', `\nExample:\n  ./claviger usage whisper ${ownerExample}`)
    .action(async (model: string | undefined, args: UsageArguments) =>
      io.exit(await atEach({ ...args, model }, io, runUsage)),
    )
}
