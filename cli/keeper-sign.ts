import type { Command } from 'commander'
import { readDocument } from '#cli/input.js'
import { lineName, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { type ResultKind, verifyResultPlace, writeResult } from '#cli/result-file.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { literal, type Shape } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import type { KeptHeader } from '#policies/registry/keepers.js'

/** Failures of signing what keepers keep. */
export type KeeperSignCode =
  /** the version before this one is of another line, or not older */
  | 'keeper-sign/previous'
  /** the key has signed the document already */
  | 'keeper-sign/twice'

/** One kind of document that keepers sign, version after version. */
export interface KeptKind<Rows> {
  /** the command below which it is signed */
  readonly command: string
  /** as `registry` */
  readonly what: string
  readonly payloadType: string
  readonly type: string
  /** what a file of `--rows` holds */
  readonly rows: Shape<Rows>
  /** what stands in for it; undefined where a file is needed */
  readonly shipped?: () => Rows
  readonly read: (payload: Uint8Array) => KeptHeader
}

interface SignArguments extends CosignArguments {
  readonly rows?: string | undefined
  readonly name: string
  readonly documentVersion: number
  readonly previous?: string | undefined
  readonly days: number
}

interface CosignArguments {
  readonly keys: string
  readonly out: string
  readonly json?: boolean | undefined
}

function resultOf({ what, payloadType }: KeptKind<never>): ResultKind {
  return {
    what: `signed ${what}`,
    shape: (value, at) => literal(payloadType)(envelopeShape(value, at).payloadType, at),
  }
}

const payloadOf = (envelope: Envelope): Uint8Array => fromBase64(envelope.payload)

/** A keeper's act: signs rows as the next version of a line. */
async function runSign<Rows extends object>(kind: KeptKind<Rows>, args: SignArguments, io: Io): Promise<number> {
  const result = resultOf(kind as KeptKind<never>)
  await verifyResultPlace(args.out, result)
  const rows = args.rows === undefined ? kind.shipped!() : await readDocument(args.rows, kind.rows, kind.what)
  const { name, documentVersion: version } = args
  let previousDigest: string | null = null
  if (args.previous !== undefined) {
    const payload = payloadOf(await readDocument(args.previous, envelopeShape, `signed ${kind.what}`))
    const before = kind.read(payload)
    if (before.name !== name || before.version >= version)
      throw new Failure<KeeperSignCode>(
        'keeper-sign/previous',
        `${args.previous} is ${before.name} version ${before.version}, expected ${name} below version ${version}`,
      )
    previousDigest = toHex(sha256(payload))
  }
  const { signingKey } = await loadOwnerKeys(args.keys)
  const issuedAt = io.now()
  const validUntil = issuedAt + args.days * 86_400
  const header = { type: kind.type, name, version, issuedAt, validUntil, previousDigest }
  await finish(kind, canonicalJson({ ...rows, ...header }), null, signingKey, args, io)
  return exitCodes.ok
}

/** Another keeper's act: the same bytes, signed once more. */
async function runCosign<Rows>(kind: KeptKind<Rows>, file: string, args: CosignArguments, io: Io): Promise<number> {
  await verifyResultPlace(args.out, resultOf(kind as KeptKind<never>))
  const envelope = await readDocument(file, envelopeShape, `signed ${kind.what}`)
  literal(kind.payloadType)(envelope.payloadType, 'payloadType')
  const { signingKey } = await loadOwnerKeys(args.keys)
  if (envelope.signatures.some(({ keyid }) => keyid === signingKey.id))
    throw new Failure<KeeperSignCode>('keeper-sign/twice', `${signingKey.id} has signed ${file} already`)
  await finish(kind, payloadOf(envelope), envelope, signingKey, args, io)
  return exitCodes.ok
}

/** Nobody signs what no reader would take: the bytes are read first as they are read later. */
async function finish<Rows>(
  kind: KeptKind<Rows>,
  payload: Uint8Array,
  before: Envelope | null,
  key: SigningKey,
  args: CosignArguments,
  io: Io,
): Promise<void> {
  const { name, version, validUntil } = kind.read(payload)
  const signed = await signEnvelope(kind.payloadType, payload, [key])
  const envelope = { ...signed, signatures: [...(before?.signatures ?? []), ...signed.signatures] }
  await writeResult(args.out, canonicalJson(envelope), resultOf(kind as KeptKind<never>))
  if (args.json) io.stdout(`${JSON.stringify({ out: args.out, name, version, key: key.id, validUntil })}\n`)
  else io.stdout(`${args.out}: ${name} version ${version}, until ${formatTime(validUntil)}, by ${key.id}\n`)
}

/** The two acts of keepers, below a command. */
export function describeKeeping<Rows extends object>(parent: Command, kind: KeptKind<Rows>, io: Io): void {
  const signing = (name: string, description: string, example: string) =>
    parent
      .command(name)
      .description(description)
      .requiredOption('--keys <folder>', 'what `claviger keys new` made')
      .requiredOption('--out <file>', 'where to write it')
      .option('--json', 'print what was written as JSON')
      .addHelpText('after', `\nExample:\n  ./claviger ${kind.command} ${example}`)
  const rows = kind.shipped === undefined ? ' --rows rows.json' : ''
  const sign = signing(
    'sign',
    "a keeper's act: sign rows as the next version of a line",
    `sign --keys keys --name law --document-version 1${rows} --out law.json`,
  )
    .requiredOption('--name <name>', 'of the line', lineName)
    .requiredOption('--document-version <number>', 'higher than every one before', wholeNumber(1, 2 ** 31, 2))
    .option('--previous <file>', 'the version before this one, signed')
    .option('--days <number>', 'how long it holds', wholeNumber(1, 3650, 90), 90)
  if (kind.shipped === undefined) sign.requiredOption('--rows <file>', 'what the document says, in JSON')
  else sign.option('--rows <file>', 'what the document says in JSON, instead of what ships')
  sign.action(async (args: SignArguments) => io.exit(await runSign(kind, args, io)))
  signing('cosign', "another keeper's act: sign the same document", 'cosign law.json --keys keys2 --out law-2.json')
    .argument('<file>', `a signed ${kind.what}`)
    .action(async (file: string, args: CosignArguments) => io.exit(await runCosign(kind, file, args, io)))
}
