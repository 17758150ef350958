import type { Command } from 'commander'
import { resolveModel } from '#cli/client-policy.js'
import { readDocument } from '#cli/input.js'
import { keepNode } from '#cli/keep-node.js'
import { brokerUrl, listenAddress, modelName, parseListen, thumbprintText, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable, reportError } from '#cli/output.js'
import { stopSignal } from '#cli/signals.js'
import { openSimulatedAttester, simulatedPlatformPath } from '#cli/simulated-attester.js'
import { type RunningNode, type StartNodeOptions, startNode } from '#cli/start-node.js'
import { loadTrust } from '#cli/trust-store.js'
import { envelopeShape } from '#core/dsse.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { denialShape, hostDeclarationShape, type Reason } from '#core/wire/release.js'
import { createLog } from '#host/log.js'
import { closeProcess, overwriteFreed } from '#runtime/engine/closed.js'
import type { SessionEvent } from '#runtime/ports.js'

/** Failures of what was typed, and of this machine. */
export type RunCode =
  | 'run/model'
  /** no attestation device was found, and a simulated one was not allowed */
  | 'run/attester'

export interface RunArguments {
  readonly model: string
  readonly broker: string
  readonly sealed: string
  readonly listen: string
  readonly trust?: string | undefined
  readonly trustStatement?: string | undefined
  readonly brokerKey?: string | undefined
  readonly hostStatement?: string | undefined
  readonly platformState?: string | undefined
  readonly threads?: number | undefined
  readonly json?: boolean | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
  readonly dangerousAllowInspection?: boolean | undefined
  readonly dangerousAllowPlain?: boolean | undefined
}

/** The full id, by the trust file where there is one. @throws run/model */
async function modelOf(args: RunArguments, io: Io): Promise<string> {
  if (args.trust === undefined) {
    // Without a trust file an alias names nobody: any owner's model of that name would do.
    if (/^[A-Za-z0-9_-]{43}\//.test(args.model)) return args.model
    throw new Failure<RunCode>(
      'run/model',
      `${args.model} names an owner by an alias, and no trust file says who that is`,
      {
        detail: { hint: 'add --trust trust.json, or give the full model id that `claviger inspect` prints' },
      },
    )
  }
  return resolveModel(args.model, (await loadTrust(args.trust, io.now())).trust)
}

async function optionsOf(args: RunArguments, io: Io): Promise<StartNodeOptions> {
  // The only attester here so far is the simulated one: a real device is never silently replaced by it.
  if (args.dangerousAllowSimulated !== true) {
    throw new Failure<RunCode>('run/attester', 'no attestation device on this machine', {
      detail: { hint: 'add --dangerous-allow-simulated for a simulated one: NOT HARDWARE, for development only' },
    })
  }
  const attester = await openSimulatedAttester(args.platformState ?? simulatedPlatformPath(), io.now())
  return {
    model: await modelOf(args, io),
    brokerUrl: args.broker,
    sealed: args.sealed,
    trust:
      args.trustStatement === undefined
        ? null
        : await readDocument(args.trustStatement, envelopeShape, 'trust statement'),
    broker: args.brokerKey ?? null,
    host:
      args.hostStatement === undefined
        ? null
        : await readDocument(args.hostStatement, hostDeclarationShape, 'host statement'),
    attester,
    listen: parseListen(args.listen),
    dangerousAllowSimulated: true,
    dangerousAllowInspection: args.dangerousAllowInspection === true,
    dangerousAllowPlain: args.dangerousAllowPlain === true,
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

function describeReason(io: Io, reason: Reason): string {
  const line = (label: string, text: string | null) =>
    text === null ? '' : `    ${label.padEnd(10)}${printable(text)}\n`
  return (
    `  ${paint(io, 'red', printable(reason.id))}${reason.explain === null ? '' : `: ${printable(reason.explain)}`}\n` +
    line('expected', reason.expected) +
    line('found', reason.actual) +
    line('remedy', reason.remedy) +
    line('law', reason.law)
  )
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
  program
    .command('run')
    .description('runs a node: proves itself to the broker, gets the key of a sealed model, serves it')
    .requiredOption('--model <id>', 'owner alias and name, or the full id', modelName)
    .requiredOption(
      '--broker <url>',
      'URL of the key broker; of several that hold shares of the key, with commas between them',
      (text) => text.split(',').map(brokerUrl).join(','),
    )
    .requiredOption('--sealed <folder>', 'the sealed model')
    .option('--listen <address>', 'where to listen', listenAddress, '127.0.0.1:0')
    .option('--trust <file>', 'your trust file: the alias in --model then stands for the owner key in it')
    .option('--trust-statement <file>', 'the owner’s trust statement; without it the broker is asked for it')
    .option('--broker-key <thumbprint>', 'which broker of the trust statement, when it lists several', thumbprintText)
    .option('--host-statement <file>', 'what claviger host statement made: place and operator of this node')
    .option('--platform-state <file>', 'keys of the simulated machine; made on first use')
    .option('--threads <n>', 'threads of the engine', wholeNumber(1, 256, 2))
    .option('--json', 'print one JSON line when the node listens')
    .option('--dangerous-allow-simulated', 'simulated evidence: NOT HARDWARE, for development only')
    .option('--dangerous-allow-inspection', 'leave the memory readable from outside, for tests that scan it')
    .option('--dangerous-allow-plain', 'answer requests without a seal; shown in node document and receipts')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger run --model acme/whisper --broker http://127.0.0.1:8780 --sealed sealed --dangerous-allow-simulated' +
        '\n  ./claviger run --model acme/whisper --broker https://a.example,https://b.example,https://c.example --trust trust.json --sealed sealed --dangerous-allow-simulated',
    )
    .action(async (args: RunArguments) => {
      io.exit(await run(args, io))
    })
}
