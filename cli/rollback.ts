import type { Command } from 'commander'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { type StateArguments, stateOptions } from '#cli/serve-create.js'
import { loadServices, openServiceDatabase, servicePlaces } from '#cli/service-state.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import { acknowledgeRollback } from '#keybroker/rollback.js'
import { openBrokerKeys } from '#keybroker/service/keys.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { migrateStore } from '#keybroker/store/open.js'
import { closeMemory } from '#runtime/engine/closed.js'
import { openLogReader } from '#transparency/storage/open.js'

export interface RollbackArguments extends StateArguments {
  readonly json?: boolean | undefined
}

/**
 * The operator's word that the database is known to be behind the log waits to be logged: the next start logs it, or running
 * brokers within a minute, and decide again.
 *
 * throws  serve/absent, serve/database, file/..., log/..., database/...
 */
export async function runAcknowledgeRollback(args: RollbackArguments, io: Io): Promise<number> {
  const options = stateOptions(args)
  const state = await loadServices(options.folder)
  const keys = await openBrokerKeys(servicePlaces(options.folder).broker)
  try {
    const database = await openServiceDatabase(options, state)
    try {
      await migrateStore(database)
      const log = await openLogReader(database)
      const record = { ...log, size: async () => parseCheckpoint(await log.checkpoint()).size }
      const broker = { store: brokerStore(database), callerSecret: keys.callerSecret, clock: io.now }
      const made = await acknowledgeRollback(broker, record)
      const told = made && {
        first: made.lost.indexes[0],
        lost: made.lost.indexes.length,
        changes: made.lost.changes.length,
      }
      if (args.json) io.stdout(`${JSON.stringify({ acknowledged: told })}\n`)
      else if (told === null)
        io.stdout('nothing of the log is missing in the database: there is nothing to acknowledge\n')
      else {
        io.stdout(
          `${told.lost} entries from index ${told.first} on are missing, ${told.changes} of them changes of owners\n`,
        )
        io.stderr(
          `${paint(io, 'yellow', 'now:')} start the brokers; owners whose changes were lost send them again, and nothing of theirs is decided before\n`,
        )
      }
      return exitCodes.ok
    } finally {
      await database.close()
    }
  } finally {
    await keys.close()
  }
}

export function describeRollback(keybroker: Command, io: Io): void {
  keybroker
    .command('acknowledge-rollback')
    .description('says in the log that the database is known to be behind it, after an older backup was restored')
    .requiredOption('--state <folder>', 'what `claviger serve create` made')
    .option('--database-url <url>', 'Postgres, when it was created with it; or CLAVIGER_DATABASE_URL')
    .option('--json', 'print what is missing as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger keybroker acknowledge-rollback --state services')
    .action(async (args: RollbackArguments) => {
      closeMemory()
      io.exit(await runAcknowledgeRollback(args, io))
    })
}
