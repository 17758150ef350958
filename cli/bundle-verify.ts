import type { Command } from 'commander'
import { renderSteps } from '#cli/card.js'
import { readInput } from '#cli/input.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { type Judged, judged } from '#client/steps.js'
import { bundleSteps, type VerifiedBundle, verifyBundle } from '#client/verify-bundle.js'
import { parseJson } from '#core/encoding/json.js'
import { MiB } from '#core/limits.js'
import { formatTime } from '#core/time.js'

export interface BundleVerifyArguments {
  readonly file: string
  readonly trust?: string | undefined
  readonly json?: boolean | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
}

function sentence({ bundle, entry, inclusion, verdict }: VerifiedBundle): string {
  const outcome =
    entry.kind === 'denial' ? `DENIED (${entry.reasons.join(', ')})` : entry.kind === 'release' ? 'RELEASED' : 'RENEWED'
  const platform = verdict.result.platform === 'hardware' ? 'AMD SEV-SNP' : 'SIMULATED SEV-SNP (NOT HARDWARE)'
  return `${outcome} as log entry #${inclusion.index} at ${formatTime(bundle.at)}, on ${platform}, by an ${entry.broker}; judged again offline with the same outcome.`
}

/** Makes a logged decision again, offline. Exit 0 when the same verdict is reached on hardware, 3 otherwise. */
export async function run(args: BundleVerifyArguments, io: Io): Promise<number> {
  const file = parseJson(await readInput(args.file, 'bundle'), 16 * MiB)
  if (args.trust === undefined) {
    // Anchors that came with a bundle prove nothing: there is no verdict without the reader's own (I19).
    io.stdout(`${paint(io, 'yellow', 'consistent at most, not verified')}\n`)
    io.stderr('hint: add --trust trust.json: a bundle that brings its own anchors proves itself\n')
    return exitCodes.verdict
  }
  const { trust } = await loadTrust(args.trust, io.now())
  const verdict = await judged(bundleSteps, (steps) => verifyBundle(file, trust, steps))
  return report(args, verdict, io)
}

function report(args: BundleVerifyArguments, verdict: Judged<VerifiedBundle>, io: Io): number {
  const simulated = verdict.ok && verdict.value.verdict.result.platform === 'simulated'
  const accepted = verdict.ok && (!simulated || args.dangerousAllowSimulated === true)
  const word = !verdict.ok ? 'NOT VERIFIED' : simulated ? 'SIMULATED: NOT HARDWARE' : 'VERIFIED'
  if (args.json) {
    const failure = verdict.ok ? null : { code: verdict.failure.code, message: verdict.failure.message }
    const decision = verdict.ok ? { entry: verdict.value.entry, index: verdict.value.inclusion.index } : null
    io.stdout(`${JSON.stringify({ verdict: word, accepted, failure, steps: verdict.steps, decision }, null, 2)}\n`)
  } else {
    io.stdout(renderSteps(verdict.steps, io))
    if (verdict.ok) io.stdout(`${paint(io, 'bold', sentence(verdict.value))}\n`)
    io.stdout(`${paint(io, accepted ? 'green' : 'red', word)}\n`)
  }
  if (simulated && !accepted)
    io.stderr('hint: add --dangerous-allow-simulated to accept simulated evidence, for development only\n')
  return accepted ? exitCodes.ok : exitCodes.verdict
}

/** Adds `verify` to the command `bundle`. */
export function describeVerify(bundle: Command, io: Io): void {
  bundle
    .command('verify')
    .argument('<file>', 'the bundle: bundle.json')
    .description('make a logged decision again, offline, against your own trust file')
    .option('--trust <file>', 'your trust file')
    .option('--json', 'print the verdict as JSON')
    .option('--dangerous-allow-simulated', 'accept simulated evidence: NOT HARDWARE, for development only')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger bundle verify bundle.json --trust trust.json\n\nExit 0 same verdict, 3 verdict against or simulated.',
    )
    .action(async (file: string, options: Omit<BundleVerifyArguments, 'file'>) => {
      io.exit(await run({ ...options, file }, io))
    })
}
