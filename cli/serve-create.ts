import type { Command } from 'commander'
import { type BrokerAttesterArguments, brokerAttesterOptions } from '#cli/broker-attester.js'
import { kekOf, kekOption, kekPortsOf } from '#cli/kek-options.js'
import { keyName, logKey, repeated } from '#cli/option-values.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { adminTokenPath, createServices, type StateOptions } from '#cli/service-state.js'
import { encodeVkey, parseVkey } from '#core/tlog/vkey.js'
import { closeMemory } from '#runtime/engine/closed.js'
import { addLog, createWitness } from '#transparency/witness/store/state.js'

export interface StateArguments {
  readonly state: string
  readonly databaseUrl?: string | undefined
}
/** The folder and its database: the flag, the environment, or PGlite. */
export const stateOptions = ({ state, databaseUrl }: StateArguments): StateOptions => ({
  folder: state,
  databaseUrl: databaseUrl ?? process.env.CLAVIGER_DATABASE_URL ?? null,
})

export interface CreateArguments extends StateArguments, BrokerAttesterArguments {
  readonly origin: string
  /** where the key-encryption key is that was made before */
  readonly kek?: string | undefined
  readonly json?: boolean | undefined
}

/** Makes keys, an empty log and a witness: once, and never on the way of a start. */
export async function runCreate(args: CreateArguments, io: Io): Promise<number> {
  const kek = kekOf(args)
  const ports = await kekPortsOf(args, io)
  const state = await createServices({ ...stateOptions(args), origin: args.origin, at: io.now(), kek, ports })
  const adminToken = adminTokenPath(args.state)
  if (args.json) io.stdout(`${JSON.stringify({ ...state, adminToken })}\n`)
  else {
    io.stdout(`broker       ${state.broker}: tell it to owners, who pin it\n`)
    io.stdout(`log          ${state.log}\nwitness      ${state.witness}\n`)
    io.stdout(`admin token  ${adminToken}: needed to take an owner in\n`)
  }
  io.stderr(
    `${paint(io, 'yellow', 'now:')} back up ${args.state}; the keys in it are made once, and what they wrap opens with nothing else\n`,
  )
  return exitCodes.ok
}

export interface CreateWitnessArguments {
  readonly state: string
  readonly name: string
  readonly log: readonly string[]
}

/** A new witness for logs of others, from their empty trees on. */
export async function runCreateWitness(args: CreateWitnessArguments, io: Io): Promise<number> {
  const logs = args.log.map(parseVkey)
  const vkey = await createWitness(args.state, args.name)
  for (const log of logs) await addLog(args.state, log.name)
  io.stdout(`${JSON.stringify({ vkey, logs: logs.map(encodeVkey) })}\n`)
  return exitCodes.ok
}

export function describeCreate(serve: Command, io: Io): void {
  brokerAttesterOptions(
    serve
      .command('create')
      .description('makes keys, an empty log and a witness in a new folder: once, never on the way of a start')
      .requiredOption('--state <folder>', 'where the services keep what they are')
      .option('--database-url <url>', 'Postgres; or CLAVIGER_DATABASE_URL; without either a PGlite folder')
      .option('--origin <name>', 'name of the log, such as log.example/acme', keyName, 'claviger.invalid/log')
      .option(...kekOption),
  )
    .option('--json', 'print what was made as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger serve create --state services')
    .action(async (args: CreateArguments) => {
      closeMemory()
      io.exit(await runCreate(args, io))
    })
  serve
    .command('create-witness')
    .description('makes a witness of your own for logs of others')
    .requiredOption('--state <folder>', 'where it keeps its key and what it has seen')
    .requiredOption('--name <name>', 'its name, such as witness.example/one', keyName)
    .requiredOption('--log <vkey>', 'verifier key of a log that it cosigns; repeat for more', repeated(logKey), [])
    .addHelpText('after', '\nExample:\n  ./claviger serve create-witness --state witness --name w.example/1 --log VKEY')
    .action(async (args: CreateWitnessArguments) => io.exit(await runCreateWitness(args, io)))
}
