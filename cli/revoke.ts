import { type Command, InvalidArgumentError, Option } from 'commander'
import { atEach, sayIfSplit } from '#cli/each-broker.js'
import { modelName } from '#cli/option-values.js'
import { exitCodes, type Io, printable } from '#cli/output.js'
import { describeOwner, type Owner, type OwnerArguments, openOwner, ownerExample, type Said, say } from '#cli/owner.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { LeasesAnswer } from '#core/wire/owner-query.js'
import { isRevokedForm, type RevokedKind, revokedKinds } from '#core/wire/revoked.js'
import type { Statement } from '#core/wire/statements.js'
import { revocationRefusals } from '#policies/release/revocation.js'

/** Failures of taking something back. */
export type RevokeCode =
  /** no lease of this id runs */
  | 'lease/unknown'
  /** what is taken back is not a lease, and no model is named */
  | 'lease/model'
  /** not the form that a value of this kind has */
  | 'lease/value'
  /** nothing is named that could be taken back */
  | 'lease/nothing'

type Revoked = Statement<'revocation'>['revoked'][number]
type Lease = LeasesAnswer['leases'][number]

/** The options that name what is taken back by its kind, and the kind that each of them names. */
const flags = {
  host: ['host', '<key>', 'all of a host: the thumbprint of the key of its statement, or the digest of that statement'],
  operator: ['operator', '<legal name>', 'all that this company operates, as host statements name it'],
  chip: ['platform', '<id>', 'all on this machine'],
  gpu: ['device', '<id>', 'all with this GPU or switch'],
  measurement: ['measurement', '<hex>', 'all that runs this software'],
  driver: ['driver', '<version>', 'all with a GPU under this driver, such as 535.86.09'],
  vbios: ['vbios', '<version>', 'all with a device under this VBIOS'],
  advisory: ['advisory', '<id>', 'all machines against which this stands: INTEL-SA-00615, AMD-SB-3015'],
} as const satisfies Readonly<Record<string, readonly [RevokedKind, string, string]>>
type Flag = keyof typeof flags
export type Named = Partial<Readonly<Record<Flag, string>>>

export interface RevokeArguments extends OwnerArguments, Named {
  /** of the argument */
  readonly kind: RevokedKind
  readonly model?: string | undefined
  readonly allModels?: boolean | undefined
  /** everything of the model */
  readonly all?: boolean | undefined
  readonly reason: string
}

function verifyForm({ kind, value }: Revoked): Revoked {
  if (isRevokedForm(kind, value)) return { kind, value }
  throw new Failure<RevokeCode>('lease/value', `${value} has not the form of a ${kind}`)
}

/** What the options name. @throws lease/value */
export function namedBy(args: Named): readonly Revoked[] {
  return (Object.keys(flags) as Flag[]).flatMap((flag) => {
    const value = args[flag]
    return value === undefined ? [] : [verifyForm({ kind: flags[flag][0], value })]
  })
}

export function describeNamed(command: Command): Command {
  for (const [flag, [, value, text]] of Object.entries(flags)) command.option(`--${flag} ${value}`, text)
  return command
}

/** What is taken back, as it was typed. @throws lease/value, lease/nothing */
function wanted(value: string | undefined, args: RevokeArguments): readonly Revoked[] {
  const named = namedBy(args)
  const all = value === undefined ? named : [verifyForm({ kind: args.kind, value }), ...named]
  if (all.length > 0 || args.all === true) return all
  throw new Failure<RevokeCode>('lease/nothing', 'what is taken back?', {
    detail: { hint: 'name a lease, or give an option such as --chip ID --model NAME; --help lists them' },
  })
}

/** The models whose nodes it is taken back from. @throws lease/model, lease/unknown */
function modelsOf(
  revoked: readonly Revoked[],
  args: RevokeArguments,
  owner: Owner,
  leases: readonly Lease[],
): readonly string[] {
  if (args.allModels === true)
    return owner.heads.flatMap(({ kind, model }) => (kind === 'registration' && model !== null ? [model] : []))
  if (args.model !== undefined) return [owner.modelId(args.model)]
  const other = revoked.find((one) => one.kind !== 'lease')
  if (other !== undefined || revoked.length === 0) {
    const message = `whose ${other?.kind ?? 'nodes'}? --model is missing`
    throw new Failure<RevokeCode>('lease/model', message, { detail: { hint: '--all-models: of every model of yours' } })
  }
  return revoked.map(({ value }) => {
    const found = leases.find((one) => one.id === value)
    if (found) return found.model
    throw new Failure<RevokeCode>('lease/unknown', `no lease ${value} runs`, {
      detail: { hint: 'list those that do with: ./claviger lease list' },
    })
  })
}

/** Why a revocation would end a lease, by the very rule that the broker has; empty when it would not. */
export function refusalsOf(revoked: readonly Revoked[], lease: Lease): readonly string[] {
  const { machine, declared, keysetDigest, version, id, model } = lease
  const node = { ...machine, model, declared, keysetDigest, version, leaseId: id }
  return revocationRefusals({ value: { revoked, reason: '' } }, node).map((one) => one.policyId)
}

/** The leases that a revocation ends: also of those who are silent on what it names. */
function endedBy(revoked: readonly Revoked[], model: string, leases: readonly Lease[]): readonly Lease[] {
  return leases.filter((one) => one.model === model && refusalsOf(revoked, one).length > 0)
}

interface Taken {
  readonly model: string
  readonly revoked: readonly Revoked[]
  /** all that is taken back of the model from now on */
  readonly standing: number
  /** ids of the leases that run and that it ends */
  readonly ends: readonly string[]
  readonly said: Said
}

/** A version whose key went to a machine that is taken back, or may have. */
interface Lost {
  readonly platform: string
  readonly model: string
  readonly version: number
  readonly lastAt: UnixSeconds
  /** the machine named none: it may have been another */
  readonly hidden: boolean
}

/**
 * Takes back a lease, or everything that runs by what is named. It stands until the owner says otherwise; nodes end key use
 * with their next sign of life, within a minute. `--dry-run` says which leases it would end.
 */
export async function runRevoke(value: string | undefined, args: RevokeArguments, io: Io): Promise<number> {
  const asked = wanted(value, args)
  const owner = await openOwner(args, io)
  const leases = await owner.leases()
  const taken: Taken[] = []
  const models = new Set(modelsOf(asked, args, owner, leases))
  for (const model of models) {
    const mine = args.all === true ? [...asked, { kind: 'model', value: model } as const] : asked
    const before = (await owner.newest('revocation', model))?.value.revoked ?? []
    const added = mine.filter((one) => !before.some((old) => old.kind === one.kind && old.value === one.value))
    const revoked = [...before, ...added]
    const ends = endedBy(revoked, model, leases).map((one) => one.id)
    const said = await say(owner, 'revocation', { model, revoked, reason: args.reason }, args, io)
    taken.push({ model, revoked: mine, standing: revoked.length, ends, said })
  }
  const lost = await lostTo(asked, owner, io)
  if (args.json) {
    io.stdout(`${JSON.stringify({ taken: taken.map(({ said, ...more }) => ({ ...more, ...said })), lost })}\n`)
  } else {
    for (const one of taken) tell(one, io)
    tellLost(lost, io)
  }
  await sayIfSplit(owner, [...models], args, io)
  return exitCodes.ok
}

function tell({ model, revoked, ends, said }: Taken, io: Io): void {
  const what = revoked.map(({ kind, value }) => (kind === 'model' ? 'everything' : `${kind} ${printable(value)}`))
  const place = said.entry === null ? '' : `, log entry #${said.entry}`
  const standing = said.isNew ? '' : ' (stands already)'
  io.stdout(`${said.dryRun ? 'would say: ' : ''}${what.join(', ')} of ${model.slice(44)} is taken back\n`)
  io.stdout(`  revocation statement ${said.sequence}${standing}${place}\n`)
  const count = ends.length === 1 ? '1 lease that runs' : `${ends.length} leases that run`
  io.stdout(`  ${said.dryRun ? 'would end' : 'ends'} ${count}${ends.length === 0 ? '' : `: ${ends.join(' ')}`}\n`)
}

/**
 * What ever went to a machine that is taken back, of whatever model of the owner's: a machine that was broken gave it away at
 * the first release, and taking it back does not bring it home (TRUST 21). Null where the broker could not say.
 */
async function lostTo(revoked: readonly Revoked[], owner: Owner, io: Io): Promise<readonly Lost[] | null> {
  const lost: Lost[] = []
  try {
    for (const { value: platform } of revoked.filter(({ kind }) => kind === 'platform'))
      for (const { model, version, lastAt, hidden } of await owner.released(platform))
        lost.push({ platform, model, version, lastAt, hidden })
  } catch (error) {
    if (!isFailure(error)) throw error
    io.stderr(`what was ever released to that machine is not known: ${printable(error.message)}\n`)
    return null
  }
  return lost
}

function tellLost(lost: readonly Lost[] | null, io: Io): void {
  for (const { platform, model, version, lastAt, hidden } of lost ?? []) {
    const chip = `${platform.slice(0, 16)}…`
    const what = `${model.slice(44)} v${version}, last ${formatTime(lastAt)}`
    if (hidden) io.stdout(`  perhaps lost: ${what}, to machines that hide which they are\n`)
    else io.stdout(`  lost if chip ${chip} is broken: ${what}\n`)
  }
}

const reason = (text: string) => {
  if (/^[^\p{Cc}]{1,200}$/u.test(text)) return text
  throw new InvalidArgumentError('expected one line of at most 200 characters, such as "the disk was stolen"')
}

export function describeRevoke(lease: Command, io: Io): void {
  const command = describeOwner(
    lease.command('revoke').description('takes it back: the node ends key use within a minute'),
    true,
    'several',
  )
    .argument('[id]', 'the lease; with --kind what is taken back')
    .addOption(new Option('--kind <kind>', 'what the argument is').choices([...revokedKinds]).default('lease'))
  describeNamed(command)
    .option('--all', 'everything of the model')
    .option('--model <name>', 'the model, for other kinds than a lease', modelName)
    .option('--all-models', 'of every model of yours')
    .option('--reason <text>', 'what refused nodes are told', reason, 'taken back by the owner')
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger lease revoke 0f1e2d3c4b5a69788796a5b4c3d2e1f0 ${ownerExample}\n` +
        `  ./claviger lease revoke --operator "Example GmbH" --all-models --dry-run ${ownerExample}`,
    )
    .action(async (id: string | undefined, args: RevokeArguments) => {
      const isElsewhere = ({ code }: Failure) => code === ('lease/unknown' satisfies RevokeCode)
      io.exit(await atEach(args, io, (one, own) => runRevoke(id, one, own), isElsewhere))
    })
}
