import type { Command } from 'commander'
import { readDocument } from '#cli/input.js'
import { modelName, wholeNumber } from '#cli/option-values.js'
import { exitCodes, forTerminal, type Io, paint, printable } from '#cli/output.js'
import { describeOwner, type OwnerArguments, openOwner, ownerExample, registrationOf } from '#cli/owner.js'
import { policyText } from '#cli/policy/text.js'
import { loadTrust } from '#cli/trust-store.js'
import { type Tried, type Tryout, tryBundle } from '#client/dry-run.js'
import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { validatePolicy } from '#policies/index.js'
import { heldBorders } from '#policies/location/atlas/read.js'

/** Failures of trying a policy. */
export type DryRunCode =
  /** neither a policy nor reference values are given */
  'dry-run/nothing'

export interface DryRunArguments extends OwnerArguments {
  readonly model: string
  readonly last: number
  readonly referenceValues?: string | undefined
}

async function readTried(nameOrFile: string | undefined, args: DryRunArguments): Promise<Tried> {
  const policy = nameOrFile === undefined ? undefined : await policyText(nameOrFile)
  if (policy !== undefined) validatePolicy(policy)
  const { referenceValues: file } = args
  const values = file === undefined ? undefined : await readDocument(file, referenceValuesShape, 'reference values')
  if (policy !== undefined || values !== undefined) return { policy, values }
  throw new Failure<DryRunCode>('dry-run/nothing', 'there is nothing to try', {
    detail: { hint: 'give a policy, --reference-values FILE, or both' },
  })
}

interface Bad {
  readonly entry: number
  readonly code: string
  readonly message: string
}
interface Found {
  readonly tried: Tryout[]
  readonly bad: Bad[]
}

/** The last decisions about a model, the newest first, each verified and then made again with what is tried. */
async function tryAll(tried: Tried, args: DryRunArguments, io: Io): Promise<Found> {
  const { trust } = await loadTrust(args.trust, io.now())
  const owner = await openOwner(args, io)
  const { model } = await registrationOf(owner, owner.modelId(args.model))
  const found: Found = { tried: [], bad: [] }
  let before: number | null = null
  for (;;) {
    const page = await owner.decisions(before)
    for (const { entry } of page.filter((one) => one.model === model)) {
      if (found.tried.length + found.bad.length >= args.last) return found
      const outcome = await tryBundle((await owner.bundle(entry)) as unknown as Json, trust, tried, heldBorders)
      if (outcome.ok) found.tried.push(outcome.tryout)
      else found.bad.push({ entry, code: outcome.failure.code, message: outcome.failure.message })
      const done = found.tried.length + found.bad.length
      if (io.isTerminal) io.stderr(`\r${done} of at most ${args.last} decisions`)
    }
    if (page.length === 0) return found
    before = page.at(-1)!.entry
  }
}

function tell({ entry, at, kind, would, reasons, before }: Tryout, io: Io): void {
  const word = would === 'deny' ? paint(io, 'red', 'would refuse') : paint(io, 'green', 'would allow')
  io.stdout(`${word} #${entry} ${kind} of ${formatTime(at)}\n`)
  if (would === 'allow') io.stdout(`  was denied by ${printable(before.join(', '))}\n`)
  for (const { id, expected, actual, remedy } of reasons) {
    const compared = expected === null ? '' : `: expected ${expected}, found ${actual ?? 'nothing'}`
    io.stdout(`  ${forTerminal(`${id}${compared}${remedy === null ? '' : `; ${remedy}`}`)}\n`)
  }
}

/**
 * Which of the last decisions about a model a policy, or reference values, would have turned. Nothing is signed and nothing
 * is sent. Exit 3 when a recorded decision does not verify: what was not looked at is not good.
 */
export async function runDryRun(nameOrFile: string | undefined, args: DryRunArguments, io: Io): Promise<number> {
  const tried = await readTried(nameOrFile, args)
  const { tried: all, bad } = await tryAll(tried, args, io)
  if (io.isTerminal) io.stderr('\r\x1b[2K')
  const refused = all.filter((one) => one.was === 'allow' && one.would === 'deny')
  const allowed = all.filter((one) => one.was === 'deny' && one.would === 'allow')
  if (args.json) io.stdout(`${JSON.stringify({ decisions: all.length, refused, allowed, notVerified: bad })}\n`)
  else {
    for (const one of [...refused, ...allowed]) tell(one, io)
    for (const { entry, code, message } of bad)
      io.stdout(`${paint(io, 'yellow', 'not verified')} #${entry}: ${printable(message)} (${code})\n`)
    const rest = all.length - refused.length - allowed.length
    io.stdout(
      `of ${all.length} decisions: ${refused.length} releases refused, ${allowed.length} denials allowed, ${rest} the same\n`,
    )
  }
  return bad.length === 0 ? exitCodes.ok : exitCodes.verdict
}

export function describeDryRun(policy: Command, io: Io): void {
  describeOwner(
    policy.command('dry-run').description('which recorded decisions another policy would have turned; changes nothing'),
    false,
  )
    .argument('[file]', 'a Cedar policy, or a name of the library')
    .requiredOption('--model <name>', 'the model, as it is registered', modelName)
    .option('--reference-values <file>', 'reference values to try, alone or with the policy')
    .option('--last <n>', 'how many decisions, the newest first', wholeNumber(1, 10_000, 100), 100)
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger policy dry-run eu-personal-data --model whisper --last 500 ${ownerExample}\n\nExit 0 all were made again, 3 some do not verify.`,
    )
    .action(async (file: string | undefined, args: DryRunArguments) => io.exit(await runDryRun(file, args, io)))
}
