import { join } from 'node:path'
import type { Command } from 'commander'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy, describePolicy, type PolicyArguments, readDemands } from '#cli/client-policy.js'
import { listenAddress, parseListen, serviceUrl } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { stopSignal } from '#cli/signals.js'
import { readToken } from '#cli/token-file.js'
import { loadTrust } from '#cli/trust-store.js'
import { NodeClient } from '#client/node-client.js'
import { createProxy } from '#client/proxy/app.js'
import { canonicalJson } from '#core/encoding/json.js'
import { requestSizeMax } from '#core/limits.js'
import { makeFolder, writeFileDurably } from '#host/files.js'
import { createApp } from '#host/http.js'
import { listen } from '#host/listen.js'
import { createLog } from '#host/log.js'

export interface ProxyArguments extends PolicyArguments {
  readonly node: string
  readonly trust: string
  readonly listen?: string | undefined
  readonly credential?: string | undefined
  readonly receipts?: string | undefined
}

/** Serves until the process is told to stop: any OpenAI client becomes a verified and sealed one. */
export async function run(args: ProxyArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  readDemands(args)
  const { trust } = await loadTrust(args.trust, io.now())
  const policy = clientPolicy(args, trust)
  const credential =
    args.credential === undefined ? null : await readToken(args.credential, 'the credential of a caller')
  const options = nodeClientOptions(args.node, trust, policy, credential, io)
  // A proxy does not start in front of a node that it cannot verify.
  await new NodeClient(options).node()
  if (args.receipts !== undefined) await makeFolder(args.receipts, 0o700)
  const app = createApp({
    log: createLog('proxy', 'warn'),
    statuses: {},
    limits: { bodySizeMax: requestSizeMax, timeoutMs: 150_000 },
  })
  const proxy = createProxy({
    ...options,
    async onAnswer({ receipt, file }) {
      if (args.receipts === undefined) return
      await writeFileDurably(join(args.receipts, `${receipt.receipt.id}.json`), canonicalJson(file), { mode: 0o600 })
    },
  })
  app.hono.route('/', proxy)
  const server = await listen(app, parseListen(args.listen ?? '127.0.0.1:8787'))
  io.stdout(`${server.url}\n`)
  io.stderr(`proxy: point any OpenAI client at ${server.url}/v1; requests are sealed to ${args.node}\n`)
  await (stopped ?? stopSignal())
  await server.close()
  return exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const command = program
    .command('proxy')
    .description('a local endpoint for any OpenAI client: verifies the node, seals requests, verifies receipts')
    .requiredOption('--node <url>', 'URL of the node', serviceUrl('http://127.0.0.1:8790'))
    .requiredOption('--trust <file>', 'your trust file')
    .option('--listen <address>', 'where to listen', listenAddress, '127.0.0.1:8787')
    .option('--credential <file>', 'file with the credential that the model’s owner gave you')
    .option('--receipts <folder>', 'keep the receipt of every answer in this folder')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger proxy --node http://127.0.0.1:8790 --trust trust.json --model acme/whisper --receipts receipts',
    )
  describePolicy(command).action(async (options: ProxyArguments) => {
    io.exit(await run(options, io))
  })
}
