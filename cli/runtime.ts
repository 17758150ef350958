import type { Command } from 'commander'
import { runtimeFileShape } from '#attest/reference/runtime-file.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { simulatedRuntime } from '#cli/reference-values.js'
import { verifyResultPlace, writeResult } from '#cli/result-file.js'
import { openSimulatedAttester, simulatedPlatformPath } from '#cli/simulated-attester.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'

/** Failures of writing a runtime's values. */
export type RuntimeCommandCode =
  /** there is no measured image of the runtime: only a simulated machine has values so far */
  'runtime/unmeasured'

export interface RuntimeValuesArguments {
  readonly out: string
  readonly simulated?: boolean | undefined
  readonly platformState?: string | undefined
  readonly json?: boolean | undefined
}

const result = { shape: runtimeFileShape, what: 'values of a runtime' } as const

/**
 * Writes what a reader would accept of the runtime, for `claviger init --runtime`: of the simulated machine of this
 * computer, with its root, and with the runtime as it is built here.
 */
export async function run(args: RuntimeValuesArguments, io: Io): Promise<number> {
  if (args.simulated !== true) {
    throw new Failure<RuntimeCommandCode>('runtime/unmeasured', 'there is no measured image of the runtime yet', {
      detail: { hint: 'add --simulated for the simulated machine of this computer: NOT HARDWARE' },
    })
  }
  await verifyResultPlace(args.out, result)
  const attester = await openSimulatedAttester(args.platformState ?? simulatedPlatformPath(), io.now())
  const runtime = simulatedRuntime(attester)
  const { rootDigest, measurement } = attester
  await writeResult(args.out, canonicalJson(runtime), result)
  io.stderr(
    `${paint(io, 'magenta', 'NOT HARDWARE:')} whoever has the key of this machine can say anything in its name\n`,
  )
  if (args.json) io.stdout(`${JSON.stringify({ out: args.out, title: runtime.title, measurement, rootDigest })}\n`)
  else {
    io.stdout(`measurement  ${measurement}\n`)
    io.stdout(`root         ${rootDigest}\n`)
    io.stdout(`values       ${args.out}\n`)
  }
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  program
    .command('runtime')
    .description('what a reader accepts of the runtime')
    .command('values')
    .description('writes title and reference values of the runtime, for init; simulated ones name their root too')
    .option('--simulated', 'of the simulated machine of this computer: NOT HARDWARE, for development only')
    .option('--platform-state <file>', 'keys of the simulated machine; made on first use')
    .requiredOption('--out <file>', 'where to write them')
    .option('--json', 'print what was written as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger runtime values --simulated --out runtime.json')
    .action(async (args: RuntimeValuesArguments) => io.exit(await run(args, io)))
}
