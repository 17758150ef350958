import type { Command } from 'commander'
import { describeKeeping } from '#cli/keeper-sign.js'
import { brokerKey } from '#cli/landmark-broker.js'
import { describeMeasuring } from '#cli/landmark-measure.js'
import { describeProvability } from '#cli/landmark-provability.js'
import { describeVerify } from '#cli/landmark-verify.js'
import { lineName, listenAddress, parseListen, repeated, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { stopSignal } from '#cli/signals.js'
import { landmarkSessionsMax, probesMax } from '#core/limits.js'
import { landmarkNameShape } from '#core/wire/landmark.js'
import { startLandmark } from '#landmark/server.js'
import { createLandmark, loadLandmark, openLine } from '#landmark/state.js'
import { landmarksPayloadType, landmarksRowsShape, readLandmarks } from '#policies/location/landmarks.js'

interface CreateArguments {
  readonly state: string
  readonly name: string
  readonly json?: boolean | undefined
}

/** A new landmark's keys, and what its row in a directory says of them. */
async function runCreate({ state, name }: CreateArguments, io: Io): Promise<number> {
  const made = await createLandmark(state, landmarkNameShape(name, 'name'))
  io.stdout(`${JSON.stringify(made)}\n`)
  io.stderr(
    'its row in a directory says besides where it stands, who runs it and how it is reached: docs/spec/landmark.md\n',
  )
  return exitCodes.ok
}

export interface ServeArguments {
  readonly state: string
  readonly listen: string
  readonly broker: readonly string[]
  readonly probes: number
  readonly opensPerMinute: number
}

/** Serves until it is told to stop. One line on stdout once it is reached, one on stderr for each session that ended. */
export async function runServe(args: ServeArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  const { host, port } = parseListen(args.listen)
  const keys = await loadLandmark(args.state)
  const server = await startLandmark({
    keys,
    line: await openLine(args.state),
    brokers: await Promise.all(args.broker.map(brokerKey)),
    host,
    port,
    probes: args.probes,
    sessionsMax: landmarkSessionsMax,
    opensPerMinute: args.opensPerMinute,
    now: io.now,
    onEnd: ({ session, code }) => io.stderr(`session ${session}: ${code}\n`),
    onTrouble: (error) => io.stderr(`error: ${error instanceof Error ? error.message : 'unknown'}\n`),
  })
  io.stdout(`${JSON.stringify({ name: keys.name, host: server.host, port: server.port })}\n`)
  await (stopped ?? stopSignal())
  await server.close()
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const landmark = program
    .command('landmark')
    .description('how far a node is at most, by how long its key takes to answer')
  landmark
    .command('create')
    .description('make the keys of a new landmark')
    .requiredOption('--state <folder>', 'where they are kept')
    .requiredOption('--name <name>', 'of the landmark, at most 32 characters', lineName)
    .option('--json', 'what is printed is JSON in any case')
    .addHelpText('after', '\nExample:\n  ./claviger landmark create --state fra-1 --name fra-1')
    .action(async (args: CreateArguments) => io.exit(await runCreate(args, io)))
  landmark
    .command('serve')
    .description('time the keys that tickets of these brokers name, over UDP')
    .requiredOption('--state <folder>', 'what `claviger landmark create` made')
    .requiredOption('--listen <host:port>', 'UDP address to listen at', listenAddress)
    .requiredOption(
      '--broker <file>',
      'public key of a broker that is served (Ed25519, PEM); repeat for more',
      repeated((path) => path),
      [],
    )
    .option('--probes <number>', 'of a session', wholeNumber(20, probesMax, 40), 40)
    .option(
      '--opens-per-minute <number>',
      'sessions of one address or IPv6 network in a minute',
      wholeNumber(1, 6000, 30),
      30,
    )
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger landmark serve --state fra-1 --listen 0.0.0.0:4455 --broker broker.pub.pem',
    )
    .action(async (args: ServeArguments) => io.exit(await runServe(args, io)))
  describeKeeping(
    landmark,
    {
      command: 'landmark',
      what: 'directory of landmarks',
      payloadType: landmarksPayloadType,
      type: 'claviger/landmarks/v1',
      rows: landmarksRowsShape,
      read: readLandmarks,
    },
    io,
  )
  describeMeasuring(landmark, io)
  describeVerify(landmark, io)
  describeProvability(landmark, io)
}
