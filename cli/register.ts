import { type Command, InvalidArgumentError, Option } from 'commander'
import { connectionOptions, fetchFor } from '#cli/connection-options.js'
import { brokerUrl, dayOrTime, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { pinnedBroker } from '#cli/owner.js'
import { OwnerClient, queryFrom } from '#cli/owner-client.js'
import type { Composed } from '#cli/owner-statements.js'
import { acceptsOption } from '#cli/policy/accepts.js'
import { standingWords, verifyForKey, wrappingKeyOf } from '#cli/register-broker.js'
import { runQuorum } from '#cli/register-quorum.js'
import {
  composeAll,
  keyExchangeOf,
  type RegisterArguments,
  type RegisterCode,
  readSealed,
  type Sealed,
} from '#cli/register-statements.js'
import { ensureTenant } from '#cli/register-tenant.js'
import { loadTrust } from '#cli/trust-store.js'
import { loadModelKey, loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import { type RecipientJwk, thumbprint } from '#core/crypto/jwk.js'
import { sharesMax } from '#core/crypto/shamir.js'
import { Failure } from '#core/failure.js'
import { modelName } from '#core/sealed/manifest.js'
import type { RegisterRequest } from '#core/wire/broker-document.js'
import type { Accepted } from '#core/wire/owner-query.js'
import { apiVersion, registerInfo } from '#core/wire/release.js'

async function wrapDek(args: RegisterArguments, sealed: Sealed, to: RecipientJwk): Promise<string> {
  const dek = await loadModelKey(args.keys, sealed.digest)
  try {
    return toBase64(await hpkeSeal(to, registerInfo(sealed.digest), new Uint8Array(0), dek))
  } finally {
    wipe(dek)
  }
}

/** Registers a sealed model: signs what the owner decides about it, and wraps its key to the pinned broker. */
export async function run(args: RegisterArguments, io: Io): Promise<number> {
  const { trust } = await loadTrust(args.trust, io.now())
  const { signingKey: owner } = await loadOwnerKeys(args.keys)
  const sealed = await readSealed(args.sealed, owner)
  if (sealed.manifest.quorum !== undefined)
    throw new Failure<RegisterCode>('register/quorum', 'the key of this model is split among several brokers', {
      detail: { hint: 'name all of them: --brokers URL,URL,… --threshold N' },
    })
  const client = new OwnerClient(args.broker, await fetchFor(args))
  const pinned = await pinnedBroker(client, trust)
  const known = await client.heads(queryFrom(owner, thumbprint(pinned.key), io.now()), owner)
  const { document, standing } = await verifyForKey(args, client, pinned, trust, known, io)
  io.stderr(`${standingWords(io, standing, document)}\n`)
  const wrapping = wrappingKeyOf(document, keyExchangeOf(args))
  const heads = await ensureTenant(args, client, owner, known, io)
  const composed = await composeAll(args, owner, sealed, trust, heads, io)
  const of = (kind: Composed['kind']) => composed.find((one) => one.kind === kind)!.envelope
  const request: RegisterRequest = {
    version: apiVersion,
    trust: of('trust'),
    registration: of('registration'),
    policy: of('policy'),
    referenceValues: of('reference-values'),
    manifest: toBase64(sealed.bytes),
    manifestSignature: toBase64(sealed.signature),
    wrapped: await wrapDek(args, sealed, wrapping.key),
    wrappedTo: wrapping.wrappedTo,
  }
  const accepted = args.dryRun ? null : (await client.registerModel(request)).accepted
  report(args, sealed, composed, accepted, io)
  return exitCodes.ok
}

function report(
  args: RegisterArguments,
  sealed: Sealed,
  composed: readonly Composed[],
  accepted: Accepted['accepted'] | null,
  io: Io,
): void {
  const { id, version } = sealed.manifest.model
  if (args.json) {
    const statements = composed.map(({ kind, sequence, isNew }) => ({ kind, sequence, isNew }))
    const summary = {
      model: id,
      version,
      manifestDigest: sealed.digest,
      dryRun: args.dryRun === true,
      statements,
      accepted,
    }
    io.stdout(`${JSON.stringify(summary, null, 2)}\n`)
    return
  }
  const said = args.dryRun ? 'would register' : 'registered'
  io.stdout(
    `${said} ${modelName(sealed.manifest)} version ${version}\n  model ${id}\n  manifest sha256 ${sealed.digest}\n`,
  )
  for (const { kind, sequence, isNew } of composed) {
    const entry = accepted?.find((one) => one.kind === kind)?.entry
    const place = entry === undefined ? '' : `, log entry #${entry}`
    io.stdout(`  ${kind} statement ${sequence}${isNew ? '' : ' (unchanged)'}${place}\n`)
  }
  io.stdout(`  callers: ${args.callers}\n`)
  if (args.delivery?.includes('kbs'))
    io.stdout('  its key also leaves by the KBS route: no lease ends the use of a key that went there\n')
  const floor = keyExchangeOf(args)
  io.stdout(
    `  key exchange: ${floor === 'hybrid' ? 'X-Wing alone' : 'X25519 too: recorded today, it is open to quantum computers'}\n`,
  )
}

function delivery(text: string): readonly ('v1' | 'kbs')[] {
  const routes = [...new Set(text.split(','))]
  if (routes.every((one) => one === 'v1' || one === 'kbs')) return routes as ('v1' | 'kbs')[]
  throw new InvalidArgumentError('expected v1, kbs or both, such as v1,kbs')
}

/** Several of one option, with commas between them. */
const listOf =
  (parse: (text: string) => string) =>
  (text: string): readonly string[] =>
    text.split(',').map((one) => parse(one.trim()))

/** What was typed: one broker, or several. */
type Typed = Omit<RegisterArguments, 'sealed' | 'broker'> & {
  readonly broker?: string
  readonly brokers?: readonly string[]
  readonly threshold: number
  readonly controllers?: readonly string[]
}

function runTyped(args: Typed & { readonly sealed: string }, io: Io): Promise<number> {
  const { broker, brokers, token } = args
  keyExchangeOf(args)
  if ((broker === undefined) === (brokers === undefined))
    throw new Failure<RegisterCode>('usage/brokers', 'expected --broker or --brokers, and not both', {
      detail: { hint: 'a whole key goes to one --broker; among several --brokers it is split' },
    })
  if (brokers !== undefined) return runQuorum({ ...args, brokers, token: token?.split(',') }, io)
  return run({ ...args, broker: broker! }, io)
}

/** As many as JSON's numbers count without a gap. */
const countMax = 999_999_999_999_999

export function describe(program: Command, io: Io): void {
  connectionOptions(program.command('register'))
    .argument('<sealed>', 'the sealed folder')
    .description('registers a sealed model at a broker: policy, reference values, terms, and its key')
    .option('--broker <url>', 'the broker; your trust file must name its key', brokerUrl)
    .option(
      '--brokers <urls>',
      'several brokers, URL,URL,…, among whom the key is split on this machine',
      listOf(brokerUrl),
    )
    .option('--threshold <n>', 'how many of them have to agree', wholeNumber(2, sharesMax, 2), 2)
    .option(
      '--controllers <names>',
      'who controls each of them, NAME,NAME,…: each holds one share',
      listOf((name) => name),
    )
    .requiredOption('--policy <file>', 'Cedar policy, or the name of one of the library')
    .requiredOption('--trust <file>', 'your trust file')
    .requiredOption('--keys <folder>', 'your keys, as `claviger keys new` made them')
    .option('--token <file>', "the operator's admin token, needed the first time only; FILE,FILE,… for several brokers")
    .addOption(
      new Option('--class <class>', 'fixed for ever when the broker first sees you')
        .choices(['production', 'development'])
        .default('production'),
    )
    .addOption(acceptsOption())
    .option('--reference-values <file>', 'what you accept of a node (default: of the runtime in your trust file)')
    .option('--runtime <title>', 'which runtime of your trust file')
    .option('--callers <any|file>', 'who may call the model: any, or a JSON list', 'any')
    .option(
      '--delivery <list>',
      'routes on which the key may leave the broker: v1, kbs or v1,kbs; kbs has no lease that ends its use',
      delivery,
    )
    .addOption(
      new Option(
        '--key-exchange <which>',
        'under what the key may leave: hybrid (X-Wing) alone, or any (default: hybrid, but any with --delivery kbs)',
      ).choices(['hybrid', 'any']),
    )
    .option(
      '--lease-seconds <n>',
      'how long a node may use the key before it asks again',
      wholeNumber(10, 86_400, 3600),
      3600,
    )
    .option(
      '--lease-requests <n>',
      'how many requests it may answer before it asks again',
      wholeNumber(1, countMax, 100_000),
      100_000,
    )
    .option(
      '--lease-bytes <n>',
      'how many bytes of requests it may take in by then',
      wholeNumber(1, countMax, 100_000_000),
      100_000_000_000,
    )
    .option(
      '--lease-units <n>',
      'how much work by then: bytes of tensors, ms of sound and tokens',
      wholeNumber(1, countMax, 100_000_000),
      1_000_000_000_000,
    )
    .option('--nodes <n>', 'how many nodes may hold the key at a time', wholeNumber(1, 100_000, 10), 10)
    .option(
      '--max-inferences <n>',
      'how many inferences all nodes together may do with this version (default: any number)',
      wholeNumber(1, countMax, 1_000_000),
    )
    .option('--licence-until <date>', 'when the licence of this version ends (default: never)', dayOrTime)
    .option(
      '--version-floor <n>',
      'versions below it are never released (default: this version)',
      wholeNumber(1, countMax, 3),
    )
    .option(
      '--dangerous-allow-unattested-broker',
      'a production key goes to a broker of which your trust file demands no evidence: its operator can read it',
    )
    .option('--dry-run', 'sign and print, and change nothing')
    .option('--json', 'print what was registered as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger register ./sealed --broker https://broker.example --policy eu-personal-data --trust trust.json --keys ./keys' +
        '\n  ./claviger register ./sealed --brokers https://a.example,https://b.example,https://c.example --threshold 2 --controllers "Alpha GmbH,Beta SAS,Gamma Oy" --policy eu-personal-data --trust trust.json --keys ./keys',
    )
    .action(async (sealed: string, options: Typed) => {
      io.exit(await runTyped({ ...options, sealed }, io))
    })
}
