import type { Command } from 'commander'
import { type Finding, failed, finding } from '#cli/doctor/finding.js'
import { describeFindings } from '#cli/doctor/show.js'
import { describeNode, type NodeArguments, nodeOptionsOf, type RunCode } from '#cli/node-options.js'
import { settingsOf } from '#cli/node-session.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { queryFrom } from '#cli/owner-client.js'
import { describeReason } from '#cli/reasons.js'
import { type NodeBrokers, openBrokers } from '#cli/start-brokers.js'
import { openSealed } from '#cli/start-node.js'
import { readToken } from '#cli/token-file.js'
import { brokerAppraiser } from '#client/broker-proof.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateHybridKey, generateRecipientKey } from '#core/crypto/hpke.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { modelName } from '#core/sealed/manifest.js'
import { signOwnerQuery } from '#core/wire/owner-query.js'
import type { QualifyAnswer } from '#core/wire/qualify.js'
import { type AskPorts, ask } from '#runtime/ask.js'
import { composeOwnValues, type NodeSettings, type OwnCode, viewsOf } from '#runtime/own-values.js'
import type { Attester, SessionEvent } from '#runtime/ports.js'
import { createBrokerClient, fetchQualification } from '#runtime/service/broker-client.js'
import type { OwnValues } from '#runtime/verify-grant.js'

/** Failures of asking for a node, beside those of starting it. */
export type NodeDoctorCode =
  /** the broker answers nobody who shows nothing */
  'usage/credential'

export interface NodeDoctorArguments extends NodeArguments {
  readonly credential?: string | undefined
  readonly keys?: string | undefined
}

/** What one broker said. */
interface Told {
  readonly url: string
  readonly broker: string
  readonly answer: QualifyAnswer
}

/** Who asks: an identity of the owner's list by its token, one for each address; or the owner. */
type Asker = { readonly tokens: ReadonlyMap<string, string> } | { readonly key: SigningKey }

const refuse = (message: string, hint: string) =>
  new Failure<NodeDoctorCode>('usage/credential', message, { detail: { hint } })

/** @throws usage/credential, token/form, keys/..., input/... */
async function askerOf(args: NodeDoctorArguments): Promise<Asker> {
  const { credential, keys, broker } = args
  if ((credential === undefined) === (keys === undefined))
    throw refuse(
      'a broker tells nobody who shows nothing: name --credential or --keys',
      'a host gets a key from the owner, who makes one with: ./claviger token create NAME --role host --out host.key',
    )
  if (keys !== undefined) return { key: (await loadOwnerKeys(keys)).signingKey }
  const files = credential!.split(',')
  const urls = broker.split(',')
  // Brokers of a split key do not trust each other: what one is shown would open the others.
  if (files.length !== urls.length || new Set(files).size !== files.length)
    throw refuse(`${files.length} credentials for ${urls.length} brokers`, 'name one file for each, in their order')
  const tokens = await Promise.all(files.map((file) => readToken(file, 'a credential')))
  return { tokens: new Map(urls.map((url, at) => [url, tokens[at]!])) }
}

/** Keys that a node would make: of no use to anybody, since nothing is ever sealed to them. */
async function keysOf(at: number, landmark: Ed25519Jwk | null) {
  const [release, request] = await Promise.all([generateHybridKey(), generateRecipientKey()])
  const { key: receipt, pkcs8 } = await generateSigningKey('Ed25519')
  pkcs8.fill(0)
  if (receipt.publicKey.kty !== 'OKP') throw new TypeError('a receipt key is an Ed25519 key')
  // As long as the keys of a node live that starts now.
  return {
    release: release.publicKey,
    request: request.publicKey,
    receipt: receipt.publicKey,
    landmark,
    notAfter: at + 90_000,
  }
}

/** One broker's word on the node, to evidence that was made for this question and answers no other. */
async function askOne(url: string, own: OwnValues, asker: Asker, ports: AskPorts): Promise<Told> {
  const bearer = 'key' in asker ? undefined : asker.tokens.get(url)
  const options = { url, ...(bearer === undefined ? {} : { bearer }) }
  const requestId = toHex(randomBytes(16))
  const { request } = await ask(ports, createBrokerClient({ url }), own, requestId, null, 'claviger.qualify.v1')
  const question = { type: 'claviger/owner-query/v1', ask: 'qualify', entry: null } as const
  const query =
    'key' in asker
      ? await signOwnerQuery({ ...question, ...queryFrom(asker.key, own.broker, ports.now()) }, asker.key)
      : null
  return { url, broker: own.broker, answer: await fetchQualification(options, request, query) }
}

interface Examined {
  readonly findings: readonly Finding[]
  readonly told: readonly Told[]
  /** null when nobody can tell */
  readonly qualifies: boolean | null
}

/** Asks every broker that can be called. A node of several starts when so many as have to agree do, and none says no. */
async function askAll(settings: NodeSettings, brokers: NodeBrokers, url: string, asker: Asker, ports: AskPorts) {
  const own = await composeOwnValues(
    settings,
    await keysOf(ports.now(), ports.timing?.key ?? null),
    ports.attester.platform,
  )
  const findings: Finding[] = []
  const told: Told[] = []
  for (const view of await viewsOf(settings, own)) {
    const place = brokers.urls?.get(view.broker) ?? url
    try {
      told.push(await askOne(place, view, asker, ports))
      findings.push(finding('broker', 'ok', `${place} answered: ${view.broker}`))
    } catch (error) {
      findings.push(failed('broker', error, 'fault', `the broker at ${place} could not be asked`))
    }
  }
  const isNo = told.some(({ answer }) => !answer.qualifies)
  const isYes = told.length >= (own.quorum?.threshold ?? 1)
  return { findings, told, qualifies: isNo ? false : isYes ? true : null }
}

/** Refusals that the node comes to by itself, before it asks anybody: a verdict, as a broker's is. */
const ownVerdicts: readonly (OwnCode | RunCode)[] = [
  'own/owner',
  'own/simulated',
  'own/class',
  'own/leaks',
  'run/attester',
]

async function examine(args: NodeDoctorArguments, asker: Asker, io: Io): Promise<Examined> {
  const findings: Finding[] = []
  let check = 'machine'
  try {
    const options = await nodeOptionsOf(args, io)
    const attester: Attester = options.attester
    const isHardware = attester.platform === 'hardware'
    findings.push(finding('machine', isHardware ? 'ok' : 'note', isHardware ? 'it makes evidence' : 'NOT HARDWARE'))
    check = 'model'
    const sealed = await openSealed(options)
    const { model } = sealed.manifest
    findings.push(finding('model', 'ok', `${modelName(sealed.manifest)} v${model.version}, as its owner signed it`))
    check = 'broker'
    const trouble = (event: SessionEvent) => {
      if (event.kind === 'trouble') findings.push(failed('broker', event.failure, 'warning'))
    }
    const brokers = await openBrokers(args.broker.split(','), sealed.manifest, options.trust, trouble)
    check = 'node'
    const settings = await settingsOf(options, sealed, brokers)
    const asked = await askAll(settings, brokers, args.broker, asker, {
      attester,
      now: io.now,
      random: randomBytes,
      appraiseBroker: brokerAppraiser(),
      present: options.present,
      timing: await options.openTiming?.(),
    })
    return { ...asked, findings: [...findings, ...asked.findings] }
  } catch (error) {
    findings.push(failed(check, error))
    return {
      findings,
      told: [],
      qualifies: isFailure(error) && ownVerdicts.some((code) => code === error.code) ? false : null,
    }
  }
}

function tell({ findings, told, qualifies }: Examined, io: Io): void {
  describeFindings(findings, io)
  for (const { url, answer } of told) {
    const word = answer.qualifies ? paint(io, 'green', 'yes') : paint(io, 'red', 'no')
    io.stdout(`${word}: ${url} would ${answer.qualifies ? '' : 'not '}release the key to this node\n`)
    for (const reason of answer.reasons) io.stdout(describeReason(io, reason))
    for (const line of answer.nearest) io.stdout(`  ${printable(line)}\n`)
  }
  if (told.length === 0 && qualifies === false) io.stdout(`${paint(io, 'red', 'no')}: this node would not ask\n`)
  if (qualifies === null) io.stdout('nobody can tell: what is wrong stands above\n')
}

/**
 * Whether a node of these options would get the key now, and if not why: asked of its brokers. Nothing is released, leased
 * or logged.
 *
 * returns  0 when it would, 3 when not, 1 when nobody can tell
 * throws   usage/credential, token/form, keys/..., input/...
 */
export async function runNodeDoctor(args: NodeDoctorArguments, io: Io): Promise<number> {
  const examined = await examine(args, await askerOf(args), io)
  const { qualifies, findings, told } = examined
  const code = qualifies === null ? exitCodes.failure : qualifies ? exitCodes.ok : exitCodes.verdict
  if (args.json === true) {
    const brokers = told.map(({ url, broker, answer: { version: _version, ...answer } }) => ({
      url,
      broker,
      ...answer,
    }))
    io.stdout(`${JSON.stringify({ exit: code, qualifies, findings, brokers })}\n`)
  } else tell(examined, io)
  return code
}

export function describe(program: Command, io: Io): void {
  describeNode(
    program
      .command('doctor')
      .description(
        'asks the broker whether this node would get the key, and if not why; nothing is released or logged',
      ),
  )
    .option('--credential <file>', 'what shows the broker who asks: an API key or a token; of several, one for each')
    .option('--keys <folder>', 'your keys, when you are the owner: you are told every value')
    .option('--json', 'print what was found as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger doctor --model acme/whisper --broker https://broker.example --trust trust.json --sealed sealed --credential host.key --dangerous-allow-simulated',
    )
    .action(async (args: NodeDoctorArguments) => io.exit(await runNodeDoctor(args, io)))
}
