import type { Command } from 'commander'
import { resolveModel } from '#cli/client-policy.js'
import { readDocument } from '#cli/input.js'
import { brokerUrl, modelName, purposeName, thumbprintText } from '#cli/option-values.js'
import type { Io } from '#cli/output.js'
import { describePresenting, type PresentArguments, presenterOf, timingOf } from '#cli/present.js'
import { openSimulatedAttester, simulatedPlatformPath } from '#cli/simulated-attester.js'
import type { StartNodeOptions } from '#cli/start-node.js'
import { loadTrust } from '#cli/trust-store.js'
import { envelopeShape } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { hostDeclarationShape } from '#core/wire/release.js'

/* What a node is started with, and what is asked about it before: the same options, so that the answer is about that node. */

/** Failures of what was typed, and of this machine. */
export type RunCode =
  | 'run/model'
  /** no attestation device was found, and a simulated one was not allowed */
  | 'run/attester'

export interface NodeArguments extends PresentArguments {
  readonly model: string
  readonly broker: string
  readonly sealed: string
  readonly trust?: string | undefined
  readonly trustStatement?: string | undefined
  readonly brokerKey?: string | undefined
  readonly hostStatement?: string | undefined
  readonly purpose?: string | undefined
  readonly platformState?: string | undefined
  readonly json?: boolean | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
  readonly dangerousAllowInspection?: boolean | undefined
  readonly dangerousAllowPlain?: boolean | undefined
}

/** The full id, by the trust file where there is one. @throws run/model */
async function modelOf(args: NodeArguments, io: Io): Promise<string> {
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

/** What a node is, apart from where it listens. @throws run/..., attester/..., file/..., input/..., shape/... */
export async function nodeOptionsOf(
  args: NodeArguments,
  io: Io,
): Promise<Omit<StartNodeOptions, 'listen' | 'log' | 'report'>> {
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
    purpose: args.purpose,
    attester,
    present: await presenterOf(args, io),
    openTiming: await timingOf(args, io),
    dangerousAllowSimulated: true,
    dangerousAllowInspection: args.dangerousAllowInspection === true,
    dangerousAllowPlain: args.dangerousAllowPlain === true,
  }
}

/** The options that say what a node is. */
export function describeNode(command: Command): Command {
  return describePresenting(command)
    .requiredOption('--model <id>', 'owner alias and name, or the full id', modelName)
    .requiredOption(
      '--broker <url>',
      'URL of the key broker; of several that hold shares of the key, with commas between them',
      (text) => text.split(',').map(brokerUrl).join(','),
    )
    .requiredOption('--sealed <folder>', 'the sealed model')
    .option('--trust <file>', 'your trust file: the alias in --model then stands for the owner key in it')
    .option('--trust-statement <file>', 'the owner’s trust statement; without it the broker is asked for it')
    .option('--broker-key <thumbprint>', 'which broker of the trust statement, when it lists several', thumbprintText)
    .option('--host-statement <file>', 'what claviger host statement made: place and operator of this node')
    .option('--purpose <name>', 'what the key is for, as your word: evidence, log and owner have it', purposeName)
    .option('--platform-state <file>', 'keys of the simulated machine; made on first use')
    .option('--dangerous-allow-simulated', 'simulated evidence: NOT HARDWARE, for development only')
    .option('--dangerous-allow-inspection', 'leave the memory readable from outside, for tests that scan it')
    .option('--dangerous-allow-plain', 'answer requests without a seal; shown in node document and receipts')
}
