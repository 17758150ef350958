import type { Command } from 'commander'
import { describeHybridKey } from '#cli/hybrid-key.js'
import { kekOf, kekOption } from '#cli/kek-options.js'
import { describeRotate } from '#cli/kek-rotate.js'
import { describeSeal } from '#cli/kek-seal.js'
import { describeDoctor } from '#cli/keybroker-doctor.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { describeRollback } from '#cli/rollback.js'
import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import { createKek } from '#keybroker/kek/open.js'
import { kekForms } from '#keybroker/kek/setting.js'

export interface KekCreateArguments {
  readonly kek?: string | undefined
  readonly json?: boolean | undefined
}

/** A new key-encryption key stands where it is named. @throws kek/..., file/... */
export async function runKekCreate(args: KekCreateArguments, io: Io): Promise<number> {
  const setting = kekOf(args)
  if (setting === null) {
    const hint = `--kek '${kekForms.pkcs11}'`
    throw new Failure<KekCode>('kek/setting', 'where the key is to be made is not named', { detail: { hint } })
  }
  const keyId = await createKek(setting)
  if (args.json) io.stdout(`${JSON.stringify({ provider: setting.provider, keyId, holder: 'operator' })}\n`)
  else io.stdout(`key-encryption key ${keyId}, ${setting.provider}: KEK HELD BY OPERATOR\n`)
  io.stderr(
    `${paint(io, 'yellow', 'now:')} back it up by the means of its provider: what it wraps opens with nothing else\n`,
  )
  return exitCodes.ok
}

/** Keys are in the memory of these commands: nobody reads it from outside. */
function describeKek(keybroker: Command, io: Io): void {
  const kek = keybroker.command('kek').description('the key-encryption key, which wraps every stored model key')
  kek
    .command('create')
    .description('makes one where --kek says: once, never on the way of a start, never over one that is there')
    .option(...kekOption)
    .option('--json', 'print its id as JSON')
    .addHelpText('after', `\nExample:\n  ./claviger keybroker kek create --kek '${kekForms.pkcs11}'`)
    .action(async (args: KekCreateArguments) => {
      io.exit(await runKekCreate(args, io))
    })
  describeSeal(kek, io)
  describeRotate(kek, io)
}

export function describe(program: Command, io: Io): void {
  const keybroker = program
    .command('keybroker')
    .description("an operator's work on a broker: its key-encryption key, and what it stands on")
  describeKek(keybroker, io)
  describeHybridKey(keybroker, io)
  describeDoctor(keybroker, io)
  describeRollback(keybroker, io)
}
