import { type Command, Option } from 'commander'
import { resolveModel } from '#cli/client-policy.js'
import { type ConnectionArguments, connectionOptions, fetchFor } from '#cli/connection-options.js'
import { brokerUrl, lineText } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { OwnerClient, queryFrom } from '#cli/owner-client.js'
import { type Body, compose, newest } from '#cli/owner-statements.js'
import { standingShown } from '#cli/proven-broker.js'
import { loadTrust } from '#cli/trust-store.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import type { BrokerDocument } from '#core/wire/broker-document.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { AnyBundle } from '#core/wire/bundle.js'
import type { DecisionsAnswer, Head, LeasesAnswer, ReleasedAnswer, UsageAnswer } from '#core/wire/owner-query.js'
import { type ActReason, actReasons, type Signed, type Statement, type StatementKind } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Failures of an owner's commands, beside those of the talk with the broker. */
export type OwnerCode =
  /** the trust file names no broker with the key that this one has */
  | 'owner/broker'
  /** the broker does not know this owner */
  | 'owner/tenant'
  /** the model is another owner's, or was never registered at this broker */
  | 'owner/model'

/** What every command of an owner takes. */
export interface OwnerArguments extends ConnectionArguments {
  readonly broker: string
  /** all brokers that the command goes to, where there are several */
  readonly beside?: readonly string[] | undefined
  readonly trust: string
  readonly keys: string
  readonly dryRun?: boolean | undefined
  /** why the owner acts */
  readonly why?: ActReason | undefined
  readonly note?: string | undefined
  readonly json?: boolean | undefined
}

/** The broker at the URL, which the reader's own trust file names. @throws owner/broker */
export async function pinnedBroker(client: OwnerClient, trust: Trust): Promise<BrokerDocument> {
  const document = await client.document(null)
  const key = thumbprint(document.key)
  if (!trust.brokers.some((one) => thumbprint(one.key) === key)) {
    throw new Failure<OwnerCode>('owner/broker', `your trust file does not name the broker with key ${key}`, {
      detail: {
        hint: 'make one with: ./claviger init --broker URL --broker-key THUMBPRINT --owner KEYS --out trust.json',
      },
    })
  }
  return document
}

/** An owner at a broker that its trust file names, with what it said there last. */
export interface Owner {
  readonly client: OwnerClient
  readonly key: SigningKey
  readonly document: BrokerDocument
  /** what it proved that it is; `UNATTESTED BROKER` where your trust file demands nothing, or it proved nothing */
  readonly standing: BrokerStanding
  readonly heads: readonly Head[]
  leases(): Promise<LeasesAnswer['leases']>
  /** decisions that stand in the log, the newest first: those before an entry, or the last; empty when there are no more */
  decisions(before: number | null): Promise<DecisionsAnswer['decisions']>
  bundle(entry: number): Promise<AnyBundle>
  usage(): Promise<UsageAnswer['usage']>
  /** what was ever released to this machine */
  released(platform: string): Promise<ReleasedAnswer['released']>
  /** the full id: of a name, of alias and name, or of a full id of this owner's. @throws owner/model, usage/model */
  modelId(text: string): string
  /** what was said last, verified; null when nothing */
  newest<K extends StatementKind>(kind: K, model: string | null): Promise<Signed<Statement<K>> | null>
}

/** @throws owner/broker, owner/tenant, keys/..., trust-file/..., and what OwnerClient throws */
export async function openOwner(args: OwnerArguments, io: Io): Promise<Owner> {
  const { trust } = await loadTrust(args.trust, io.now())
  const { signingKey: key } = await loadOwnerKeys(args.keys)
  const client = new OwnerClient(args.broker, await fetchFor(args))
  const document = await pinnedBroker(client, trust)
  const standing = await standingShown(client, document, trust, io)
  const query = () => queryFrom(key, thumbprint(document.key), io.now())
  const heads = await client.heads(query(), key)
  if (heads === null) {
    throw new Failure<OwnerCode>('owner/tenant', 'the broker does not know you', {
      detail: { hint: 'register a model first: ./claviger register' },
    })
  }
  return {
    client,
    key,
    document,
    standing,
    heads,
    leases: () => client.leases(query(), key),
    decisions: (before) => client.decisions(before, query(), key),
    bundle: (entry) => client.bundle(entry, query(), key),
    usage: () => client.usage(query(), key),
    released: (platform) => client.released(platform, query(), key),
    modelId(text) {
      const id = text.includes('/') ? resolveModel(text, trust) : `${key.id}/${text}`
      if (id.startsWith(`${key.id}/`)) return id
      throw new Failure<OwnerCode>('owner/model', `model ${text} is another owner's`, { detail: { hint } })
    },
    newest: (kind, model) => newest(kind, model, key.publicKey, heads),
  }
}

const hint = 'your models there are shown by: ./claviger tenant show'

/** The registration of a model, which its owner signed. @throws owner/model */
export async function registrationOf(owner: Owner, model: string): Promise<Statement<'registration'>> {
  const found = await owner.newest('registration', model)
  if (found !== null) return found.value
  throw new Failure<OwnerCode>('owner/model', `model ${model} is not registered at this broker`, { detail: { hint } })
}

/** What of a statement its author decides: the rest is its place in its chain. */
export function bodyOf<K extends StatementKind>(statement: Statement<K>): Body<K> {
  const { type: _t, tenant: _o, sequence: _s, previous: _p, issuedAt: _i, why: _w, ...body } = statement
  return body as Body<K>
}

/** What a change came to, for machines. */
export interface Said {
  readonly kind: StatementKind
  readonly sequence: number
  /** false when the statement that stands says the same */
  readonly isNew: boolean
  readonly dryRun: boolean
  /** index in the log; null when nothing was sent */
  readonly entry: number | null
  /** it loosens something: it is proposed, and in force when those who have to did agree */
  readonly pending: boolean
}

/** The reason that goes with a statement. */
export function whyOf({ why, note }: Pick<OwnerArguments, 'why' | 'note'>): Statement['why'] {
  return { code: why ?? 'routine', note: note ?? '' }
}

/** Signs what the owner says next and, unless it is a dry run, has it take effect. @throws owner/..., statement/... */
export async function say<K extends StatementKind>(
  owner: Owner,
  kind: K,
  body: Body<K>,
  args: OwnerArguments,
  io: Io,
): Promise<Said> {
  const { envelope, sequence, isNew } = await compose(kind, body, owner.key, owner.heads, io.now(), whyOf(args))
  const dryRun = args.dryRun === true
  if (dryRun || !isNew) return { kind, sequence, isNew, dryRun, entry: null, pending: false }
  const { accepted } = await owner.client.sendStatement(kind, envelope)
  const found = accepted.find((one) => one.kind === kind)
  return { kind, sequence, isNew, dryRun, entry: found?.entry ?? null, pending: found?.pending === true }
}

/** Prints what a change came to: one sentence, or JSON with what is particular to the command. */
export function reportSaid(
  said: Said,
  sentence: string,
  more: Readonly<Record<string, unknown>>,
  args: OwnerArguments,
  io: Io,
): number {
  if (args.json) io.stdout(`${JSON.stringify({ ...more, ...said })}\n`)
  else {
    const place = said.entry === null ? '' : `, log entry #${said.entry}`
    const standing = said.isNew ? '' : ' (stands already)'
    io.stdout(`${said.dryRun ? 'would say: ' : said.pending ? 'proposed: ' : ''}${sentence}\n`)
    io.stdout(`  ${said.kind} statement ${said.sequence}${standing}${place}\n`)
    if (said.pending) io.stdout('  not in force until those who have to agree do: ./claviger approve list\n')
  }
  return exitCodes.ok
}

const brokerUrls = (text: string) => text.split(',').map(brokerUrl).join(',')

/** The options of every command of an owner. brokers: `several` for one that goes to each of several (`atEach`) */
export function describeOwner(command: Command, changes: boolean, brokers: 'one' | 'several' = 'one'): Command {
  const named = 'the broker; your trust file must name its key'
  if (brokers === 'one') command.requiredOption('--broker <url>', named, brokerUrl)
  else command.requiredOption('--broker <url>', `${named}; URL,URL,… for each that holds a split key`, brokerUrls)
  command
    .requiredOption('--trust <file>', 'your trust file')
    .requiredOption('--keys <folder>', 'your keys, as `claviger keys new` made them')
  if (changes)
    command
      .option('--dry-run', 'sign and print, and change nothing')
      .addOption(new Option('--why <code>', 'why: the log shows it').choices([...actReasons]).default('routine'))
      .option('--note <text>', 'more of why, in one line, for those who read the statement', lineText)
  return connectionOptions(command).option('--json', 'print the result as JSON')
}

/** The options as they stand in an example. */
export const ownerExample = '--broker https://broker.example --trust trust.json --keys keys'
