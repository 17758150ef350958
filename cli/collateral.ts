import type { Command } from 'commander'
import { loadFilledBundle, storeBundle } from '#attest/collateral/folder.js'
import type { Admission } from '#attest/collateral/options.js'
import { describeFetch } from '#cli/collateral-fetch.js'
import { describeStatus } from '#cli/collateral-status.js'
import {
  commonOptions,
  type JsonOption,
  jsonOf,
  lineOf,
  type RootsOption,
  storePlace,
  tellRefused,
  withStore,
} from '#cli/collateral-store.js'
import { exitCodes, type Io } from '#cli/output.js'
import type { StateArguments } from '#cli/serve-create.js'

export interface ExportArguments extends StateArguments, RootsOption, JsonOption {
  readonly out: string
}

/** Writes what a store holds into an offline bundle. */
export async function runExport(args: ExportArguments, io: Io): Promise<number> {
  const items = await withStore(args, io, null, (store) => store.items())
  await storeBundle(args.out, items)
  if (args.json) io.stdout(`${JSON.stringify({ out: args.out, items: items.map(jsonOf) }, null, 2)}\n`)
  else for (const item of items) io.stdout(`${lineOf(item)}\n`)
  if (items.length === 0) io.stderr('the store holds nothing\n')
  return exitCodes.ok
}

export interface ImportArguments extends StateArguments, RootsOption, JsonOption {
  readonly dryRun?: boolean | undefined
}

/** Verifies a bundle and keeps what is genuine, current and not older than what was seen. Exit 3 when some was refused. */
export async function runImport(path: string, args: ImportArguments, io: Io): Promise<number> {
  const bundle = await loadFilledBundle(path)
  const dryRun = args.dryRun === true
  const admissions = await withStore(args, io, null, (store) => store.admit(bundle, { dryRun }))
  const documents = admissions.map(({ name, outcome, failure }) => ({
    name,
    outcome,
    ...(failure === null ? {} : { code: failure.code, message: failure.message }),
  }))
  if (args.json) io.stdout(`${JSON.stringify({ dryRun, documents }, null, 2)}\n`)
  else for (const one of admissions) tellAdmission(io, one, dryRun)
  return admissions.some(({ failure }) => failure !== null) ? exitCodes.verdict : exitCodes.ok
}

function tellAdmission(io: Io, { name, outcome, failure }: Admission, dryRun: boolean): void {
  if (failure !== null) tellRefused(io, name, failure)
  else io.stdout(`${dryRun && outcome === 'stored' ? 'would store' : outcome} ${name}\n`)
}

export function describe(program: Command, io: Io): void {
  const collateral = program
    .command('collateral')
    .description('what vendors sign and a verification needs: chains, revocation lists, TCB info, RIMs')
  commonOptions(storePlace(collateral.command('export')))
    .description('write what a store holds into an offline bundle')
    .requiredOption('--out <path>', 'a folder, or one file when the name ends with .json')
    .addHelpText('after', '\nExample:\n  ./claviger collateral export --state services --out collateral')
    .action(async (args: ExportArguments) => io.exit(await runExport(args, io)))
  commonOptions(storePlace(collateral.command('import')))
    .argument('<path>', 'an offline bundle: a folder or a file')
    .description('verify a bundle, and keep what is genuine, current and not older than what was seen')
    .option('--dry-run', 'say what would be kept, and keep nothing')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger collateral import collateral --state services --dry-run\n\nExit 0 all kept, 3 some refused.',
    )
    .action(async (path: string, args: ImportArguments) => io.exit(await runImport(path, args, io)))
  describeFetch(collateral, io)
  describeStatus(collateral, io)
}
