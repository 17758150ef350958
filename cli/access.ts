import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { type ConnectionArguments, connectionOptions, fetchFor, verifyConfidential } from '#cli/connection-options.js'
import { brokerUrl, thumbprintText } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { OwnerClient } from '#cli/owner-client.js'
import { readToken } from '#cli/token-file.js'
import { Failure } from '#core/failure.js'

/** Failures of reading in an owner's name. */
export type AccessCommandCode =
  /** no credential is named, or two */
  | 'access/credential-named'
  /** a bundle of which entry, or an entry of what */
  | 'access/entry'

const kinds = ['self', 'statements', 'leases', 'usage', 'bundle'] as const

export interface AccessArguments extends ConnectionArguments {
  readonly broker: string
  readonly tenant: string
  readonly credential?: string | undefined
  readonly entry?: string | undefined
}

/** What an owner's broker answers to somebody whom the owner's access list names: JSON, as it came. */
export async function runRead(kind: (typeof kinds)[number], args: AccessArguments, io: Io): Promise<number> {
  if ((args.credential === undefined) === (args.clientP12 === undefined))
    throw new Failure<AccessCommandCode>('access/credential-named', 'exactly one credential is needed', {
      detail: { hint: '--credential FILE for an API key or a token, or --client-p12 FILE --password-file FILE' },
    })
  if ((kind === 'bundle') !== (args.entry !== undefined))
    throw new Failure<AccessCommandCode>('access/entry', 'an entry is named for a bundle, and for nothing else', {
      detail: { hint: './claviger access bundle --entry 17' },
    })
  verifyConfidential(args.broker)
  const bearer = args.credential === undefined ? null : await readToken(args.credential, 'a credential')
  const what = kind === 'self' ? 'access' : kind === 'bundle' ? `bundles/${args.entry}` : kind
  const client = new OwnerClient(args.broker, await fetchFor(args))
  io.stdout(`${JSON.stringify(await client.read(args.tenant, what, bearer), null, 2)}\n`)
  return exitCodes.ok
}

function entryIndex(text: string): string {
  if (/^(0|[1-9][0-9]{0,14})$/.test(text)) return text
  throw new InvalidArgumentError('Expected the index of an entry, as 17.')
}

export function describe(program: Command, io: Io): void {
  const access = connectionOptions(
    program.command('access').description('what a broker has of an owner whose access list names you; JSON'),
  )
  access
    .addArgument(new Argument('<what>', 'what to read').choices(kinds))
    .requiredOption('--broker <url>', 'the broker', brokerUrl)
    .requiredOption('--tenant <id>', 'the owner: the thumbprint before the name in its model ids', thumbprintText)
    .option('--credential <file>', 'an API key, or a token of your issuer; - for standard input')
    .addOption(new Option('--entry <index>', 'of which entry of the log, for a bundle').argParser(entryIndex))
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger access leases --broker https://broker.example --tenant UDDReOZl1ipXAfp9wYsm13sDBMK5og--QWdBjzuf6o4 --credential audit.key',
    )
    .action(async (what: (typeof kinds)[number], args: AccessArguments) => io.exit(await runRead(what, args, io)))
}
