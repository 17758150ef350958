import { type Command, InvalidArgumentError } from 'commander'
import { setPayloadType, signReferenceSet } from '#attest/reference/set.js'
import { readDocument } from '#cli/input.js'
import { lineName, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { type ResultKind, verifyResultPlace, writeResult } from '#cli/result-file.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { envelopeShape } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { literal } from '#core/encoding/shape.js'
import { formatTime } from '#core/time.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'

export interface SignArguments {
  readonly keys: string
  readonly values: string
  readonly name: string
  readonly setVersion: number
  readonly title: string
  readonly days: number
  readonly out: string
  readonly json?: boolean | undefined
}

/** A set that anybody signed. */
const result: ResultKind = {
  what: 'signed set of reference values',
  shape: (value, at) => literal(setPayloadType)(envelopeShape(value, at).payloadType, at),
}

/** The publisher's act: signs values as the next version of a line. */
export async function runSign(args: SignArguments, io: Io): Promise<number> {
  await verifyResultPlace(args.out, result)
  const values = await readDocument(args.values, referenceValuesShape, 'reference values')
  const { signingKey } = await loadOwnerKeys(args.keys)
  const issuedAt = io.now()
  const expiresAt = issuedAt + args.days * 86_400
  const { name, setVersion: version, title } = args
  const set = { type: 'claviger/reference-set/v1', name, version, title, issuedAt, expiresAt, values } as const
  await writeResult(args.out, canonicalJson(await signReferenceSet(set, signingKey)), result)
  if (args.json) io.stdout(`${JSON.stringify({ out: args.out, name, version, key: signingKey.id, expiresAt })}\n`)
  else io.stdout(`${args.out}: ${name} version ${version}, until ${formatTime(expiresAt)}, by ${signingKey.id}\n`)
  return exitCodes.ok
}

const aTitle = (text: string) => {
  if (text.length > 0 && text.length <= 200 && !/\p{Cc}/u.test(text)) return text
  throw new InvalidArgumentError('expected a line of at most 200 characters')
}

export function describeSign(reference: Command, io: Io): void {
  reference
    .command('sign')
    .description("the publisher's act: sign values as the next version of a line")
    .requiredOption('--keys <folder>', 'what `claviger keys new` made')
    .requiredOption('--values <file>', 'reference values in JSON')
    .requiredOption('--name <name>', 'of the line', lineName)
    .requiredOption('--set-version <number>', 'higher than every one before', wholeNumber(1, 2 ** 31, 2))
    .requiredOption('--title <text>', 'what runs there, for people', aTitle)
    .option('--days <number>', 'how long it holds', wholeNumber(1, 3650, 90), 90)
    .requiredOption('--out <file>', 'where to write it')
    .option('--json', 'print what was written as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger reference sign --keys keys --values values.json --name runtime --set-version 1 --title "runtime 1.0" --out set.json',
    )
    .action(async (args: SignArguments) => {
      io.exit(await runSign(args, io))
    })
}
