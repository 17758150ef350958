import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { openChain } from '#cli/chain.js'
import { speechPath } from '#cli/demo.js'
import { keepNode } from '#cli/keep-node.js'
import { bringModel } from '#cli/model.js'
import { wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io, paint, reportError, shellWord } from '#cli/output.js'
import { stateFolder } from '#cli/places.js'
import { stopSignal } from '#cli/signals.js'
import type { ModelMetadata } from '#runtime/api/engine.js'
import { closeProcess } from '#runtime/engine/closed.js'

export interface DevArguments {
  readonly folder?: string | undefined
  readonly brokerPort?: number | undefined
  readonly nodePort?: number | undefined
  readonly leaseSeconds?: number | undefined
  readonly model?: string | undefined
  readonly dangerousAllowInspection?: boolean | undefined
  readonly dangerousAllowSample?: boolean | undefined
}

/** What the model that was loaded can be asked through the proxy's own port. */
function question({ pipeline }: ModelMetadata, model: string): string {
  const proxy = 'curl -s http://127.0.0.1:8787'
  const name = model.slice(model.indexOf('/') + 1)
  return pipeline === 'moonshine'
    ? `${proxy}/v1/audio/transcriptions -F model=${name} -F file=@${shellWord(speechPath())}`
    : `${proxy}/v2/models/${name}`
}

/** Keeps the whole chain running on loopback until it is told to stop; what it made is used again the next time. */
export async function run(args: DevArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  const folder = resolve(args.folder ?? join(stateFolder(), 'dev')) // its processes stand in other folders
  io.stderr(`${paint(io, 'magenta', 'NOT HARDWARE: the machine is simulated; all else is real')}\n`)
  const chain = await openChain({
    folder,
    modelFolder: args.model ?? (await bringModel()).folder,
    modelName: args.model === undefined ? 'moonshine' : 'model',
    databaseUrl: process.env.CLAVIGER_DATABASE_URL ?? null,
    brokerPort: args.brokerPort ?? 8780,
    nodePort: args.nodePort ?? 8790,
    leaseSeconds: args.leaseSeconds ?? 600,
    dangerousAllowInspection: args.dangerousAllowInspection === true,
    dangerousAllowSample: args.dangerousAllowSample === true,
    io,
  })
  const { stack, node, trustPath, model } = chain
  const trust = shellWord(trustPath)
  io.stdout(
    `broker, verifier, log  ${stack.url} (${stack.standing}, key ${stack.broker})\n` +
      `node                   ${node.url} (NOT HARDWARE)\n` +
      `witness                ${stack.witnessVkey}\n` +
      `trust file             ${trustPath}\n` +
      `storage                ${stack.durability}\n\nTry:\n` +
      `  ./claviger verify ${node.url} --trust ${trust} --dangerous-allow-simulated\n` +
      `  ./claviger proxy --node ${node.url} --trust ${trust} --model ${model} --receipts receipts --dangerous-allow-simulated &\n` +
      `  ${question(node.session.metadata, model)}   # through that proxy\n` +
      `in another terminal; this one keeps running until Ctrl-C\n`,
  )
  const kept = keepNode(node, chain.reopenNode, (next) => void io.stderr(`the node runs again: ${next.url}\n`))
  const reason = await Promise.race([(stopped ?? stopSignal()).then(() => null), kept])
  await chain.close()
  return reason === null ? exitCodes.ok : reportError(io, reason)
}

export function describe(program: Command, io: Io): void {
  program
    .command('dev')
    .description('keeps the whole chain running on loopback: broker, verifier, log, witness, node (NOT HARDWARE)')
    .option('--folder <folder>', 'where to keep its files')
    .option('--broker-port <n>', 'port of broker, verifier and log', wholeNumber(0, 65_535, 8780), 8780)
    .option('--node-port <n>', 'port of the node', wholeNumber(0, 65_535, 8790), 8790)
    .option('--lease-seconds <n>', 'how long a lease lasts', wholeNumber(10, 86_400, 600), 600)
    .option('--model <folder>', 'another folder of ONNX files than the speech model')
    .option(
      '--dangerous-allow-inspection',
      'the memory of the engine may be read from outside; shown in the node document',
    )
    .option('--dangerous-allow-sample', 'the KBS route takes sample evidence, which anybody can write (NOT HARDWARE)')
    .addHelpText(
      'after',
      '\nExample:\n  npm start\n\nCLAVIGER_DATABASE_URL chooses Postgres; without it a PGlite folder is used.',
    )
    .action(async (args: DevArguments) => {
      if (args.dangerousAllowInspection !== true) {
        closeProcess({ dangerousAllowInspection: false, endWithParent: false })
      }
      io.exit(await run(args, io))
    })
}
