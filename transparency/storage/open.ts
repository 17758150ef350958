import { setTimeout as pause } from 'node:timers/promises'
import { equal } from '#core/bytes/bytes.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { emptyRoot } from '#core/tlog/merkle.js'
import { parsePolicy, type TlogPolicy } from '#core/tlog/policy.js'
import { encodeVkey, makeNoteSigner, type NoteSigner, parseVkey } from '#core/tlog/vkey.js'
import { type Database, migrate } from '#host/database.js'
import { Sequencer } from '#transparency/append.js'
import type { LogCode } from '#transparency/failures.js'
import { type Log, type LogReader, makeReader } from '#transparency/log.js'
import type { SequencerLimits } from '#transparency/ports.js'
import { logSchemaName, logs } from '#transparency/storage/schema.js'
import { databaseLogStore } from '#transparency/storage/store.js'
import { loadHead, loadTree } from '#transparency/store.js'
import { type WitnessClient, Witnesses } from '#transparency/witnesses.js'

export const defaultLimits: SequencerLimits = {
  windowMs: 2,
  batchEntriesMax: 1024,
  batchBytesMax: 4 * MiB,
  pendingEntriesMax: 20_000,
  pendingBytesMax: 64 * MiB,
  cosignMs: 5_000,
  retryMs: 1_000,
}

export interface OpenLogOptions {
  readonly database: Database
  /** the log's name, first line of every checkpoint: a host and a path without a scheme, as `log.example/acme` */
  readonly origin: string
  /** Ed25519 */
  readonly signer: SigningKey
  readonly witnesses: readonly WitnessClient[]
  /** C2SP tlog-policy: what must have cosigned before an entry counts as logged */
  readonly quorumPolicy: string
  readonly limits?: Partial<SequencerLimits>
}

/** Where the log's tables are described. */
export const logMigrations = { schema: logSchemaName, folder: new URL('./migrations', import.meta.url).pathname }

/** The log's tables are in the database. @throws database/migration, database/unreachable */
export async function migrateLog(database: Database): Promise<void> {
  await migrate(database, logMigrations)
}

/**
 * A new, empty log is in the database; returns its verifier key. One database holds one log.
 *
 * The private key stays with the caller: `createSigningKeyFile` makes a file of it.
 * throws  log/exists, tlog/vkey, database/...
 */
export async function createLog(options: {
  readonly database: Database
  readonly origin: string
  readonly signer: SigningKey
}): Promise<string> {
  const { database, origin } = options
  const { verifier } = makeNoteSigner(origin, 'log', options.signer)
  await migrateLog(database)
  const vkey = encodeVkey(verifier)
  const made = await database.read((db) =>
    db
      .insert(logs)
      .values({ id: 1, origin, vkey, size: 0, rootHash: emptyRoot })
      .onConflictDoNothing()
      .returning({ id: logs.id }),
  )
  if (made.length !== 1) throw new Failure<LogCode>('log/exists', 'the database holds a log already')
  return vkey
}

/** Throws unless `vkey` may be a log under this policy. */
function verifyPolicy(policy: TlogPolicy, signer: NoteSigner): void {
  const { publicKey, name } = signer.verifier
  if (
    policy.logs.length > 0 &&
    !policy.logs.some((one) => one.id === signer.verifier.id && one.publicKey.x === publicKey.x)
  ) {
    throw new Failure<LogCode>('log/policy', `log ${name} does not stand in its own quorum policy`)
  }
  if (policy.witnesses.some((one) => one.key.publicKey.x === publicKey.x)) {
    throw new Failure<LogCode>('log/policy', `log ${name} has the key of one of its witnesses`)
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => undefined)
}

/**
 * The log of this database, open for writing.
 *
 * What was integrated before a crash is published on the way; a witness that is away delays that and nothing else.
 * throws  log/absent when none was created, log/identity, log/policy, log/state, log/rollback, log/forked, log/storage,
 *         tlog/policy, tlog/vkey, database/...
 */
export async function openLog(options: OpenLogOptions): Promise<Log> {
  const { database, origin } = options
  const signer = makeNoteSigner(origin, 'log', options.signer)
  const policy = parsePolicy(options.quorumPolicy)
  verifyPolicy(policy, signer)
  const witnesses = new Witnesses(options.witnesses, policy)
  await migrateLog(database)
  const turns = database.turns('claviger/log')
  const store = databaseLogStore(database, turns)
  const head = await loadHead(store)
  if (head.origin !== origin || parseVkey(head.vkey).publicKey.x !== signer.verifier.publicKey.x) {
    throw new Failure<LogCode>(
      'log/identity',
      `database holds log ${head.vkey}, expected ${encodeVkey(signer.verifier)}`,
    )
  }
  const ports = { store, witnesses, signer, sleep, now: () => Math.floor(Date.now() / 1000) }
  const sequencer = new Sequencer(ports, { ...defaultLimits, ...options.limits })
  try {
    await sequencer.refresh()
  } catch (error) {
    if (!isFailure(error) || error.code !== 'log/witness-unavailable') {
      await sequencer.close()
      await turns.close()
      throw error
    }
  }
  const state = async () => ({ tree: await sequencer.tree(), published: sequencer.published })
  return {
    ...makeReader({ origin, vkey: head.vkey }, store, state),
    append: async (leaf) => sequencer.append(leaf),
    size: () => sequencer.published?.size ?? 0,
    refresh: async () => sequencer.refresh(),
    async close() {
      await sequencer.close()
      await turns.close()
    },
  }
}

/**
 * The read side of a log that another process may be writing. Each read sees the newest cosigned checkpoint.
 *
 * throws  log/absent, database/...
 */
export async function openLogReader(database: Database): Promise<LogReader> {
  await migrateLog(database)
  const store = databaseLogStore(database)
  const head = await loadHead(store)
  let known = await loadTree(store)
  const state = async () => {
    const published = await store.published()
    const last = known.published
    const isKnown = published !== undefined && last?.size === published.size && equal(last.rootHash, published.rootHash)
    if (!isKnown) known = await loadTree(store)
    else known = { tree: known.tree, published }
    return known
  }
  return makeReader(head, store, state)
}
