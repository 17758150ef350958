import { exitCodes, type Io, sayError } from '#cli/output.js'
import type { Owner, OwnerArguments } from '#cli/owner.js'
import { utf8 } from '#core/bytes/bytes.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'

/* A key that is split stands at several brokers, each with statements, leases and counts of its own: a command of its owner goes to each. */

/** Failures of naming several brokers. */
export type EachBrokerCode =
  /** one address twice */
  'usage/brokers'

/** What became of the command at one broker. */
interface Outcome {
  readonly url: string
  readonly exit: number
  readonly out: string
  readonly failure: Failure | null
}

/**
 * Runs an owner's command at each of the brokers in `args.broker` (URL,URL,…), one after the other. One that fails keeps no other from its
 * own: what an owner takes back is taken back wherever it can be.
 *
 * isElsewhere  failures that say that what is meant stands at another broker: they count only where all of them say so
 * returns      0 when all ended so, else the exit code of the first that did not
 * throws       usage/brokers; of one broker alone what `run` throws
 */
export async function atEach<A extends OwnerArguments>(
  args: A,
  io: Io,
  run: (args: A, io: Io) => Promise<number>,
  isElsewhere: (failure: Failure) => boolean = () => false,
): Promise<number> {
  const urls = args.broker.split(',')
  if (urls.length === 1) return run(args, io)
  if (new Set(urls).size !== urls.length)
    throw new Failure<EachBrokerCode>('usage/brokers', 'one broker is named twice', {
      detail: { hint: 'name each once: --broker URL,URL' },
    })
  const outcomes: Outcome[] = []
  for (const broker of urls) {
    if (args.json !== true) io.stdout(`${broker}\n`)
    const one = await runAt({ ...args, broker, beside: urls }, io, run)
    if (one.failure !== null && !isElsewhere(one.failure)) sayError(io, one.failure)
    outcomes.push(one)
  }
  if (args.json === true) io.stdout(`${JSON.stringify({ brokers: outcomes.map(shown) }, null, 2)}\n`)
  const isFound = outcomes.some(({ failure }) => failure === null)
  const counts = outcomes.filter(({ failure }) => failure === null || !isElsewhere(failure))
  if (!isFound && counts.length === 0) return sayError(io, outcomes[0]!.failure)
  const bad = counts.filter(({ exit }) => exit !== exitCodes.ok)
  if (bad.length > 0 && args.json !== true)
    io.stderr(`${bad.length} of ${urls.length} brokers did not: the same command goes on where this one ended\n`)
  return bad[0]?.exit ?? exitCodes.ok
}

async function runAt<A extends OwnerArguments>(
  args: A,
  io: Io,
  run: (args: A, io: Io) => Promise<number>,
): Promise<Outcome> {
  let out = ''
  const own: Io = args.json === true ? { ...io, stdout: (text) => void (out += text) } : io
  try {
    return { url: args.broker, exit: await run(args, own), out, failure: null }
  } catch (failure) {
    if (!isFailure(failure)) throw failure
    return { url: args.broker, exit: exitCodes.failure, out: '', failure }
  }
}

function shown({ url, exit, out, failure }: Outcome) {
  const error = failure && { code: failure.detail?.code ?? failure.code, message: failure.message }
  return { url, exit, answer: out === '' ? null : parseJson(utf8(out)), error }
}

/**
 * Says, where the key of one of these models is split, that this was said to fewer brokers than hold it.
 *
 * models  full ids; null for all that the owner registered there
 */
export async function sayIfSplit(
  owner: Owner,
  models: readonly string[] | null,
  args: OwnerArguments,
  io: Io,
): Promise<void> {
  const ids = models ?? owner.heads.flatMap((one) => (one.kind === 'registration' && one.model ? [one.model] : []))
  const asked = args.beside?.length ?? 1
  for (const model of ids) {
    const { quorum } = (await owner.newest('registration', model))?.value ?? {}
    if (quorum === undefined || asked >= quorum.shares.length) continue
    const names = quorum.shares.map(({ name }) => name).join(', ')
    io.stderr(`the key of ${model.slice(44)} is split among ${names}: this is about ${asked} of them\n`)
    io.stderr('hint: each keeps statements and leases of its own; name all of them: --broker URL,URL,…\n')
  }
}
