import { type Command, InvalidArgumentError } from 'commander'
import { readDocument } from '#cli/input.js'
import { lineText, modelName, wholeNumber } from '#cli/option-values.js'
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
import { policyText } from '#cli/policy/text.js'
import { object } from '#core/encoding/shape.js'
import { breakGlassSecondsMax } from '#core/limits.js'
import { approversMembers, verifyApproverSet } from '#core/wire/approvals.js'
import { validatePolicy } from '#policies/index.js'

/** Who has to agree from now on: by the owner's key alone the first time, later by those before. */
export async function runSet(file: string, args: OwnerArguments, io: Io): Promise<number> {
  const set = await readDocument(file, object(approversMembers), 'set of approvers')
  verifyApproverSet(set, io.now()) // what the broker would refuse is refused before it is signed
  const owner = await openOwner(args, io)
  const said = await say(owner, 'approvers', set, args, io)
  const people = set.approvers.map((one) => one.id)
  const what = set.rules.map(({ action, threshold }) => `${threshold} for ${action}`)
  return reportSaid(said, `${people.join(', ')} agree from now on: ${what.join(', ')}`, { people }, args, io)
}

/** Under which key-encryption keys the owner's model keys may be kept. */
export async function runKek(keys: readonly string[], args: OwnerArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const said = await say(owner, 'kek', { keys }, args, io)
  return reportSaid(said, `model keys may be kept under ${keys.join(', ')}`, { keys }, args, io)
}

export interface BreakGlassArguments extends OwnerArguments {
  readonly model: string
  readonly seconds: number
  readonly reason: string
}

/** Proposes to break the glass: for so long, rules that are annotated `@breakglass` do not refuse where this policy permits. */
export async function runBreakGlass(nameOrFile: string, args: BreakGlassArguments, io: Io): Promise<number> {
  const text = await policyText(nameOrFile)
  validatePolicy(text)
  const owner = await openOwner(args, io)
  const { model } = await registrationOf(owner, owner.modelId(args.model))
  const { seconds, reason } = args
  const said = await say(owner, 'break-glass', { model, language: 'cedar', text, seconds, reason }, args, io)
  const what = seconds === 0 ? 'the glass is whole again' : `the glass is broken for ${seconds} s`
  return reportSaid(said, `${what} for ${model.slice(44)}`, { model, seconds }, args, io)
}

const keyId = (text: string, before: readonly string[] = []) => {
  if (/^[A-Za-z0-9_-]{21}[AQgw]$/.test(text)) return [...before, text]
  throw new InvalidArgumentError('expected the id of a key-encryption key, 22 characters, as the operator shows it')
}

export function describeApproveSet(approve: Command, io: Io): void {
  describeOwner(approve.command('set').description('names those who have to agree, and how many to what'), true)
    .argument('<file>', 'JSON with approvers and rules: see docs/spec/approvals.md')
    .addHelpText('after', `\nExample:\n  ./claviger approve set approvers.json ${ownerExample}`)
    .action(async (file: string, args: OwnerArguments) => io.exit(await runSet(file, args, io)))
  describeOwner(
    approve.command('break-glass').description('proposes to waive rules annotated @breakglass, for hours'),
    true,
  )
    .argument('<policy>', 'who gets the key meanwhile: a Cedar policy, or a name of the library')
    .requiredOption('--model <name>', 'the model, as it is registered', modelName)
    .requiredOption('--reason <text>', 'why, in one line', lineText)
    .option(
      '--seconds <n>',
      'how long, four hours at most; 0 ends it now',
      wholeNumber(0, breakGlassSecondsMax, 3600),
      3600,
    )
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger approve break-glass any.cedar --model whisper --reason "ticket 4711" ${ownerExample}`,
    )
    .action(async (file: string, args: BreakGlassArguments) => io.exit(await runBreakGlass(file, args, io)))
  describeOwner(approve.command('kek').description('says under which key-encryption keys yours may be kept'), true)
    .argument('<ids...>', 'ids of key-encryption keys', keyId)
    .addHelpText('after', `\nExample:\n  ./claviger approve kek 1M3kJ0n6Yb0bq4Yx3T0vZA ${ownerExample}`)
    .action(async (ids: readonly string[], args: OwnerArguments) => io.exit(await runKek(ids, args, io)))
}
