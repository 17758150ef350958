import type { Command } from 'commander'
import { type BrokerAttesterArguments, brokerAttesterOptions } from '#cli/broker-attester.js'
import { lookAtDatabase } from '#cli/doctor/database.js'
import { lookAtFiles } from '#cli/doctor/files.js'
import { type Finding, failed, finding, looking } from '#cli/doctor/finding.js'
import { lookAtKek, lookAtStoredKeys } from '#cli/doctor/kek.js'
import { describeFindings } from '#cli/doctor/show.js'
import { lookAtWitness } from '#cli/doctor/witness.js'
import { readInput } from '#cli/input.js'
import { type KekArguments, kekOptions, kekPortsOf, keksOf } from '#cli/kek-options.js'
import { httpUrl } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import type { ServeCode } from '#cli/serve.js'
import { stateOptions } from '#cli/serve-create.js'
import { loadServices, openServiceDatabase, type ServiceState, servicePlaces } from '#cli/service-state.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { noteSizeMax } from '#core/limits.js'
import { parsePolicy } from '#core/tlog/policy.js'
import type { Database } from '#host/database.js'
import type { KekRing } from '#keybroker/kek/ring.js'
import { openBrokerKeys, openKeks } from '#keybroker/service/keys.js'
import { closeMemory } from '#runtime/engine/closed.js'

export interface DoctorArguments extends KekArguments, BrokerAttesterArguments {
  readonly databaseUrl?: string | undefined
  readonly witness?: string | undefined
  readonly witnessPolicy?: string | undefined
  readonly json?: boolean | undefined
}

/** Settings of the environment that would make a broker weaker than its options say. */
function lookAtEnvironment(): readonly Finding[] {
  const loading = ['NODE_OPTIONS', 'LD_PRELOAD', 'LD_AUDIT'].filter((name) => process.env[name] !== undefined)
  const found = loading.map((name) =>
    finding('environment', 'fault', `${name} is set: a broker refuses to start with it`, `unset ${name}`),
  )
  if (process.env.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    const message =
      'NODE_TLS_REJECT_UNAUTHORIZED=0: connections of this user believe any certificate, but that to Vault'
    found.push(finding('environment', 'fault', message, 'unset NODE_TLS_REJECT_UNAUTHORIZED'))
  }
  return found.length > 0 ? found : [finding('environment', 'ok', 'nothing in it weakens a broker')]
}

async function lookAtWitnesses(args: DoctorArguments): Promise<readonly Finding[]> {
  if (args.witness !== undefined) return lookAtWitness(args.witness)
  if (args.witnessPolicy === undefined) {
    const fix = 'with serve keybroker give --witness or --witness-policy here, too'
    return [finding('witness', 'note', '`serve all` starts its own; none was named', fix)]
  }
  const { witnesses } = parsePolicy(fromUtf8(await readInput(args.witnessPolicy, 'witness policy', noteSizeMax)))
  const urls = witnesses.flatMap(({ url }) => url ?? [])
  if (urls.length === 0)
    throw new Failure<ServeCode>('serve/witness', 'the witness policy names no witness with its address')
  const found = []
  for (const url of urls) found.push(...(await lookAtWitness(url)))
  return found
}

/** The database of the services; one that a running broker has to itself is no fault. */
async function openDatabaseFor(args: DoctorArguments, state: ServiceState): Promise<Database | Finding> {
  try {
    return await openServiceDatabase(stateOptions(args), state)
  } catch (error) {
    if (!isFailure(error)) throw error
    const busy = error.code === 'database/locked'
    const fix = busy ? 'a broker runs on it: stop it to look' : 'start Postgres, or correct --database-url'
    return failed('database', error, busy ? 'skipped' : 'fault', fix)
  }
}

async function lookInside(args: DoctorArguments, state: ServiceState, kek: KekRing | null, io: Io) {
  const database = await openDatabaseFor(args, state)
  if ('check' in database) return [database, finding('stored-keys', 'skipped', 'the database was not opened')]
  try {
    const { findings, hasTables } = await lookAtDatabase(database, state)
    if (kek === null || !hasTables) {
      const message = kek === null ? 'the key-encryption key was not opened' : 'the tables are not those of this build'
      return [...findings, finding('stored-keys', 'skipped', message)]
    }
    return [...findings, ...(await looking('stored-keys', () => lookAtStoredKeys(database, kek, io.now)))]
  } finally {
    await database.close()
  }
}

/** The broker's own keys, but for the one that wraps. */
async function lookAtKeys(args: DoctorArguments, io: Io): Promise<readonly Finding[]> {
  const keys = await openBrokerKeys(servicePlaces(args.state).broker, keksOf(args), await kekPortsOf(args, io))
  await keys.close()
  return [finding('keys', 'ok', `the broker is ${keys.signer.id}`)]
}

/** All that a broker of these options stands on. */
async function examine(args: DoctorArguments, io: Io): Promise<readonly Finding[]> {
  let state: ServiceState
  try {
    state = await loadServices(args.state)
  } catch (error) {
    return [failed('settings', error)]
  }
  const found: Finding[] = [finding('settings', 'ok', `services of ${state.origin}, made with ${state.database}`)]
  const { database, collateral } = servicePlaces(args.state)
  found.push(...lookAtEnvironment())
  found.push(...(await looking('files', () => lookAtFiles(args.state, [database, collateral]))))
  let kek: KekRing | null = null
  try {
    kek = await openKeks(keksOf(args), await kekPortsOf(args, io))
    const ring = kek
    found.push(...(await looking('keys', () => lookAtKeys(args, io), 'restore the state folder from its backup')))
    found.push(...(await looking('kek', () => lookAtKek(ring))))
  } catch (error) {
    found.push(failed('kek', error, 'fault', 'name the key with --kek, or restore its file from a backup'))
  }
  try {
    found.push(...(await lookInside(args, state, kek, io)))
  } finally {
    await kek?.close()
  }
  found.push(...(await looking('witness', () => lookAtWitnesses(args))))
  return found
}

/**
 * Looks at everything that a broker of these options stands on, and changes nothing.
 *
 * returns  0 when nothing is wrong, 1 with a fault, 3 when something should be mended or could not be looked at
 */
export async function runDoctor(args: DoctorArguments, io: Io): Promise<number> {
  const found = await examine(args, io)
  const has = (...states: readonly Finding['state'][]) => found.some((one) => states.includes(one.state))
  const code = has('fault') ? exitCodes.failure : has('warning', 'skipped') ? exitCodes.verdict : exitCodes.ok
  if (args.json) {
    io.stdout(`${JSON.stringify({ exit: code, findings: found })}\n`)
    return code
  }
  describeFindings(found, io)
  return code
}

export function describeDoctor(keybroker: Command, io: Io): void {
  brokerAttesterOptions(
    kekOptions(
      keybroker
        .command('doctor')
        .description('looks at all that a broker of these options stands on, says what mends it, and changes nothing')
        .requiredOption('--state <folder>', 'what `claviger serve create` made')
        .option('--database-url <url>', 'Postgres, when it was created with it; or CLAVIGER_DATABASE_URL'),
    ),
  )
    .option('--witness <url>', 'address of the witness that was created with it', httpUrl('http://127.0.0.1:8784'))
    .option('--witness-policy <file>', 'other witnesses: a C2SP tlog-policy with their addresses')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger keybroker doctor --state services --witness http://127.0.0.1:8784')
    .action(async (args: DoctorArguments) => {
      closeMemory()
      io.exit(await runDoctor(args, io))
    })
}
