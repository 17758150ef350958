import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { appraiseEvidence } from '#attest/appraise.js'
import { issueEar } from '#attest/ear/issue.js'
import { authorizeByToken } from '#attest/service/authorize.js'
import { createKeyFolder, followKeySet, type KeySet } from '#attest/service/keys.js'
import { attestStatuses, makeAttestRoutes } from '#attest/service/routes.js'
import { kbsVerifier } from '#cli/kbs-verifier.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { object, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { type Database, describeDurability, openDatabase } from '#host/database.js'
import { writeFileDurably } from '#host/files.js'
import { createApp, problemResponse } from '#host/http.js'
import { type Listening, listen } from '#host/listen.js'
import type { Log as ServiceLog } from '#host/log.js'
import { type Service, spawnService } from '#host/process.js'
import { createSigningKeyFile, loadSigningKeyFile } from '#host/signing-key-file.js'
import type { Broker } from '#keybroker/broker.js'
import { kbsStatuses } from '#keybroker/kbs/failures.js'
import { startHousekeeping } from '#keybroker/service/housekeeping.js'
import { developmentRoots, kbsPorts } from '#keybroker/service/kbs.js'
import { encodeKbsFailure, kbsHeaderSizeMax, kbsPrefix, kbsRoutes } from '#keybroker/service/kbs-routes.js'
import { createBroker, openBrokerKeys } from '#keybroker/service/keys.js'
import { openBroker } from '#keybroker/service/open.js'
import { makeBrokerRoutes, registerBodyMax } from '#keybroker/service/routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import type { Log } from '#transparency/log.js'
import { logStatuses, makeLogRoutes } from '#transparency/service/routes.js'
import { httpWitness } from '#transparency/service/witness-client.js'
import { createLog, openLog } from '#transparency/storage/open.js'

/** Failures of creating the services. */
export type StackCode = 'stack/witness'

/** Where the broker's services keep what they are. `create` is the explicit act that makes it. */
export interface StackOptions {
  /** keys and, without `databaseUrl`, the database */
  readonly folder: string
  readonly databaseUrl: string | null
  /** the log's name, first line of every checkpoint */
  readonly origin: string
  readonly log: ServiceLog
  readonly now: () => number
}

/** Broker, verifier and log in this process, and the witness as a child. */
export interface Stack {
  readonly url: string
  readonly broker: string
  readonly logVkey: string
  readonly witnessVkey: string
  readonly witness: Service
  readonly durability: string
  readonly recovered: number
  close(): Promise<void>
}

const issuer = 'claviger'
const build = '0.1.0'
const witnessMain = 'transparency/witness/service/main.js'
const witnessReady = object({ url: string(), vkey: string({ max: 300 }) })

const places = (folder: string) => ({
  broker: join(folder, 'broker'),
  verifier: join(folder, 'verifier'),
  logKey: join(folder, 'log.key'),
  witness: join(folder, 'witness'),
  database: join(folder, 'database'),
  adminToken: join(folder, 'admin-token'),
})

function database(options: StackOptions): Promise<Database> {
  const { databaseUrl, folder } = options
  return openDatabase(databaseUrl === null ? { folder: places(folder).database } : { url: databaseUrl })
}

/** Whether `createStack` was run to its end here: the admin token is the last thing that it writes. */
export async function isCreated(folder: string): Promise<boolean> {
  return (await stat(places(folder).adminToken).catch(() => null)) !== null
}

/** Path of the operator's admin token. */
export function adminTokenPath(folder: string): string {
  return places(folder).adminToken
}

/**
 * New keys, an empty log and a witness that starts at it. The operator's explicit act, done once.
 *
 * throws  file/exists, log/exists, database/...
 */
export async function createStack(options: StackOptions): Promise<void> {
  const at = places(options.folder)
  const { adminToken } = await createBroker(at.broker)
  await createKeyFolder(at.verifier, options.now())
  const signer = await createSigningKeyFile(at.logKey)
  const db = await database(options)
  try {
    const vkey = await createLog({ database: db, origin: options.origin, signer })
    const args = ['create', '--state', at.witness, '--name', `${options.origin}/witness`, '--log', vkey]
    const made = await spawnService(witnessMain, { args })
    if ((await made.ended) !== 0) throw new Failure<StackCode>('stack/witness', 'the witness could not be created')
  } finally {
    await db.close()
  }
  await writeFileDurably(at.adminToken, new TextEncoder().encode(`${adminToken}\n`), { mode: 0o600 })
}

/** The verifier in this process: the same code as its service, without a network between. */
function verifierPort(keys: () => Promise<KeySet>): Broker['appraise'] {
  return async (evidence, anchors, input) => {
    const result = await appraiseEvidence(evidence, anchors, input)
    return {
      ...result,
      issueEar: async (about) =>
        issueEar(result, { ...about, issuer, build, id: toBase64Url(randomBytes(16)) }, (await keys()).current),
    }
  }
}

async function openParts(options: StackOptions) {
  const at = places(options.folder)
  const signer = await loadSigningKeyFile(at.logKey)
  const verifierKeys = followKeySet(at.verifier)
  await verifierKeys() // absent or malformed keys are known now, not at the first release
  const keys = await openBrokerKeys(at.broker)
  const db = await database(options)
  return { at, signer, verifierKeys, keys, db }
}

/**
 * Everything that `createStack` made, running on loopback.
 *
 * listenOn  port 0 takes any free one
 * throws    file/..., log/..., database/..., process/..., listen/...
 */
export async function openStack(options: StackOptions, listenOn: { host: string; port: number }): Promise<Stack> {
  const { at, signer, verifierKeys, keys, db } = await openParts(options)
  const closers: (() => Promise<void> | void)[] = [() => keys.close(), () => db.close()]
  const closeAll = async () => {
    for (const close of closers.reverse()) await close()
  }
  try {
    const vkey = encodeVkey(makeNoteSigner(options.origin, 'log', signer).verifier)
    const witness = await spawnService(witnessMain, {
      args: ['--state', at.witness, '--listen', '127.0.0.1:0', '--log', vkey],
      onLogLine: (line) => options.log.info({ witness: line.slice(0, 300) }, 'witness'),
    })
    closers.push(() => witness.stop())
    const ready = witnessReady(witness.ready, 'witness')
    const witnessPolicy = `log ${vkey}\nwitness own ${ready.vkey}\nquorum own\n`
    const log: Log = await openLog({
      database: db,
      origin: options.origin,
      signer,
      witnesses: [httpWitness(ready)],
      quorumPolicy: witnessPolicy,
    })
    closers.push(() => log.close())
    const { broker, document, recovered } = await openBroker({
      database: db,
      keys,
      log,
      appraise: verifierPort(verifierKeys),
      verifiers: async () => (await verifierKeys()).publicKeys,
      logs: [vkey],
      witnessPolicy,
      clock: options.now,
    })
    closers.push(startHousekeeping({ broker, database: db, log: options.log }))
    const listening = await serve(
      options,
      { broker, document, adminTokenDigest: keys.adminTokenDigest, log, database: db, verifierKeys },
      listenOn,
    )
    closers.push(() => listening.close())
    return {
      url: listening.url,
      broker: keys.signer.id,
      logVkey: vkey,
      witnessVkey: ready.vkey,
      witness,
      durability: await describeDurability(db),
      recovered,
      close: closeAll,
    }
  } catch (error) {
    await closeAll()
    throw error
  }
}

type Served = Parameters<typeof makeBrokerRoutes>[0] & {
  readonly log: Log
  readonly database: Database
  readonly verifierKeys: () => Promise<KeySet>
}

/** Guests of owners' nodes elsewhere: any genuine evidence gets a token, each owner decides by what was signed. */
function kbs({ broker, database, adminTokenDigest }: Served) {
  const verifyEvidence = kbsVerifier({
    anchors: async () => ({ simulatedRoots: await developmentRoots(broker, database) }),
    referenceValues: null,
    tenantClass: 'development',
  })
  return kbsRoutes(kbsPorts({ broker, database, verifyEvidence, adminTokenDigest, resourceTiers: ['affirming'] }))
}

/** The verifier for whoever holds the operator's token: evidence under development tenants' roots stays NOT HARDWARE. */
function verifier({ broker, database, verifierKeys, adminTokenDigest }: Served, now: () => number) {
  return makeAttestRoutes({
    issuer,
    build,
    keys: verifierKeys,
    anchors: async () => ({ simulatedRoots: await developmentRoots(broker, database) }),
    authorize: authorizeByToken([adminTokenDigest]),
    now,
  })
}

function serve(
  options: StackOptions,
  parts: Served,
  listenOn: { readonly host: string; readonly port: number },
): Promise<Listening> {
  const app = createApp({
    log: options.log,
    statuses: { ...attestStatuses, ...brokerStatuses, ...logStatuses, ...kbsStatuses },
    limits: { bodySizeMax: Math.max(registerBodyMax, MiB), timeoutMs: 30_000 },
    encodeFailure: (failure, status, path) =>
      path.startsWith(`${kbsPrefix}/`) ? encodeKbsFailure(failure, status) : problemResponse(failure, status),
  })
  app.hono.route('/', makeBrokerRoutes(parts))
  app.hono.route('/', makeLogRoutes(parts.log))
  app.hono.route('/', verifier(parts, options.now))
  app.hono.route(kbsPrefix, kbs(parts))
  return listen(app, { ...listenOn, maxHeaderSize: kbsHeaderSizeMax })
}
