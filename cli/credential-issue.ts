import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { readDocument, readInput } from '#cli/input.js'
import { httpsUrl, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { loadOwnerKeys, loadOwnerPublicKey } from '#convert/keys/owner-keys.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import type { SigningKey } from '#core/crypto/sign.js'
import type { Json } from '#core/encoding/json.js'
import { json, record } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { statusListSizeMax, statusListTokenMax } from '#core/limits.js'
import { issueSdJwt } from '#core/sd-jwt.js'
import { formatTime } from '#core/time.js'
import {
  claimedStatusList,
  type StatusList,
  signStatusList,
  verifyStatusList,
  withStatus,
} from '#core/wire/status-list.js'
import { verifyNewFile, writeFileDurably } from '#host/files.js'
import { disclosableOf, readCredential } from '#policies/credentials/kinds.js'
import { credentialTyp } from '#policies/credentials/verify.js'

/** Failures of issuing. */
export type CredentialIssueCode =
  /** a claim that the command writes itself */
  'credential-issue/claims' | 'usage/status-from'

interface IssueArguments {
  readonly keys: string
  readonly claims: string
  readonly holder: string
  readonly status: string
  readonly index: number
  readonly days: number
  readonly out: string
  readonly json?: boolean | undefined
}

/** An issuer's act: signs what it found about somebody, for whoever holds the key. */
async function runIssue(args: IssueArguments, io: Io): Promise<number> {
  await verifyNewFile(args.out)
  const claims = await readDocument(args.claims, record(json), 'claims')
  const own = ['iat', 'exp', 'cnf', 'status'].find((name) => name in claims)
  if (own !== undefined)
    throw new Failure<CredentialIssueCode>(
      'credential-issue/claims',
      `${args.claims} says ${own}, which the command writes`,
    )
  const holder = await loadOwnerPublicKey(args.holder)
  const { signingKey } = await loadOwnerKeys(args.keys)
  const iat = io.now()
  const whole: { [name: string]: Json } = {
    ...claims,
    iat,
    exp: iat + args.days * 86_400,
    cnf: { jwk: { ...holder } },
    status: { status_list: { idx: args.index, uri: args.status } },
  }
  const { kind } = readCredential(whole)
  const disclosable = disclosableOf[kind].filter((name) => name.replace('[]', '') in whole)
  const text = await issueSdJwt({
    key: signingKey,
    typ: credentialTyp,
    claims: whole,
    disclosable,
    salt: () => new Uint8Array(randomBytes(16)),
  })
  await writeFileDurably(args.out, utf8(`${text}\n`), { mode: 0o600 })
  if (args.json)
    io.stdout(`${JSON.stringify({ out: args.out, kind, key: signingKey.id, exp: whole.exp, disclosable })}\n`)
  else io.stdout(`${args.out}: ${kind}, until ${formatTime(iat + args.days * 86_400)}, by ${signingKey.id}\n`)
  return exitCodes.ok
}

interface StatusArguments {
  readonly keys: string
  readonly uri?: string | undefined
  readonly from?: string | undefined
  readonly size: number
  readonly revoke: readonly number[]
  readonly suspend: readonly number[]
  readonly restore: readonly number[]
  readonly hours: number
  readonly out: string
  readonly json?: boolean | undefined
}

/** The list that stands, by this issuer; its time does not matter, since the new one takes its place. */
async function listBefore(file: string, key: SigningKey): Promise<StatusList> {
  const token = fromUtf8(await readInput(file, 'status list', statusListTokenMax)).trim()
  const { uri, issuedAt } = claimedStatusList(token)
  return verifyStatusList(token, [key.publicKey], uri, issuedAt)
}

/** An issuer's act: says which of its credentials still hold. */
async function runStatus(args: StatusArguments, io: Io): Promise<number> {
  if ((args.from === undefined) === (args.uri === undefined))
    throw new Failure<CredentialIssueCode>('usage/status-from', 'expected either --uri for a new list, or --from', {
      detail: { hint: './claviger credential status --from status.jwt --revoke 7 --keys keys --out status-2.jwt' },
    })
  await verifyNewFile(args.out)
  const { signingKey } = await loadOwnerKeys(args.keys)
  const time = { issuedAt: io.now(), expiresAt: io.now() + args.hours * 3600 }
  let list: StatusList =
    args.from === undefined
      ? { uri: args.uri!, bits: 2, bytes: new Uint8Array(Math.ceil(args.size / 4)), ...time }
      : { ...(await listBefore(args.from, signingKey)), ...time }
  const changes = [
    [args.revoke, 1],
    [args.suspend, 2],
    [args.restore, 0],
  ] as const
  for (const [places, value] of changes) for (const place of places) list = withStatus(list, place, value)
  await writeFileDurably(args.out, utf8(`${await signStatusList(list, signingKey)}\n`), { mode: 0o644 })
  const { uri, expiresAt } = list
  if (args.json) io.stdout(`${JSON.stringify({ out: args.out, uri, expiresAt, key: signingKey.id })}\n`)
  else io.stdout(`${args.out}: ${uri}, until ${formatTime(expiresAt)}, by ${signingKey.id}\n`)
  return exitCodes.ok
}

const place = (text: string, before: readonly number[]): readonly number[] => [
  ...before,
  wholeNumber(0, statusListSizeMax * 4 - 1, 7)(text),
]

export function describeIssuing(credential: Command, io: Io): void {
  const issuing = (name: string, description: string, example: string) =>
    credential
      .command(name)
      .description(description)
      .requiredOption('--keys <folder>', "the issuer's: what `claviger keys new` made")
      .requiredOption('--out <file>', 'where to write it')
      .option('--json', 'print what was written as JSON')
      .addHelpText('after', `\nExample:\n  ./claviger credential ${example}`)
  issuing(
    'issue',
    "an issuer's act: sign what it found about somebody, for whoever holds a key",
    'issue --keys keys --claims operator.json --holder holder.pem --status https://issuer.example/status/1 --index 7 --out operator.txt',
  )
    .requiredOption('--claims <file>', 'what it says, in JSON: docs/spec/credentials.md has the members of each kind')
    .requiredOption('--holder <file>', 'public key of its holder, PEM')
    .requiredOption('--status <address>', 'where its status list will stand', httpsUrl)
    .requiredOption(
      '--index <number>',
      'its place in that list, used for no other',
      wholeNumber(0, statusListSizeMax * 4 - 1, 7),
    )
    .option('--days <number>', 'how long it holds', wholeNumber(1, 3650, 90), 90)
    .action(async (args: IssueArguments) => io.exit(await runIssue(args, io)))
  issuing(
    'status',
    "an issuer's act: say which of its credentials still hold",
    'status --keys keys --uri https://issuer.example/status/1 --out status.jwt',
  )
    .option('--uri <address>', 'of a new list: where it will stand', httpsUrl)
    .option('--from <file>', 'the list that stands; it is not written over')
    .option(
      '--size <number>',
      'of a new list: how many credentials',
      wholeNumber(1, statusListSizeMax * 4, 100_000),
      100_000,
    )
    .option('--revoke <place>', 'never holds again; may be given again', place, [])
    .option('--suspend <place>', 'does not hold for now; may be given again', place, [])
    .option('--restore <place>', 'holds again; may be given again', place, [])
    .option('--hours <number>', 'how long the list holds', wholeNumber(1, 24 * 90, 24), 24)
    .action(async (args: StatusArguments) => io.exit(await runStatus(args, io)))
}
