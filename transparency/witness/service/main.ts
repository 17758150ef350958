import { parseArgs } from 'node:util'
import { serve } from '@hono/node-server'
import { isFailure } from '#core/failure.js'
import { encodeVkey, parseVkey, type VerifierKey } from '#core/tlog/vkey.js'
import { makeWitnessApp } from '#transparency/witness/service/app.js'
import { addLog, createWitness, openWitness } from '#transparency/witness/store/state.js'
import { Witness } from '#transparency/witness/witness.js'

const usage = `usage:
  main.js create  --state DIR --name NAME [--log VKEY]...   a new witness with a new key, and logs to cosign
  main.js add-log --state DIR --log VKEY...                 one more log, from the empty tree on
  main.js --state DIR --listen HOST:PORT --log VKEY...      answers POST /add-checkpoint

  --until-stdin-ends   stop when standard input ends, as it does with the process that started this one
One line of JSON on standard output says the url and the verifier key (vkey).
`

interface Arguments {
  readonly command: string
  readonly state: string
  readonly name: string | undefined
  readonly listen: string
  readonly logs: readonly VerifierKey[]
  readonly untilStdinEnds: boolean
}

class UsageError extends Error {}

function readArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      state: { type: 'string' },
      name: { type: 'string' },
      listen: { type: 'string', default: '127.0.0.1:0' },
      log: { type: 'string', multiple: true, default: [] },
      'until-stdin-ends': { type: 'boolean', default: false },
    },
  })
  if (values.state === undefined || positionals.length > 1) throw new UsageError('--state DIR is needed')
  const logs = values.log.map(parseVkey)
  if (logs.some((log) => log.use !== 'log')) throw new UsageError('--log takes the key of a log')
  return {
    command: positionals[0] ?? 'serve',
    state: values.state,
    name: values.name,
    listen: values.listen,
    logs,
    untilStdinEnds: values['until-stdin-ends'],
  }
}

function say(value: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

async function serveWitness({ state, listen, logs, untilStdinEnds }: Arguments): Promise<void> {
  const [host, port] = [listen.slice(0, listen.lastIndexOf(':')), Number(listen.slice(listen.lastIndexOf(':') + 1))]
  if (host === '' || !Number.isInteger(port)) throw new UsageError('--listen takes HOST:PORT')
  if (logs.length === 0) throw new UsageError('--log VKEY is needed')
  const origins = [...new Set(logs.map((log) => log.name))]
  const opened = await openWitness(state, origins)
  const now = () => Math.floor(Date.now() / 1000)
  const witness = new Witness({ store: opened.store, signer: opened.signer, logs, now })
  const server = serve({ fetch: makeWitnessApp(witness).fetch, hostname: host, port }, (address) => {
    say({ url: `http://${host}:${address.port}`, vkey: witness.vkey })
  })
  if ('requestTimeout' in server) {
    server.requestTimeout = 10_000
    server.headersTimeout = 5_000
    server.maxConnections = 256
  }
  server.on('error', (error) => {
    process.stderr.write(`error: ${error.message}\n`)
    process.exit(1)
  })
  const stop = () => {
    server.close(() => {
      opened.close()
      process.exit(0)
    })
    if ('closeIdleConnections' in server) server.closeIdleConnections()
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  if (untilStdinEnds) process.stdin.once('end', stop).resume()
}

async function main(args: readonly string[]): Promise<void> {
  const parsed = readArguments(args)
  const { command, state, name, logs } = parsed
  if (command === 'create') {
    if (name === undefined) throw new UsageError('--name NAME is needed')
    const vkey = await createWitness(state, name)
    for (const log of logs) await addLog(state, log.name)
    say({ vkey, logs: logs.map(encodeVkey) })
  } else if (command === 'add-log') {
    for (const log of logs) await addLog(state, log.name)
    say({ logs: logs.map(encodeVkey) })
  } else if (command === 'serve') {
    await serveWitness(parsed)
  } else {
    throw new UsageError(`unknown command ${command}`)
  }
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  const isUsage = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  const code = isFailure(error) ? `${error.code} ` : ''
  process.stderr.write(`error: ${code}${(error as Error).message}\n${isUsage ? usage : ''}`)
  process.exit(isUsage ? 2 : 1)
}
