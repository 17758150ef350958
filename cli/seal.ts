import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { lineName, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { formatBytes, progressBar } from '#cli/progress.js'
import { loadOwnerKeys, storeModelKey } from '#convert/keys/owner-keys.js'
import { planSeal, type SealPlan, sealModel } from '#convert/seal/seal.js'
import { wipe } from '#core/bytes/secret.js'
import { ciphertextLength } from '#core/sealed/layout.js'

export interface SealArguments {
  readonly folder: string
  readonly out: string
  readonly keys: string
  readonly name: string
  readonly version: number
  readonly licence?: string | undefined
  readonly prepare?: boolean | undefined
  readonly preparedBy?: string | undefined
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

function printPlan(plan: SealPlan, io: Io): void {
  const width = Math.max(...plan.files.map((file) => file.role.length))
  for (const file of plan.files) {
    io.stderr(`  ${file.role.padEnd(width)}  ${formatBytes(file.size).padStart(10)}  ${file.path}\n`)
  }
}

/** Runs `work` while the engine's own form lies beside each graph; it is removed after. */
async function withPreparedForms<T>(
  folder: string,
  plan: SealPlan,
  work: (preparedBy: string) => Promise<T>,
): Promise<T> {
  const { prepareForm, preparedBy } = await import('#runtime/engine/prepare.js') // the engine's library is loaded only when asked for
  const written: string[] = []
  try {
    for (const { path, role } of plan.files) {
      if (role !== 'graph') continue
      const form = path.replace(/\.onnx$/, '.ort')
      written.push(join(folder, form))
      await prepareForm(join(folder, path), join(folder, form))
    }
    return await work(preparedBy)
  } finally {
    for (const path of written) await rm(path, { force: true })
  }
}

/** Seals what lies in the folder now. */
async function seal(args: SealArguments, plan: SealPlan, io: Io): Promise<number> {
  const owner = await loadOwnerKeys(args.keys)
  const bar = progressBar(io)
  const { manifest, manifestDigest, dek } = await sealModel({
    folder: args.folder,
    out: resolve(args.out), // a slash at the end would put the unfinished folder inside
    modelName: args.name,
    version: args.version,
    ownerKey: owner.signingKey,
    recoveryRecipient: owner.recoveryRecipient,
    licence: args.licence ?? null,
    preparedBy: args.preparedBy ?? null,
    storeKey: (digest, key) => storeModelKey(args.keys, digest, key),
    onProgress: bar.onProgress,
  }).finally(bar.end)
  wipe(dek)
  const { id, version } = manifest.model
  if (args.json === true) {
    const { files, size } = manifest
    const summary = { model: id, version, manifestDigest, out: args.out, files: files.length, bytes: size }
    io.stdout(`${JSON.stringify(summary, null, 2)}\n`)
    return exitCodes.ok
  }
  printPlan(plan, io)
  io.stdout(`model     ${id} v${version}\n`)
  io.stdout(`manifest  sha256 ${manifestDigest}\n`)
  io.stdout(`sealed    ${args.out}: ${manifest.files.length} files, ${formatBytes(manifest.size)}\n`)
  io.stderr(`its key is in ${args.keys}, and in the sealed folder for your recovery identity\n`)
  return exitCodes.ok
}

/** Seals a model's folder, or says what would be sealed. */
export async function run(args: SealArguments, io: Io): Promise<number> {
  const plan = await planSeal(args.folder, args.prepare === true ? null : (args.preparedBy ?? null))
  if (args.dryRun === true) {
    const sealedBytes = plan.files.reduce((sum, file) => sum + ciphertextLength(file.size), 0)
    if (args.json === true) {
      io.stdout(`${JSON.stringify({ dryRun: true, files: plan.files, bytes: plan.size, sealedBytes }, null, 2)}\n`)
    } else {
      printPlan(plan, io)
      io.stdout(`would seal ${plan.files.length} files, ${formatBytes(plan.size)}; nothing was written\n`)
    }
    return exitCodes.ok
  }
  if (args.prepare !== true) return seal(args, plan, io)
  return withPreparedForms(args.folder, plan, async (preparedBy) =>
    seal({ ...args, preparedBy }, await planSeal(args.folder, preparedBy), io),
  )
}

export function describe(program: Command, io: Io): void {
  const licence = (text: string) => {
    if (/^[A-Za-z0-9(][A-Za-z0-9.+() :-]{0,199}$/.test(text)) return text
    throw new InvalidArgumentError('expected an SPDX expression, such as Apache-2.0')
  }
  const engine = (text: string) => {
    if (/^[a-z0-9-]+ [0-9]+(\.[0-9]+)*$/.test(text)) return text
    throw new InvalidArgumentError('expected an engine and its version, such as "onnxruntime 1.30.0"')
  }
  program
    .command('seal')
    .description('encrypts and signs a model’s folder; its key stays with you until you register it')
    .argument('<model-dir>', 'graphs, external data, tokenizer and config files, nothing else')
    .requiredOption('--out <folder>', 'the sealed folder, which must not exist')
    .requiredOption('--keys <folder>', 'of claviger keys new')
    .requiredOption('--name <name>', 'name of the model', lineName)
    .requiredOption(
      '--version <n>',
      'version of the model, higher with each release',
      wholeNumber(1, 999_999_999_999_999, 1),
    )
    .option('--licence <spdx>', 'licence that no holder may go below', licence)
    .addOption(
      new Option(
        '--prepare',
        'also seals the form that this version of ONNX Runtime uses in place: twice the size, half the memory',
      ).conflicts('preparedBy'),
    )
    .option('--prepared-by <engine>', 'the engine that made the .ort files in the folder, with its version', engine)
    .option('--dry-run', 'says what would be sealed, and writes nothing')
    .option('--json', 'for machines')
    .addHelpText('after', '\nExample:\n  ./claviger seal whisper --out sealed --keys keys --name whisper --version 1')
    .action(async (folder: string, options: Omit<SealArguments, 'folder'>) => {
      io.exit(await run({ folder, ...options }, io))
    })
}
