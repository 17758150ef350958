import { resolve } from 'node:path'
import { followKeySet } from '#attest/service/keys.js'
import { openSupply, type SourceArguments } from '#cli/collateral-sources.js'
import type { RimSettings } from '#cli/rim-options.js'
import { brokerApp, metricsApp } from '#cli/service-apps.js'
import {
  loadServices,
  openServiceDatabase,
  type ServiceState,
  type StateOptions,
  servicePlaces,
} from '#cli/service-state.js'
import { verifierPort } from '#cli/verifier-port.js'
import { object, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { BrokerDocument } from '#core/wire/broker-document.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import { describeDurability } from '#host/durability.js'
import { type KeptService, keepService } from '#host/kept-service.js'
import { listen } from '#host/listen.js'
import { describeError, type Log as ServiceLog } from '#host/log.js'
import { type Service, spawnService } from '#host/process.js'
import { loadSigningKeyFile } from '#host/signing-key-file.js'
import type { KekPorts } from '#keybroker/kek/open.js'
import type { BrokerAttester } from '#keybroker/ports.js'
import { openAccess } from '#keybroker/service/access.js'
import { startHousekeeping } from '#keybroker/service/housekeeping.js'
import { openIssuers } from '#keybroker/service/issuers.js'
import type { KbsSettings } from '#keybroker/service/kbs.js'
import { kbsHeaderSizeMax } from '#keybroker/service/kbs-routes.js'
import { type KekSettings, openBrokerKeys } from '#keybroker/service/keys.js'
import { brokerMetrics } from '#keybroker/service/metrics.js'
import { kekWords, openBroker } from '#keybroker/service/open.js'
import { readinessOf } from '#keybroker/service/readiness.js'
import { httpWitness } from '#transparency/service/witness-client.js'
import { openLog } from '#transparency/storage/open.js'
import type { WitnessClient } from '#transparency/witnesses.js'

/** What the services are opened with, beside what `createServices` made. */
export interface StackOptions extends StateOptions {
  readonly log: ServiceLog
  readonly now: () => number
  /** where the operator reads figures of this process; absent: nowhere */
  readonly metrics?: ListenOn | null
  /** how long it still takes requests when it is to end, while it says that it is not ready */
  readonly unreadyMs?: number
  /** where the key-encryption keys live; absent: the file that `createServices` made */
  readonly keks?: KekSettings | undefined
  /** what proves this machine to a broker that releases the key-encryption key; absent: nothing does */
  readonly kekPorts?: Pick<KekPorts, 'obtain'>
  /** where collateral is fetched from; absent: nothing is fetched, and what was imported is used */
  readonly fetchCollateral?: SourceArguments
  /** who administers the KBS route, and whose tokens it takes beside our own */
  readonly kbs?: KbsSettings | undefined
  /** what makes evidence of this broker; absent: it runs outside a TEE, and says so */
  readonly attester?: BrokerAttester | undefined
  /** TLS, proxies in front, issuers of tokens; absent: plain HTTP, none, and those at public addresses */
  readonly rim?: RimSettings | undefined
}

export interface ListenOn {
  readonly host: string
  /** 0 takes any free one */
  readonly port: number
}

/** A running broker with its verifier and its log's writer. */
export interface RunningBroker {
  readonly url: string
  readonly broker: string
  /** what it says of itself, and of who can use its key-encryption key */
  readonly standing: BrokerStanding
  readonly kek: BrokerDocument['kek']
  readonly logVkey: string
  /** what a commit of its database survives, in words */
  readonly durability: string
  /** entries that an earlier process had not logged any more */
  readonly recovered: number
  close(): Promise<void>
}

/** Broker, verifier and log in this process, and the witness as a child. */
export interface Stack extends RunningBroker {
  readonly witnessVkey: string
  /** started again whenever it ends; nothing is appended to the log meanwhile */
  readonly witness: KeptService
}

/** Who cosigns, and what must have cosigned before an entry counts as logged. */
export interface WitnessSetup {
  readonly clients: readonly WitnessClient[]
  /** C2SP tlog-policy; owners are offered it as their own */
  readonly policy: string
}

/** The witness that `createServices` made, as the only one that is asked. */
export function ownWitness(state: ServiceState, url: string | (() => string | null)): WitnessSetup {
  return {
    clients: [httpWitness({ url, vkey: state.witness })],
    policy: `log ${state.log}\nwitness own ${state.witness}\nquorum own\n`,
  }
}

type Closers = (() => Promise<void> | void)[]

async function closeAll(closers: Closers): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close()
}

/** Keys and database: whoever has the folder already is known here, before any witness is asked. */
async function openBase(options: StackOptions, closers: Closers) {
  const state = await loadServices(options.folder)
  const places = servicePlaces(options.folder)
  const signer = await loadSigningKeyFile(places.logKey)
  const verifierKeys = followKeySet(places.verifier)
  await verifierKeys() // absent or malformed keys are known now, not at the first release
  const onTrouble = (failure: Failure) =>
    options.log.error(describeError(failure), 'the key-encryption key may become unusable')
  const keys = await openBrokerKeys(places.broker, options.keks, { ...options.kekPorts, onTrouble })
  closers.push(() => keys.close())
  const database = await openServiceDatabase(options, state)
  closers.push(() => database.close())
  return { state, signer, verifierKeys, keys, database }
}
type Base = Awaited<ReturnType<typeof openBase>>

async function openParts(options: StackOptions, base: Base, witnesses: WitnessSetup, closers: Closers) {
  const { state, signer, verifierKeys, keys, database } = base
  const { clients, policy } = witnesses
  const log = await openLog({ database, origin: state.origin, signer, witnesses: clients, quorumPolicy: policy })
  closers.push(() => log.close())
  const collateral = await openSupply(options, database, [])
  const opened = await openBroker({
    database,
    keys,
    log,
    record: log,
    appraise: verifierPort(verifierKeys, collateral, options.log),
    verifiers: async () => (await verifierKeys()).publicKeys,
    logs: [state.log],
    witnessPolicy: policy,
    clock: options.now,
    attester: options.attester,
  })
  const access = openAccess(openIssuers(options.rim?.issuers))
  const { takeRefused } = access
  closers.push(startHousekeeping({ broker: opened.broker, database, log: options.log, record: log, takeRefused }))
  const { adminTokenDigest } = keys
  const refresh = () => log.refresh()
  const ready = readinessOf({ broker: opened.broker, database, refresh, nowMs: () => performance.now() })
  const metrics = brokerMetrics({ ready, log, store: opened.broker.store })
  const { now, kbs, rim } = options
  const { trustedProxies = [] } = rim ?? {}
  const rest = { collateral, adminTokenDigest, access, trustedProxies, kbs, now, ready, metrics }
  return { ...opened, log, database, verifierKeys, ...rest }
}

async function openListening(
  options: StackOptions,
  base: Base,
  witnesses: WitnessSetup,
  listenOn: ListenOn,
  mounted: 'all' | 'broker',
  closers: Closers,
): Promise<RunningBroker> {
  const parts = await openParts(options, base, witnesses, closers)
  const app = brokerApp(parts, mounted === 'all' ? parts.log : null, options.log)
  if (options.metrics != null) {
    const figures = await listen(metricsApp(parts.metrics, options.log), options.metrics)
    closers.push(() => figures.close())
  }
  const { unreadyMs = 0 } = options
  const listening = await listen(app, {
    ...listenOn,
    tls: options.rim?.tls,
    maxHeaderSize: kbsHeaderSizeMax,
    unreadyMs,
  })
  closers.push(() => listening.close())
  return {
    url: listening.url,
    broker: base.state.broker,
    standing: parts.broker.standing,
    kek: kekWords[base.keys.kek.usableBy],
    logVkey: base.state.log,
    durability: await describeDurability(parts.database),
    recovered: parts.recovered,
    close: () => closeAll(closers),
  }
}

/**
 * The broker with the log's writer, whose witnesses are elsewhere. Log and verifier are read at services of their own.
 *
 * throws  serve/absent, serve/database, file/..., log/..., database/..., listen/...
 */
export async function openKeybroker(
  options: StackOptions,
  witnesses: (state: ServiceState) => WitnessSetup,
  listenOn: ListenOn,
): Promise<RunningBroker> {
  const closers: Closers = []
  try {
    const base = await openBase(options, closers)
    return await openListening(options, base, witnesses(base.state), listenOn, 'broker', closers)
  } catch (error) {
    await closeAll(closers)
    throw error
  }
}

/** The witness as a child, which starts in a folder of its own. What it says last explains why it did not start. */
async function spawnWitness(options: StackOptions, log: string): Promise<Service> {
  const folder = resolve(servicePlaces(options.folder).witness)
  let last = 'it said nothing'
  try {
    return await spawnService('transparency/witness/service/main.js', {
      args: ['--state', folder, '--listen', '127.0.0.1:0', '--log', log],
      onLogLine(line) {
        last = line.slice(0, 300)
        options.log.info({ witness: last }, 'witness')
      },
    })
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure(error.code, `the witness does not start: ${error.message}: ${last}`, { cause: error })
  }
}

/** The witness, now and after each of its ends: its key and what it has seen are in its folder. */
async function keepWitness(options: StackOptions, log: string): Promise<KeptService> {
  const refused = 'the log takes no entry and no key is released meanwhile'
  return keepService(await spawnWitness(options, log), {
    start: () => spawnWitness(options, log),
    onEnded: (code, againInMs) =>
      options.log.error({ code, againInMs }, `the witness ended and is started again; ${refused}`),
    onStarted: ({ pid }) => options.log.warn({ pid }, 'the witness runs again'),
    onFailed: ({ code, message }, againInMs) =>
      options.log.error({ code, failure: message, againInMs }, `the witness does not start; ${refused}`),
  })
}

const witnessReady = object({ url: string(), vkey: string({ max: 300 }) })

/**
 * Everything that `createServices` made, at one address; the witness is a child process.
 *
 * throws  serve/absent, serve/database, file/..., log/..., database/..., process/..., listen/...
 */
export async function openStack(options: StackOptions, listenOn: ListenOn): Promise<Stack> {
  const closers: Closers = []
  try {
    const base = await openBase(options, closers)
    const { state } = base
    const witness = await keepWitness(options, state.log)
    closers.push(() => witness.stop())
    const url = () => {
      const service = witness.current()
      return service && witnessReady(service.ready, 'witness').url
    }
    const running = await openListening(options, base, ownWitness(state, url), listenOn, 'all', closers)
    return { ...running, witnessVkey: state.witness, witness }
  } catch (error) {
    await closeAll(closers)
    throw error
  }
}
