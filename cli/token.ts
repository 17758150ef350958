import { rm } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { lineName, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import {
  bodyOf,
  describeOwner,
  type Owner,
  type OwnerArguments,
  openOwner,
  ownerExample,
  reportSaid,
  say,
} from '#cli/owner.js'
import { utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { type AccessIdentity, type AccessList, apiKeyHash, encodeApiKey } from '#core/wire/access-list.js'
import { createSecretFile, verifyNewFile } from '#host/files.js'

/** Failures of an owner's commands on who may read. */
export type TokenCommandCode = 'token/exists' | 'token/unknown'

/** Of all identities together, until the owner says otherwise. */
const requestsPerMinute = 600

/** The list that the owner signed last; an empty one when there is none. */
export async function accessOf(owner: Owner): Promise<AccessList> {
  const last = await owner.newest('access', null)
  return last === null ? { identities: [], authorities: [], requestsPerMinute } : bodyOf<'access'>(last.value)
}

export interface TokenCreateArguments extends OwnerArguments {
  readonly role: AccessIdentity['role']
  readonly days: number
  readonly out: string
}

/** One more identity with a new API key, in a file that only this user reads. The broker gets its hash alone. */
export async function runCreate(id: string, args: TokenCreateArguments, io: Io): Promise<number> {
  await verifyNewFile(args.out)
  const owner = await openOwner(args, io)
  const before = await accessOf(owner)
  if (before.identities.some((one) => one.id === id))
    throw new Failure<TokenCommandCode>('token/exists', `${id} is listed: revoke it first`)
  const key = encodeApiKey(randomBytes(32))
  const now = io.now()
  const expiresAt = now + args.days * 86_400
  const proof = { kind: 'api-key', hash: apiKeyHash(key) } as const
  // A clock that is a little behind is no reason to refuse a key that was just made.
  const made: AccessIdentity = { id, role: args.role, notBefore: now - 60, expiresAt, proof }
  const shown = { id, role: args.role, expiresAt, key: args.dryRun ? null : args.out }
  // The key is on disk before the list names its hash: one that was listed and lost would be of no use.
  if (args.dryRun !== true) await createSecretFile(args.out, utf8(`${key}\n`))
  try {
    const said = await say(owner, 'access', { ...before, identities: [...before.identities, made] }, args, io)
    if (args.dryRun !== true)
      io.stderr(`${paint(io, 'yellow', 'now:')} give ${args.out} to ${id}, and to nobody else: it is shown this once\n`)
    return reportSaid(said, `${id} may read as ${args.role} until ${formatTime(expiresAt)}`, shown, args, io)
  } catch (error) {
    if (args.dryRun !== true) await rm(args.out, { force: true })
    throw error
  }
}

const proofText = ({ proof }: AccessIdentity): string =>
  proof.kind === 'api-key'
    ? 'API key'
    : proof.kind === 'certificate'
      ? `certificate ${proof.name.type} ${proof.name.value} under ${proof.authority}`
      : `token of ${proof.issuer} for ${proof.audience}, ${[
          ...(proof.subject === null ? [] : [`subject ${proof.subject}`]),
          ...proof.claims.map(({ name, value }) => `${name} ${value}`),
        ].join(', ')}`

/** Who may read, and as what. */
export async function runList(args: OwnerArguments, io: Io): Promise<number> {
  const { identities } = await accessOf(await openOwner(args, io))
  if (args.json) {
    io.stdout(`${JSON.stringify({ identities }, null, 2)}\n`)
    return exitCodes.ok
  }
  for (const one of identities) {
    const state = one.expiresAt <= io.now() ? 'expired' : 'until'
    io.stdout(`${one.id.padEnd(24)} ${one.role.padEnd(8)} ${state} ${formatTime(one.expiresAt)}\n`)
    io.stdout(`  ${printable(proofText(one))}\n`)
  }
  if (identities.length === 0) io.stderr('nobody but you may read, and you by your signature\n')
  return exitCodes.ok
}

/** An identity may read no more, from the moment the broker has the new list: key, token or certificate. */
export async function runRevoke(id: string, args: OwnerArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const before = await accessOf(owner)
  const identities = before.identities.filter((one) => one.id !== id)
  if (identities.length === before.identities.length)
    throw new Failure<TokenCommandCode>('token/unknown', `no ${id} is listed`, {
      detail: { hint: 'those that are: ./claviger token list' },
    })
  const said = await say(owner, 'access', { ...before, identities }, args, io)
  return reportSaid(said, `${id} may read no more`, { id, left: identities.length }, args, io)
}

export function describe(program: Command, io: Io): void {
  const token = program.command('token').description('who may read in your name at a broker, beside you')
  describeOwner(token.command('create').description('lists one more, and makes its API key'), true)
    .argument('<name>', 'what you call it', lineName)
    .addOption(
      new Option('--role <role>', 'what it may ask for: see docs/services.md')
        .choices(['owner', 'host', 'auditor'])
        .makeOptionMandatory(),
    )
    .requiredOption('--out <file>', 'where the key goes')
    .option('--days <n>', 'days until it expires', wholeNumber(1, 366, 90), 90)
    .addHelpText('after', `\nExample:\n  ./claviger token create audit --role auditor --out audit.key ${ownerExample}`)
    .action(async (id: string, args: TokenCreateArguments) => io.exit(await runCreate(id, args, io)))
  describeOwner(token.command('list').description('who may read, and as what'), false)
    .addHelpText('after', `\nExample:\n  ./claviger token list ${ownerExample}`)
    .action(async (args: OwnerArguments) => io.exit(await runList(args, io)))
  describeOwner(token.command('revoke').description('takes one off the list: key, token or certificate'), true)
    .argument('<name>', 'as list shows it', lineName)
    .addHelpText('after', `\nExample:\n  ./claviger token revoke audit ${ownerExample}`)
    .action(async (id: string, args: OwnerArguments) => io.exit(await runRevoke(id, args, io)))
}
