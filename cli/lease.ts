import { type Command, InvalidArgumentError, Option } from 'commander'
import { modelName } from '#cli/option-values.js'
import { exitCodes, type Io, printable } from '#cli/output.js'
import { describeOwner, type Owner, type OwnerArguments, openOwner, ownerExample, reportSaid, say } from '#cli/owner.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import type { Statement } from '#core/wire/statements.js'

/** Failures of an owner's commands on leases. */
export type LeaseCommandCode =
  /** no lease of this id runs */
  | 'lease/unknown'
  /** what is taken back is not a lease, and no model is named */
  | 'lease/model'
  /** not the form that a value of this kind has */
  | 'lease/value'

export interface LeaseListArguments extends OwnerArguments {
  readonly model?: string | undefined
}

/** The leases that run now, of one model or of all. */
export async function runList(args: LeaseListArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const model = args.model === undefined ? null : owner.modelId(args.model)
  const leases = (await owner.leases()).filter((one) => model === null || one.model === model)
  if (args.json) {
    io.stdout(`${JSON.stringify({ leases }, null, 2)}\n`)
    return exitCodes.ok
  }
  for (const one of leases) {
    const entry = one.entry === null ? 'not yet in the log' : `log entry #${one.entry}`
    io.stdout(`${one.id}  ${one.model.slice(44)} v${one.version}, until ${formatTime(one.expiresAt)}, ${entry}\n`)
    io.stdout(`  measurement ${printable(one.measurement)}\n  keyset ${one.keysetDigest}\n`)
  }
  if (leases.length === 0) io.stderr('no lease runs\n')
  return exitCodes.ok
}

type Revoked = Statement<'revocation'>['revoked'][number]

/** Forms of what is taken back: a typing mistake would take nothing back, in silence. */
const forms: Readonly<Record<Revoked['kind'], RegExp>> = {
  lease: /^[0-9a-f]{32}$/,
  measurement: /^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/,
  platform: /^(?:[0-9a-f]{2}){8,64}$/,
  device: /^(?:[0-9a-f]{2}){8,64}$/,
  keyset: /^[0-9a-f]{64}$/,
  version: /^[1-9][0-9]{0,14}$/,
}

export interface RevokeArguments extends OwnerArguments {
  readonly kind: Revoked['kind']
  readonly model?: string | undefined
  readonly reason: string
}

async function modelOf(value: string, args: RevokeArguments, owner: Owner): Promise<string> {
  if (args.kind !== 'lease') {
    if (args.model !== undefined) return owner.modelId(args.model)
    throw new Failure<LeaseCommandCode>('lease/model', `whose ${args.kind}? --model is missing`)
  }
  const found = (await owner.leases()).find((one) => one.id === value)
  if (found) return found.model
  throw new Failure<LeaseCommandCode>('lease/unknown', `no lease ${value} runs`, {
    detail: { hint: 'list those that do with: ./claviger lease list' },
  })
}

/**
 * Takes back a lease, or everything that runs by a measurement, machine, keyset or version. It stands until the owner says
 * otherwise; nodes end key use with their next sign of life, within a minute.
 */
export async function runRevoke(value: string, args: RevokeArguments, io: Io): Promise<number> {
  if (!forms[args.kind].test(value))
    throw new Failure<LeaseCommandCode>('lease/value', `${value} has not the form of a ${args.kind}`)
  const owner = await openOwner(args, io)
  const model = await modelOf(value, args, owner)
  const before = (await owner.newest('revocation', model))?.value.revoked ?? []
  const isThere = before.some((one) => one.kind === args.kind && one.value === value)
  const revoked = isThere ? before : [...before, { kind: args.kind, value }]
  const said = await say(owner, 'revocation', { model, revoked, reason: args.reason }, args, io)
  const more = { model, revoked: { kind: args.kind, value }, standing: revoked.length }
  return reportSaid(said, `${args.kind} ${value} of ${model.slice(44)} is taken back`, more, args, io)
}

export function describe(program: Command, io: Io): void {
  const lease = program.command('lease').description('the right of nodes to use the key of a model of yours')
  describeOwner(lease.command('list').description('the leases that run now'), false)
    .option('--model <name>', 'of this model only', modelName)
    .addHelpText('after', `\nExample:\n  ./claviger lease list ${ownerExample}`)
    .action(async (args: LeaseListArguments) => io.exit(await runList(args, io)))
  const reason = (text: string) => {
    if (/^[^\p{Cc}]{1,200}$/u.test(text)) return text
    throw new InvalidArgumentError('expected one line of at most 200 characters, such as "the disk was stolen"')
  }
  const kinds = Object.keys(forms)
  describeOwner(lease.command('revoke').description('takes it back: the node ends key use within a minute'), true)
    .argument('<id>', 'the lease; with --kind what is taken back')
    .addOption(new Option('--kind <kind>', 'what is taken back').choices(kinds).default('lease'))
    .option('--model <name>', 'the model, for other kinds than a lease', modelName)
    .option('--reason <text>', 'what refused nodes are told', reason, 'taken back by the owner')
    .addHelpText('after', `\nExample:\n  ./claviger lease revoke 0f1e2d3c4b5a69788796a5b4c3d2e1f0 ${ownerExample}`)
    .action(async (id: string, args: RevokeArguments) => io.exit(await runRevoke(id, args, io)))
}
