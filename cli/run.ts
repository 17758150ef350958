import type { Command } from 'commander'
import { keepNode } from '#cli/keep-node.js'
import { describeNode, type NodeArguments, nodeOptionsOf } from '#cli/node-options.js'
import { listenAddress, parseListen, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable, reportError } from '#cli/output.js'
import { describeReason } from '#cli/reasons.js'
import { stopSignal } from '#cli/signals.js'
import { type RunningNode, type StartNodeOptions, startNode } from '#cli/start-node.js'
import type { Json } from '#core/encoding/json.js'
import { type Failure, isFailure } from '#core/failure.js'
import { denialShape } from '#core/wire/release.js'
import { createLog } from '#host/log.js'
import { closeProcess, overwriteFreed } from '#runtime/engine/closed.js'
import type { SessionEvent } from '#runtime/ports.js'

export interface RunArguments extends NodeArguments {
  readonly listen: string
  readonly threads?: number | undefined
}

async function optionsOf(args: RunArguments, io: Io): Promise<StartNodeOptions> {
  return {
    ...(await nodeOptionsOf(args, io)),
    listen: parseListen(args.listen),
    ...(args.threads === undefined ? {} : { threads: args.threads }),
    log: createLog('node', 'warn'),
    report: (event) => tell(io, event),
  }
}

function tell(io: Io, event: SessionEvent): void {
  if (event.kind === 'step') io.stderr(`${paint(io, 'dim', event.step.padEnd(10))}${event.text}\n`)
  else if (event.kind === 'trouble') {
    io.stderr(`${paint(io, 'yellow', 'trouble')}   ${printable(event.failure.message)} (${event.failure.code})\n`)
  } else io.stderr(`${paint(io, 'magenta', 'ended')}     ${printable(event.failure.message)} (${event.failure.code})\n`)
}

/** The reasons that a broker gave; null when they have not their form. */
function denialOf(failure: Failure) {
  try {
    return denialShape(failure.detail?.denial as Json | undefined, 'denial')
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

/** A denial is a verdict: which rule refused, what it expected, what would satisfy it. */
function reportEnd(io: Io, error: unknown): number {
  if (!isFailure(error) || error.code !== 'broker/denied') return reportError(io, error)
  const denial = denialOf(error)
  if (denial === null) {
    reportError(io, error)
    return exitCodes.verdict
  }
  if (io.json === true) io.stdout(`${JSON.stringify({ denied: denial })}\n`)
  const entry = denial.entry === null ? '' : `, log entry #${denial.entry}`
  io.stderr(`${paint(io, 'red', 'denied:')} the broker did not release the key${entry}\n`)
  for (const reason of denial.reasons) io.stderr(describeReason(io, reason))
  return exitCodes.verdict
}

/** Of a key that is split: every lease that the node holds, and the brokers that are missing. */
function brokersShown({ session }: RunningNode) {
  const { quorum } = session.own
  if (quorum === undefined) return {}
  const leases = session.grants.map(({ grant }) => ({
    broker: grant.lease.broker,
    lease: grant.lease.id,
    entry: grant.index,
  }))
  const missing = quorum.shares.filter((one) => !leases.some(({ broker }) => broker === one.broker))
  return { threshold: quorum.threshold, leases, missing: missing.map(({ name }) => name) }
}

function announce(args: RunArguments, node: RunningNode, io: Io): void {
  const { own, weakenings, grant } = node.session
  if (args.json === true) {
    const { lease } = grant
    io.stdout(
      `${JSON.stringify({ url: node.url, model: own.model, version: own.modelVersion, lease: lease.id, entry: grant.index, ...brokersShown(node) })}\n`,
    )
    return
  }
  if (own.platform === 'simulated')
    io.stderr(`${paint(io, 'magenta', 'NOT HARDWARE: evidence of this node is simulated')}\n`)
  for (const one of weakenings) io.stderr(`${paint(io, 'yellow', 'weakened')}  ${one}\n`)
  io.stdout(`${node.url}\n`)
}

/**
 * Runs a node until it is stopped or its key use ends for good. Exit 0 when it was stopped, 3 when the broker denied.
 *
 * started  told of each node that listens, the first and those after a restart
 */
export async function run(
  args: RunArguments,
  io: Io,
  stop?: Promise<void>,
  started: (node: RunningNode) => void = () => {},
): Promise<number> {
  let options: StartNodeOptions
  let node: RunningNode
  try {
    overwriteFreed()
    if (args.dangerousAllowInspection !== true) {
      closeProcess({ dangerousAllowInspection: false, endWithParent: false })
    }
    options = await optionsOf(args, io)
    node = await startNode(options)
  } catch (error) {
    return reportEnd(io, error)
  }
  announce(args, node, io)
  started(node)
  let isStopping = false
  void (stop ?? stopSignal()).then(() => {
    isStopping = true
    return node.close()
  })
  const startAgain = (port: number) => startNode({ ...options, listen: { ...options.listen, port } })
  const reason = await keepNode(node, startAgain, (next) => {
    node = next
    started(next)
    if (isStopping) void next.close()
  })
  return isStopping ? exitCodes.ok : reportEnd(io, reason)
}

export function describe(program: Command, io: Io): void {
  describeNode(
    program
      .command('run')
      .description('runs a node: proves itself to the broker, gets the key of a sealed model, serves it'),
  )
    .option('--listen <address>', 'where to listen', listenAddress, '127.0.0.1:0')
    .option('--threads <n>', 'threads of the engine', wholeNumber(1, 256, 2))
    .option('--json', 'print one JSON line when the node listens')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger run --model acme/whisper --broker http://127.0.0.1:8780 --sealed sealed --dangerous-allow-simulated' +
        '\n  ./claviger run --model acme/whisper --broker https://a.example,https://b.example,https://c.example --trust trust.json --sealed sealed --dangerous-allow-simulated',
    )
    .action(async (args: RunArguments) => {
      io.exit(await run(args, io))
    })
}
