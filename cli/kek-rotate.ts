import type { Command } from 'commander'
import { type BrokerAttesterArguments, brokerAttesterOptions } from '#cli/broker-attester.js'
import { type KekArguments, kekOptions, kekPortsOf, keksOf } from '#cli/kek-options.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { stateOptions } from '#cli/serve-create.js'
import { loadServices, openServiceDatabase, servicePlaces } from '#cli/service-state.js'
import { openBrokerKeys } from '#keybroker/service/keys.js'
import { resealOwnKeys } from '#keybroker/service/own-keys.js'
import { type BadRow, type Rotation, rotateKeks } from '#keybroker/service/rotate.js'
import { migrateStore } from '#keybroker/store/open.js'
import { closeMemory } from '#runtime/engine/closed.js'

export interface KekRotateArguments extends KekArguments, BrokerAttesterArguments {
  readonly databaseUrl?: string | undefined
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

const everyMs = 2000

/** A line now and then on a log, one that is written over on a terminal. */
function progressOf(io: Io): (done: number, total: number) => void {
  let told = performance.now()
  return (done, total) => {
    const now = performance.now()
    const isLast = done === total
    if (now - told < (io.isTerminal ? 100 : everyMs) && !(isLast && io.isTerminal)) return
    told = now
    const text = `${Math.floor((done / total) * 100)} % of the stored keys`
    io.stderr(io.isTerminal ? `\r\x1b[2K${isLast ? '' : text}` : `${text}\n`)
  }
}

/** A row that does not unwrap, in words. */
export function describeRow({ name, code }: BadRow): string {
  const what = name.kind === 'model' ? `${name.model} version ${name.version}` : `resource ${name.path}`
  return `${what} does not unwrap (${code})`
}

function tell(rotation: Rotation, keyId: string, dryRun: boolean, io: Io): void {
  const { total, rewrapped, bad, finished } = rotation
  io.stdout(`${rewrapped} of ${total} stored keys ${dryRun ? 'would be' : 'were'} wrapped again under ${keyId}\n`)
  for (const row of bad) io.stderr(`${paint(io, 'red', 'error:')} ${describeRow(row)}\n`)
  if (finished) io.stdout('every stored key was seen to unwrap under it: the key before is needed no more\n')
  if (bad.length > 0)
    io.stderr(`${paint(io, 'cyan', 'hint:')} restore these rows from a backup, and keep the key before until then\n`)
}

/**
 * The stored keys are wrapped by the key of `--kek`.
 *
 * returns  0 when every row is and unwraps, or in a dry run would; 1 when one does not
 */
export async function runKekRotate(args: KekRotateArguments, io: Io): Promise<number> {
  const dryRun = args.dryRun === true
  const options = stateOptions(args)
  const state = await loadServices(options.folder)
  const folder = servicePlaces(options.folder).broker
  const keys = await openBrokerKeys(folder, keksOf(args), await kekPortsOf(args, io))
  try {
    const { kek, callerSecret } = keys
    const database = await openServiceDatabase(options, state)
    try {
      await migrateStore(database)
      const work = { database, kek, callerSecret, clock: io.now, dryRun, onProgress: progressOf(io) }
      const rotation = await rotateKeks(work)
      if (rotation.finished) await resealOwnKeys(folder, kek) // the key before is needed no more: for them neither
      const { keyId, provider, holder } = kek
      if (args.json) io.stdout(`${JSON.stringify({ to: { keyId, provider, holder }, dryRun, ...rotation })}\n`)
      else tell(rotation, keyId, dryRun, io)
      return rotation.bad.length === 0 ? exitCodes.ok : exitCodes.failure
    } finally {
      await database.close()
    }
  } finally {
    await keys.close()
  }
}

export function describeRotate(kek: Command, io: Io): void {
  brokerAttesterOptions(
    kekOptions(
      kek
        .command('rotate')
        .description('wraps every stored key by the one of --kek; --kek-previous is needed until it is done')
        .requiredOption('--state <folder>', 'what `claviger serve create` made')
        .option('--database-url <url>', 'Postgres, when it was created with it; or CLAVIGER_DATABASE_URL'),
    ),
  )
    .option('--dry-run', 'unwraps every stored key and changes none')
    .option('--json', 'print what was done as JSON')
    .addHelpText(
      'after',
      "\nExample:\n  ./claviger keybroker kek rotate --state services --kek 'pkcs11:…' --kek-previous file:/srv/services/broker/kek.key",
    )
    .action(async (args: KekRotateArguments) => {
      closeMemory()
      io.exit(await runKekRotate(args, io))
    })
}
