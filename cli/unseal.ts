import { resolve } from 'node:path'
import type { Command } from 'commander'
import { exitCodes, type Io } from '#cli/output.js'
import { formatBytes, progressBar } from '#cli/progress.js'
import { loadOwnerPublicKey } from '#convert/keys/owner-keys.js'
import { unsealToFolder, verifyUnseal } from '#convert/unseal/unseal.js'
import { wipe } from '#core/bytes/secret.js'
import { readSecretFile } from '#host/files.js'

export interface UnsealArguments {
  readonly folder: string
  readonly identity: string
  readonly out: string
  readonly ownerKey?: string | undefined
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

/** Decrypts a sealed folder with the owner's offline identity: the way back when no broker is left. */
export async function run(args: UnsealArguments, io: Io): Promise<number> {
  const ownerKey = args.ownerKey === undefined ? null : await loadOwnerPublicKey(args.ownerKey)
  const identity = await readSecretFile(args.identity)
  const bar = progressBar(io)
  try {
    const dryRun = args.dryRun === true
    const manifest = await (dryRun ? verifyUnseal : unsealToFolder)({
      folder: args.folder,
      out: resolve(args.out),
      identity,
      ownerKey,
      onProgress: bar.onProgress,
    }).finally(bar.end)
    const { id, version } = manifest.model
    const { files, size } = manifest
    if (args.json === true) {
      io.stdout(
        `${JSON.stringify({ model: id, version, out: args.out, files: files.length, bytes: size, dryRun }, null, 2)}\n`,
      )
    } else {
      io.stdout(`model     ${id} v${version}\n`)
      const what = `${args.out}: ${files.length} files, ${formatBytes(size)}`
      io.stdout(
        dryRun
          ? `would unseal to ${what}: this identity opens them, and nothing was written\n`
          : `unsealed  ${what}, each the one that was sealed\n`,
      )
    }
    return exitCodes.ok
  } finally {
    wipe(identity)
  }
}

export function describe(program: Command, io: Io): void {
  program
    .command('unseal')
    .description('decrypts a sealed folder with the owner’s recovery identity, without any broker')
    .argument('<sealed-dir>', 'of claviger seal')
    .requiredOption('--identity <file>', 'recovery identity (age), of mode 0600')
    .requiredOption('--out <folder>', 'the model’s folder, which must not exist')
    .option('--owner-key <file>', 'public key (PEM) that must have signed; otherwise the one that the manifest names')
    .option('--dry-run', 'verifies that folder and identity would do, and writes nothing')
    .option('--json', 'for machines')
    .addHelpText('after', '\nExample:\n  ./claviger unseal sealed --identity recovery-identity.txt --out whisper')
    .action(async (folder: string, options: Omit<UnsealArguments, 'folder'>) => {
      io.exit(await run({ folder, ...options }, io))
    })
}
