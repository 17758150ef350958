import { parseArgs } from 'node:util'
import { isFailure } from '#core/failure.js'
import { encodeVkey, parseVkey, type VerifierKey } from '#core/tlog/vkey.js'
import { listen } from '#host/listen.js'
import { createLog } from '#host/log.js'
import { announceReady } from '#host/process.js'
import { makeWitnessApp } from '#transparency/witness/service/app.js'
import { addLog, createWitness, openWitness } from '#transparency/witness/store/state.js'
import { Witness } from '#transparency/witness/witness.js'

const usage = `usage:
  main.js create  --state DIR --name NAME [--log VKEY]...   a new witness with a new key, and logs to cosign
  main.js add-log --state DIR --log VKEY...                 one more log, from the empty tree on
  main.js --state DIR --listen HOST:PORT --log VKEY...      answers POST /add-checkpoint

One line of JSON on standard output says the verifier key (vkey), and the url once it answers.
`

interface Arguments {
  readonly command: string
  readonly state: string
  readonly name: string | undefined
  readonly listen: string
  readonly logs: readonly VerifierKey[]
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
  }
}

function say(value: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

async function serveWitness({ state, listen: place, logs }: Arguments): Promise<void> {
  const colon = place.lastIndexOf(':')
  const [host, port] = [place.slice(0, colon), Number(place.slice(colon + 1))]
  if (host === '' || !Number.isInteger(port)) throw new UsageError('--listen takes HOST:PORT')
  if (logs.length === 0) throw new UsageError('--log VKEY is needed')
  const opened = await openWitness(state, [...new Set(logs.map((log) => log.name))])
  const now = () => Math.floor(Date.now() / 1000)
  const witness = new Witness({ store: opened.store, signer: opened.signer, logs, now })
  const listening = await listen(makeWitnessApp(witness, createLog('witness', 'info')), { host, port })
  announceReady({ url: listening.url, vkey: witness.vkey }, async () => {
    await listening.close()
    opened.close()
  })
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
