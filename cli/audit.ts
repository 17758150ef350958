import { type Command, InvalidArgumentError } from 'commander'
import { type AuditMemory, auditStatePath, openMemory } from '#cli/audit/memory.js'
import { ownOf } from '#cli/audit/own.js'
import { logAt } from '#cli/audit/source.js'
import { tellRun } from '#cli/audit/tell.js'
import { type Alarm, watch } from '#cli/audit/watch.js'
import { httpUrl, wholeNumber } from '#cli/option-values.js'
import type { Io } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { type Followed, type FollowOptions, follow } from '#client/audit/follow.js'
import type { Own } from '#client/audit/rules.js'
import { Failure } from '#core/failure.js'

/** Failures of what was typed for an audit. */
export type AuditCommandCode =
  /** a webhook, and nothing that it would hear of */
  'audit/webhook'

export interface AuditArguments {
  readonly trust: string
  readonly state?: string | undefined
  readonly mine?: readonly string[] | undefined
  readonly policy?: readonly string[] | undefined
  readonly stalledAfter?: number | undefined
  readonly acknowledge?: boolean | undefined
  readonly watch?: number | undefined
  readonly webhook?: string | undefined
  readonly json?: boolean | undefined
}

/** What a reading that is stopped has to do again, at most: entries. */
const saveEvery = 65_536

/** One reading of what the log has added; what is remembered moves on with it, also when it is stopped on the way. */
async function readOnce(url: string, args: AuditArguments, own: Own, memory: AuditMemory, io: Io): Promise<Followed> {
  const at = io.now()
  const { trust } = await loadTrust(args.trust, at)
  const before = await memory.read()
  const options: FollowOptions = {
    trust: { logVkeys: trust.logs, policy: trust.witnessPolicy },
    own,
    at,
    stalledAfter: args.stalledAfter ?? null,
    part: await memory.readPart(),
    progress: async ({ done, size, part }) => {
      if (io.isTerminal && done % 4096 === 0) io.stderr(`\r${done} of ${size} entries`)
      if (done % saveEvery === 0) await memory.writePart(part())
    },
  }
  const run = await follow(logAt(url), before, options)
  if (io.isTerminal) io.stderr('\r\x1b[2K')
  await memory.write(run.state)
  return run
}

/**
 * Reads a log from where it was read last, and judges everything that it has added. Exit 3 as long as something that convicts the log
 * or its brokers is not acknowledged.
 */
export async function run(url: string, args: AuditArguments, io: Io): Promise<number> {
  if (args.webhook !== undefined && args.watch === undefined)
    throw new Failure<AuditCommandCode>('audit/webhook', 'a webhook hears of what is found while a log is watched', {
      detail: { hint: 'add --watch SECONDS' },
    })
  const own = await ownOf(args)
  const memory = await openMemory(args.state ?? auditStatePath(url))
  try {
    if (args.acknowledge) await acknowledge(memory)
    if (args.watch === undefined) return tellRun(url, await readOnce(url, args, own, memory, io), args, io)
    const alarm: Alarm = { url: args.webhook ?? null, seconds: args.watch }
    return await watch(url, alarm, () => readOnce(url, args, own, memory, io), args, io)
  } finally {
    memory.close()
  }
}

async function acknowledge(memory: AuditMemory): Promise<void> {
  const state = await memory.read()
  if (state !== null) await memory.write({ ...state, convictions: [] })
}

const several = (text: string, before: readonly string[] = []) => {
  if (text === '') throw new InvalidArgumentError('expected a file')
  return [...before, text]
}

export function describe(program: Command, io: Io): void {
  program
    .command('audit')
    .description('reads a log from where it was read last, and judges every entry; exit 3 where something convicts it')
    .argument('<url>', 'where the log is: a broker, or a file server with its tiles', httpUrl('https://broker.example'))
    .requiredOption('--trust <file>', 'your trust file: whose log, and which witnesses')
    .option('--state <file>', 'what was seen of the log before (default: in your state folder, by its address)')
    .option('--mine <bundle>', 'a bundle of yours: entries of its owner are told; again for another owner', several)
    .option('--policy <file>', 'a policy that you signed; releases of yours by another are told', several)
    .option(
      '--stalled-after <seconds>',
      'tell when nothing was cosigned for so long',
      wholeNumber(60, 31_536_000, 86_400),
    )
    .option('--acknowledge', 'what convicted the log until now is known, and counts no more')
    .option('--watch <seconds>', 'go on, and read it again every so often', wholeNumber(1, 86_400, 60))
    .option(
      '--webhook <url>',
      'where what is found while watching is posted, as JSON',
      httpUrl('https://alarms.example/hook'),
    )
    .option('--json', 'for machines')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger audit https://broker.example --trust trust.json\n  ./claviger audit https://broker.example --trust trust.json --mine bundle.json --watch 60 --webhook https://alarms.example/hook\n\nExit 0 nothing convicts, 3 something does.',
    )
    .action(async (url: string, args: AuditArguments) => io.exit(await run(url, args, io)))
}
