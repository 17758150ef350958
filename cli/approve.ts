import { type Command, InvalidArgumentError } from 'commander'
import {
  type ApproveArguments,
  type ApproveCode,
  type Approving,
  describeApproving,
  openApproving,
  proposalOf,
  type ReadProposal,
} from '#cli/approve-read.js'
import { describeApproveSet } from '#cli/approve-set.js'
import { lineText, wholeNumber } from '#cli/option-values.js'
import { exitCodes, forTerminal, type Io, printable } from '#cli/output.js'
import { bodyOf, ownerExample } from '#cli/owner.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { type Approval, signApprovalDocument } from '#core/wire/approvals.js'
import type { Statement } from '#core/wire/statements.js'

/** A proposal as machines and people read it. */
function plain({ shown, kind, next }: ReadProposal) {
  const { digest, model, state, entry, proposedAt, threshold, notBefore, lapsesAt, agreed } = shown
  const { sequence } = next.value
  return { digest, kind, model, sequence, state, entry, proposedAt, threshold, notBefore, lapsesAt, agreed }
}

function tell(read: ReadProposal, io: Io): void {
  const { digest, kind, model, state, entry, threshold, notBefore, lapsesAt, agreed } = plain(read)
  const about = model === null ? '' : ` of ${model.slice(44)}`
  io.stdout(`${digest.slice(0, 16)} ${kind}${about}: ${state}, ${agreed.length} of ${threshold ?? '?'} agree`)
  io.stdout(
    `${agreed.length === 0 ? '' : ` (${printable(agreed.join(', '))})`}${entry === null ? '' : `, entry #${entry}`}\n`,
  )
  if (state === 'waiting' || state === 'locked' || state === 'ready')
    io.stdout(`  not before ${formatTime(notBefore ?? 0)}, lapses ${formatTime(lapsesAt ?? 0)}\n`)
}

/** What waits for agreement, and what became of what did. */
export async function runList(args: ApproveArguments, io: Io): Promise<number> {
  const found = await openApproving(args, io)
  const set = found.set && { sequence: found.set.value.sequence, digest: found.set.digest, ...bodyOf(found.set.value) }
  if (args.json) {
    io.stdout(
      `${JSON.stringify({ approvers: set, me: found.me?.id ?? null, proposals: found.proposals.map(plain) })}\n`,
    )
    return exitCodes.ok
  }
  if (found.set === null) io.stderr('no approvers: the owner decides alone\n')
  for (const one of found.proposals) tell(one, io)
  if (found.proposals.length === 0) io.stderr('nothing is proposed\n')
  return exitCodes.ok
}

const pretty = (value: Statement) => JSON.stringify(JSON.parse(fromUtf8(canonicalJson(bodyOf(value)))), null, 2)

/** What a proposal would put in place of what: both as the owner signed them. */
export async function runShow(digest: string, args: ApproveArguments, io: Io): Promise<number> {
  const read = proposalOf(await openApproving(args, io), digest)
  if (args.json) {
    const [last, next] = [read.last?.value ?? null, read.next.value]
    io.stdout(`${JSON.stringify({ ...plain(read), last, next })}\n`)
    return exitCodes.ok
  }
  tell(read, io)
  io.stdout(`stands now:\n${read.last === null ? 'nothing' : forTerminal(pretty(read.last.value))}\n`)
  io.stdout(`would stand:\n${forTerminal(pretty(read.next.value))}\n`)
  return exitCodes.ok
}

export interface SignArguments extends ApproveArguments {
  readonly reason: string
  readonly days?: number | undefined
}

function approvalOf(found: Approving, read: ReadProposal, args: SignArguments, at: number): Approval {
  const refuse = (code: ApproveCode, message: string) => new Failure<ApproveCode>(code, message)
  if (found.set === null || found.me === null)
    throw refuse('approve/approver', 'your key is not one of the approvers of this owner')
  const { state, entry, lapsesAt, digest, model } = read.shown
  if (!['waiting', 'locked', 'ready'].includes(state) || entry === null || lapsesAt === null)
    throw refuse('approve/proposal', `the proposal is ${entry === null ? 'not in the log yet' : state}`)
  if (read.next.value.previous !== null && read.last === null)
    throw refuse('approve/proposal', 'what it was to replace was replaced by something else')
  return {
    type: 'claviger/approval/v1',
    approver: found.key.id,
    broker: found.broker,
    tenant: found.tenant,
    action: read.kind,
    model,
    old: read.next.value.previous,
    new: digest,
    approvers: found.set.digest,
    stateIndex: entry,
    reason: args.reason,
    signedAt: at,
    expiresAt: args.days === undefined ? lapsesAt : Math.min(lapsesAt, at + args.days * 86_400),
  }
}

/** Agrees to exactly what is shown. With as many as have to, and its time come, it is in force. */
export async function runSign(digest: string, args: SignArguments, io: Io): Promise<number> {
  const found = await openApproving(args, io)
  const read = proposalOf(found, digest)
  const approval = approvalOf(found, read, args, io.now())
  const envelope = await signApprovalDocument('approval', approval, found.key)
  const inForce = args.dryRun === true ? false : (await found.client.sendApproval(envelope)).inForce
  const { digest: whole, kind } = read.shown
  if (args.json)
    io.stdout(`${JSON.stringify({ digest: whole, kind, dryRun: args.dryRun === true, inForce, approval })}\n`)
  else {
    io.stdout(`${args.dryRun ? 'would agree' : 'agreed'} to ${kind} ${whole.slice(0, 16)} as ${found.me!.id}\n`)
    if (args.dryRun !== true) io.stdout(inForce ? '  it is in force\n' : '  it is not in force yet\n')
  }
  return exitCodes.ok
}

/** Calls a proposal off, for ever. */
export async function runCancel(digest: string, args: SignArguments, io: Io): Promise<number> {
  const found = await openApproving(args, io)
  const { shown } = proposalOf(found, digest)
  const { broker, tenant, key } = found
  const type = 'claviger/cancellation/v1'
  const value = { type, broker, tenant, proposal: shown.digest, reason: args.reason, at: io.now() } as const
  const envelope = await signApprovalDocument('cancellation', value, key)
  if (args.dryRun !== true) await found.client.sendCancellation(envelope)
  if (args.json)
    io.stdout(`${JSON.stringify({ digest: shown.digest, dryRun: args.dryRun === true, cancellation: value })}\n`)
  else io.stdout(`${args.dryRun ? 'would call off' : 'called off'} ${shown.kind} ${shown.digest.slice(0, 16)}\n`)
  return exitCodes.ok
}

const digestText = (text: string) => {
  if (/^[0-9a-f]{8,64}$/.test(text)) return text
  throw new InvalidArgumentError('expected the digest, or at least its first 8 digits, as `approve list` shows it')
}

export function describe(program: Command, io: Io): void {
  const approve = program.command('approve').description('changes that several people have to agree to')
  describeApproving(approve.command('list').description('what waits for agreement, verified'), false)
    .addHelpText('after', `\nExample:\n  ./claviger approve list ${ownerExample}`)
    .action(async (args: ApproveArguments) => io.exit(await runList(args, io)))
  describeApproving(approve.command('show').description('what a proposal would put in place of what'), false)
    .argument('<digest>', 'of the proposal', digestText)
    .addHelpText('after', `\nExample:\n  ./claviger approve show 0f1e2d3c4b5a6978 ${ownerExample}`)
    .action(async (digest: string, args: ApproveArguments) => io.exit(await runShow(digest, args, io)))
  describeApproving(approve.command('sign').description('agrees to a proposal'), true)
    .argument('<digest>', 'of the proposal', digestText)
    .requiredOption('--reason <text>', 'why, in one line: it goes with your signature', lineText)
    .option('--days <n>', 'days that it counts for (default: as long as the proposal waits)', wholeNumber(1, 90, 7))
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger approve sign 0f1e2d3c4b5a6978 --reason "ticket 4711" ${ownerExample}`,
    )
    .action(async (digest: string, args: SignArguments) => io.exit(await runSign(digest, args, io)))
  describeApproving(approve.command('cancel').description('calls a proposal off, for ever'), true)
    .argument('<digest>', 'of the proposal', digestText)
    .requiredOption('--reason <text>', 'why, in one line', lineText)
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger approve cancel 0f1e2d3c4b5a6978 --reason "not reviewed" ${ownerExample}`,
    )
    .action(async (digest: string, args: SignArguments) => io.exit(await runCancel(digest, args, io)))
  describeApproveSet(approve, io)
}
