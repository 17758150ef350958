import { rm } from 'node:fs/promises'
import type { Command } from 'commander'
import { lineName, modelName, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import {
  bodyOf,
  describeOwner,
  type OwnerArguments,
  openOwner,
  ownerExample,
  registrationOf,
  reportSaid,
  say,
} from '#cli/owner.js'
import { toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { credentialHash } from '#core/wire/inner.js'
import type { Callers } from '#core/wire/statements.js'
import { createSecretFile, verifyNewFile } from '#host/files.js'

/** Failures of an owner's commands on callers. */
export type CallerCode =
  /** anybody may call the model: a list would shut all others out */
  'caller/open' | 'caller/exists' | 'caller/unknown'

export interface CallerArguments extends OwnerArguments {
  readonly model: string
}

async function registered(args: CallerArguments, io: Io) {
  const owner = await openOwner(args, io)
  const registration = await registrationOf(owner, owner.modelId(args.model))
  return { owner, registration }
}

/** The registration with another list of callers takes effect: nodes renew for it when they ask for a sign of life next. */
async function sayCallers(
  { owner, registration }: Awaited<ReturnType<typeof registered>>,
  callers: Callers,
  args: CallerArguments,
  io: Io,
) {
  return say(owner, 'registration', { ...bodyOf<'registration'>(registration), callers }, args, io)
}

export interface CallerAddArguments extends CallerArguments {
  readonly out: string
  readonly days: number
  readonly close?: boolean | undefined
}

/** Who may call: one more, with a new credential in a file that only this user reads. The broker gets its hash alone. */
export async function runAdd(id: string, args: CallerAddArguments, io: Io): Promise<number> {
  await verifyNewFile(args.out)
  const found = await registered(args, io)
  const { callers } = found.registration
  if (callers === 'any' && args.close !== true) {
    throw new Failure<CallerCode>('caller/open', 'anybody may call this model now', {
      detail: { hint: 'add --close: from then on only listed callers may' },
    })
  }
  const before = callers === 'any' ? [] : callers
  if (before.some((one) => one.id === id))
    throw new Failure<CallerCode>('caller/exists', `caller ${id} is listed: revoke it first`)
  const credential = toBase64Url(randomBytes(32))
  const expiresAt = io.now() + args.days * 86_400
  const more = { caller: id, expiresAt, credential: args.dryRun ? null : args.out }
  // The credential is on disk before the list names its hash: one that was listed and lost would be of no use.
  if (args.dryRun !== true) await createSecretFile(args.out, utf8(`${credential}\n`))
  try {
    const list = [...before, { id, credentialHash: credentialHash(credential), expiresAt }]
    const said = await sayCallers(found, list, args, io)
    if (args.dryRun !== true)
      io.stderr(`${paint(io, 'yellow', 'now:')} give ${args.out} to ${id}, and to nobody else\n`)
    return reportSaid(said, `${id} may call ${args.model} until ${formatTime(expiresAt)}`, more, args, io)
  } catch (error) {
    if (args.dryRun !== true) await rm(args.out, { force: true })
    throw error
  }
}

/** Who may call a model. */
export async function runList(args: CallerArguments, io: Io): Promise<number> {
  const { callers } = (await registered(args, io)).registration
  if (args.json) {
    const shown = callers === 'any' ? callers : callers.map(({ id, expiresAt }) => ({ id, expiresAt }))
    io.stdout(`${JSON.stringify({ callers: shown })}\n`)
  } else if (callers === 'any') io.stdout('any\n')
  else {
    for (const { id, expiresAt } of callers) {
      const state = expiresAt <= io.now() ? 'expired' : 'until'
      io.stdout(`${id.padEnd(24)} ${state} ${formatTime(expiresAt)}\n`)
    }
    if (callers.length === 0) io.stderr('nobody may call it\n')
  }
  return exitCodes.ok
}

/** A caller may call no more: within a minute at every node. */
export async function runRevoke(id: string, args: CallerArguments, io: Io): Promise<number> {
  const found = await registered(args, io)
  const { callers } = found.registration
  if (callers === 'any' || !callers.some((one) => one.id === id))
    throw new Failure<CallerCode>('caller/unknown', `no caller ${id} is listed`, {
      detail: { hint: 'those that are: ./claviger caller list' },
    })
  const left = callers.filter((one) => one.id !== id)
  const said = await sayCallers(found, left, args, io)
  const rest = left.length === 0 ? ': nobody may call it now' : ''
  return reportSaid(said, `${id} may call ${args.model} no more${rest}`, { caller: id, left: left.length }, args, io)
}

export function describe(program: Command, io: Io): void {
  const caller = program.command('caller').description('who may call a model of yours')
  const verb = (name: string, description: string, changes: boolean) =>
    describeOwner(caller.command(name).description(description), changes).requiredOption(
      '--model <name>',
      'the model, as it is registered',
      modelName,
    )
  verb('add', 'lists one more caller, and makes its credential', true)
    .argument('<name>', 'what you call it; the broker keeps the name to itself', lineName)
    .requiredOption('--out <file>', 'where the credential goes')
    .option('--days <n>', 'days until it expires', wholeNumber(1, 9999, 365), 365)
    .option('--close', 'when anybody may call the model now: from then on only listed callers may')
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger caller add shop --model whisper --out shop.credential ${ownerExample}`,
    )
    .action(async (id: string, args: CallerAddArguments) => io.exit(await runAdd(id, args, io)))
  verb('list', 'who may call it', false)
    .addHelpText('after', `\nExample:\n  ./claviger caller list --model whisper ${ownerExample}`)
    .action(async (args: CallerArguments) => io.exit(await runList(args, io)))
  verb('revoke', 'takes a caller off the list', true)
    .argument('<name>', 'as list shows it')
    .addHelpText('after', `\nExample:\n  ./claviger caller revoke shop --model whisper ${ownerExample}`)
    .action(async (id: string, args: CallerArguments) => io.exit(await runRevoke(id, args, io)))
}
