import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createKeyFolder } from '#attest/service/keys.js'
import { shellWord } from '#cli/output.js'
import { thumbprintShape } from '#core/crypto/jwk.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { literal, object, oneOf, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type Database, openDatabase } from '#host/database.js'
import { createSecretFile, makeFolder, writeFileDurably } from '#host/files.js'
import { createSigningKeyFile } from '#host/signing-key-file.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { type KekPorts, openKek } from '#keybroker/kek/open.js'
import type { KekSetting } from '#keybroker/kek/setting.js'
import { createBroker } from '#keybroker/service/keys.js'
import { createLog } from '#transparency/storage/open.js'
import { addLog, createWitness } from '#transparency/witness/store/state.js'

/** Failures of the folder in which the services keep what they are. */
export type ServiceStateCode =
  /** nothing was created there: services never make themselves a new identity */
  | 'serve/absent'
  | 'serve/exists'
  /** it was created with another kind of database than the one that is given now, or that one keeps nothing */
  | 'serve/database'

const stateName = 'services.json'
const stateShape = object({
  format: literal('claviger-services/1'),
  /** the log's name, first line of every checkpoint */
  origin: string({ max: 200 }),
  database: oneOf('postgres', 'pglite'),
  broker: thumbprintShape,
  log: string({ max: 300 }),
  witness: string({ max: 300 }),
})
/** What was created in a folder. Nothing in it is secret. */
export type ServiceState = Shaped<typeof stateShape>

export interface StateOptions {
  readonly folder: string
  /** null: PGlite in the folder */
  readonly databaseUrl: string | null
}

/** Where the parts of the services lie. */
export const servicePlaces = (folder: string) => ({
  broker: join(folder, 'broker'),
  verifier: join(folder, 'verifier'),
  logKey: join(folder, 'log.key'),
  witness: join(folder, 'witness'),
  database: join(folder, 'database'),
  /** the verifier's own, where it runs by itself without Postgres */
  collateral: join(folder, 'collateral'),
  adminToken: join(folder, 'admin-token'),
  state: join(folder, stateName),
})

/** Path of the operator's admin token. */
export function adminTokenPath(folder: string): string {
  return servicePlaces(folder).adminToken
}

/** Whether `createServices` was run to its end here: the state file is the last thing that it writes. */
export async function isCreated(folder: string): Promise<boolean> {
  return (await stat(servicePlaces(folder).state).catch(() => null)) !== null
}

/** A database in memory would forget every lease, statement and revocation with the process. @throws serve/database */
function verifyPostgres(url: string): void {
  if (/^postgres(ql)?:\/\/./.test(url)) return
  const isMemory = /^:?(memory|mem)\b/i.test(url)
  const message = isMemory
    ? 'a database in memory forgets leases and what was taken back'
    : 'the database URL is not one of Postgres'
  const hint = 'give --database-url postgres://USER@HOST/DATABASE, or leave it out for a PGlite folder in --state'
  throw new Failure<ServiceStateCode>('serve/database', message, { detail: { hint } })
}

async function database(options: StateOptions): Promise<Database> {
  const { databaseUrl, folder } = options
  if (databaseUrl !== null) verifyPostgres(databaseUrl)
  return openDatabase(databaseUrl === null ? { folder: servicePlaces(folder).database } : { url: databaseUrl })
}

/** Nothing is there that a first try, which did not come to its end, may have left. */
async function verifyEmpty(folder: string): Promise<void> {
  for (const path of Object.values(servicePlaces(folder))) {
    if ((await stat(path).catch(() => null)) === null) continue
    throw new Failure<ServiceStateCode>('serve/exists', `${path} exists, and keys are never written over`, {
      detail: { hint: 'choose another folder; one that was left half made can be removed' },
    })
  }
}

/**
 * New keys, an empty log and a witness that starts at it. The operator's explicit act, done once: services with new keys
 * are new services.
 *
 * kek     a key-encryption key that was made elsewhere, and can be used; without it one is made in the folder. Under one that is
 *         released to this process the broker's own keys are sealed
 * ports   as in openKek
 * throws  serve/exists, file/exists, log/exists, database/..., tlog/vkey, kek/...
 */
export async function createServices(
  options: StateOptions & {
    readonly origin: string
    readonly at: UnixSeconds
    readonly kek?: KekSetting | null
    readonly ports?: KekPorts
  },
): Promise<ServiceState> {
  const { folder, origin } = options
  if (options.databaseUrl !== null) verifyPostgres(options.databaseUrl)
  const places = servicePlaces(folder)
  await verifyEmpty(folder)
  const kek = options.kek == null ? null : await openKek(options.kek, options.ports)
  let made: Awaited<ReturnType<typeof createBroker>>
  try {
    await makeFolder(folder, 0o700)
    made = await createBroker(places.broker, { kek: keptBy(kek) })
  } finally {
    await kek?.close()
  }
  const { broker, adminToken } = made
  await createKeyFolder(places.verifier, options.at)
  const signer = await createSigningKeyFile(places.logKey)
  const db = await database(options)
  let log: string
  try {
    log = await createLog({ database: db, origin, signer })
  } finally {
    await db.close()
  }
  const witness = await createWitness(places.witness, `${origin}/witness`)
  await addLog(places.witness, origin)
  await createSecretFile(places.adminToken, new TextEncoder().encode(`${adminToken}\n`))
  const kind = options.databaseUrl === null ? 'pglite' : 'postgres'
  const state: ServiceState = { format: 'claviger-services/1', origin, database: kind, broker, log, witness }
  await writeFileDurably(places.state, canonicalJson(state), { mode: 0o600 })
  return state
}

/** What a broker's own keys have to do with its key-encryption key. */
function keptBy(kek: OpenKek | null): 'file' | 'elsewhere' | OpenKek {
  if (kek === null) return 'file'
  return kek.holder === 'broker' ? kek : 'elsewhere'
}

/** What was created in the folder. @throws serve/absent, json/..., shape/... */
export async function loadServices(folder: string): Promise<ServiceState> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(servicePlaces(folder).state)
  } catch (cause) {
    throw new Failure<ServiceStateCode>('serve/absent', `no services were created in ${folder}`, {
      cause,
      detail: { hint: `make them once with: ./claviger serve create --state ${shellWord(folder)}` },
    })
  }
  return stateShape(parseJson(bytes), stateName)
}

/** The database that the services were created with. @throws serve/database, database/... */
export async function openServiceDatabase(options: StateOptions, state: ServiceState): Promise<Database> {
  const kind = options.databaseUrl === null ? 'pglite' : 'postgres'
  if (kind !== state.database) {
    const hint =
      state.database === 'postgres' ? 'give --database-url, or CLAVIGER_DATABASE_URL' : 'leave the database URL out'
    const message = `services in ${options.folder} were created with ${state.database}, this start has ${kind}`
    throw new Failure<ServiceStateCode>('serve/database', message, { detail: { hint } })
  }
  return database(options)
}
