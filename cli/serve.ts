import type { Command } from 'commander'
import { followKeySet } from '#attest/service/keys.js'
import { type BrokerAttesterArguments, brokerAttesterOf, brokerAttesterOptions } from '#cli/broker-attester.js'
import { type FetchCollateralArguments, fetchOf, fetchOptions, openSupply } from '#cli/collateral-sources.js'
import { consoleCommand } from '#cli/console.js'
import { readInput } from '#cli/input.js'
import { type KbsArguments, kbsOf, kbsOptions } from '#cli/kbs-options.js'
import { type KekArguments, kekOptions, kekPortsOf, keksOf } from '#cli/kek-options.js'
import { httpUrl, listenAddress, logKey, parseListen, repeated, sha256Text, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { type RimArguments, rimOf, rimOptions } from '#cli/rim-options.js'
import { describeCreate, type StateArguments, stateOptions } from '#cli/serve-create.js'
import { describeKeys } from '#cli/serve-keys.js'
import { logApp, verifierApp } from '#cli/service-apps.js'
import { isCreated, loadServices, openServiceDatabase, type ServiceState, servicePlaces } from '#cli/service-state.js'
import { stopSignal } from '#cli/signals.js'
import { openKeybroker, openStack, ownWitness, type RunningBroker, type WitnessSetup } from '#cli/stack.js'
import { loadTracing } from '#cli/tracing.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import { noteSizeMax } from '#core/limits.js'
import { parsePolicy } from '#core/tlog/policy.js'
import { encodeVkey, parseVkey, type VerifierKey } from '#core/tlog/vkey.js'
import { type Database, openDatabase } from '#host/database.js'
import { listen } from '#host/listen.js'
import { createLog } from '#host/log.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import { readAdminTokenDigest } from '#keybroker/service/keys.js'
import { closeProcess } from '#runtime/engine/closed.js'
import { httpWitness } from '#transparency/service/witness-client.js'
import { openLogReader } from '#transparency/storage/open.js'
import { makeWitnessApp } from '#transparency/witness/service/app.js'
import { openWitness } from '#transparency/witness/store/state.js'
import { Witness } from '#transparency/witness/witness.js'

/** Failures of what was typed. */
export type ServeCode =
  /** no witness is named, or in two ways */
  'serve/witness'

interface ListenArguments extends StateArguments {
  readonly listen: string
}
/** Services that judge evidence may fetch what it is verified with. */
type JudgingArguments = ListenArguments & FetchCollateralArguments
type AllArguments = JudgingArguments &
  KekArguments &
  KbsArguments &
  RunningArguments &
  RimArguments &
  BrokerAttesterArguments

/** How a broker runs, beside what it is. */
interface RunningArguments {
  readonly metrics?: string | undefined
  readonly drain?: number | undefined
  readonly dangerousTracing?: string | undefined
}
const runningOf = ({ metrics, drain = 0 }: RunningArguments) => ({
  metrics: metrics === undefined ? null : parseListen(metrics),
  unreadyMs: drain * 1000,
})

/** One line when the service answers; returns when it was told to stop and has closed. */
async function serveUntil(
  io: Io,
  ready: Readonly<Record<string, unknown>>,
  close: () => Promise<void>,
  stopped: Promise<void> = stopSignal(),
): Promise<number> {
  io.stdout(`${JSON.stringify(ready)}\n`)
  await stopped
  await close()
  return exitCodes.ok
}

function tellBroker(io: Io, running: RunningBroker): void {
  io.stderr(`${running.standing}, ${running.kek}\nstorage: ${running.durability}\n`)
  if (running.recovered > 0) io.stderr(`${running.recovered} entries of the time before were logged now\n`)
}

/** Broker, verifier and log at one address, with the witness as a child. */
export async function runAll(args: AllArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  const base = {
    ...stateOptions(args),
    ...fetchOf(args),
    keks: keksOf(args),
    kekPorts: await kekPortsOf(args, io),
    kbs: await kbsOf(args),
    ...runningOf(args),
    rim: await rimOf(args),
    attester: await brokerAttesterOf(args, io),
  }
  const options = { ...base, log: createLog('services', 'warn'), now: io.now }
  const stack = await openStack(options, parseListen(args.listen))
  tellBroker(io, stack)
  const { url, broker, logVkey, witnessVkey } = stack
  const ready = { service: 'all', url, broker, log: logVkey, witness: witnessVkey }
  return serveUntil(io, ready, stack.close, stopped)
}

export interface KeybrokerArguments
  extends ListenArguments,
    FetchCollateralArguments,
    KekArguments,
    KbsArguments,
    RunningArguments,
    RimArguments,
    BrokerAttesterArguments {
  readonly witness?: string | undefined
  readonly witnessPolicy?: string | undefined
}

/** The witnesses of a policy: those whose address it names are asked. @throws serve/witness, tlog/policy */
function witnessesOf(policy: string): WitnessSetup {
  const clients = parsePolicy(policy).witnesses.flatMap(({ key, url }) =>
    url === null ? [] : [httpWitness({ url, vkey: encodeVkey(key) })],
  )
  if (clients.length === 0)
    throw new Failure<ServeCode>('serve/witness', 'the witness policy names no witness with its address', {
      detail: { hint: 'a line has the form: witness NAME VKEY URL' },
    })
  return { clients, policy }
}

/** The broker with the log's writer; witness, verifier and the reading of the log are services of their own. */
export async function runKeybroker(args: KeybrokerArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  if ((args.witness === undefined) === (args.witnessPolicy === undefined))
    throw new Failure<ServeCode>('serve/witness', 'exactly one of --witness and --witness-policy is needed')
  const policy =
    args.witnessPolicy === undefined
      ? null
      : fromUtf8(await readInput(args.witnessPolicy, 'witness policy', noteSizeMax))
  const setup = (state: ServiceState) => (policy === null ? ownWitness(state, args.witness!) : witnessesOf(policy))
  const base = {
    ...stateOptions(args),
    ...fetchOf(args),
    keks: keksOf(args),
    kekPorts: await kekPortsOf(args, io),
    kbs: await kbsOf(args),
    ...runningOf(args),
    rim: await rimOf(args),
    attester: await brokerAttesterOf(args, io),
  }
  const options = { ...base, log: createLog('keybroker', 'warn'), now: io.now }
  const running = await openKeybroker(options, setup, parseListen(args.listen))
  tellBroker(io, running)
  const { url, broker, logVkey } = running
  return serveUntil(io, { service: 'keybroker', url, broker, log: logVkey }, running.close, stopped)
}

export interface AttestArguments extends ListenArguments, FetchCollateralArguments {
  readonly simulatedRoot: readonly string[]
}

/**
 * Where the verifier by itself keeps its collateral: the services' Postgres, or a PGlite folder of its own. A verifier that was
 * not given the Postgres keeps none, and is told so; one that is to fetch needs it.
 */
async function openCollateralDatabase(args: AttestArguments, state: ServiceState, io: Io): Promise<Database | null> {
  if (state.database === 'pglite') return openDatabase({ folder: servicePlaces(args.state).collateral })
  const options = stateOptions(args)
  if (options.databaseUrl !== null || args.fetchCollateral === true) return openServiceDatabase(options, state)
  io.stderr('no collateral is kept without --database-url: evidence has to come with everything\n')
  return null
}

/** The verifier alone, for whoever holds the operator's token. */
export async function runAttest(args: AttestArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  const state = await loadServices(args.state)
  const places = servicePlaces(args.state)
  const keys = followKeySet(places.verifier)
  const { current } = await keys()
  const tokenDigest = await readAdminTokenDigest(places.broker)
  const simulatedRoots = args.simulatedRoot
  if (simulatedRoots.length > 0)
    io.stderr(`${paint(io, 'magenta', 'NOT HARDWARE:')} simulated evidence gets results that say so\n`)
  const options = { now: io.now, log: createLog('attest', 'warn') }
  const fetching = fetchOf(args)
  const database = await openCollateralDatabase(args, state, io)
  try {
    const collateral = database && (await openSupply({ ...options, ...fetching }, database, simulatedRoots))
    const app = verifierApp({ ...options, keys, tokenDigest, simulatedRoots, collateral })
    const listening = await listen(app, parseListen(args.listen))
    const ready = { service: 'attest', url: listening.url, key: thumbprint(current.publicKey) }
    return await serveUntil(io, ready, listening.close, stopped)
  } finally {
    await database?.close()
  }
}

/** The read side of the log, from the database that the broker's process writes. */
export async function runLog(args: ListenArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  const state = await loadServices(args.state)
  const database = await openServiceDatabase(stateOptions(args), state)
  try {
    const app = logApp(await openLogReader(database), createLog('log', 'warn'))
    const listening = await listen(app, parseListen(args.listen))
    return await serveUntil(io, { service: 'log', url: listening.url, log: state.log }, listening.close, stopped)
  } finally {
    await database.close()
  }
}

export interface WitnessArguments {
  readonly state: string
  readonly listen: string
  readonly log: readonly string[]
}

/** The witness that stands in the folder: with the services' own log, or with the logs that are named. */
async function witnessOf(args: WitnessArguments): Promise<{ folder: string; logs: readonly VerifierKey[] }> {
  if (!(await isCreated(args.state))) return { folder: args.state, logs: args.log.map(parseVkey) }
  const own = parseVkey((await loadServices(args.state)).log)
  return { folder: servicePlaces(args.state).witness, logs: [own, ...args.log.map(parseVkey)] }
}

/** A witness: cosigns what is an extension of what it has seen, and nothing else. */
export async function runWitness(args: WitnessArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  const { folder, logs } = await witnessOf(args)
  if (logs.length === 0) throw new Failure<ServeCode>('serve/witness', 'no log to cosign: --log VKEY is needed')
  const opened = await openWitness(folder, [...new Set(logs.map((log) => log.name))])
  try {
    const witness = new Witness({ store: opened.store, signer: opened.signer, logs, now: io.now })
    const listening = await listen(makeWitnessApp(witness, createLog('witness', 'warn')), parseListen(args.listen))
    const ready = { service: 'witness', url: listening.url, vkey: witness.vkey }
    return await serveUntil(io, ready, listening.close, stopped)
  } finally {
    opened.close()
  }
}

/** A module of the operator's beside a key that is released to this build alone would have it too. @throws kek/setting */
function verifyAlone(args: KekArguments & RunningArguments): void {
  const { current, previous } = keksOf(args)
  if (args.dangerousTracing === undefined || ![current, ...previous].some((one) => one.provider === 'broker')) return
  const message = 'a module of yours would run beside a key that is released to this build alone, and could read it'
  throw new Failure<KekCode>('kek/setting', message, { detail: { hint: 'leave out --dangerous-tracing' } })
}

function describeService(serve: Command, name: string, description: string, listenOn: string): Command {
  return serve
    .command(name)
    .description(description)
    .requiredOption('--state <folder>', 'what `claviger serve create` made')
    .option('--listen <address>', 'where to listen', listenAddress, listenOn)
    .addHelpText('after', `\nExample:\n  ./claviger serve ${name} --state services --listen ${listenOn}`)
}

const databaseOption = [
  '--database-url <url>',
  'Postgres, when it was created with it; or CLAVIGER_DATABASE_URL',
] as const
/** Nobody reads the keys in the memory of this process, of the same user either. */
const close = () => closeProcess({ dangerousAllowInspection: false, endWithParent: false })

export function describe(program: Command, io: Io): void {
  const serve = program
    .command('serve')
    .description('the services of an operator: broker, verifier, log, witness, console')
  describeCreate(serve, io)
  const judging = (...of: [name: string, description: string, listenOn: string]) =>
    fetchOptions(describeService(serve, ...of).option(...databaseOption))
  const broking = (...of: [name: string, description: string, listenOn: string]) =>
    brokerAttesterOptions(rimOptions(kbsOptions(kekOptions(judging(...of)))))
      .option(
        '--metrics <host:port>',
        'figures for Prometheus at /metrics, of no tenant, at an address of their own',
        listenAddress,
      )
      .option(
        '--drain <seconds>',
        'how long it still takes requests when it is to end, while /readyz says not ready',
        wholeNumber(0, 600, 10),
        0,
      )
      .option(
        '--dangerous-tracing <module>',
        'a module of yours that sets up an OpenTelemetry SDK: it runs in this process, and can read its keys',
      )
  broking('all', 'broker, verifier and log at one address, and a witness as a child', '127.0.0.1:8780').action(
    async (args: AllArguments) => {
      close()
      verifyAlone(args)
      await loadTracing(args.dangerousTracing, io)
      io.exit(await runAll(args, io))
    },
  )
  broking('keybroker', 'the broker, which also writes the log', '127.0.0.1:8781')
    .option('--witness <url>', 'address of the witness that was created with it', httpUrl('http://127.0.0.1:8784'))
    .option('--witness-policy <file>', 'other witnesses: a C2SP tlog-policy with their addresses')
    .action(async (args: KeybrokerArguments) => {
      close()
      verifyAlone(args)
      await loadTracing(args.dangerousTracing, io)
      io.exit(await runKeybroker(args, io))
    })
  judging('attest', "the verifier, for whoever holds the operator's token", '127.0.0.1:8782')
    .option(
      '--simulated-root <sha256>',
      'root of simulated evidence: NOT HARDWARE; repeat for more',
      repeated(sha256Text),
      [],
    )
    .action(async (args: AttestArguments) => {
      close()
      io.exit(await runAttest(args, io))
    })
  describeService(serve, 'log', 'the read side of the log, beside a broker on Postgres', '127.0.0.1:8783')
    .option(...databaseOption)
    .action(async (args: ListenArguments) => io.exit(await runLog(args, io)))
  describeService(serve, 'witness', 'the witness, of these services or of your own', '127.0.0.1:8784')
    .option('--log <vkey>', 'verifier key of a log of others; repeat for more', repeated(logKey), [])
    .action(async (args: WitnessArguments) => {
      close()
      io.exit(await runWitness(args, io))
    })
  consoleCommand(serve, './claviger serve console', io)
  describeKeys(serve, io)
}
