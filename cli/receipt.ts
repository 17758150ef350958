import type { Command } from 'commander'
import { renderCard, renderSteps } from '#cli/card.js'
import type { UsageCode } from '#cli/client-policy.js'
import { readInput } from '#cli/input.js'
import { readJudged, refuseJudged } from '#cli/judged-file.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { answerCard } from '#client/card.js'
import { judged } from '#client/steps.js'
import {
  consistencySteps,
  type ReceiptTrust,
  receiptSteps,
  verifyConsistency,
  verifyReceipt,
} from '#client/verify-receipt.js'
import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'

export interface ReceiptArguments {
  readonly file: string
  readonly trust?: string | undefined
  readonly request?: string | undefined
  readonly response?: string | undefined
  readonly json?: boolean | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
}

/** Both bodies, or null where none is named: one alone would be compared with nothing. */
async function readBodies(args: ReceiptArguments) {
  if (args.request === undefined && args.response === undefined) return null
  if (args.request === undefined || args.response === undefined || args.trust === undefined)
    throw new Failure<UsageCode>('usage/bodies', '--request, --response and --trust go together')
  return {
    request: await readInput(args.request, 'request'),
    response: await readInput(args.response, 'response'),
  }
}

/** Verifies a receipt offline. Without a trust file it can at most be consistent: exit 3. */
export async function run(args: ReceiptArguments, io: Io): Promise<number> {
  const read = await readJudged(args.file, 'receipt')
  const bodies = await readBodies(args)
  if ('failure' in read) return refuseJudged(read.failure, args.json, io)
  const file = read.document
  return args.trust === undefined ? runConsistency(args, file, io) : runTrusted(args, file, args.trust, bodies, io)
}

async function runTrusted(
  args: ReceiptArguments,
  file: Json,
  trustPath: string,
  bodies: ReceiptTrust['bodies'],
  io: Io,
): Promise<number> {
  const { trust } = await loadTrust(trustPath, io.now())
  const input = { trust, policy: null, dangerousAllowSimulated: true, bodies }
  const verdict = await judged(receiptSteps, (steps) => verifyReceipt(file, input, steps))
  const simulated = verdict.ok && verdict.value.node.platform === 'simulated'
  const accepted = verdict.ok && (!simulated || args.dangerousAllowSimulated === true)
  const word = !verdict.ok ? 'NOT VERIFIED' : simulated ? 'SIMULATED: NOT HARDWARE' : 'VERIFIED'
  if (args.json) {
    const card = verdict.ok ? answerCard(verdict.value, trust) : null
    const failure = verdict.ok ? null : { code: verdict.failure.code, message: verdict.failure.message }
    const hardware = verdict.ok && !simulated
    io.stdout(
      `${JSON.stringify({ verdict: word, accepted, hardware, failure, steps: verdict.steps, card }, null, 2)}\n`,
    )
  } else {
    io.stdout(renderSteps(verdict.steps, io))
    if (verdict.ok) io.stdout(renderCard(answerCard(verdict.value, trust), io))
    io.stdout(`${paint(io, accepted ? 'green' : 'red', word)}\n`)
  }
  if (simulated && !accepted) {
    io.stderr(
      `${paint(io, 'cyan', 'hint:')} add --dangerous-allow-simulated to accept a simulated node, for development only\n`,
    )
  }
  return accepted ? exitCodes.ok : exitCodes.verdict
}

async function runConsistency(args: ReceiptArguments, file: Json, io: Io): Promise<number> {
  const verdict = await judged(consistencySteps, (steps) => verifyConsistency(file, steps))
  const word = verdict.ok ? 'consistent, not verified' : 'NOT VERIFIED'
  if (args.json) {
    const failure = verdict.ok ? null : { code: verdict.failure.code, message: verdict.failure.message }
    io.stdout(
      `${JSON.stringify({ verdict: word, accepted: false, hardware: false, failure, steps: verdict.steps, card: null }, null, 2)}\n`,
    )
  } else io.stdout(`${renderSteps(verdict.steps, io)}${paint(io, 'yellow', word)}\n`)
  io.stderr('hint: add --trust trust.json: anchors that came with a receipt prove nothing\n')
  return exitCodes.verdict
}

export function describe(program: Command, io: Io): void {
  program
    .command('receipt')
    .description('work with receipts')
    .command('verify')
    .argument('<file>', 'the receipt: receipt.json')
    .description('verify a receipt offline against your own trust file')
    .option('--trust <file>', 'your trust file')
    .option('--request <file>', 'the request body, to compare with the commitment; with --response')
    .option('--response <file>', 'the response body, to compare with the commitment; with --request')
    .option('--json', 'print the verdict as JSON')
    .option('--dangerous-allow-simulated', 'accept a simulated node: NOT HARDWARE, for development only')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger receipt verify receipt.json --trust trust.json\n\nExit 0 verified, 3 verdict against, simulated, or only consistent.',
    )
    .action(async (file: string, options: Omit<ReceiptArguments, 'file'>) => {
      io.exit(await run({ ...options, file }, io))
    })
}
