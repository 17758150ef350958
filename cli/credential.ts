import type { Command } from 'commander'
import { describeHolding } from '#cli/credential-hold.js'
import { describeIssuing } from '#cli/credential-issue.js'
import { readDocument, readInput } from '#cli/input.js'
import { describeKeeping } from '#cli/keeper-sign.js'
import { dayOrTime, repeated } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { envelopeShape } from '#core/dsse.js'
import { Failure, isFailure } from '#core/failure.js'
import { sdJwtSizeMax, statusListTokenMax } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import {
  directoryPayloadType,
  directoryRowsShape,
  readDirectory,
  verifyDirectory,
} from '#policies/credentials/directory.js'
import { type VerifiedCredential, verifyCredential } from '#policies/credentials/verify.js'
import { keepersOf } from '#policies/registry/keepers.js'
import { verifyRegistry } from '#policies/registry/signed.js'

/** Failures of what was typed. */
export type CredentialUsageCode = 'usage/credential-presented' | 'usage/credential-status'

interface VerifyArguments {
  readonly directory: string
  readonly registry: string
  readonly trust: string
  readonly status: readonly string[]
  readonly audience?: string | undefined
  readonly nonce?: string | undefined
  readonly at?: UnixSeconds | undefined
  readonly json?: boolean | undefined
}

/** Status list tokens by the address that each says it is of; a false one says so when it is verified. */
async function readLists(files: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const lists = new Map<string, string>()
  for (const file of files) {
    const [uri, path] = file.split(/=(.*)/s) as [string, string | undefined]
    if (path === undefined || !uri.startsWith('https://'))
      throw new Failure<CredentialUsageCode>('usage/credential-status', `${file} is not ADDRESS=FILE`, {
        detail: { hint: '--status https://issuer.example/status/1=status.jwt' },
      })
    lists.set(uri, fromUtf8(await readInput(path, 'status list', statusListTokenMax)).trim())
  }
  return lists
}

/** Whether a credential counts for this reader, and what it says. Exit 3 when it does not. */
export async function runVerify(file: string, args: VerifyArguments, io: Io): Promise<number> {
  if ((args.audience === undefined) !== (args.nonce === undefined))
    throw new Failure<CredentialUsageCode>('usage/credential-presented', '--audience and --nonce belong together')
  const at = args.at ?? io.now()
  const text = fromUtf8(await readInput(file, 'credential', sdJwtSizeMax)).trim()
  const { trust } = await loadTrust(args.trust, io.now())
  const directory = await readDocument(args.directory, envelopeShape, 'issuer directory')
  const registry = await readDocument(args.registry, envelopeShape, 'signed registry')
  const statusLists = await readLists(args.status)
  const presented =
    args.audience === undefined ? null : { audience: args.audience, nonce: args.nonce!, ageSecondsMax: 300 }
  let found: VerifiedCredential
  try {
    found = await verifyCredential(text, {
      directory: (await verifyDirectory(directory, keepersOf(trust.issuers), at)).document,
      registry: (await verifyRegistry(registry, keepersOf(trust.registries), at)).document,
      at,
      statusLists,
      presented,
    })
  } catch (error) {
    if (!isFailure(error)) throw error
    if (args.json) io.stdout(`${JSON.stringify({ accepted: false, code: error.code, message: error.message })}\n`)
    else io.stdout(`${paint(io, 'red', 'NOT ACCEPTED')} ${printable(error.message)} (${error.code})\n`)
    return exitCodes.verdict
  }
  const { kind, claims, issuer, holder, isBound, digest, until } = found
  if (args.json)
    io.stdout(
      `${JSON.stringify({ accepted: true, kind, issuer: issuer.id, holder, isBound, digest, until, claims }, null, 2)}\n`,
    )
  else
    io.stdout(
      `${paint(io, 'green', 'accepted')} ${kind} by ${printable(issuer.title)} (${issuer.id}), until ${formatTime(until)}\n` +
        `  holder   ${holder}${isBound ? ', who presents it' : '; NOT SHOWN that its holder presents it'}\n` +
        `  digest   ${digest}\n` +
        `${printable(JSON.stringify(claims, null, 2))}\n` +
        'What it says is as good as its issuer: nobody measured it.\n',
    )
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const credential = program
    .command('credential')
    .description('what issuers sign about operators, sites, chips, staff and licences (SD-JWT VC)')
  describeIssuing(credential, io)
  describeHolding(credential, io)
  credential
    .command('verify')
    .argument('<file>', 'a credential as it was issued or presented; - is standard input')
    .description('whether a credential counts for you, and what it says')
    .requiredOption('--directory <file>', 'who may issue what: a signed issuer directory')
    .requiredOption('--registry <file>', 'a signed jurisdiction registry')
    .requiredOption('--trust <file>', 'your trust file: its `issuers` and `registries` count')
    .option('--status <address=file>', 'the status list that it names; may be given again', repeated(String), [])
    .option('--audience <text>', 'for whom it has to be presented')
    .option('--nonce <text>', 'what it has to answer')
    .option('--at <time>', 'a day or a time in UTC (default: now)', dayOrTime)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger credential verify operator.txt --directory directory.json --registry law.json --trust trust.json --status https://issuer.example/status/1=status.jwt\n\nExit 0 accepted, 3 not accepted.',
    )
    .action(async (file: string, args: VerifyArguments) => io.exit(await runVerify(file, args, io)))
  const directory = credential.command('directory').description('who may issue which credential, where')
  describeKeeping(
    directory,
    {
      command: 'credential directory',
      what: 'issuer directory',
      payloadType: directoryPayloadType,
      type: 'claviger/issuer-directory/v1',
      rows: directoryRowsShape,
      read: readDirectory,
    },
    io,
  )
}
