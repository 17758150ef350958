import type { Command } from 'commander'
import { readInput } from '#cli/input.js'
import { lineText, repeated } from '#cli/option-values.js'
import { exitCodes, type Io, printable } from '#cli/output.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { sdJwtSizeMax } from '#core/limits.js'
import { explainSdJwt, presentSdJwt } from '#core/sd-jwt.js'
import { verifyNewFile, writeFileDurably } from '#host/files.js'

interface PresentArguments {
  readonly keys: string
  readonly show: readonly string[]
  readonly audience: string
  readonly nonce: string
  readonly out: string
}

const readText = async (file: string) => fromUtf8(await readInput(file, 'credential', sdJwtSizeMax)).trim()

/** A holder's act: shows what it chooses of a credential, to one reader. */
async function runPresent(file: string, args: PresentArguments, io: Io): Promise<number> {
  await verifyNewFile(args.out)
  const { signingKey: holder } = await loadOwnerKeys(args.keys)
  const { show, audience, nonce } = args
  const shown = await presentSdJwt({ sdJwt: await readText(file), show, holder, audience, nonce, at: io.now() })
  await writeFileDurably(args.out, utf8(`${shown}\n`), { mode: 0o600 })
  io.stdout(
    `${args.out}: for ${audience}, with ${show.length === 0 ? 'nothing that may be kept back' : show.join(', ')}\n`,
  )
  return exitCodes.ok
}

/** What a credential says and what its holder may keep back, without judging it. */
async function runShow(file: string, args: { json?: boolean | undefined }, io: Io): Promise<number> {
  const found = explainSdJwt(await readText(file))
  if (args.json) io.stdout(`${JSON.stringify(found, null, 2)}\n`)
  else {
    io.stdout(`${printable(JSON.stringify(found.claims, null, 2))}\n`)
    const may = found.disclosable.length === 0 ? 'nothing' : found.disclosable.join(', ')
    io.stdout(
      `May be kept back: ${printable(may)}. ${found.isPresented ? 'Presented to somebody' : 'As it was issued'}. Nothing was verified.\n`,
    )
  }
  return exitCodes.ok
}

export function describeHolding(credential: Command, io: Io): void {
  credential
    .command('show')
    .argument('<file>', 'a credential; - is standard input')
    .description('what a credential says and what its holder may keep back, without judging it')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger credential show operator.txt')
    .action(async (file: string, args: { json?: boolean }) => io.exit(await runShow(file, args, io)))
  credential
    .command('present')
    .argument('<file>', 'a credential as it was issued; - is standard input')
    .description("a holder's act: show what it chooses of a credential, to one reader")
    .requiredOption('--keys <folder>', "the holder's: what `claviger keys new` made")
    .option(
      '--show <name>',
      'a claim, or an element of a list, that may be kept back; may be given again',
      repeated(String),
      [],
    )
    .requiredOption('--audience <text>', 'for whom', lineText)
    .requiredOption('--nonce <text>', 'what the reader asked to be answered', lineText)
    .requiredOption('--out <file>', 'where to write it')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger credential present operator.txt --keys keys --show controllers --audience https://broker.example --nonce 5f2c --out shown.txt',
    )
    .action(async (file: string, args: PresentArguments) => io.exit(await runPresent(file, args, io)))
}
