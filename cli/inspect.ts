import type { Command } from 'commander'
import { exitCodes, groupHex, type Io, paint, sayError } from '#cli/output.js'
import { formatBytes, progressBar } from '#cli/progress.js'
import { loadOwnerPublicKey } from '#convert/keys/owner-keys.js'
import { openSealedFolder, readSmallFile, verifyContents } from '#convert/unseal/sealed-folder.js'
import { isFailure } from '#core/failure.js'
import { manifestDigest, ownerThumbprint, type VerifiedManifest } from '#core/sealed/manifest.js'
import { manifestName } from '#core/sealed/signature.js'

export interface InspectArguments {
  readonly folder: string
  readonly ownerKey?: string | undefined
  readonly json?: boolean | undefined
}

function summaryOf(manifest: VerifiedManifest, digest: string, pinned: boolean): object {
  return {
    verified: true,
    manifestDigest: digest,
    model: manifest.model,
    owner: { thumbprint: ownerThumbprint(manifest), key: manifest.owner, pinned },
    licence: manifest.licence,
    bytes: manifest.size,
    files: manifest.files.map(({ path, role, engine, plaintextLength, segments, digest: root }) => ({
      path,
      role,
      ...(engine === undefined ? {} : { engine }),
      bytes: plaintextLength,
      segments: segments.length,
      digest: root,
    })),
  }
}

function print(manifest: VerifiedManifest, digest: string, pinned: boolean, io: Io): void {
  const segments = manifest.files.reduce((sum, file) => sum + file.segments.length, 0)
  const whose = pinned ? 'the key that you gave' : 'as the manifest says: no --owner-key was given'
  io.stdout(`model     ${manifest.model.id} v${manifest.model.version}\n`)
  io.stdout(`manifest  sha256 ${groupHex(digest)}\n`)
  io.stdout(`owner     ${ownerThumbprint(manifest)} (${whose})\n`)
  io.stdout(`licence   ${manifest.licence ?? 'none stated'}\n`)
  const width = Math.max(...manifest.files.map((file) => file.role.length))
  for (const file of manifest.files) {
    const made = file.engine === undefined ? '' : `  (${file.engine})`
    io.stdout(`  ${file.role.padEnd(width)}  ${formatBytes(file.plaintextLength).padStart(10)}  ${file.path}${made}\n`)
  }
  const what = `signature, ${manifest.files.length} files, ${segments} segments, ${formatBytes(manifest.size)}`
  io.stdout(`${paint(io, 'green', 'verified')}  ${what}; nothing was decrypted\n`)
}

/** Shows and verifies a sealed folder without any secret: signature, lengths, every segment, no file too many. */
export async function run(args: InspectArguments, io: Io): Promise<number> {
  const ownerKey = args.ownerKey === undefined ? null : await loadOwnerPublicKey(args.ownerKey)
  await readSmallFile(args.folder, manifestName) // no sealed folder is a failure; one that does not verify is a verdict
  const bar = progressBar(io)
  try {
    const { manifest, bytes, signature } = await openSealedFolder(args.folder, ownerKey)
    await verifyContents(args.folder, manifest, signature, bar.onProgress).finally(bar.end)
    const digest = manifestDigest(bytes)
    if (args.json === true) io.stdout(`${JSON.stringify(summaryOf(manifest, digest, ownerKey !== null), null, 2)}\n`)
    else print(manifest, digest, ownerKey !== null, io)
    return exitCodes.ok
  } catch (error) {
    if (!isFailure(error)) throw error
    const { code, message } = error
    if (args.json === true) io.stdout(`${JSON.stringify({ verified: false, failure: { code, message } }, null, 2)}\n`)
    else io.stdout(`${paint(io, 'red', 'NOT VERIFIED')}  ${args.folder}\n`)
    sayError(io, error)
    return exitCodes.verdict
  }
}

export function describe(program: Command, io: Io): void {
  program
    .command('inspect')
    .description('shows a sealed folder and verifies all of it; needs no key. Exit 3 when it does not verify')
    .argument('<sealed-dir>', 'of claviger seal')
    .option('--owner-key <file>', 'public key (PEM) that must have signed; otherwise the one that the manifest names')
    .option('--json', 'for machines')
    .addHelpText('after', '\nExample:\n  ./claviger inspect sealed --owner-key keys/owner.pub.pem')
    .action(async (folder: string, options: Omit<InspectArguments, 'folder'>) =>
      io.exit(await run({ folder, ...options }, io)),
    )
}
