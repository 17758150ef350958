import { join } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { createOwnerKeys, ownerKeyFiles, verifyKeysPlace } from '#convert/keys/owner-keys.js'

export interface KeysNewArguments {
  readonly out: string
  readonly name: string
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

/** Makes an owner's keys in a folder, and says which of the files has to leave it. */
export async function run(args: KeysNewArguments, io: Io): Promise<number> {
  const path = (file: string) => join(args.out, file)
  if (args.dryRun === true) {
    await verifyKeysPlace(args.out)
    const files = Object.values(ownerKeyFiles).map(path)
    if (args.json === true) io.stdout(`${JSON.stringify({ dryRun: true, name: args.name, files }, null, 2)}\n`)
    else io.stdout(`would make keys of ${args.name}; nothing was written\n${files.map((one) => `  ${one}\n`).join('')}`)
    return exitCodes.ok
  }
  const keys = await createOwnerKeys(args.out, args.name)
  const { publicKey, id } = keys.signingKey
  if (args.json === true) {
    const files = {
      signingKey: path(ownerKeyFiles.signing),
      publicKey: path(ownerKeyFiles.public),
      recoveryIdentity: path(ownerKeyFiles.recoveryIdentity),
    }
    const { recoveryRecipient } = keys
    io.stdout(`${JSON.stringify({ owner: id, name: args.name, publicKey, recoveryRecipient, files }, null, 2)}\n`)
  } else {
    io.stdout(`owner        ${id}\n`)
    io.stdout(`signing key  ${path(ownerKeyFiles.signing)}: signs models and statements; back it up\n`)
    io.stdout(`public key   ${path(ownerKeyFiles.public)}: give it to whoever verifies\n`)
    io.stdout(`recovery     ${path(ownerKeyFiles.recoveryIdentity)}: opens every model that these keys seal\n`)
  }
  io.stderr(
    `${paint(io, 'yellow', 'now:')} move ${path(ownerKeyFiles.recoveryIdentity)} to a place that is not connected, and delete it here\n`,
  )
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const name = (text: string) => {
    // The name stands in comments of key files: one line, nothing that a terminal acts on.
    if (!/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,99}$/u.test(text)) {
      throw new InvalidArgumentError(
        'expected up to 100 letters, digits, spaces, dots, underscores and hyphens, such as acme',
      )
    }
    return text
  }
  program
    .command('keys')
    .description('an owner’s keys')
    .command('new')
    .description('makes a signing key (ECDSA P-256) and an offline recovery identity (age) in a new folder')
    .requiredOption('--out <folder>', 'where the keys go')
    .requiredOption('--name <name>', 'the owner’s name, for the comments that people read', name)
    .option('--dry-run', 'says what would be made, and writes nothing')
    .option('--json', 'for machines')
    .addHelpText('after', '\nExample:\n  ./claviger keys new --out keys --name acme')
    .action(async (args: KeysNewArguments) => {
      io.exit(await run(args, io))
    })
}
