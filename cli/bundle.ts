import type { Command } from 'commander'
import { describeVerify } from '#cli/bundle-verify.js'
import { type ConnectionArguments, connectionOptions, fetchFor } from '#cli/connection-options.js'
import { brokerUrl, thumbprintText } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { OwnerClient, queryFrom } from '#cli/owner-client.js'
import { verifyResultPlace, writeResult } from '#cli/result-file.js'
import { readToken } from '#cli/token-file.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { fromBase64, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { type AnyBundle, anyBundleShape } from '#core/wire/bundle.js'
import { parseEntry } from '#core/wire/entries.js'

/** Failures of fetching a bundle. */
export type BundleCommandCode = 'bundle/identity'

export interface BundleArguments extends ConnectionArguments {
  readonly entry: number
  readonly broker: string
  readonly brokerKey?: string | undefined
  readonly keys?: string | undefined
  readonly token?: string | undefined
  readonly out?: string | undefined
  readonly json?: boolean | undefined
}

const result = { shape: anyBundleShape, what: 'bundle', mode: 0o600 } as const

async function fetchBundle(args: BundleArguments, io: Io): Promise<AnyBundle> {
  const client = new OwnerClient(args.broker, await fetchFor(args))
  if (args.keys !== undefined) {
    const { signingKey: owner } = await loadOwnerKeys(args.keys)
    const broker = thumbprint((await client.document(args.brokerKey ?? null)).key)
    return client.bundle(args.entry, queryFrom(owner, broker, io.now()), owner)
  }
  if (args.token === undefined) throw new Failure<BundleCommandCode>('bundle/identity', 'neither keys nor token given')
  return client.bundleAsOperator(args.entry, await readToken(args.token, 'the admin token'))
}

/** Fetches what a logged decision was made of. It holds openings: it is for the owner, and for whom the owner shows it. */
export async function run(args: BundleArguments, io: Io): Promise<number> {
  const isFile = args.out !== undefined && args.out !== '-'
  if (isFile) await verifyResultPlace(args.out, result)
  const bundle = await fetchBundle(args, io)
  const entry = parseEntry(fromBase64(bundle.leaf))
  const text = canonicalJson(bundle)
  if (!isFile) {
    io.stdout(`${fromUtf8(text)}\n`)
    return exitCodes.ok
  }
  await writeResult(args.out, utf8(`${fromUtf8(text)}\n`), result)
  io.stderr(`entry #${args.entry}: ${entry.kind}\n`)
  if (args.json) io.stdout(`${JSON.stringify({ out: args.out, entry: args.entry, kind: entry.kind })}\n`)
  else io.stdout(`${args.out}\n`)
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const bundle = connectionOptions(program.command('bundle'))
    .argument('[entry]', 'index of the entry in the log')
    .description('what a logged decision was made of: fetch it, and judge it again offline')
    .option('--broker <url>', 'the broker that decided', brokerUrl)
    .option('--broker-key <thumbprint>', 'the key that it must have', thumbprintText)
    .option('--keys <folder>', 'your keys, as the owner of the model')
    .option('--token <file>', 'the admin token, as the operator of the broker')
    .option('--out <file>', 'where to write it (default: standard output)')
    .option('--json', 'for machines')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger bundle 17 --broker https://broker.example --keys ./keys --out bundle.json\n  ./claviger bundle verify bundle.json --trust trust.json',
    )
    .action(async (entry: string | undefined, options: Partial<BundleArguments>, command: Command) => {
      const usage = (text: string) => command.error(`error: ${text}`, { exitCode: exitCodes.usage })
      if (entry === undefined || !/^(0|[1-9][0-9]{0,15})$/.test(entry)) return usage('expected the index of an entry')
      if (options.broker === undefined) return usage('--broker is missing')
      if ((options.keys === undefined) === (options.token === undefined)) return usage('give either --keys or --token')
      io.exit(await run({ ...options, broker: options.broker, entry: Number(entry) }, io))
    })
  describeVerify(bundle, io)
}
