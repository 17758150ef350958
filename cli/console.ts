import type { Command } from 'commander'
import { loadShippedCertificates } from '#attest/service/shipped.js'
import { listenAddress, parseListen } from '#cli/option-values.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { stopSignal } from '#cli/signals.js'
import { build } from '#cli/version.js'
import { makeConsoleApp } from '#console/service/app.js'
import { loadAssets } from '#console/service/assets.js'
import { listen } from '#host/listen.js'
import { createLog } from '#host/log.js'

export interface ConsoleArguments {
  readonly listen: string
}

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || /^127\./.test(host)

/** Serves the console's pages until the process is told to stop; its first line says where. */
export async function run(args: ConsoleArguments, io: Io, stopped?: Promise<void>): Promise<number> {
  const place = parseListen(args.listen)
  const app = await makeConsoleApp({
    assets: await loadAssets(),
    shipped: await loadShippedCertificates(),
    version: build,
    log: createLog('console', 'warn'),
  })
  const server = await listen(app, place)
  io.stdout(`${JSON.stringify({ service: 'console', url: server.url })}\n`)
  io.stderr(`console: open ${server.url} in a browser, which verifies by itself; nothing is sent here\n`)
  if (!isLoopback(place.host))
    io.stderr(
      `${paint(io, 'cyan', 'hint:')} browsers of other machines verify on pages of https alone: put TLS in front of it\n`,
    )
  await (stopped ?? stopSignal())
  await server.close()
  return exitCodes.ok
}

/** The command below `parent`, which is typed as `typed`. */
export function consoleCommand(parent: Command, typed: string, io: Io): void {
  parent
    .command('console')
    .description('pages on which a browser verifies evidence by itself, and the list of all checks')
    .option('--listen <address>', 'where to listen', listenAddress, '127.0.0.1:8785')
    .addHelpText(
      'after',
      `
What is verified stays in the browser: the pages open no connection, and the server takes no input. Where somebody else serves
them they are advisory: the same verdict comes from ./claviger attest verify, with your own copy.

Example:
  ${typed} --listen 127.0.0.1:8785`,
    )
    .action(async (args: ConsoleArguments) => io.exit(await run(args, io)))
}

export function describe(program: Command, io: Io): void {
  consoleCommand(program, './claviger console', io)
}
