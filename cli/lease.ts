import type { Command } from 'commander'
import { atEach, sayIfSplit } from '#cli/each-broker.js'
import { modelName } from '#cli/option-values.js'
import { exitCodes, type Io, printable } from '#cli/output.js'
import { describeOwner, type OwnerArguments, openOwner, ownerExample } from '#cli/owner.js'
import { describeNamed, describeRevoke, type Named, namedBy, refusalsOf } from '#cli/revoke.js'
import { formatTime } from '#core/time.js'
import type { LeasesAnswer } from '#core/wire/owner-query.js'

export interface LeaseListArguments extends OwnerArguments, Named {
  readonly model?: string | undefined
}

/** The leases that run now, of one model or of all; with more options those that all of them name. */
export async function runList(args: LeaseListArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const model = args.model === undefined ? null : owner.modelId(args.model)
  const named = namedBy(args)
  await sayIfSplit(owner, model === null ? null : [model], args, io)
  const leases = (await owner.leases())
    .filter((one) => model === null || one.model === model)
    .filter((one) => named.every((what) => refusalsOf([what], one).includes(`judge/revoked-${what.kind}`)))
  if (args.json) {
    io.stdout(`${JSON.stringify({ leases }, null, 2)}\n`)
    return exitCodes.ok
  }
  for (const one of leases) {
    const entry = one.entry === null ? 'not yet in the log' : `log entry #${one.entry}`
    io.stdout(`${one.id}  ${one.model.slice(44)} v${one.version}, until ${formatTime(one.expiresAt)}, ${entry}\n`)
    const { debited, used } = one.inferences
    io.stdout(`  ${used} inferences used of ${debited} given out to it\n`)
    io.stdout(`  measurement ${printable(one.measurement)}\n  keyset ${one.keysetDigest}\n`)
    for (const [what, value] of namesOf(one)) io.stdout(`  ${what} ${printable(value)}\n`)
  }
  if (leases.length === 0) io.stderr('no lease runs\n')
  return exitCodes.ok
}

/** What a lease can be taken back by, beside what stands above. */
function namesOf({ machine, declared }: LeasesAnswer['leases'][number]): readonly (readonly [string, string])[] {
  const { platformId, devices, drivers, vbioses, advisories } = machine
  const all = (what: string, values: readonly string[]) => values.map((value) => [what, value] as const)
  return [
    ...all('chip', platformId === null ? [] : [platformId]),
    ...all('gpu', devices),
    ...all('driver', drivers),
    ...all('vbios', vbioses),
    ...all('advisory', advisories),
    ...all('host', declared === null ? [] : [declared.issuer]),
    ...all('operator', declared?.operator ? [`${declared.operator.legalName} (declared by the host, L0)`] : []),
  ]
}

export function describe(program: Command, io: Io): void {
  const lease = program.command('lease').description('the right of nodes to use the key of a model of yours')
  describeNamed(describeOwner(lease.command('list').description('the leases that run now'), false, 'several'))
    .option('--model <name>', 'of this model only', modelName)
    .addHelpText('after', `\nExample:\n  ./claviger lease list ${ownerExample}`)
    .action(async (args: LeaseListArguments) => io.exit(await atEach(args, io, runList)))
  describeRevoke(lease, io)
}
