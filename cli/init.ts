import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { runtimeFileShape } from '#attest/reference/runtime-file.js'
import { type ConnectionArguments, connectionOptions, fetchFor } from '#cli/connection-options.js'
import { demandsOf, proveAll } from '#cli/init-brokers.js'
import { readInput } from '#cli/input.js'
import { mergeWitnessPolicies } from '#cli/merge-policies.js'
import {
  brokerUrl,
  keyName,
  lineName,
  modelIdText,
  namedPath,
  repeated,
  sha256Text,
  thumbprintText,
  wholeNumber,
} from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { findOwnKey, openOwnKey } from '#cli/own-key.js'
import { OwnerClient } from '#cli/owner-client.js'
import { placeInLine, readStanding, type TrustLineCode } from '#cli/trust-line.js'
import { loadOwnerPublicKey, loadPublisherKey, ownerKeyFiles } from '#convert/keys/owner-keys.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { parseJson } from '#core/encoding/json.js'
import { hex } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { BrokerDocument } from '#core/wire/broker-document.js'
import { nameShape } from '#core/wire/names.js'
import { type CollateralFloor, signTrust, type Trust, type TrustFile } from '#core/wire/trust-file.js'
import { writeFileDurably } from '#host/files.js'

/** Failures of making a trust file. */
export type InitCode =
  /** nobody confirmed the broker's key, and none was given */
  | 'init/unconfirmed'
  /** brokers, names and keys that do not belong together */
  | 'init/brokers'
  | 'init/owner'
  | 'init/runtime'
  /** not `SHA256=TIME` */
  | 'init/floor'
  | TrustLineCode

export interface InitArguments extends ConnectionArguments {
  readonly broker: string
  readonly brokerKey?: string | undefined
  readonly owner: readonly string[]
  readonly out: string
  /** name of the line of versions; that of the file that stands there, or one of the reader's key */
  readonly name?: string | undefined
  readonly key?: string | undefined
  readonly days: number
  readonly runtime: readonly string[]
  readonly simulatedRoot: readonly string[]
  readonly independentWitness: readonly string[]
  readonly runtimePublisher?: readonly string[] | undefined
  readonly registry?: readonly string[] | undefined
  readonly issuer?: readonly string[] | undefined
  readonly crlFloor?: readonly string[] | undefined
  /** what is accepted of each broker, one file for each in the same order; `none` for nothing */
  readonly brokerValues?: readonly string[] | undefined
  /** ids of key-encryption keys that may be released to such a broker */
  readonly brokerKek?: readonly string[] | undefined
  readonly dangerousAllowOperatorKek?: boolean | undefined
  readonly yes?: boolean | undefined
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

const daySeconds = 86_400

/** `URL`, or `NAME=URL` to call it by a name. */
function namedBroker(text: string): { readonly name: string | null; readonly url: string } {
  const [, name, url] = /^([a-z0-9][a-z0-9._-]{0,99})=(.*)$/.exec(text) ?? []
  return { name: name ?? null, url: url ?? text }
}

const brokerText = (text: string) => {
  for (const one of text.split(',')) brokerUrl(namedBroker(one).url)
  return text
}
const keysText = (text: string) => {
  for (const one of text.split(',')) thumbprintText(one)
  return text
}

/** The brokers that were named, each with the name that it is to have. @throws init/brokers, init/unconfirmed, broker/key */
async function confirmBrokers(args: InitArguments, io: Io) {
  const brokers = args.broker.split(',').map(namedBroker)
  const pins = args.brokerKey?.split(',')
  if (pins !== undefined && pins.length !== brokers.length)
    throw new Failure<InitCode>('init/brokers', `${pins.length} keys for ${brokers.length} brokers`, {
      detail: { hint: 'one for each, in the same order' },
    })
  const confirmed = []
  for (const [at, { name, url }] of brokers.entries()) {
    const alias = name ?? (at === 0 ? 'broker' : `broker-${at + 1}`)
    confirmed.push({ alias, document: await confirmBroker({ ...args, broker: url, brokerKey: pins?.[at] }, io) })
  }
  const distinct = (values: readonly string[]) => new Set(values).size === values.length
  if (!distinct(confirmed.map((one) => one.alias)) || !distinct(confirmed.map((one) => thumbprint(one.document.key))))
    throw new Failure<InitCode>('init/brokers', 'one broker, or one name, stands there twice')
  return confirmed
}

/** The broker's key is the pinned one, or a person has looked at it. @throws init/unconfirmed, broker/key */
async function confirmBroker(args: InitArguments, io: Io): Promise<BrokerDocument> {
  const document = await new OwnerClient(args.broker, await fetchFor(args)).document(args.brokerKey ?? null)
  const key = thumbprint(document.key)
  io.stderr(`broker ${args.broker}\n  key ${key}\n  ${document.standing}, ${document.kek}\n`)
  for (const log of document.logs) io.stderr(`  log ${printable(log)}\n`)
  if (args.brokerKey !== undefined) return document
  // Nobody stands between this process and its own machine; anywhere else an unseen key may be anybody's.
  const local = ['127.0.0.1', '[::1]', 'localhost'].includes(new URL(args.broker).hostname)
  if (args.yes === true && local) return document
  const answer = await io.ask('Is this the key that the operator told you? Type yes: ')
  if (answer?.trim() === 'yes') return document
  throw new Failure<InitCode>('init/unconfirmed', 'nobody confirmed the key of the broker', {
    detail: { hint: `compare it with what the operator told you, then add --broker-key ${key}` },
  })
}

/**
 * A key: `PATH`, or `NAME=PATH` to call it by a name. The path is a folder of `claviger keys new`, or a PEM file.
 *
 * throws  init/owner, keys/..., pem/..., shape/...
 */
async function namedKey<K>(
  text: string,
  load: (path: string) => Promise<K>,
): Promise<{ readonly alias: string | null; readonly key: K }> {
  const named = /^([a-z0-9][a-z0-9._-]*)=(.+)$/.exec(text)
  const path = named?.[2] ?? text
  let isFolder: boolean
  try {
    isFolder = (await stat(path)).isDirectory()
  } catch (cause) {
    throw new Failure<InitCode>('init/owner', `there is no key at ${path}`, { cause })
  }
  const key = await load(isFolder ? join(path, ownerKeyFiles.public) : path)
  return { alias: named === null ? null : nameShape(named[1], 'alias'), key }
}

/** Keys by the names given, or by what they are for and their number. */
const namedKeys = (texts: readonly string[] | undefined, kind: string): Promise<Trust['issuers']> =>
  namedKeysOf(texts, kind, loadOwnerPublicKey)

async function namedKeysOf<K>(texts: readonly string[] | undefined, kind: string, load: (path: string) => Promise<K>) {
  const keys = await Promise.all((texts ?? []).map((text) => namedKey(text, load)))
  return keys.map(({ alias, key }, i) => ({ alias: alias ?? (i === 0 ? kind : `${kind}-${i + 1}`), key }))
}

/** `SHA256=2026-11-25T00:00:00Z`: lists of this issuer from before that time are refused. @throws init/floor */
function crlFloor(text: string): CollateralFloor {
  const [, issuer, time] = /^([0-9a-f]{64})=(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z)$/.exec(text) ?? []
  const issuedAtMin = Date.parse(time ?? '') / 1000
  if (issuer === undefined || !Number.isInteger(issuedAtMin))
    throw new Failure<InitCode>('init/floor', `expected SHA256=YYYY-MM-DDThh:mm:ssZ, found ${JSON.stringify(text)}`)
  return { kind: 'crl', issuer, issuedAtMin }
}

async function runtimeFile(path: string) {
  let bytes: Uint8Array
  try {
    bytes = await readInput(path, 'values of a runtime')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<InitCode>('init/runtime', cause.message, { cause, ...(cause.detail && { detail: cause.detail }) })
  }
  try {
    return runtimeFileShape(parseJson(bytes), 'runtime')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<InitCode>('init/runtime', `${path} holds no values of a runtime: ${cause.message}`, {
      cause,
      detail: { hint: 'they are made with: ./claviger runtime values --out FILE' },
    })
  }
}

/** What is accepted of each broker, in their order: null for nothing; undefined where nothing was said. @throws init/brokers, init/runtime */
async function readBrokerValues({ broker, brokerValues, brokerKek = [] }: InitArguments) {
  if (brokerValues === undefined && brokerKek.length > 0)
    throw new Failure<InitCode>('init/brokers', '--broker-kek says nothing of a broker of which nothing is demanded', {
      detail: { hint: 'say what you accept of it as well: --broker-values FILE' },
    })
  if (brokerValues === undefined) return undefined
  const count = broker.split(',').length
  if (brokerValues.length !== count)
    throw new Failure<InitCode>('init/brokers', `${brokerValues.length} files of values for ${count} brokers`, {
      detail: { hint: 'one for each, in the same order; `none` for one of which you demand nothing' },
    })
  return Promise.all(brokerValues.map((path) => (path === 'none' ? null : runtimeFile(path))))
}

/**
 * The line of versions and the place in it. Readers remember lines by their names: without a name of its own each key has a
 * line of its own, so that a trust file made elsewhere is no older version of this one.
 */
async function lineOf(
  args: InitArguments,
  standing: TrustFile | null,
  key: SigningKey,
): Promise<Pick<Trust, 'name' | 'version'>> {
  const before = standing === null ? null : await placeInLine(args.out, standing, key)
  const name = args.name ?? before?.name ?? `trust-${toHex(sha256(utf8(key.id))).slice(0, 12)}`
  return { name, version: before?.name === name ? before.version + 1 : 1 }
}

/** What the files say that were named: read before anybody is asked, a key is made or a version counted. */
async function readNamed(args: InitArguments) {
  const runtimes = await Promise.all(args.runtime.map(runtimeFile))
  const values = await readBrokerValues(args)
  const files = [...runtimes, ...(values ?? []).flatMap((one) => one ?? [])]
  const simulatedRoots = [...args.simulatedRoot, ...files.flatMap((one) => one.simulatedRoots ?? [])]
  return {
    values,
    owners: await namedKeys(args.owner, 'owner'),
    runtimes: runtimes.map(({ title, values }) => ({ title, values })),
    runtimePublishers: await namedKeysOf(args.runtimePublisher, 'publisher', loadPublisherKey),
    registries: await namedKeys(args.registry, 'registry'),
    issuers: await namedKeys(args.issuer, 'issuer'),
    collateralFloors: (args.crlFloor ?? []).map(crlFloor),
    simulatedRoots: [...new Set(simulatedRoots)].map((root) => hex(32)(root, 'simulated root')),
  }
}

function distinctKeys(keys: readonly SignatureJwk[]): readonly SignatureJwk[] {
  return [...new Map(keys.map((key) => [thumbprint(key), key])).values()]
}

/** Makes the reader's trust file: whom they believe, signed by themselves. */
export async function run(args: InitArguments, io: Io): Promise<number> {
  const standing = await readStanding(args.out)
  const { values, ...named } = await readNamed(args)
  const brokers = await confirmBrokers(args, io)
  const documents = brokers.map(({ document }) => document)
  const keyPath = args.key ?? `${args.out}.key`
  const dryRun = args.dryRun === true
  const found = dryRun
    ? await findOwnKey(keyPath)
    : await openOwnKey(keyPath, `your key at ${keyPath}: whoever has it can change whom you trust`, io)
  // A dry run makes no key in a file: one for this moment stands for the one that would be made.
  const key = found ?? (await generateSigningKey('Ed25519')).key
  const at = io.now()
  const line = await lineOf(args, standing, key)
  const demands = await demandsOf(args, standing, documents, values)
  const trust: Trust = {
    type: 'claviger/trust/v1',
    ...line,
    issuedAt: at,
    expiresAt: at + args.days * daySeconds,
    brokers: brokers.map(({ alias, document: { key: own } }, i) => ({ alias, key: own, demand: demands[i] })),
    verifiers: distinctKeys(documents.flatMap(({ verifiers }) => verifiers)).map((one, i) => ({
      alias: `verifier-${i + 1}`,
      key: one,
    })),
    logs: [...new Set(documents.flatMap(({ logs }) => logs))],
    witnessPolicy: mergeWitnessPolicies(
      brokers.map(({ alias, document }) => ({ alias, text: document.witnessPolicy })),
    ),
    independentWitnesses: args.independentWitness,
    ...named,
  }
  await proveAll(args, trust, documents, io)
  const file = await signTrust(trust, key)
  if (!dryRun) await writeFileDurably(args.out, utf8(`${JSON.stringify(file, null, 2)}\n`))
  if (trust.simulatedRoots.length > 0)
    io.stderr(
      `${paint(io, 'yellow', 'NOT HARDWARE:')} simulated evidence is consistent under this file, for development\n`,
    )
  report(args, trust, found, io)
  return exitCodes.ok
}

/** author: null when a dry run found no key */
function report(args: InitArguments, trust: Trust, author: SigningKey | null, io: Io): void {
  const { version } = trust
  if (args.json) {
    const name = author === null ? (args.name ?? null) : trust.name
    const broker = trust.brokers.map((one) => thumbprint(one.key))[0]
    const dryRun = args.dryRun === true
    io.stdout(`${JSON.stringify({ out: args.out, name, version, broker, author: author?.id ?? null, dryRun })}\n`)
    return
  }
  const would = args.dryRun === true ? 'would make ' : ''
  io.stdout(`${would}${args.out}: version ${version}, signed by ${author?.id ?? 'a key that would be made'}\n`)
}

function floorText(text: string): string {
  try {
    crlFloor(text)
    return text
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new InvalidArgumentError('expected SHA256=TIME, such as 9f86d081…=2026-11-25T00:00:00Z')
  }
}

export function describe(program: Command, io: Io): void {
  connectionOptions(program.command('init'))
    .description('makes your trust file: whom you believe, signed by yourself')
    .requiredOption(
      '--broker <url>',
      'the broker, whose key you pin: URL or NAME=URL, several with commas between them',
      brokerText,
    )
    .option(
      '--broker-key <thumbprint>',
      'the key that its operator told you, of several brokers in the same order; without it you are asked on the terminal',
      keysText,
    )
    .option(
      '--owner <name=path>',
      'keys folder or public key (PEM) of a model owner, as PATH or NAME=PATH; repeat for more',
      repeated(namedPath),
      [],
    )
    .requiredOption('--out <file>', 'where to write the trust file; one that is there gets its next version')
    .option(
      '--name <name>',
      'name of the line of versions (default: of the file that is there, or of your key)',
      lineName,
    )
    .option('--key <file>', 'your own key; made on first use (default: beside the trust file)')
    .option('--days <n>', 'days until the file expires', wholeNumber(1, 3650, 90), 90)
    .option(
      '--runtime <file>',
      'values of a runtime that you accept, as `claviger runtime values` writes them; repeat for more',
      repeated((path) => path),
      [],
    )
    .option(
      '--simulated-root <sha256>',
      'root of simulated evidence: NOT HARDWARE; repeat for more',
      repeated(sha256Text),
      [],
    )
    .option('--independent-witness <name>', 'a witness of nobody who runs broker, log or host', repeated(keyName), [])
    .option(
      '--runtime-publisher <name=path>',
      'key of one whose signed reference values you accept, P-384 too; repeat for more',
      repeated(namedPath),
      [],
    )
    .option(
      '--registry <name=path>',
      'key of a registry of countries and companies; repeat for more',
      repeated(namedPath),
      [],
    )
    .option('--issuer <name=path>', 'key of an issuer of credentials; repeat for more', repeated(namedPath), [])
    .option(
      '--crl-floor <sha256=time>',
      'revocation lists of this root older than this are refused',
      repeated(floorText),
      [],
    )
    .option(
      '--broker-values <files>',
      'what you accept of the broker itself, which then has to prove it: FILE, of several brokers in the same order, `none` for nothing',
      (text) => text.split(','),
    )
    .option(
      '--broker-kek <id>',
      'OWNER/NAME of a key-encryption key that such a broker may be released, by an owner whom you know; repeat for more',
      repeated(modelIdText),
      [],
    )
    .option(
      '--dangerous-allow-operator-kek',
      'a broker that proves itself may keep keys under one that its operator can use',
    )
    .option('--yes', 'take the key that a broker on this machine shows, unseen')
    .option('--dry-run', 'asks the broker and says what would be made; writes nothing')
    .option('--json', 'print what was made as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger init --broker https://broker.example --broker-key THUMBPRINT --owner ./keys --out trust.json',
    )
    .action(async (args: InitArguments) => io.exit(await run(args, io)))
}
