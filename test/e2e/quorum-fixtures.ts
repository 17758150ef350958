import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createProgram } from '#cli/program.js'
import { simulatedRuntime } from '#cli/reference-values.js'
import { adminTokenPath, createServices } from '#cli/service-state.js'
import { openSimulatedAttester, type SimulatedAttester } from '#cli/simulated-attester.js'
import { openStack, type Stack } from '#cli/stack.js'
import { type RunningNode, startNode } from '#cli/start-node.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { createLog } from '#host/log.js'
import type { SessionEvent } from '#runtime/ports.js'
import { type TestIo, testIo } from '#test/e2e/fixtures.js'

/** A command as it is typed, in this process. */
export async function type(...words: readonly string[]): Promise<TestIo> {
  const io = testIo()
  const program = await createProgram(io)
  program.exitOverride()
  await program.parseAsync(['node', 'claviger', ...words]).catch((error: unknown) => {
    throw Object.assign(error as Error, { said: io.err() })
  })
  return io
}

/** A broker with its log, witness, database and keys, of its own folder. */
export interface OneBroker {
  readonly name: string
  readonly folder: string
  stack: Stack
  /** runs again on the same port */
  open(): Promise<void>
}

/** databaseUrl: null for a PGlite folder of its own */
export async function openBroker(folder: string, name: string, databaseUrl: string | null = null): Promise<OneBroker> {
  const at = { folder: join(folder, name), databaseUrl }
  const now = () => Math.floor(Date.now() / 1000)
  await createServices({ ...at, origin: `claviger.invalid/${name}`, at: now() })
  const options = { ...at, log: createLog('services', 'error'), now }
  const open = (port: number) => openStack(options, { host: '127.0.0.1', port })
  const one: OneBroker = {
    name,
    folder: at.folder,
    stack: await open(0),
    async open() {
      one.stack = await open(Number(new URL(one.stack.url).port))
    },
  }
  return one
}

/** What a hostile broker, or a relay before an honest one, makes of an answer. */
export type Answering = (request: unknown, answer: Record<string, unknown>) => Promise<Record<string, unknown>>

/** An address in front of a broker's: all passes, and answers to releases are what `answering` makes of them. */
export async function relayTo(url: () => string, answering: Answering) {
  const server = createServer(async (incoming, outgoing) => {
    const parts: Buffer[] = []
    for await (const part of incoming) parts.push(part as Buffer)
    const body = Buffer.concat(parts)
    const { method = 'GET', url: path = '/' } = incoming
    const sent = method === 'GET' ? {} : { body, headers: { 'content-type': 'application/json' } }
    const answer = await fetch(new URL(path, url()), { method, ...sent })
    let out = new Uint8Array(await answer.arrayBuffer())
    if (path === '/v1/releases' && answer.status === 200) {
      const changed = await answering(JSON.parse(fromUtf8(body)), JSON.parse(fromUtf8(out)))
      out = utf8(JSON.stringify(changed)) as Uint8Array<ArrayBuffer>
    }
    outgoing.writeHead(answer.status, { 'content-type': 'application/json' }).end(out)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}

export const places = (folder: string) => ({
  keys: join(folder, 'keys'),
  trust: join(folder, 'trust.json'),
  runtime: join(folder, 'runtime.json'),
  host: join(folder, 'host.json'),
})

/** The owner's keys, sealed model and trust file over all brokers. */
export async function prepareOwner(
  folder: string,
  model: string,
  brokers: readonly OneBroker[],
  attester: SimulatedAttester,
): Promise<void> {
  const at = places(folder)
  await mkdir(folder, { recursive: true })
  await writeFile(at.runtime, JSON.stringify(simulatedRuntime(attester)))
  await type('keys', 'new', '--out', at.keys, '--name', 'acme')
  for (const name of ['one', 'two'])
    await type('seal', model, '--out', join(folder, name), '--keys', at.keys, '--name', name, '--version', '1')
  const named = brokers.map(({ name, stack }) => `${name}=${stack.url}`).join(',')
  const pins = brokers.map(({ stack }) => stack.broker).join(',')
  const of = ['--owner', `acme=${at.keys}`, '--runtime', at.runtime, '--out', at.trust]
  await type('init', '--broker', named, '--broker-key', pins, ...of)
}

/** The words that register a model among these brokers. */
export function registerWords(folder: string, model: string, brokers: readonly OneBroker[]): readonly string[] {
  const at = places(folder)
  const urls = brokers.map(({ stack }) => stack.url).join(',')
  const tokens = brokers.map((one) => adminTokenPath(one.folder)).join(',')
  return [
    'register',
    join(folder, model),
    ...['--brokers', urls, '--threshold', '2', '--controllers', 'Alpha GmbH,Beta SAS,Gamma Oy'],
    ...['--policy', 'eu-development', '--class', 'development', '--token', tokens],
    ...['--trust', at.trust, '--keys', at.keys, '--lease-seconds', '20', '--nodes', '30'],
  ]
}

export interface StartedNode {
  readonly node: RunningNode
  readonly events: readonly SessionEvent[]
}

/** A node of the model, at these addresses. */
export async function runNode(
  folder: string,
  model: string,
  urls: readonly string[],
  attester: SimulatedAttester,
  host: Parameters<typeof startNode>[0]['host'],
  events: SessionEvent[] = [],
): Promise<StartedNode> {
  const node = await startNode({
    model: null,
    brokerUrl: urls.join(','),
    sealed: join(folder, model),
    trust: null,
    broker: null,
    host,
    attester,
    listen: { host: '127.0.0.1', port: 0 },
    dangerousAllowSimulated: true,
    dangerousAllowInspection: false,
    dangerousAllowPlain: false,
    log: createLog('node', 'error'),
    report: (event) => void events.push(event),
  })
  return { node, events }
}

export { openSimulatedAttester }
