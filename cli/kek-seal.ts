import { resolve } from 'node:path'
import type { Command } from 'commander'
import { lineName } from '#cli/option-values.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { loadOwnerKeys, storeModelKey } from '#convert/keys/owner-keys.js'
import { verifySealPlace } from '#convert/seal/seal.js'
import { sealKek } from '#convert/seal/seal-kek.js'
import { wipe } from '#core/bytes/secret.js'
import { kekIdOf } from '#keybroker/kek/file.js'

export interface KekSealArguments {
  readonly out: string
  readonly keys: string
  readonly name: string
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

/** A new key-encryption key is sealed for its owner, who registers it at the broker that is to release it. */
export async function runKekSeal(args: KekSealArguments, io: Io): Promise<number> {
  const owner = await loadOwnerKeys(args.keys)
  const out = resolve(args.out)
  const model = `${owner.signingKey.id}/${args.name}`
  if (args.dryRun === true) {
    await verifySealPlace(out)
    if (args.json === true) io.stdout(`${JSON.stringify({ dryRun: true, model, out })}\n`)
    else io.stdout(`would seal a new key-encryption key as ${model} to ${args.out}; nothing was written\n`)
    return exitCodes.ok
  }
  let keyId = ''
  const { dek, manifestDigest } = await sealKek({
    out,
    modelName: args.name,
    version: 1,
    ownerKey: owner.signingKey,
    recoveryRecipient: owner.recoveryRecipient,
    storeKey: (digest, key) => {
      keyId = kekIdOf(key)
      return storeModelKey(args.keys, digest, key)
    },
  })
  wipe(dek)
  if (args.json === true) io.stdout(`${JSON.stringify({ model, keyId, manifestDigest, out })}\n`)
  else io.stdout(`key-encryption key ${keyId}\n  model ${model}\n  sealed ${args.out}\n`)
  const next = `./claviger register ${args.out} --broker URL …, with reference values of brokers; then serve create --kek broker:URL?sealed=file:${out}`
  io.stderr(`${paint(io, 'yellow', 'now:')} ${next}\n`)
  io.stderr(
    'you have this key too, in your keys and for your recovery identity: keep both from whoever runs the broker\n',
  )
  return exitCodes.ok
}

export function describeSeal(kek: Command, io: Io): void {
  kek
    .command('seal')
    .description(
      'makes a key that another broker releases, and seals it: its owner registers the folder as a model is registered',
    )
    .requiredOption('--out <folder>', 'the sealed folder, which must not exist')
    .requiredOption('--keys <folder>', 'of claviger keys new: those of the owner of the key')
    .requiredOption('--name <name>', 'name of the key; a next one gets another name', lineName)
    .option('--dry-run', 'says what would be sealed, and writes nothing')
    .option('--json', 'for machines')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger keybroker kek seal --out kek-sealed --keys keys --name kek-1' +
        '\n  ./claviger register kek-sealed --broker https://a.example --policy brokers.cedar --trust trust.json --keys keys',
    )
    .action(async (args: KekSealArguments) => {
      io.exit(await runKekSeal(args, io))
    })
}
