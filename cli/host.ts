import { type Command, InvalidArgumentError } from 'commander'
import { lineName } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { openOwnKey } from '#cli/own-key.js'
import { verifyResultPlace, writeResult } from '#cli/result-file.js'
import { utf8 } from '#core/bytes/bytes.js'
import { formatTime } from '#core/time.js'
import { type HostDeclaration, hostDeclarationShape } from '#core/wire/release.js'
import { type HostStatement, hostStatementShape, signHostStatement } from '#core/wire/statements.js'

export interface HostStatementArguments {
  readonly name: string
  readonly country?: string | undefined
  readonly operator?: string | undefined
  readonly operatorCountry?: string | undefined
  readonly key?: string | undefined
  readonly out: string
  readonly json?: boolean | undefined
}

const result = { shape: hostDeclarationShape, what: 'statement of a host' } as const

/** Writes a statement on place and operator, signed with the host's key: basis `declared`, grade L0. */
export async function run(args: HostStatementArguments, io: Io): Promise<number> {
  const statement: HostStatement = hostStatementShape(
    {
      type: 'claviger/statement/host/v1',
      host: args.name,
      place: args.country === undefined ? null : { country: args.country },
      operator:
        args.operator === undefined || args.operatorCountry === undefined
          ? null
          : { legalName: args.operator, country: args.operatorCountry },
      issuedAt: io.now(),
    },
    'statement',
  )
  await verifyResultPlace(args.out, result)
  const keyPath = args.key ?? `${args.out}.key`
  const key = await openOwnKey(keyPath, `a host key at ${keyPath}`, io)
  const declaration: HostDeclaration = { statement: await signHostStatement(statement, key), key: key.publicKey }
  await writeResult(args.out, utf8(`${JSON.stringify(declaration, null, 2)}\n`), result)
  io.stderr(`host ${args.name}: place ${args.country ?? 'not stated'}, operator ${args.operator ?? 'not stated'}\n`)
  io.stderr(`signed at ${formatTime(statement.issuedAt)} by host key ${key.id}; basis declared, grade L0\n`)
  if (args.json)
    io.stdout(`${JSON.stringify({ out: args.out, host: args.name, key: key.id, issuedAt: statement.issuedAt })}\n`)
  else io.stdout(`${args.out}\n`)
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const country = (text: string) => {
    if (!/^[A-Z]{2}$/.test(text)) throw new InvalidArgumentError('expected two capital letters, such as DE')
    return text
  }
  program
    .command('host')
    .description('what a host says of itself')
    .command('statement')
    .description('signs where this node stands and who operates it; it goes to run, policies, log and receipts')
    .requiredOption('--name <name>', 'name of the host, such as node-1', lineName)
    .option('--country <code>', 'country of the place', country)
    .option('--operator <name>', 'legal name of the operator')
    .option('--operator-country <code>', 'country of the operator', country)
    .option('--key <file>', 'the host’s key; made on first use (default: beside the statement)')
    .requiredOption('--out <file>', 'where to write the statement')
    .option('--json', 'for machines')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger host statement --name node-1 --country DE --operator "X GmbH" --operator-country DE --out host.json',
    )
    .action(async (args: HostStatementArguments, command: Command) => {
      if ((args.operator === undefined) !== (args.operatorCountry === undefined)) {
        command.error('error: --operator and --operator-country belong together', { exitCode: exitCodes.usage })
      }
      io.exit(await run(args, io))
    })
}
