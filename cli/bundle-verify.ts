import type { Command } from 'commander'
import { renderSteps } from '#cli/card.js'
import { readJudged, refuseJudged } from '#cli/judged-file.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { checkBundle, judgeBundle, type VerifiedAnyBundle } from '#client/any-bundle.js'
import { teeText } from '#client/card.js'
import type { Judged, Step } from '#client/steps.js'
import type { Json } from '#core/encoding/json.js'
import type { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { Evidence } from '#core/wire/evidence.js'
import { heldBorders } from '#policies/location/atlas/read.js'

export interface BundleVerifyArguments {
  readonly file: string
  readonly trust?: string | undefined
  readonly json?: boolean | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
}

const machine = (platform: 'hardware' | 'simulated', evidence: Evidence | null) =>
  evidence !== null
    ? teeText(evidence, platform)
    : platform === 'hardware'
      ? 'genuine hardware'
      : 'a SIMULATED machine (NOT HARDWARE)'

/** A bundle carries no evidence of its broker: what the broker says of itself is its word. */
const brokerWords = (standing: BrokerStanding) =>
  standing === 'UNATTESTED BROKER' ? `an ${standing}` : `a broker that calls itself ${standing}`

function sentence(found: VerifiedAnyBundle): string {
  const place = `log entry #${found.inclusion.index} at ${formatTime(found.bundle.at)}`
  if (found.kind === 'state') {
    const { value } = found.statement
    const about = 'model' in value ? ` of ${value.model}` : ''
    return `The owner’s ${found.entry.change} statement ${value.sequence}${about} took effect as ${place}.`
  }
  if (found.kind === 'proposal') {
    const { value } = found.statement
    const about = 'model' in value ? ` of ${value.model}` : ''
    const what = found.entry.act === 'proposed' ? 'was proposed' : 'was called off'
    return `The owner’s ${found.entry.change} statement ${value.sequence}${about} ${what} as ${place}: it is not in force by this.`
  }
  const again = 'judged again offline with the same outcome'
  if (found.kind === 'decision') {
    const { entry } = found
    const denied = entry.kind === 'denial' ? `DENIED (${entry.reasons.join(', ')})` : null
    const outcome = denied ?? (entry.kind === 'release' ? 'RELEASED' : 'RENEWED')
    return `${outcome} as ${place}, on ${machine(entry.platform, found.bundle.request.evidence)}, by ${brokerWords(entry.broker)}; ${again}.`
  }
  const { entry } = found
  const outcome = entry.allow ? `RELEASED to an ${entry.client}` : `DENIED (${entry.reasons.join(', ')})`
  const how = found.verdict === null ? 'by the operator’s own rule, which is not in the bundle' : again
  return `${found.bundle.resource}: ${outcome} by KBS as ${place}, on ${machine(entry.platform, found.bundle.evidence)}, by ${brokerWords(entry.broker)}; ${how}.`
}

/** What is shown of a bundle: in words, to machines, and as an exit code. */
interface Outcome {
  readonly word: string
  readonly colour: 'green' | 'yellow' | 'red'
  readonly accepted: boolean
  readonly steps: readonly Step[]
  readonly failure: Failure | null
  readonly found: VerifiedAnyBundle | null
}

/** A bundle is judged by the reader's own anchors; those that came with it prove nothing (I19). */
function outcomeOf(args: BundleVerifyArguments, verdict: Judged<VerifiedAnyBundle>): Outcome {
  const { steps } = verdict
  const not = { accepted: false, steps, failure: null }
  if (!verdict.ok) {
    return { ...not, word: 'NOT VERIFIED', colour: 'red', failure: verdict.failure, found: null }
  }
  const found = verdict.value
  // What a step did not look at is not good: it is said, and the exit code says it too.
  if (steps.some((step) => step.status === 'not checked'))
    return { ...not, word: 'LOGGED, NOT JUDGED AGAIN', colour: 'yellow', found }
  const simulated = found.kind !== 'state' && found.kind !== 'proposal' && found.entry.platform === 'simulated'
  if (simulated && args.dangerousAllowSimulated !== true)
    return { ...not, word: 'SIMULATED: NOT HARDWARE', colour: 'red', found }
  return {
    word: simulated ? 'SIMULATED: NOT HARDWARE' : 'VERIFIED',
    colour: 'green',
    accepted: true,
    steps,
    failure: null,
    found,
  }
}

async function outcomeWithoutTrust(file: Json): Promise<Outcome> {
  const checked = await checkBundle(file)
  const failure = checked.ok ? null : checked.failure
  const word = checked.ok ? 'consistent, not verified' : 'NOT VERIFIED'
  const colour = checked.ok ? 'yellow' : 'red'
  return { word, colour, accepted: false, steps: checked.steps, failure, found: null }
}

/** Judges a bundle of any kind, offline. Exit 0 when every step passed on hardware, 3 otherwise. */
export async function run(args: BundleVerifyArguments, io: Io): Promise<number> {
  const read = await readJudged(args.file, 'bundle')
  if ('failure' in read) return refuseJudged(read.failure, args.json, io)
  const file = read.document
  if (args.trust === undefined) {
    const outcome = await outcomeWithoutTrust(file)
    print(args, outcome, io)
    io.stderr('hint: add --trust trust.json: a bundle that brings its own anchors proves itself\n')
    return exitCodes.verdict
  }
  const { trust } = await loadTrust(args.trust, io.now())
  const outcome = outcomeOf(args, await judgeBundle(file, trust, heldBorders))
  print(args, outcome, io)
  if (outcome.word.startsWith('SIMULATED') && !outcome.accepted)
    io.stderr('hint: add --dangerous-allow-simulated to accept simulated evidence, for development only\n')
  return outcome.accepted ? exitCodes.ok : exitCodes.verdict
}

function print(args: BundleVerifyArguments, { word, colour, accepted, steps, failure, found }: Outcome, io: Io): void {
  if (args.json) {
    const why = failure && { code: failure.code, message: failure.message }
    const decision = found && { kind: found.kind, entry: found.entry, index: found.inclusion.index }
    io.stdout(`${JSON.stringify({ verdict: word, accepted, failure: why, steps, decision }, null, 2)}\n`)
    return
  }
  io.stdout(renderSteps(steps, io))
  if (found !== null) io.stdout(`${paint(io, 'bold', printable(sentence(found)))}\n`)
  io.stdout(`${paint(io, colour, word)}\n`)
}

/** Adds `verify` to the command `bundle`. */
export function describeVerify(bundle: Command, io: Io): void {
  bundle
    .command('verify')
    .argument('<file>', 'the bundle: bundle.json')
    .description('judge what stands in the log, offline, against your own trust file: decisions are made again')
    .option('--trust <file>', 'your trust file')
    .option('--json', 'print the verdict as JSON')
    .option('--dangerous-allow-simulated', 'accept simulated evidence: NOT HARDWARE, for development only')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger bundle verify bundle.json --trust trust.json\n\nExit 0 same verdict, 3 verdict against, not judged to the end, or simulated. Without --trust the parts are only compared with\neach other: that is no verdict, and exit 3.',
    )
    .action(async (file: string, options: Omit<BundleVerifyArguments, 'file'>) => {
      io.exit(await run({ ...options, file }, io))
    })
}
