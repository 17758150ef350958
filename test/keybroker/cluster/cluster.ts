/** What belongs in test/keybroker/cluster: several broker processes on one Postgres, as an operator runs them. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServices, servicePlaces } from '#cli/service-state.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { type Ed25519Jwk, thumbprint } from '#core/crypto/jwk.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { brokerDocumentShape } from '#core/wire/broker-document.js'
import { apiVersion } from '#core/wire/release.js'
import { type Service, spawnService } from '#host/process.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { testPlatform } from '#test/fakes/platform.js'
import { type Registered, registration, startTime, type TestBroker, tenantStatement, testOwner } from '../fixtures.js'

const readyOf = (service: Service) => service.ready as { readonly url: string }

/** Brokers of one operator, their witness, and an owner who has registered a model at them. */
export interface Cluster {
  readonly chain: Registered
  /** addresses of those that answer now */
  urls(): readonly string[]
  /** one of them ends as in a crash, and is started again: returns when it answers */
  killAndRestart(which: number): Promise<void>
  /** Sends JSON; the answer's status and value. @throws when nobody answers */
  post(url: string, path: string, body: unknown): Promise<{ readonly status: number; readonly body: never }>
  close(): Promise<void>
}

async function post(url: string, path: string, body: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
  return { status: answer.status, body: (await answer.json()) as never }
}

export async function startBrokers(databaseUrl: string, count: number): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'claviger-cluster-'))
  const state = join(folder, 'services')
  const options = { folder: state, databaseUrl }
  const made = await createServices({ ...options, origin: 'log.example/cluster', at: startTime })
  const lines: string[] = []
  const serve = (...args: string[]) =>
    spawnService('cli/main.js', {
      args: ['serve', ...args, '--state', state, '--listen', '127.0.0.1:0'],
      env: { CLAVIGER_DATABASE_URL: databaseUrl },
      onLogLine: (line) => void lines.push(line),
    })
  const witness = await serve('witness')
  const policyFile = join(folder, 'policy')
  const policy = `log ${made.log}\nwitness own ${made.witness} ${readyOf(witness).url}\nquorum own\n`
  await writeFile(policyFile, policy)
  const start = () => serve('keybroker', '--witness-policy', policyFile)
  const brokers: (Service | null)[] = await Promise.all(Array.from({ length: count }, start))
  const urls = () => brokers.flatMap((one) => (one === null ? [] : [readyOf(one).url]))
  const admin = { authorization: `Bearer ${(await readFile(servicePlaces(state).adminToken, 'utf8')).trim()}` }
  const chain = await register(urls()[0]!, policy, admin)
  return {
    chain,
    urls,
    post,
    async killAndRestart(which) {
      const victim = brokers[which]
      brokers[which] = null
      await victim?.kill()
      brokers[which] = await start()
    },
    async close() {
      await Promise.all([...brokers, witness].map((one) => one?.stop()))
      await rm(folder, { recursive: true })
    },
  }
}

/** An owner who knows the brokers by their document, and registers a model at one of them. */
async function register(url: string, witnessPolicy: string, admin: Record<string, string>): Promise<Registered> {
  const envelope = (await (await fetch(`${url}/v1/broker`)).json()) as { payload: string }
  const document = brokerDocumentShape(parseJson(fromBase64(envelope.payload)), 'document')
  const test = {
    broker: {
      signer: { publicKey: document.key as Ed25519Jwk, id: thumbprint(document.key) },
      wrapping: { publicKey: document.wrapping },
      wrappingHybrid: { publicKey: document.wrappingHybrid },
    },
    verifier: { publicKey: document.verifiers[0]! },
    testLog: { vkey: document.logs[0]!, quorumPolicy: witnessPolicy },
  } as unknown as TestBroker
  const owner = await testOwner()
  const platform = await testPlatform({ at: startTime })
  const send = async (path: string, body: unknown) => {
    const answer = await post(url, path, body, admin)
    if (answer.status !== 200) throw new Error(`${path}: ${canonicalJson(answer.body)}`)
  }
  await send('/v1/tenants', { version: apiVersion, tenant: await tenantStatement(owner, 'development') })
  const lease = { seconds: 300, budget: budgetOf(100), nodes: 100_000 }
  await send('/v1/models', await registration(test, owner, platform, { registration: { lease } }))
  return { test, owner, platform }
}
